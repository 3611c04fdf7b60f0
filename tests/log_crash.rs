//! Logs that are appended to through crashes: nothing that was acknowledged is missing, nothing is
//! torn, and the replay is that of what would have been appended without them.
//!
//! Each seed has its own points of failure, each leaves what a crash may leave. More of them:
//! `LIMBECK_SEEDS=a..b cargo test --test log_crash`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use common::{Outputs, seeds};
use limbeck::durable::{ANY, Disk, Fault, Plan};
use limbeck::log::Stored;
use limbeck::log::append::{Appender, Liveness, Options, Pending, start};
use limbeck::log::look::verify;
use limbeck::replay::{self, Log, replay};
use limbeck::rules::Rules;
use limbeck::sources::{Block, Interrupt};
use tempfile::TempDir;

const RULES: &str = "version: 1\nsources:\n  probe:\n    format: json\n    \
    time: { field: ts, unit: s }\n    subject: { field: e }\n    source: { const: s }\n    \
    type: { const: k }\n    sequence: { field: n }\nlateness: 5s\nsignals:\n  s:\n    \
    states: { up: data.up == true, down: data.up == false }\n\
    rules: [{ name: r, signal: s, hold: { up: 3s, down: 3s } }]";

const LINES: usize = 400;

fn line(n: usize) -> String {
    let up = (n / 40).is_multiple_of(2);
    match n % 50 {
        17 => "no record\n".to_owned(),
        _ => format!("{{\"ts\":{},\"e\":\"e{}\",\"n\":{n},\"up\":{up}}}\n", n / 3, n % 3),
    }
}

fn rules() -> Rules {
    Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"))
}

fn replayed(rules: &Rules, logs: Vec<Log>, out: &Path) -> Outputs {
    let options = replay::Options {
        logs,
        out: out.to_owned(),
        workers: 1,
        from_ns: None,
        until_ns: None,
        tick_ns: 1_000_000_000,
        cluster: None,
        fates: false,
        checkpoint: None,
        senders: None,
        profile: false,
        progress: false,
        interrupt: Interrupt::default(),
        block_bytes: None,
    };
    replay(rules, &options).unwrap_or_else(|failure| panic!("{failure}"));
    Outputs::read(out)
}

/// The n-th of the numbers that a seed draws, below a bound.
fn drawn(seed: u64, n: u64, bound: u64) -> u64 {
    limbeck_operators::hash::fixed_hash(&(seed, n)) % bound
}

/// Appends what is missing of the lines; how many are acknowledged, and whether that is all.
fn append(disk: &Disk, dir: &Path, rules: &Rules, acknowledged: usize, seed: u64) -> (usize, bool) {
    let options = Options { seal_bytes: 1500, ..Options::default() };
    let mut appender = match Appender::open(disk, dir, options, || 0) {
        Ok(appender) => appender,
        Err(failure) => {
            assert!(disk.has_failed(), "seed {seed}: it can be opened, but {failure}");
            return (acknowledged, false);
        }
    };
    let there = appender.lines(0) as usize;
    assert!(there >= acknowledged, "seed {seed}: {acknowledged} lines acknowledged, {there} there");
    let Ok(input) = appender.begin("log", rules, 0, None, Liveness::Recorded) else {
        assert!(disk.has_failed());
        return (acknowledged, false);
    };
    let (mut next, mut acknowledged) = (there, there);
    let mut pending: Vec<(usize, Pending)> = Vec::new();
    for number in 0.. {
        let count = (1 + drawn(seed, 1000 + number, 12) as usize).min(LINES - next);
        if count == 0 || pending.len() > drawn(seed, 2000 + number, 4) as usize {
            for (end, done) in pending.drain(..) {
                acknowledged = if done.wait().is_ok() { end } else { acknowledged };
            }
        }
        if count == 0 || (disk.has_failed() && acknowledged < next) {
            break;
        }
        let first_line = (next - there + 1) as u64;
        let text: String = (next..next + count).map(line).collect();
        next += count;
        let block = Block { bytes: text.into_bytes(), first_line, ..Block::default() };
        pending.push((next, input.append(block)));
    }
    drop(input);
    let finished = appender.finish();
    (acknowledged, acknowledged == LINES && finished.is_ok())
}

