import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.SimpleStreamFormat;
import org.apache.flink.connector.file.src.reader.StreamFormat;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.util.Collector;

/**
 * The rule of the flap workload as a DataStream job.
 *
 * <pre>HoldDown LOG OUT source|tasks</pre>
 *
 * A watermark follows every record, 5 s behind the largest time before it; a record behind the
 * watermark is late and dropped. Records wait, sorted, until the watermark has passed them, and equal
 * ones are found there. A timer fires where a run would have lasted its hold, so that an episode is told
 * as soon as it is certain, and once more when it ends: of two rows of one episode the later counts.
 *
 * <p>With {@code source} one thread reads, parses and has the watermarks, which is the order of the file.
 * With {@code tasks} it only reads, and two tasks parse, each with watermarks of its own: the next sees
 * the smaller of both, as with two partitions of a log.
 */
public final class HoldDown {
    static final long HOLD_MS = 30_000;
    static final long LATENESS_MS = 5_000;
    static final int PARALLELISM = 2;

    /** Entity, time, sequence, and whether it is unready; without an entity it is a clock alone. */
    static final TypeInformation<Tuple4<String, Long, Long, Boolean>> EVENT =
            Types.TUPLE(Types.STRING, Types.LONG, Types.LONG, Types.BOOLEAN);

    public static void main(String[] args) throws Exception {
        var log = new org.apache.flink.core.fs.Path(args[0]);
        var env = StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
        env.setParallelism(PARALLELISM);
        env.getConfig().enableObjectReuse();
        var watermarks =
                WatermarkStrategy.<Tuple4<String, Long, Long, Boolean>>forGenerator(c -> new PerRecord())
                        .withTimestampAssigner((event, before) -> event.f1);
        DataStream<Tuple4<String, Long, Long, Boolean>> events;
        if (args[2].equals("source")) {
            var source = FileSource.forRecordStreamFormat(new Events(), log).build();
            events = env.fromSource(source, watermarks, "read and parse").setParallelism(1);
        } else {
            var source = FileSource.forRecordStreamFormat(new Lines(), log).build();
            events =
                    env.fromSource(source, WatermarkStrategy.noWatermarks(), "read").setParallelism(1)
                            .rebalance()
                            .flatMap(new Parse())
                            .returns(EVENT)
                            .assignTimestampsAndWatermarks(watermarks);
        }
        // As many tasks as before, so that no record goes from one to another in between.
        events.filter(event -> !event.f0.isEmpty())
                .setParallelism(events.getParallelism())
                .keyBy(event -> event.f0, Types.STRING)
                .transform("hold", Types.STRING, new HoldOperator())
                .sinkTo(new RowFile(args[1]))
                .setParallelism(1);
        env.execute("hold-down");
    }

