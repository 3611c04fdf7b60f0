//! The arguments, with their help.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use regex::Regex;

use crate::model::duration::parse_duration;
use crate::model::time::{TimeError, parse_rfc3339};

/// Distils noisy telemetry into sustained episodes, the same bytes on every replay.
#[derive(Debug, Parser)]
#[command(
    name = "limbeck",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  limbeck check rules.yaml && \\\n  \
        limbeck replay --rules rules.yaml --log probes.ndjson --out out/"
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Checks rule files: every error at once, with line and column.
    #[command(after_help = "Examples:\n  limbeck check rules.yaml\n  \
        limbeck check rules.yaml --plan\n  \
        limbeck check rules.yaml --sample probes.ndjson.zst\n  \
        limbeck check rules.yaml --against released.yaml\n\n\
        Warns, on standard error, of what is legal and surely unwanted.\n\n\
        Exits with 0 if nothing is wrong, warnings or not; with 78 if something is. A sample that\n\
        is damaged gives 65, one that is missing 66.")]
    Check(CheckArgs),
    /// Replays recorded logs through rules into episodes.
    #[command(after_help = "Examples:\n  \
        limbeck replay --rules rules.yaml --log probes.ndjson.zst --out out/\n  \
        zcat probes.gz | limbeck replay --rules rules.yaml --log - --out out/\n  \
        limbeck replay --rules rules.yaml --log probe=a.ndjson --log probe=b.ndjson --out out/\n  \
        limbeck replay --rules rules.yaml --log log/ --follow --out out/\n  \
        vector -c probes.toml | limbeck replay --rules rules.yaml --log - --follow --append log/ --out out/\n  \
        limbeck replay --rules rules.yaml --log probes.ndjson --out out/ --alerts outbox/\n  \
        limbeck replay --rules rules.yaml --log a.ndjson b.ndjson --out out/ --checkpoint kept/ \\\n      \
            --hosts hosts --process 0    (and, at the same time, with --process 1)\n\n\
        Writes episodes.ndjson, updates.ndjson, dead-letter.ndjson and summary.json, and where\n\
        there are routes notifications.ndjson. They are the same bytes for any number of workers\n\
        and processes (but for speed and memory in the summary), and appear together when the\n\
        replay is done.\n\n\
        SIGINT or SIGTERM ends it with what has been read by then, marked as incomplete; with\n\
        --checkpoint without outputs, to be gone on with by the same command. A second\n\
        one, a second later or more, at once and without outputs.\n\n\
        Exits with 0 if all was read; 65 if a log is damaged (what was whole is output), 66 if one\n\
        is missing, 69 if another process does not come or is lost, 73 if the outputs cannot be\n\
        created, 74 if reading or writing fails on the way, 75 if notifications are left in an\n\
        outbox (the next replay with it sends them), 76 if a sink refused some, 78 if the rule\n\
        file is wrong, 130 for SIGINT, 143 for SIGTERM.")]
    Replay(ReplayArgs),
    /// Runs a command of limbeck, and starts it again when it dies.
    #[command(after_help = "Example:\n  \
        limbeck supervise -- replay --rules rules.yaml --log log/ --out out/ --checkpoint kept/\n\n\
        With checkpoints, what is started again goes on from the last one. What ends with 0, 1, 2,\n\
        65, 66, 73 or 78 is not started again: the same would come of it. SIGINT and SIGTERM are\n\
        handed on, and end both. The exit code is that of the command.")]
    Supervise(SuperviseArgs),
    /// Says why there is an episode, or none: of an entity, or of one record.
    #[command(after_help = "Examples:\n  \
        limbeck explain --rules rules.yaml --log probes.ndjson shop/cart-0\n  \
        limbeck explain --rules rules.yaml --log probes.ndjson shop/cart-0 --at 2026-01-01T00:01:00Z\n  \
        limbeck explain --rules rules.yaml --log probes.ndjson --record probes.ndjson:4\n  \
        limbeck explain --rules rules.yaml --log probes.ndjson --source /probe/a --id e4\n\n\
        Replays the logs for the one entity, and draws what was observed, the runs, and the\n\
        episodes on one axis of time; then each run in words, with the numbers that decided.\n\n\
        Exits with 0 if there was something to explain, with 1 if nothing was found; otherwise as\n\
        replay does.")]
    Explain(ExplainArgs),
    /// Tests rules: replays what a test file says was observed, and compares with what it expects.
    #[command(after_help = "Examples:\n  limbeck test readiness.test.yaml\n  \
        limbeck test tests/*.yaml --run 'blip|late' --junit report.xml\n\n\
        A test file:\n\n  \
        rules: rules.yaml\n  \
        cases:\n    \
        - name: an outage of less than 30 seconds does not count\n      \
        series: { cart-0: '0s ready, 20s unready, 28s ready' }\n      \
        until: 2m\n      \
        expect:\n        \
        episodes: [{ state: ready, since: 0s, decided: 10s }]\n\n\
        Of a case that fails it says what is otherwise, and draws what was observed and what came of it.\n\n\
        Exits with 0 if all passed, with 1 if some failed, 66 if a test file is missing, 73 if the\n\
        report cannot be written, 78 if a test file or its rule file is wrong.")]
    Test(TestArgs),
    /// Compares two rule files over recorded logs: which episodes only one of them tells, and which it
    /// tells otherwise; or measures what one of them expects of its faults.
    #[command(after_help = "Examples:\n  \
        limbeck backtest --log probes.ndjson.zst --rules rules.yaml --against new.yaml --out diff/\n  \
        limbeck backtest --log probes.ndjson.zst --rules rules.yaml --out calibration/\n\n\
        A is the file of --rules, B that of --against. Of one signal, entity and state, episodes are the\n\
        same if some time is in both, or both begin at one instant: first those of rules of one name,\n\
        then those that overlap longest. Writes differences.ndjson, a line for each episode that is only\n\
        in A, only in B, or earlier or later in B (since, until, decided), and summary.json.\n\n\
        The log is read once if both files read it in the same way (sources, lateness and the like),\n\
        otherwise twice, which is said.\n\n\
        Without --against some rule of A must have `persistence`: its probabilities that a fault lasts, at\n\
        each age, are compared with what became of it, by their Brier scores and in a table of reliability.\n\
        summary.json has both.\n\n\
        Exits with 0 if both tell the same, with 1 if not; otherwise as replay does.")]
    Backtest(BacktestArgs),
    /// Makes a replay log of recorded logs: a folder that replays faster, and says the same.
    #[command(after_help = "Examples:\n  \
        limbeck import --rules rules.yaml probes.ndjson.zst --log log/ && \\\n  \
        limbeck replay --rules rules.yaml --log log/ --out out/\n  \
        limbeck import --rules rules.yaml checks=a.csv messages=b.log --log log/\n  \
        kubectl get events -A -o json > events.json && \\\n  \
        limbeck import --rules rules.yaml events=events.json --log log/\n\n\
        The log has a manifest.json and segments in Parquet, which other programs read as they are. The\n\
        records are read by the sources of the rule file once and for all; signals and rules may change.\n\
        Formats: json, csv, regex, cloudevents; otlp, prometheus, openmetrics, exposition, kubernetes,\n\
        alertmanager, in whose documents each record is found.\n\n\
        Exits with 0 if all was read; 65 if a log is damaged (what was whole is imported), 66 if one is\n\
        missing, 73 if the folder is a log already or cannot be written, 74 if reading or writing fails\n\
        on the way, 78 if the rule file is wrong.")]
    Import(ImportArgs),
    /// Appends to a replay log: files, or what comes, as it comes.
    #[command(after_help = "Examples:\n  \
        limbeck append --rules rules.yaml probes-1.ndjson --log log/\n  \
        vector -c probes.toml | limbeck append --rules rules.yaml - --log log/\n\n\
        Each input is a partition of its name; one that is there already is gone on with. A line is on\n\
        disk before it counts, and a crash loses none that did. What comes through standard input or a\n\
        pipe is live: records that do not say when they arrived arrive now, and while nothing comes it is\n\
        noted that time passes, unless the source maps an `arrival` (CloudEvents have one).\n\n\
        Exits with 0 if all was read; 65 if an input or the log is damaged, 66 if one is missing, 73 if\n\
        the folder cannot be written, is no log, or another process appends to it, 74 if writing fails\n\
        (what was acknowledged is in the log), 78 if the rule file is wrong or reads a partition\n\
        otherwise than it was begun, 130 for SIGINT, 143 for SIGTERM.")]
    Append(AppendArgs),
    /// Looks into a replay log, and looks after it.
    #[command(
        subcommand,
        after_help = "Examples:\n  limbeck log ls log/\n  \
        limbeck log cat log/ --from 2026-01-01T00:05:00Z --to 2026-01-01T00:06:00Z\n  \
        limbeck log verify log/\n  limbeck log seal log/\n\n\
        Exits with 65 if something is damaged, 66 if there is no such log, 73 if another process\n\
        appends to it."
    )]
    Log(LogCommand),
    /// Measures what a replay costs on this machine, as a whole and by stage.
    #[command(after_help = "Examples:\n  limbeck bench\n  \
        limbeck bench --only end-to-end --events 10000000 --json results.json\n  \
        limbeck bench --only decode,timeline,memory --against benches/recorded.json\n  \
        limbeck bench --write probes.ndjson --events 100000\n\n\
        Measures end-to-end/flat, end-to-end/cloudevents, decode/flat, decode/cloudevents, match,\n\
        exchange, timeline, output, what memory an entity and a record inside the lateness take, and\n\
        rules of each kind. Logs are made in a temporary directory: 220 bytes an event and shape. The\n\
        stages keep the whole log in memory.\n\n\
        A record is of the machine that it says: on another, and if this one is not as quiet, only the\n\
        ratios to each other mean something. Exits with 66 if there is no record, and with 65 if it is\n\
        something else.\n\n\
        `--only soak` feeds a day of events at full speed to a replay, of entities that live for an\n\
        hour, and looks at its memory after each minute of event time: exits with 1 if the last hour\n\
        has 5 % more than the second. The log comes through a pipe; the outputs, 12 GB, are in the\n\
        temporary directory, or --keep.\n\n\
        `--only scaling` replays against workers, entities, rules and hours of history, each alone;\n\
        --charts draws the curves.\n\n\
        `--only latency` measures what a replay that follows its standard input takes at most, and then,\n\
        at half of that, how long it is from a change to the row that tells it, at a tick of 10 ms.")]
    Bench(BenchArgs),
    /// Looks at a log and writes a first rule file for it to standard output.
    #[command(after_help = "Example:\n  limbeck init probes.ndjson.zst > rules.yaml && \\\n  \
        limbeck check rules.yaml --sample probes.ndjson.zst\n\n\
        The log has a JSON object a line, or rows under a header; CloudEvents are recognised. What the\n\
        fields mean is guessed from their names and values, and every guess has a comment that says why.\n\n\
        Exits with 0 if a file was written, with 1 if nothing could be guessed.")]
    Init {
        /// The log: a file (plain, gzip, zstd) or `-` for standard input.
        log: PathBuf,
    },
    /// Makes a rule file of Prometheus' alerting rules, and of what Alertmanager inhibits and mutes.
    #[command(
        after_help = "Example:\n  limbeck import-rules alerts.yml alertmanager.yml > rules.yaml && \\\n  \
        limbeck check rules.yaml\n\n\
        Alerts that compare a series with a number become a signal and a rule each, with `for` and\n\
        `keep_firing_for`; inhibition becomes silences, muted times become windows. What cannot be\n\
        converted is listed on standard error, with its place, why, and what to do instead.\n\n\
        Exits with 0 if all was converted, with 1 if something is left; 66 if a file is missing, 78 if\n\
        one is no rule file of these tools."
    )]
    ImportRules {
        /// Rule files of Prometheus, and configurations of Alertmanager.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Prints the JSON Schema of rule files, with which editors complete and check them.
    #[command(after_help = "Example:\n  limbeck schema > limbeck.schema.json\n\n\
        and as the first line of a rule file beside it:\n\n  \
        # yaml-language-server: $schema=limbeck.schema.json")]
    Schema {
        /// That of test files.
        #[arg(long)]
        tests: bool,
    },
    /// Prints a script that completes commands and options in a shell.
    #[command(after_help = "Example:\n  \
        limbeck completions bash > ~/.local/share/bash-completion/completions/limbeck")]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct SuperviseArgs {
    /// How long to wait after the first death; twice as long after each that follows soon.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(super) backoff: i64,
    /// The longest wait; what has run for so long has not died soon.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(super) backoff_max: i64,
    /// The command, without `limbeck`.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    /// The rule file, whose sources read the inputs.
    #[arg(long)]
    pub(super) rules: PathBuf,
    /// The inputs, each a partition: files or named pipes (plain, gzip, zstd), or `-` for standard
    /// input. `SOURCE=PATH` names the source of the rule file that reads it.
    #[arg(required = true, value_name = "[SOURCE=]PATH")]
    pub(super) paths: Vec<LogArg>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub(super) inputs: InputArgs,
    /// The folder of the log; made if it is not there, and empty if it is.
    #[arg(long, value_name = "DIR")]
    pub(super) log: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Lists partitions and segments: records, sizes, and the ranges of their times.
    Ls {
        /// The folder of the log.
        dir: PathBuf,
        /// Writes the manifest as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes records as CloudEvents, a JSON object a line, in the order of the log.
    Cat(CatArgs),
    /// Reads everything and says what is wrong: checksums, offsets, ranges.
    Verify {
        /// The folder of the log.
        dir: PathBuf,
    },
    /// Makes segments, in columns, of all that was appended.
    Seal {
        /// The folder of the log.
        dir: PathBuf,
    },
    /// Makes a log of more partitions of one: of each as many parts, whose replay is that of the
    /// whole.
    Split(SplitArgs),
    /// Puts small segments together, and removes those that shall not be kept, and what a crash has
    /// left.
    Compact {
        /// The folder of the log.
        dir: PathBuf,
        #[command(flatten)]
        retention: RetentionArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct SplitArgs {
    /// The folder of the log, which stays as it is.
    pub(super) dir: PathBuf,
    /// The folder of the other log; made if it is not there, and empty if it is.
    #[arg(long, value_name = "DIR")]
    pub(super) into: PathBuf,
    /// Into how many parts each partition is split.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=256))]
    pub(super) partitions: u16,
    /// What of a record decides to which part it goes.
    #[arg(long, value_enum, default_value = "subject")]
    pub(super) by: ByArg,
}

/// What of a record decides to which part it goes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ByArg {
    /// Its subject.
    Subject,
    /// Its source: for `skew: correct`, and accounts of sources that are those of the whole.
    Source,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct RetentionArgs {
    /// Removes segments that end longer than this before the last arrival in a segment of the log.
    #[arg(long, value_name = "AGE", value_parser = duration)]
    pub(super) retain: Option<i64>,
    /// Removes segments, those that end first, while all have more bytes.
    #[arg(long, value_name = "BYTES")]
    pub(super) retain_bytes: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct AppendArgs {
    #[command(flatten)]
    pub(super) inputs: InputArgs,
    /// The folder of the log; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(super) log: PathBuf,
    /// Takes what comes through a pipe for recorded, too: it arrived when it says it, or else when
    /// it happened, and no time passes while nothing comes.
    #[arg(long)]
    pub(super) recorded: bool,
    /// Nobody shall wait for a live input that was silent for so long: it is declared idle.
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "recorded")]
    pub(super) idle_after: Option<i64>,
    /// What was appended is made into segments when it has so many bytes.
    #[arg(long, value_name = "BYTES", default_value = "67108864")]
    pub(super) seal_bytes: NonZeroU64,
    /// It is so, too, after this time.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(super) seal_after: i64,
    #[command(flatten)]
    pub(super) retention: RetentionArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct CatArgs {
    /// The folder of the log.
    pub(super) dir: PathBuf,
    /// Only what arrived then or later (RFC 3339); dead letters, which have no time, are left out.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(super) from: Option<i64>,
    /// Only what arrived before then (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(super) to: Option<i64>,
    /// Only one partition, from 0.
    #[arg(long, value_name = "N")]
    pub(super) partition: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The rule files.
    #[arg(required = true, value_name = "RULES")]
    pub(super) rules: Vec<PathBuf>,
    /// Prints the stages of each rule, from source to output.
    #[arg(long)]
    pub(super) plan: bool,
    /// Tries the rules on the first 100,000 records of a log, which one of their sources reads, and
    /// warns of what does not fit. Several logs: several times.
    #[arg(long, value_name = "[SOURCE=]LOG")]
    pub(super) sample: Vec<LogArg>,
    /// Refuses what is not compatible with an earlier rule file: states that a signal has not any
    /// more, without another major version of its schema, and signals that are gone.
    #[arg(long, value_name = "OLD")]
    pub(super) against: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// The test files.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Runs only the cases in whose names this regular expression is found.
    #[arg(long, value_name = "REGEX")]
    pub(super) run: Option<Regex>,
    /// Writes what came of them as JUnit's XML, too.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct BacktestArgs {
    /// The logs, as for replay.
    #[arg(long, required = true, num_args = 1.., value_name = "[SOURCE=]PATH")]
    pub(super) log: Vec<LogArg>,
    /// The rule file A.
    #[arg(long, value_name = "A")]
    pub(super) rules: PathBuf,
    /// The rule file B. Without, it is measured how well A knows whether its faults last.
    #[arg(long, value_name = "B")]
    pub(super) against: Option<PathBuf>,
    /// The directory for the outputs; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Workers in this process; one for two processors unless said otherwise.
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(super) workers: Option<NonZeroUsize>,
    /// Goes on behind segments of a replay log that cannot be read; the exit code is 65 all the
    /// same.
    #[arg(long)]
    pub(super) skip_corrupt: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Only the measurements whose names contain this; several with commas between.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// How many events there are.
    #[arg(long, value_name = "N", default_value = "2000000")]
    pub(super) events: NonZeroU64,
    /// How many entities they are of; 10,000 unless said otherwise, or 100,000 at a time in a soak.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) entities: Option<u32>,
    /// Another seed, another log.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Workers of a whole replay; one for two processors unless said otherwise.
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(super) workers: Option<NonZeroUsize>,
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value = "5")]
    pub(super) runs: NonZeroUsize,
    /// Writes the results to a file, too.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Compares with results that an earlier bench wrote with --json: prints how much of the recorded
    /// time, CPU time and memory each measurement takes.
    #[arg(long, value_name = "FILE")]
    pub(super) against: Option<PathBuf>,
    /// Makes logs, rules and outputs in this directory, and leaves them there.
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// How many hours of event time the soak has.
    #[arg(long, value_name = "N", default_value = "24")]
    pub(super) hours: NonZeroU32,
    /// How many events a second of event time the soak has.
    #[arg(long, value_name = "N", default_value = "20000")]
    pub(super) rate: NonZeroU32,
    /// Draws the memory of the soak, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(super) chart: Option<PathBuf>,
    /// Draws the curves of `--only scaling` in this directory, as SVG.
    #[arg(long, value_name = "DIR")]
    pub(super) charts: Option<PathBuf>,
    /// Runs the limit program (`cargo bench --bench limit --no-run` builds it) in turn with the
    /// replay of the flat log, and compares the rows.
    #[arg(long, value_name = "PROGRAM")]
    pub(super) limit: Option<PathBuf>,
    /// Measures nothing, but writes the log to a file; `-` is standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "limit", "json", "against", "keep"])]
    pub(super) write: Option<PathBuf>,
    /// The shape of that log.
    #[arg(long, value_enum, default_value = "flat", requires = "write")]
    pub(super) shape: ShapeArg,
}

/// The shape of a log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ShapeArg {
    /// Flat JSON.
    Flat,
    /// CloudEvents.
    Cloudevents,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// The rule file.
    #[arg(long)]
    pub(super) rules: PathBuf,
    /// The logs, each a partition: files or named pipes (plain, gzip, zstd), or `-` for standard
    /// input. `SOURCE=PATH` names the source of the rule file that reads it. The folder of a replay
    /// log stands for its partitions.
    #[arg(long, required = true, num_args = 1.., value_name = "[SOURCE=]PATH")]
    pub(super) log: Vec<LogArg>,
    /// The directory for the outputs; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Workers in this process; one for two processors unless said otherwise, the rest decodes.
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(super) workers: Option<NonZeroUsize>,
    /// Writes fates.ndjson, too: what became of every record, a line each.
    #[arg(long)]
    pub(super) fates: bool,
    /// Says at the end how long each stage took, how each rule told, and what the operators of the
    /// workers of this process took and kept. Costs a few percent.
    #[arg(long)]
    pub(super) profile: bool,
    /// A folder for checkpoints: a replay that is killed or interrupted goes on from the last one
    /// when it is started again, and its outputs are those of one that never was. Of several processes,
    /// process 0 keeps the folder, for all.
    #[arg(long, value_name = "DIR")]
    pub(super) checkpoint: Option<PathBuf>,
    /// How often a checkpoint is made; of several processes, process 0 says when.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(super) every: i64,
    /// Sends notifications to the sinks of the rule file, through outboxes in this folder. Without,
    /// nobody is told: notifications.ndjson says what would be sent.
    #[arg(long, value_name = "DIR")]
    pub(super) alerts: Option<PathBuf>,
    /// How long what is not delivered yet is tried when the replay is done; then it stays there.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration,
          requires = "alerts")]
    pub(super) alerts_wait: i64,
    /// Goes on behind segments of a replay log that cannot be read; the exit code is 65 all the
    /// same.
    #[arg(long)]
    pub(super) skip_corrupt: bool,
    /// Goes on with what is appended to a replay log, until it is declared ended. Updates can be read
    /// as they come, from where it is said.
    #[arg(long, conflicts_with = "until")]
    pub(super) follow: bool,
    /// With `--follow`: appends the logs to this replay log, as `limbeck append`, and follows it.
    #[arg(long, value_name = "DIR", requires = "follow", conflicts_with = "hosts")]
    pub(super) append: Option<PathBuf>,
    /// Begins each log with its first record that arrived then or later (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(super) from: Option<i64>,
    /// Replays what arrived until then, and lets time pass to it (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(super) until: Option<i64>,
    /// How finely history is resolved; final episodes are the same for every tick.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub(super) tick: i64,
    /// How many processes replay together; each is started with the same logs.
    #[arg(long, value_name = "N", requires = "hosts")]
    pub(super) processes: Option<usize>,
    /// Which of the processes this is, from 0; process 0 writes the outputs.
    #[arg(long, value_name = "I", requires = "hosts")]
    pub(super) process: Option<usize>,
    /// A file with HOST:PORT of each process, a line each.
    #[arg(long, value_name = "FILE")]
    pub(super) hosts: Option<PathBuf>,
    /// How long the other processes are waited for, or told why this one cannot take part.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(super) wait: i64,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["entity", "record", "id"]))]
pub(super) struct ExplainArgs {
    /// The rule file.
    #[arg(long)]
    pub(super) rules: PathBuf,
    /// The logs, as for replay; an entity may stand behind the last of several.
    #[arg(long, required = true, num_args = 1.., value_name = "[SOURCE=]PATH")]
    log: Vec<LogArg>,
    /// The entity: all of its lanes are drawn.
    entity: Option<String>,
    /// A line of a log: what became of the record, or records, that it stands for.
    #[arg(long, value_name = "FILE:LINE", value_parser = place, allow_hyphen_values = true)]
    pub(super) record: Option<(PathBuf, u64)>,
    /// With `--id`: who said it.
    #[arg(long, value_name = "SOURCE", requires = "id")]
    pub(super) source: Option<String>,
    /// With `--source`: what its producer calls the record.
    #[arg(long, value_name = "ID", requires = "source")]
    pub(super) id: Option<String>,
    /// As it was known then (RFC 3339): by the records that had arrived.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(super) at: Option<i64>,
    /// Goes on behind segments of a replay log that cannot be read; the exit code is 65 all the
    /// same.
    #[arg(long)]
    pub(super) skip_corrupt: bool,
    /// Writes everything as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl ExplainArgs {
    /// The logs, and the entity. `--log A B ENTITY` has taken the entity for a log: where nothing
    /// else is asked for, the last of several logs is the entity.
    pub(super) fn logs_and_entity(&self) -> (&[LogArg], Option<String>) {
        let asked = self.entity.is_some() || self.record.is_some() || self.id.is_some();
        match self.log.split_last() {
            Some((last, logs)) if !asked && !logs.is_empty() => {
                (logs, Some(last.text().into_owned()))
            }
            _ => (&self.log, self.entity.clone()),
        }
    }
}

/// A log as it was written.
#[derive(Clone, Debug)]
pub(super) struct LogArg(std::ffi::OsString);

impl From<std::ffi::OsString> for LogArg {
    fn from(text: std::ffi::OsString) -> Self {
        Self(text)
    }
}

impl LogArg {
    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        self.0.to_string_lossy()
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(&self.0)
    }
}

/// Each worker has a channel to each other: thousands would take all memory.
const WORKERS_MAX: usize = 256;

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let workers = text.parse().ok().filter(|workers: &NonZeroUsize| workers.get() <= WORKERS_MAX);
    workers.ok_or_else(|| format!("write a number from 1 to {WORKERS_MAX}"))
}

fn instant(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).map_err(|error| match error {
        TimeError::NotRfc3339 => "write it as RFC 3339, as 2026-01-01T00:00:00Z".to_owned(),
        TimeError::OutOfRange => "outside of the years 1678 to 2261".to_owned(),
    })
}

fn place(text: &str) -> Result<(PathBuf, u64), String> {
    let place = text.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    match place {
        Some((file, line)) if !file.is_empty() && line > 0 => Ok((file.into(), line)),
        _ => Err("write a log and a line of it, as probes.ndjson:4".to_owned()),
    }
}

fn duration(text: &str) -> Result<i64, String> {
    match parse_duration(text) {
        Some(duration) if duration > 0 => Ok(duration),
        _ => Err("write a duration above zero, as 100ms or 1s".to_owned()),
    }
}