#[test]
fn what_was_acknowledged_outlives_crashes() {
    let rules = rules();
    let dir = TempDir::new().expect("a temporary folder can be made");
    let plain = dir.path().join("log");
    fs::write(&plain, (0..LINES).map(line).collect::<String>()).expect("it can be written");
    let wanted = replayed(&rules, vec![Log::file(plain, 0)], &dir.path().join("wanted"));
    let wanted = wanted.unnamed();
    let mut hit = BTreeSet::new();
    for seed in seeds(0..24) {
        let dir = TempDir::new().expect("a temporary folder can be made");
        let into = dir.path().join("into");
        let mut acknowledged = 0;
        let mut done = false;
        for attempt in 0..4 {
            let points = ["append", "group commit", "seal", "any"];
            let point = points[drawn(seed, attempt, 4) as usize];
            let passings = if point == "any" { 150 } else { 25 };
            let fault = match drawn(seed, 10 + attempt, 6) {
                0 => Fault::ShortWrite,
                1 => Fault::DiskFull,
                _ => Fault::Crash,
            };
            let passing = 1 + drawn(seed, 20 + attempt, passings);
            let disk = Disk::faulty(Plan { seed, point: point.to_owned(), passing, fault });
            (acknowledged, done) = append(&disk, &into, &rules, acknowledged, seed);
            if disk.has_failed() {
                hit.insert((point, format!("{fault:?}")));
            }
            if done {
                break;
            }
        }
        if !done {
            (_, done) = append(&Disk::default(), &into, &rules, acknowledged, seed);
            assert!(done, "seed {seed}: nothing fails any more");
        }
        let (_, wrong) = verify(&into).expect("there is a manifest");
        assert_eq!(wrong, [], "seed {seed}");
        let stored = Stored::all(&into, false).expect("there is a manifest");
        let logs = stored.into_iter().map(|stored| Log::stored(stored, &rules));
        let logs = logs.collect::<Option<_>>().expect("the rules have the source");
        let outputs = replayed(&rules, logs, &dir.path().join("out"));
        outputs.unnamed().assert_equal(&wanted, &format!("seed {seed}"));
    }
    for point in ["append", "group commit", "seal", "any"] {
        let crash = (point, "Crash".to_owned());
        assert!(std::env::var("LIMBECK_SEEDS").is_ok() || hit.contains(&crash), "{point}: {hit:?}");
    }
}

#[test]
fn what_cannot_be_written_ends_inputs_that_are_live() {
    let rules = rules();
    // With its line, when time passes behind that, and when it is sealed.
    for (point, passing) in [("append", 1), ("append", 2), ("seal", 1)] {
        let dir = TempDir::new().expect("a temporary folder can be made");
        let (reader, mut writer) = io::pipe().expect("there are pipes");
        writer.write_all(line(0).as_bytes()).expect("a pipe has room");
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let logs = [(Log::file(path, 0), Liveness::Live { idle_after_ns: None })];
        let plan = Plan { seed: 1, point: point.to_owned(), passing, fault: Fault::Crash };
        let disk = Disk::faulty(plan);
        let options = Options { seal_bytes: 1, clock_every_ns: 1_000_000, ..Options::default() };
        let mut ticks = 0..;
        let clock = move || ticks.next().unwrap_or(0) * 1_000_000;
        let into = dir.path().join("into");
        let interrupt = Interrupt::default();
        let appending = start(&rules, &logs, (&disk, &into), options, clock, &interrupt)
            .unwrap_or_else(|failure| panic!("{failure}"));
        // The input has not ended.
        let error = appending.run().expect_err("the disk is gone").to_string();
        assert!(error.contains("the disk is gone, as planned"), "{point} {passing}: {error}");
        drop(writer);
    }
}

#[test]
fn what_is_put_together_outlives_crashes() {
    let rules = rules();
    let dir = TempDir::new().expect("a temporary folder can be made");
    let whole = dir.path().join("log");
    let (_, done) = append(&Disk::default(), &whole, &rules, 0, 1);
    assert!(done);
    let log = |dir: &Path| {
        let stored = Stored::all(dir, false).expect("there is a manifest");
        let logs = stored.into_iter().map(|stored| Log::stored(stored, &rules));
        logs.collect::<Option<Vec<_>>>().expect("the rules have the source")
    };
    let segments = |dir: &Path| log(dir)[0].stored.as_ref().map(|of| of.partition.segments.len());
    let before = segments(&whole).expect("it is a log");
    assert!(before > 3);
    let wanted = replayed(&rules, log(&whole), &dir.path().join("wanted"));
    let mut left = BTreeSet::new();
    for passing in 1.. {
        let copy = TempDir::new().expect("a temporary folder can be made");
        for entry in fs::read_dir(&whole).expect("it is there") {
            let entry = entry.expect("an entry can be read");
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("there is room");
        }
        let plan = Plan { seed: passing, point: ANY.to_owned(), passing, fault: Fault::Crash };
        let disk = Disk::faulty(plan);
        let compacted = Appender::open(&disk, copy.path(), Options::default(), || 0)
            .and_then(Appender::compact);
        let (_, wrong) = verify(copy.path()).expect("there is a manifest");
        assert_eq!(wrong, [], "passing {passing}");
        let got = replayed(&rules, log(copy.path()), &dir.path().join("got"));
        got.assert_equal(&wanted, &format!("passing {passing}"));
        let there = segments(copy.path()).expect("it is a log");
        left.insert(there);
        if compacted.is_ok() {
            assert!(!disk.has_failed() && there < before, "{there} segments");
            break;
        }
        assert!(disk.has_failed(), "{compacted:?}");
        // Who opens it next removes what is left over, and goes on.
        let manifest = Appender::open(&Disk::default(), copy.path(), Options::default(), || 0)
            .and_then(Appender::compact)
            .unwrap_or_else(|failure| panic!("{failure}"));
        let listed = manifest.partitions[0].segments.len();
        let is_segment = |name: &fs::DirEntry| name.path().extension() == Some("parquet".as_ref());
        let files = fs::read_dir(copy.path()).expect("it is there").flatten().filter(is_segment);
        assert_eq!(files.count(), listed, "passing {passing}");
    }
    assert!(left.len() > 1, "{left:?}");
}
