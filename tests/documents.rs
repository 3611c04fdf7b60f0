//! Documents that hold many records: wherever they are cut, kept or gone on with, the outputs are the
//! same bytes.
//!
//! A line of a document may be of any number of blocks, unlike lines of records. So the hard case is
//! a document of one line, whose records and dead letters take turns.

mod common;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Outputs, replaying, rows};
use limbeck::checkpoint::{Every, Plan};
use limbeck::durable::{self, Disk, Fault};
use limbeck::log::Stored;
use limbeck::log::import::import;
use limbeck::log::split::{By, split};
use limbeck::replay::{Log, Options, Resumed, prepare, replay};
use limbeck::rules::Rules;
use limbeck::sources::Interrupt;
use tempfile::TempDir;

const START_S: i64 = 1_767_312_000;
const BLOCKS: [usize; 4] = [4, 900, 20_000, 1 << 19];

fn options(logs: Vec<Log>, out: PathBuf) -> Options {
    Options {
        logs,
        out,
        workers: 1,
        from_ns: None,
        until_ns: None,
        tick_ns: 100_000_000,
        cluster: None,
        fates: true,
        checkpoint: None,
        senders: None,
        profile: false,
        progress: false,
        interrupt: Interrupt::default(),
        block_bytes: None,
    }
}

fn replayed(rules: &Rules, options: &Options) -> (Outputs, Vec<u8>) {
    replaying(format!("{options:?}"));
    replay(rules, options).unwrap_or_else(|failure| panic!("{failure}"));
    let fates = fs::read(options.out.join("fates.ndjson")).expect("fates.ndjson");
    (Outputs::read(&options.out), fates)
}

