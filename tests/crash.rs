//! A replay that crashes, and goes on: its outputs are those of one that never stopped.
//!
//! Each seed has a named point of what is written. A replay of a log of the oracle's, with its rules,
//! is saved on the way, and crashes there: what was not synced is lost or torn. Another replay goes on
//! from what is there, with another number of workers and blocks of another size; it may crash
//! too. Where the log is over before the point is passed, the next one is taken. Where notifications are
//! sent, each comes at least once, and of one entity and rule in order: a crash may come between the
//! writing of an outbox, the sending, and the mark that it was sent.
//! `LIMBECK_SEEDS=FROM..TO` takes other seeds.

mod common;
mod oracle;
#[allow(dead_code, reason = "other tests have sinks that fail")]
#[path = "cli/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Lab, Outputs, replaying, rows, seeds};
use limbeck::alerts::Senders;
use limbeck::checkpoint::{Every, Plan};
use limbeck::durable::{self, ANY, Disk, Fault};
use limbeck::log::Stored;
use limbeck::log::append::{self, Liveness};
use limbeck::replay::{Log, Options, Resumed, prepare};
use limbeck::sources::Interrupt;
use oracle::logs::{Random, case, persistent_case};
use oracle::{MS, S, silences};
use serde_json::Value;
use server::{Answer, Server};

const POINTS: [&str; 5] = ["checkpoint write", "checkpoint rename", "output", OUTBOX, ANY];
const OUTBOX: &str = "outbox";

/// What came of a replay on a disk that fails.
#[derive(Debug, PartialEq)]
enum End {
    /// It crashed where it was to.
    Crashed,
    /// It came to its end before that.
    Whole,
}

/// Replays with checkpoints; whether it went on from one, and how it ended.
fn run(lab: &Lab, options: &Options, disk: &Disk) -> (bool, End) {
    let done = prepare(&lab.rules, options).and_then(|prepared| {
        let resumed = matches!(prepared.resumed(), Some(Resumed::From { .. }));
        prepared.run()?;
        if let Some(senders) = &options.senders {
            let of_sinks = senders.drain(LONG, &Interrupt::default())?;
            assert!(of_sinks.iter().all(|(_, delivery)| delivery.left == 0), "{of_sinks:?}");
        }
        Ok(resumed)
    });
    match done {
        Ok(resumed) => (resumed, End::Whole),
        Err(failure) => {
            assert!(disk.has_failed(), "{failure}");
            (false, End::Crashed)
        }
    }
}

/// How often each thing came about.
type Seen = BTreeMap<String, u32>;

/// A test ends long before.
const LONG: Duration = Duration::from_secs(600);

/// Begins to send, unless the disk fails before that.
fn senders(lab: &Lab, dir: &Path, disk: &Disk) -> Option<Arc<Senders>> {
    // The threads of one that was dropped are about to end.
    while durable::lock(&dir.join("hook")).is_err() {
        thread::yield_now();
    }
    match Senders::start_on(disk, &lab.rules, dir) {
        Ok(senders) => Some(Arc::new(senders)),
        Err(error) => {
            assert!(disk.has_failed(), "{error}");
            None
        }
    }
}

/// By entity and rule, what is told in which order, each for the first time.
fn told(notifications: impl Iterator<Item = Value>) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for notification in notifications {
        let of = &notification["data"]["episode"]["data"];
        let lane = told.entry(format!("{} {}", of["entity"], of["rule"])).or_default();
        let id = notification["id"].to_string();
        if !lane.contains(&id) {
            lane.push(id);
        }
    }
    told
}

