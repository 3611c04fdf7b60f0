"""The rule of the flap workload in Bytewax, on one worker.

    run.py LOG OUT

One reader sees the file in its order, so it has the clock and drops what is late. Records wait,
sorted, until nothing on time can precede them, and equal ones are found there. There are no timers
of event time: a run is seen to have lasted its hold when its entity is next heard of, or at the end.
An episode is told when it is established, and once more when it ends: of two rows of one episode the
later counts.
"""

import sys
from bisect import bisect_left

import bytewax.operators as op
import orjson
from bytewax.connectors.files import FileSink
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import cluster_main

HOLD_MS = 30_000
LATENESS_MS = 5_000
BATCH_BYTES = 1 << 20
STATES = ("ready", "unready")


class Lines(StatefulSourcePartition):
    """The lines of a file, in batches."""

    def __init__(self, path):
        self.file = open(path, "rb")

    def next_batch(self):
        lines = self.file.readlines(BATCH_BYTES)
        if not lines:
            raise StopIteration
        return lines

    def snapshot(self):
        return self.file.tell()

    def close(self):
        self.file.close()


class Log(FixedPartitionedSource):
    def __init__(self, path):
        self.path = path

    def list_parts(self):
        return ["log"]

    def build_part(self, step_id, for_part, resume_state):
        return Lines(self.path)


class Reader:
    """Parses lines in their order and drops what is late, or no record."""

    def __init__(self):
        self.clock = 0

    def read(self, lines):
        clock = self.clock
        read = []
        for line in lines:
            try:
                record = orjson.loads(line)
                ts = record["ts"]
                if type(ts) is not int:
                    continue
            except (ValueError, TypeError, KeyError):
                continue
            if ts > clock:
                clock = ts
            elif ts < clock - LATENESS_MS:
                continue
            state, entity = record.get("state"), record.get("entity")
            if record.get("kind") == "readiness" and state in STATES and isinstance(entity, str):
                read.append((entity, (ts, record.get("seq", -1), state, clock)))
        self.clock = clock
        return read


class Hold(StatefulBatchLogic):
    """Hold-down of one entity."""

    __slots__ = ("reader", "waiting", "run", "run_since", "episode", "since")

    def __init__(self, reader, state):
        self.reader = reader
        saved = state or ([], None, 0, None, 0)
        self.waiting, self.run, self.run_since, self.episode, self.since = saved
        self.waiting = list(self.waiting)

    def on_batch(self, values):
        waiting = self.waiting
        for value in values:
            same = value[:3]
            at = bisect_left(waiting, same)
            if at == len(waiting) or waiting[at][:3] != same:
                waiting.insert(at, value)
        return self.fold(values[-1][3] - LATENESS_MS), self.RETAIN

    def on_eof(self):
        rows = self.fold(self.reader.clock + 1)
        if self.run is not None and self.reader.clock - self.run_since >= HOLD_MS:
            self.establish(rows)
        return rows, self.RETAIN

    def fold(self, horizon):
        """Takes in what nothing on time can precede any more."""
        rows = []
        folded = 0
        for ts, _, state, _ in self.waiting:
            if ts >= horizon:
                break
            folded += 1
            if state != self.run:
                if self.run is not None and ts - self.run_since >= HOLD_MS:
                    self.establish(rows)
                self.run, self.run_since = state, ts
        del self.waiting[:folded]
        return rows

    def establish(self, rows):
        """The run has lasted its hold: it begins an episode, or continues that of its state."""
        if self.run == self.episode:
            return
        if self.episode is not None:
            rows.append((self.episode, self.since, self.run_since))
        self.episode, self.since = self.run, self.run_since
        rows.append((self.episode, self.since, None))

    def snapshot(self):
        return (tuple(self.waiting), self.run, self.run_since, self.episode, self.since)


def row(item):
    entity, (state, since, until) = item
    row = {
        "entity": entity, "state": state, "since": since, "until": until,
        "decided": since + HOLD_MS,
    }
    return entity, orjson.dumps(row).decode()


log, out = sys.argv[1:]
reader = Reader()
flow = Dataflow("hold_down")
lines = op.input("lines", flow, Log(log))
records = op.flat_map_batch("read", lines, reader.read)
episodes = op.stateful_batch("hold", records, lambda state: Hold(reader, state))
op.output("rows", op.map("row", episodes, row), FileSink(out))
cluster_main(flow, [], 0)