fn rules(text: &str) -> Rules {
    Rules::parse("rules.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The golden documents.
fn golden() -> (Rules, Vec<Log>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats");
    let rules = rules(&fs::read_to_string(folder.join("rules.yaml")).expect("the rules"));
    let files = [
        ("traces", "otlp.jsonl"),
        ("history", "range.json"),
        ("dump", "history.om"),
        ("federate", "federate.prom"),
        ("events", "events.json"),
        ("webhooks", "webhooks.json"),
    ];
    let log = |(source, file): (&str, &str)| {
        let source = rules.sources.iter().position(|known| known.name == source);
        Log::file(folder.join(file), source.expect("a source"))
    };
    let logs = files.into_iter().map(log).collect();
    (rules, logs)
}

#[test]
fn documents_of_every_tool_are_read_in_blocks_of_any_size() {
    let (rules, logs) = golden();
    let dir = TempDir::new().expect("a temporary folder can be made");
    let mut options = options(logs, dir.path().join("out"));
    let wanted = replayed(&rules, &options);
    for (block_bytes, workers) in BLOCKS.into_iter().zip([1, 2, 3, 1]) {
        options.block_bytes = Some(block_bytes);
        options.workers = workers;
        let (outputs, fates) = replayed(&rules, &options);
        outputs.assert_equal(&wanted.0, &format!("blocks of {block_bytes}"));
        assert!(fates == wanted.1, "blocks of {block_bytes}: fates");
    }
}

const RULES: &str = "version: 1
lateness: 5s
sources: { s: { format: otlp } }
signals:
  up: { states: { up: data.n % 40 != 0, down: data.n % 40 == 0 } }
rules: [{ name: r, signal: up, hold: { up: 3s } }]
";

/// One line of so many records, one each tenth of a second, so many in turn from each of three
/// services; some have no time, or one far ahead.
fn one_line(records: i64, in_turn: i64) -> String {
    let mut text = String::from(r#"{"resourceLogs":["#);
    for n in 0..records {
        if n % in_turn == 0 {
            let (end, service) = (if n > 0 { "]}]}," } else { "" }, n / in_turn % 3);
            write!(
                text,
                r#"{end}{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"x{service}"}}}}]}},"scopeLogs":[{{"scope":{{}},"logRecords":["#,
            )
            .expect("it takes every write");
        }
        let comma = if n % in_turn > 0 { "," } else { "" };
        let nanos = START_S * 1_000_000_000 + n * 100_000_000;
        let time = match n % 50 {
            7 => "\"soon\"".to_owned(),
            30 if n > 600 => format!("\"{}\"", nanos + 9_000_000_000_000_000),
            _ => format!("\"{nanos}\""),
        };
        write!(text, "{comma}{{\"timeUnixNano\":{time},\"n\":{n}}}").expect("it takes every write");
    }
    text + "]}]}]}"
}

struct OneLine {
    dir: TempDir,
    rules: Rules,
    text: Log,
    stored: Log,
}

impl OneLine {
    fn new(records: i64) -> Self {
        Self::of(&one_line(records, records))
    }

    fn of(line: &str) -> Self {
        let dir = TempDir::new().expect("a temporary folder can be made");
        let (rules, path) = (rules(RULES), dir.path().join("log.json"));
        fs::write(&path, line).expect("the log can be written");
        let text = Log::file(path, 0);
        let into = dir.path().join("log");
        import(&rules, std::slice::from_ref(&text), &into, &Interrupt::default())
            .unwrap_or_else(|failure| panic!("{failure}"));
        let stored = Stored::all(&into, false).expect("there is a manifest").remove(0);
        let stored = Log::stored(stored, &rules).expect("the rules have the source");
        Self { dir, rules, text, stored }
    }

    fn options(&self, log: &Log, out: &str) -> Options {
        options(vec![log.clone()], self.dir.path().join(out))
    }

    /// The log in two parts, each with marks for what arrived in the other.
    fn parts(&self) -> Vec<Log> {
        let (from, into) = (self.dir.path().join("log"), self.dir.path().join("parts"));
        split(&from, &into, 2, By::Subject).unwrap_or_else(|failure| panic!("{failure}"));
        let parts = Stored::all(&into, false).expect("there is a manifest").into_iter();
        parts.map(|part| Log::stored(part, &self.rules).expect("the source")).collect()
    }
}

#[test]
fn a_window_begins_and_ends_within_a_line() {
    let one = OneLine::new(3_000);
    let at = |seconds: i64| Some((START_S + seconds) * 1_000_000_000 + 50_000_000);
    let mut counts = Vec::new();
    for (from_ns, until_ns) in [(None, None), (at(60), None), (None, at(230)), (at(60), at(230))] {
        let window = |log: &Log| Options { from_ns, until_ns, ..one.options(log, "out") };
        let wanted = replayed(&one.rules, &window(&one.text));
        counts.push(rows(&wanted.0.dead_letters).len());
        let runs = BLOCKS.map(|block| (&one.text, Some(block)));
        for (log, block_bytes) in runs.into_iter().chain([(&one.stored, None)]) {
            for workers in [1, 2] {
                let options = Options { block_bytes, workers, ..window(log) };
                let what = format!("{options:?}");
                let (outputs, fates) = replayed(&one.rules, &options);
                outputs.unnamed().assert_equal(&wanted.0.clone().unnamed(), &what);
                assert!(fates == wanted.1, "{what}: fates");
            }
        }
    }
    assert_eq!(counts, [108, 96, 80, 68]);
}

/// Replays until it does not crash any more; how often it went on, and how often it crashed.
fn replayed_with_crashes(rules: &Rules, options: &Options, kept: &Path, seed: u64) -> (u32, u32) {
    let (mut went_on, mut crashed) = (0, 0);
    for attempt in 0..4 {
        // The second checkpoint is not to be: the first is there.
        let (point, fault) = ("checkpoint rename".to_owned(), Fault::Crash);
        let plan = durable::Plan { seed, point, passing: 2, fault };
        let disk = if attempt < 3 { Disk::faulty(plan) } else { Disk::default() };
        let every = Every::Clock(100_000_000_000);
        let options = Options {
            checkpoint: Some(Plan { dir: kept.to_owned(), every, disk: disk.clone() }),
            workers: 1 + attempt % 2,
            block_bytes: Some(BLOCKS[(attempt + seed as usize) % 3 + 1]),
            ..options.clone()
        };
        replaying(format!("{options:?}"));
        let done = prepare(rules, &options).and_then(|prepared| {
            went_on += u32::from(matches!(prepared.resumed(), Some(Resumed::From { .. })));
            prepared.run()
        });
        match done {
            Ok(_) => break,
            Err(failure) => assert!(disk.has_failed(), "{failure}"),
        }
        crashed += 1;
    }
    (went_on, crashed)
}

#[test]
fn time_passes_within_a_line() {
    let at =
        |seconds: i64, millis: i64| Some((START_S + seconds) * 1_000_000_000 + millis * 1_000_000);
    let (mut went_on, mut windows) = (0, 0);
    for (seed, in_turn) in [41, 410, 9_000].into_iter().enumerate() {
        let one = OneLine::of(&one_line(60_000, in_turn));
        let parts = one.parts();
        let whole = replayed(&one.rules, &one.options(&one.text, "whole")).0.unnamed();
        let options = Options { logs: parts, ..one.options(&one.text, "parts") };
        let wanted = replayed(&one.rules, &options);
        wanted.0.clone().unnamed().assert_equal(&whole, &format!("{in_turn} in turn"));
        let kept = one.dir.path().join("kept");
        let resumed = Options { out: one.dir.path().join("resumed"), ..options.clone() };
        went_on += replayed_with_crashes(&one.rules, &resumed, &kept, seed as u64).0;
        let what = format!("{in_turn} in turn, crashed");
        Outputs::read(&resumed.out).assert_equal(&wanted.0, &what);
        assert!(fs::read(resumed.out.join("fates.ndjson")).expect("fates") == wanted.1, "{what}");
        for seconds in [60, 61, 199, 410] {
            for (from_ns, until_ns) in [(at(seconds, 0), None), (None, at(seconds, 50))] {
                let window = |of: &Options| Options { from_ns, until_ns, ..of.clone() };
                let text = replayed(&one.rules, &window(&one.options(&one.text, "whole"))).0;
                let of_parts = replayed(&one.rules, &window(&options)).0;
                let what = format!("{in_turn} in turn, {from_ns:?} to {until_ns:?}");
                of_parts.unnamed().assert_equal(&text.unnamed(), &what);
                windows += 1;
            }
        }
    }
    assert!(went_on > 0 && windows == 24, "it went on {went_on} times");
}

#[test]
fn what_crashes_goes_on_within_a_line() {
    let one = OneLine::new(20_000);
    let (mut went_on, mut crashed) = ([0, 0], 0);
    for (seed, log) in (0..6).zip([&one.text, &one.stored].into_iter().cycle()) {
        let wanted = replayed(&one.rules, &one.options(log, "wanted"));
        let kept = one.dir.path().join(format!("kept-{seed}"));
        let out = format!("resumed-{seed}");
        let options = one.options(log, &out);
        let (resumed, failed) = replayed_with_crashes(&one.rules, &options, &kept, seed);
        went_on[seed as usize % 2] += resumed;
        crashed += failed;
        let out = one.dir.path().join(out);
        Outputs::read(&out).assert_equal(&wanted.0, &format!("seed {seed}"));
        assert!(fs::read(out.join("fates.ndjson")).expect("fates") == wanted.1, "seed {seed}");
    }
    let enough = went_on.iter().all(|times| *times > 1) && crashed > 6;
    assert!(enough, "it went on {went_on:?} times after {crashed} crashes");
}