/// Replays the n-th log of a seed; whether the point of the seed was hit.
fn check(seed: u64, n: u64, server: &Server, seen: &mut Seen) -> bool {
    let mut random = Random::new(seed ^ 0xc4a5 ^ n << 32);
    // Some learn of how long their faults last.
    let make = if seed.is_multiple_of(3) { persistent_case } else { case };
    let case = make(seed ^ n << 32);
    let path = format!("/{seed}/{n}");
    let routes = format!(
        "\nsinks: {{ hook: {{ webhook: {{ url: \"{}{path}\" }} }} }}\nroutes: [{{ to: hook }}]\n",
        server.url
    );
    let (mut yaml, mut partitions) = (case.yaml.clone(), case.partitions.clone());
    if random.chance(50) {
        // What is told depends on more then, and more is told.
        yaml = yaml.replace("    states:\n", "    keep_transitions: true\n    states:\n");
        yaml = yaml.replace("    hold: {", "    aggregate: { from: 2, within: 20s }\n    hold: {");
        yaml += silences::SILENCES;
        partitions.push(silences::log(&mut random));
    }
    let lab = Lab::new(&format!("{yaml}{routes}"), &partitions);
    let mut options = lab.options();
    options.tick_ns = *random.pick(&[MS, 100 * MS, S]);
    options.fates = random.chance(30);
    if random.chance(40) {
        options.logs = appended(&lab, &options.logs, &mut random);
    }
    replaying(format!("seed {seed}, uninterrupted"));
    let wanted = lab.replay(&options);
    let others = |options: &Options| {
        ["fates.ndjson", "notifications.ndjson", "transitions.ndjson"]
            .map(|name| fs::read(options.out.join(name)).ok())
    };
    let wanted_others = others(&options);

    options.out = lab.dir.path().join("resumed");
    let kept = lab.dir.path().join("kept");
    let mut point = POINTS[seed as usize % POINTS.len()];
    let sends = point == OUTBOX || random.chance(20);
    let alerts = lab.dir.path().join("alerts");
    let (mut crashes, mut resumed_once, mut hit) = (0, false, false);
    // What cannot be removed at the end does no harm.
    let mut fault_at_end = false;
    for attempt in 0..6 {
        options.workers = *random.pick(&[1, 1, 2, 4]);
        options.block_bytes = Some(*random.pick(&[4, 60, 200, 700]));
        let passing = match point {
            ANY => 1 + random.below(120),
            OUTBOX => 1 + random.below(6),
            _ => 1 + random.below(2),
        };
        let fault = if random.chance(80) { Fault::Crash } else { Fault::DiskFull };
        let plan = durable::Plan { seed: random.next(), point: point.to_owned(), passing, fault };
        let disk = if attempt < 4 { Disk::faulty(plan.clone()) } else { Disk::default() };
        let every = Every::Clock(*random.pick(&[MS, 300 * MS, S, 5 * S]));
        options.checkpoint = Some(Plan { dir: kept.clone(), every, disk: disk.clone() });
        replaying(format!("seed {seed}, attempt {attempt}: {plan:?}"));
        // The outbox is nobody else's.
        options.senders = None;
        options.senders = sends.then(|| senders(&lab, &alerts, &disk)).flatten();
        let (resumed, end) = match sends && options.senders.is_none() {
            true => (false, End::Crashed),
            false => run(&lab, &options, &disk),
        };
        resumed_once |= resumed;
        hit |= attempt == 0 && disk.has_failed();
        match end {
            End::Crashed => {
                crashes += 1;
                *seen.entry(format!("{point}: {fault:?}")).or_default() += 1;
                point = *random.pick(&POINTS);
            }
            End::Whole => {
                fault_at_end = disk.has_failed();
                break;
            }
        }
    }
    let what = format!("seed {seed}, {crashes} crashes, went on: {resumed_once}\n{}", case.show());
    Outputs::read(&options.out).assert_equal(&wanted, &what);
    assert!(others(&options) == wanted_others, "{what}: fates, notifications or transitions");
    options.senders = None;
    if sends {
        let requests = server.take(&path).into_iter();
        let sent = told(requests.filter(|request| request.accepted).map(|request| request.body));
        let [_, notifications, _] = &wanted_others;
        let wanted = rows(notifications.as_deref().expect("there are routes")).into_iter();
        let wanted = wanted.filter(|row| row["withheld"].is_null());
        assert_eq!(sent, told(wanted.map(|row| row["notification"].clone())), "{what}");
        *seen.entry("told".to_owned()).or_default() += u32::from(!sent.is_empty());
    }
    assert!(fault_at_end || left(&kept).is_empty(), "{what}: {:?} are left", left(&kept));
    *seen.entry("went on".to_owned()).or_default() += u32::from(resumed_once && crashes > 0);
    hit
}

/// The same logs as a replay log, of which much, little or nothing is sealed.
fn appended(lab: &Lab, logs: &[Log], random: &mut Random) -> Vec<Log> {
    let seal_bytes = *random.pick(&[500, 3_000, u64::MAX]);
    let into = lab.dir.path().join("log");
    let logs: Vec<_> = logs.iter().map(|log| (log.clone(), Liveness::Recorded)).collect();
    let (disk, interrupt) = (Disk::default(), Interrupt::default());
    let options = append::Options { seal_bytes, ..append::Options::default() };
    append::start(&lab.rules, &logs, (&disk, &into), options, || 0, &interrupt)
        .and_then(|appending| Ok(appending.run()?))
        .unwrap_or_else(|failure| panic!("{failure}"));
    let stored = Stored::all(&into, false).expect("it is a log").into_iter();
    stored.map(|stored| Log::stored(stored, &lab.rules).expect("its source is known")).collect()
}

fn left(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn what_crashes_goes_on_to_the_same_bytes() {
    let (range, mut seen) = (seeds(0..100), Seen::new());
    let server = Server::start(|_, _| Answer::Status(200, ""));
    let count = range.end - range.start;
    for seed in range {
        // Some logs are over before there is a checkpoint.
        let hit = (0..40).any(|n| check(seed, n, &server, &mut seen));
        assert!(hit, "seed {seed}: its point is passed in some log");
    }
    println!("{seen:#?}");
    assert!(count < 100 || u64::from(seen["went on"]) > count / 4, "{seen:?}");
}