    /** A watermark after every record. */
    static final class PerRecord
            implements WatermarkGenerator<Tuple4<String, Long, Long, Boolean>> {
        private long clock = Long.MIN_VALUE;

        @Override
        public void onEvent(
                Tuple4<String, Long, Long, Boolean> event, long time, WatermarkOutput output) {
            if (time > clock) {
                clock = time;
                output.emitWatermark(new Watermark(time - LATENESS_MS - 1));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput output) {}
    }

    // ---- reading

    /** The lines of a file, without their ends, as bytes of a buffer. */
    static final class LineReader {
        private final FSDataInputStream in;
        byte[] buffer = new byte[1 << 20];
        int start;
        int end;
        private int next;
        private int filled;
        private boolean ended;

        LineReader(FSDataInputStream in) {
            this.in = in;
        }

        /** Moves on; the line is then from {@code start} to {@code end}. */
        boolean advance() throws IOException {
            int searched = next;
            while (true) {
                for (int at = searched; at < filled; at++) {
                    if (buffer[at] == '\n') {
                        start = next;
                        end = at;
                        next = at + 1;
                        return true;
                    }
                }
                if (ended) {
                    start = next;
                    end = filled;
                    next = filled;
                    return start < end;
                }
                searched = filled - next;
                fill();
            }
        }

        /** Moves what is begun to the front and reads behind it. */
        private void fill() throws IOException {
            int begun = filled - next;
            byte[] target = begun > buffer.length / 2 ? new byte[2 * buffer.length] : buffer;
            System.arraycopy(buffer, next, target, 0, begun);
            buffer = target;
            next = 0;
            int read = in.read(buffer, begun, buffer.length - begun);
            ended = read < 0;
            filled = begun + Math.max(read, 0);
        }
    }

    /** Parses lines; what is no record is left out. */
    static final class Parser {
        private static final JsonFactory JSON = new JsonFactory();

        /** None if the line is no record with a time; no entity if no signal takes it. */
        static Tuple4<String, Long, Long, Boolean> parse(byte[] bytes, int start, int end) {
            String entity = null;
            String state = null;
            boolean timed = false;
            boolean probe = false;
            long ts = 0;
            long seq = 0;
            try (JsonParser json = JSON.createParser(bytes, start, end - start)) {
                if (json.nextToken() != JsonToken.START_OBJECT) {
                    return null;
                }
                for (String name; (name = json.nextFieldName()) != null; ) {
                    JsonToken value = json.nextToken();
                    switch (name) {
                        case "ts" -> {
                            timed = value == JsonToken.VALUE_NUMBER_INT;
                            ts = timed ? json.getLongValue() : 0;
                        }
                        case "seq" -> seq = json.getValueAsLong();
                        case "entity" -> entity = json.getValueAsString();
                        case "state" -> state = json.getValueAsString();
                        case "kind" -> probe = "readiness".equals(json.getValueAsString());
                        default -> json.skipChildren();
                    }
                }
            } catch (IOException notJson) {
                return null;
            }
            if (!timed) {
                return null;
            }
            boolean unready = "unready".equals(state);
            boolean observed = probe && entity != null && (unready || "ready".equals(state));
            return Tuple4.of(observed ? entity : "", ts, seq, unready);
        }
    }

    /** Reads and parses a file, ahead of the task in a thread of the source's own. */
    static final class Events extends SimpleStreamFormat<Tuple4<String, Long, Long, Boolean>> {
        @Override
        public Reader<Tuple4<String, Long, Long, Boolean>> createReader(
                Configuration config, FSDataInputStream in) {
            var lines = new LineReader(in);
            return new StreamFormat.Reader<>() {
                @Override
                public Tuple4<String, Long, Long, Boolean> read() throws IOException {
                    while (lines.advance()) {
                        var event = Parser.parse(lines.buffer, lines.start, lines.end);
                        if (event != null) {
                            return event;
                        }
                    }
                    return null;
                }

                @Override
                public void close() throws IOException {
                    in.close();
                }
            };
        }

        @Override
        public TypeInformation<Tuple4<String, Long, Long, Boolean>> getProducedType() {
            return EVENT;
        }
    }

    /** Reads the lines of a file. */
    static final class Lines extends SimpleStreamFormat<byte[]> {
        @Override
        public Reader<byte[]> createReader(Configuration config, FSDataInputStream in) {
            var lines = new LineReader(in);
            return new StreamFormat.Reader<>() {
                @Override
                public byte[] read() throws IOException {
                    return lines.advance()
                            ? Arrays.copyOfRange(lines.buffer, lines.start, lines.end)
                            : null;
                }

                @Override
                public void close() throws IOException {
                    in.close();
                }
            };
        }

        @Override
        public TypeInformation<byte[]> getProducedType() {
            return PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
        }
    }

    static final class Parse
            implements org.apache.flink.api.common.functions.FlatMapFunction<
                    byte[], Tuple4<String, Long, Long, Boolean>> {
        @Override
        public void flatMap(byte[] line, Collector<Tuple4<String, Long, Long, Boolean>> out) {
            var event = Parser.parse(line, 0, line.length);
            if (event != null) {
                out.collect(event);
            }
        }
    }

    // ---- holding

    /** What is known of an entity. */
    static final class Pod {
        static final int NONE = -1;
        long[] times = new long[4];
        long[] sequences = new long[4];
        int[] states = new int[4];
        int waiting;
        int run = NONE;
        long runSince;
        int episode = NONE;
        long episodeSince;

        /** Puts a record where it belongs by time and sequence, and says where; -1 if its equal is there. */
        int insert(long time, long sequence, int state) {
            int at = waiting;
            while (at > 0 && isBehind(at - 1, time, sequence, state)) {
                at--;
            }
            if (at > 0 && times[at - 1] == time && sequences[at - 1] == sequence
                    && states[at - 1] == state) {
                return -1;
            }
            if (waiting == times.length) {
                times = Arrays.copyOf(times, 2 * waiting);
                sequences = Arrays.copyOf(sequences, 2 * waiting);
                states = Arrays.copyOf(states, 2 * waiting);
            }
            System.arraycopy(times, at, times, at + 1, waiting - at);
            System.arraycopy(sequences, at, sequences, at + 1, waiting - at);
            System.arraycopy(states, at, states, at + 1, waiting - at);
            times[at] = time;
            sequences[at] = sequence;
            states[at] = state;
            waiting++;
            return at;
        }

        private boolean isBehind(int at, long time, long sequence, int state) {
            if (times[at] != time) {
                return times[at] > time;
            }
            return sequences[at] != sequence ? sequences[at] > sequence : states[at] > state;
        }

        void remove(int count) {
            waiting -= count;
            System.arraycopy(times, count, times, 0, waiting);
            System.arraycopy(sequences, count, sequences, 0, waiting);
            System.arraycopy(states, count, states, 0, waiting);
        }
    }

    /** Tells the function what the clock was before the end of the input, which fires all timers. */
    static final class HoldOperator
            extends KeyedProcessOperator<String, Tuple4<String, Long, Long, Boolean>, String> {
        HoldOperator() {
            super(new Hold());
        }

        @Override
        public void processWatermark(org.apache.flink.streaming.api.watermark.Watermark mark)
                throws Exception {
            if (mark.getTimestamp() != Long.MAX_VALUE) {
                ((Hold) userFunction).clock = mark.getTimestamp() + LATENESS_MS + 1;
            }
            super.processWatermark(mark);
        }
    }

    /** Hold-down of one entity. */
    static final class Hold
            extends KeyedProcessFunction<String, Tuple4<String, Long, Long, Boolean>, String> {
        transient long clock = Long.MIN_VALUE;
        private transient ValueState<Pod> pods;

        @Override
        public void open(OpenContext context) {
            clock = Long.MIN_VALUE;
            pods = getRuntimeContext().getState(new ValueStateDescriptor<>("pod", Pod.class));
        }

        @Override
        public void processElement(
                Tuple4<String, Long, Long, Boolean> event, Context context, Collector<String> out)
                throws Exception {
            long watermark = context.timerService().currentWatermark();
            if (event.f1 <= watermark) {
                return;
            }
            Pod pod = pods.value();
            if (pod == null) {
                pod = new Pod();
                pods.update(pod);
            }
            fold(pod, watermark, context, out);
            int state = event.f3 ? 1 : 0;
            int at = pod.insert(event.f1, event.f2, state);
            if (at < 0) {
                return;
            }
            // A run may begin here, or behind: each has its timer.
            if (state != (at > 0 ? pod.states[at - 1] : pod.run)) {
                context.timerService().registerEventTimeTimer(event.f1 + HOLD_MS);
            }
            if (at + 1 < pod.waiting && pod.states[at + 1] != state) {
                context.timerService().registerEventTimeTimer(pod.times[at + 1] + HOLD_MS);
            }
        }

        @Override
        public void onTimer(long time, OnTimerContext context, Collector<String> out)
                throws Exception {
            Pod pod = pods.value();
            long watermark = context.timerService().currentWatermark();
            fold(pod, watermark, context, out);
            // At the end of the input all is certain up to the clock, and no further.
            long certain = watermark == Long.MAX_VALUE ? clock : watermark;
            if (pod.run != Pod.NONE && certain - pod.runSince >= HOLD_MS) {
                establish(pod, context, out);
            }
        }

        /** Takes in what nothing on time can precede any more. */
        private void fold(Pod pod, long watermark, Context context, Collector<String> out) {
            int folded = 0;
            for (; folded < pod.waiting && pod.times[folded] <= watermark; folded++) {
                if (pod.states[folded] == pod.run) {
                    continue;
                }
                if (pod.run != Pod.NONE && pod.times[folded] - pod.runSince >= HOLD_MS) {
                    establish(pod, context, out);
                }
                pod.run = pod.states[folded];
                pod.runSince = pod.times[folded];
            }
            if (folded > 0) {
                pod.remove(folded);
            }
        }

        /** The run has lasted its hold: it begins an episode, or continues that of its state. */
        private void establish(Pod pod, Context context, Collector<String> out) {
            if (pod.run == pod.episode) {
                return;
            }
            if (pod.episode != Pod.NONE) {
                String until = Long.toString(pod.runSince);
                out.collect(row(context.getCurrentKey(), pod.episode, pod.episodeSince, until));
            }
            pod.episode = pod.run;
            pod.episodeSince = pod.runSince;
            out.collect(row(context.getCurrentKey(), pod.episode, pod.episodeSince, "null"));
        }

        private static String row(String entity, int state, long since, String until) {
            return "{\"entity\":\"" + entity + "\",\"state\":\"" + (state == 1 ? "unready" : "ready")
                    + "\",\"since\":" + since + ",\"until\":" + until
                    + ",\"decided\":" + (since + HOLD_MS) + "}\n";
        }
    }

    // ---- writing

    /** One file of rows. */
    static final class RowFile implements Sink<String> {
        private final String path;

        RowFile(String path) {
            this.path = path;
        }

        @Override
        public SinkWriter<String> createWriter(WriterInitContext context) throws IOException {
            OutputStream file = new BufferedOutputStream(Files.newOutputStream(Path.of(path)), 1 << 16);
            return new SinkWriter<>() {
                @Override
                public void write(String row, Context context) throws IOException {
                    file.write(row.getBytes(StandardCharsets.UTF_8));
                }

                @Override
                public void flush(boolean ended) throws IOException {
                    file.flush();
                }

                @Override
                public void close() throws IOException {
                    file.close();
                }
            };
        }
    }
}
