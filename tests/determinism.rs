//! One log, one history: the outputs are the same bytes however the replay is run.
//!
//! A generated log is cut into partitions in several ways. Each record keeps its arrival, so that
//! every cut is the same log to the rules. Then all of these are drawn at random, 20 times or as
//! often as `LIMBECK_RUNS` says: the cut, the order of the partitions on the command line, how many
//! workers there are, and how much of a log is read at once.

mod common;
mod oracle;

use std::collections::BTreeMap;
use std::env;

use common::{Lab, Outputs, assert_same_lines, replaying, rows};
use limbeck::bench::workload::Workload;
use limbeck::replay::Options;
use oracle::logs::Random;
use serde_json::Value;

/// Some records are late, and some pods are silent for so long that they expire.
const RULES: &str = r#"
version: 1
lateness: 5s
expire_after: 25s
signals:
  readiness:
    where: type == "readiness"
    states:
      ready: data.state == "ready"
      unready: data.state == "unready"
rules:
  - name: outage
    signal: readiness
    hold: { ready: 10s, unready: 30s }
  - name: flap
    signal: readiness
    hold: { ready: 2s, unready: 1s }
"#;

const FLAT_RULES: &str = include_str!("data/flat.yaml");

fn workload() -> Workload {
    Workload {
        seed: 7,
        entities: 300,
        events: 30_000,
        span_ns: 1_200_000_000_000,
        disorder_ns: 5_200_000_000,
        ..Workload::default()
    }
}

/// The lines of a log, some of which are damaged, and some of which no condition can judge.
fn lines(write: impl FnOnce(&Workload, &mut Vec<u8>)) -> Vec<Vec<u8>> {
    let mut log = Vec::new();
    write(&workload(), &mut log);
    let mut lines: Vec<Vec<u8>> =
        log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for (number, line) in lines.iter_mut().enumerate().skip(500).step_by(700) {
        let half = line.len() / 2;
        line.truncate(half.min(20 + number % 100));
        line.push(b'\n');
    }
    for line in lines.iter_mut().skip(100).step_by(300) {
        let text = String::from_utf8(std::mem::take(line)).expect("a log is text");
        *line = text.replace("\"state\"", "\"stale\"").into_bytes();
    }
    lines
}

/// How a log is cut: by entity, so that each is in one partition, or line by line in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    ByEntity(usize),
    InTurn(usize),
}

const CUTS: [Cut; 6] = [
    Cut::InTurn(1),
    Cut::InTurn(2),
    Cut::InTurn(5),
    Cut::ByEntity(2),
    Cut::ByEntity(3),
    Cut::ByEntity(8),
];

fn cut(lines: &[Vec<u8>], how: Cut) -> Vec<Vec<u8>> {
    let (Cut::ByEntity(parts) | Cut::InTurn(parts)) = how;
    let mut partitions = vec![Vec::new(); parts];
    for (number, line) in lines.iter().enumerate() {
        let part = match (how, entity(line)) {
            (Cut::ByEntity(_), Some(entity)) => entity % parts,
            _ => number % parts,
        };
        partitions[part].extend_from_slice(line);
    }
    partitions
}

/// The number of the pod that a line is of; none if it is damaged.
fn entity(line: &[u8]) -> Option<usize> {
    let line: Value = serde_json::from_slice(line).ok()?;
    line["subject"].as_str()?.strip_prefix("pod-")?.parse().ok()
}

fn runs() -> u64 {
    env::var("LIMBECK_RUNS").map_or(20, |runs| runs.parse().expect("LIMBECK_RUNS is a number"))
}

/// Draws how a log is replayed.
fn shuffled(options: &Options, random: &mut Random) -> Options {
    let mut options = options.clone();
    random.shuffle(&mut options.logs);
    options.workers = 1 + random.below(8) as usize;
    options.block_bytes = *random.pick(&[None, Some(4_000), Some(17_001), Some(100_000)]);
    options
}

fn sorted_lines(bytes: &[u8]) -> Vec<u8> {
    let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

#[test]
fn one_log_has_one_history() {
    let lines = lines(|workload, log| workload.write_cloudevents(log).expect("a Vec takes all"));
    let labs: BTreeMap<Cut, Lab> =
        CUTS.into_iter().map(|how| (how, Lab::new(RULES, &cut(&lines, how)))).collect();
    let first = labs[&CUTS[0]].replay(&labs[&CUTS[0]].options());
    assert_is_rich(&first);

    let mut dead_letters: BTreeMap<Cut, Vec<u8>> = BTreeMap::new();
    let mut known_sources: BTreeMap<Cut, Value> = BTreeMap::new();
    let mut random = Random::new(1);
    for run in 0..runs() {
        let how = *random.pick(&CUTS);
        let lab = &labs[&how];
        let options = shuffled(&lab.options(), &mut random);
        let what = format!("run {run}: {how:?}, {options:?}");
        replaying(what.clone());
        let mut got = lab.replay(&options);
        // Where a damaged line stands depends on the cut, and on nothing else.
        let letters = sorted_lines(&got.dead_letters);
        let known = dead_letters.entry(how).or_insert_with(|| letters.clone());
        assert_same_lines(&letters, known, &what);
        assert_eq!(rows(&got.dead_letters).len(), rows(&first.dead_letters).len(), "{what}");
        got.dead_letters.clone_from(&first.dead_letters);
        // So is what is before what in a partition.
        let sources = got.summary["sources"].take();
        assert_eq!(&sources, known_sources.entry(how).or_insert_with(|| sources.clone()), "{what}");
        assert_eq!(sources[0]["late"], first.summary["late"], "{what}");
        got.summary["sources"] = first.summary["sources"].clone();
        got.assert_equal(&first, &what);
    }
}

/// A log in which nothing happens would prove nothing.
fn assert_is_rich(outputs: &Outputs) {
    let summary = &outputs.summary;
    for (count, least) in [
        ("late", 30),
        ("unmatched", 80),
        ("condition_errors", 80),
        ("duplicates", 1_000),
        ("dead_letters", 40),
        ("episodes", 1_000),
    ] {
        let is = summary[count].as_u64().expect(count);
        assert!(is >= least, "{count}: {is} of at least {least}");
    }
    let updates = rows(&outputs.updates);
    assert!(updates.iter().filter(|row| row["diff"] == -1).count() > 1_000);
    assert!(updates.iter().any(|row| row["supersedes"].is_string()));
    assert!(updates.iter().any(|row| row["artifact"]["data"]["reason"] == "expired"));
}

#[test]
fn one_file_gives_the_same_bytes_on_any_number_of_workers() {
    let lines = lines(|workload, log| workload.write_flat(log).expect("a Vec takes all"));
    let lab = Lab::new(FLAT_RULES, &[lines.concat()]);
    let first = lab.replay(&lab.options());
    assert!(rows(&first.episodes).len() > 300, "{}", first.summary);
    let mut random = Random::new(2);
    for run in 0..runs().div_ceil(4) {
        let options = shuffled(&lab.options(), &mut random);
        let what = format!("run {run}: {options:?}");
        replaying(what.clone());
        lab.replay(&options).assert_equal(&first, &what);
    }
}

/// What is known at `until` does not depend on how much was read beyond it.
#[test]
fn the_end_cuts_between_two_lines() {
    let lines = lines(|workload, log| workload.write_cloudevents(log).expect("a Vec takes all"));
    let lab = Lab::new(RULES, &cut(&lines, Cut::InTurn(3)));
    let mut options = lab.options();
    options.until_ns = Some(1_767_225_600_000_000_000 + 300_000_500_000);
    let first = lab.replay(&options);
    let records = first.summary["records"].as_u64().expect("a count");
    assert!((5_000..10_000).contains(&records), "{records}");
    for block_bytes in [300, 5_000, 60_000] {
        options.block_bytes = Some(block_bytes);
        options.workers = 2;
        replaying(format!("{options:?}"));
        lab.replay(&options).assert_equal(&first, &format!("{block_bytes} bytes a block"));
    }
}

#[test]
fn the_tick_changes_no_final_episode() {
    let lines = lines(|workload, log| workload.write_cloudevents(log).expect("a Vec takes all"));
    let lab = Lab::new(RULES, &cut(&lines, Cut::InTurn(2)));
    let mut options = lab.options();
    let mut final_episodes = |tick_ns: i64| {
        options.tick_ns = tick_ns;
        replaying(format!("{options:?}"));
        let outputs = lab.replay(&options);
        let mut episodes = rows(&outputs.episodes);
        for episode in &mut episodes {
            let data = episode["data"].as_object_mut().expect("an episode has data");
            data.remove("revision").expect("an episode has a revision");
        }
        (episodes, outputs.summary["suppressed"].clone())
    };
    const MS: i64 = 1_000_000;
    let wanted = final_episodes(MS);
    assert!(wanted.0.len() > 1_000);
    for tick_ns in [100 * MS, 1_000 * MS, 60_000 * MS] {
        let got = final_episodes(tick_ns);
        for (one, other) in got.0.iter().zip(&wanted.0) {
            assert_eq!(one, other, "a tick of {tick_ns} ns");
        }
        assert_eq!((got.0.len(), got.1), (wanted.0.len(), wanted.1.clone()), "{tick_ns} ns");
    }
}

/// The rules for the flat log in another format.
fn in_format(source: &str, at: &str) -> String {
    let field = |name: &str| format!("{{ field: {at}{name} }}");
    format!(
        r#"version: 1
lateness: 5s
sources:
  probe:
{source}
    time: {{ field: {at}ts, unit: ms }}
    subject: {entity}
    source: {{ const: probe }}
    type: {kind}
    sequence: {seq}
    id: {{ template: "{{{at}seq}}-{{{at}state}}" }}
signals:
  readiness:
    states:
      ready: data.{at}state == "ready"
      unready: data.{at}state == "unready"
rules: [{{ name: flap, signal: readiness, hold: {{ ready: 10s, unready: 2s }} }}]
"#,
        entity = field("entity"),
        kind = field("kind"),
        seq = field("seq"),
    )
}

/// Objects, rows, plain lines and arrays of a poll: what they say is the same, and so is what
/// becomes of it, however many blocks a header or a poll is about.
#[test]
fn a_log_says_the_same_in_every_format() {
    let mut log = Vec::new();
    Workload { events: 6_000, ..workload() }.write_flat(&mut log).expect("a Vec takes every write");
    let mut records = rows(&log);
    records.truncate(records.len() / 7 * 7);
    let text = |record: &Value, name: &str| match &record[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let fields = ["kind", "state", "entity", "ts", "seq"];
    let row = |record: &Value| {
        let quoted = fields.map(|name| format!("\"{}\"", text(record, name)));
        quoted.join(";") + "\n"
    };
    let line = |record: &Value| {
        let [kind, state, entity, ts, seq] = fields.map(|name| text(record, name));
        format!("{ts} {kind}[{seq}]: {entity} is {state}\n")
    };
    let poll = |records: &[Value]| format!("{}\n", serde_json::json!({"of": {"polled": records}}));
    let pattern = r"    format: regex
    pattern: '^(?<ts>\d+) (?<kind>\w+)\[(?<seq>\d+)\]: (?<entity>\S+) is (?<state>\w+)$'";
    let object = |record: &Value| format!("{record}\n");
    let csv = "    format: csv\n    delimiter: ';'";
    let json = "    format: json";
    let polls = "    format: json\n    explode: of.polled";
    let formats = [
        (json, "", records.iter().map(object).collect::<String>()),
        (csv, "", fields.join(";") + "\n" + &records.iter().map(row).collect::<String>()),
        (pattern, "", records.iter().map(line).collect()),
        (polls, "of.polled.", records.chunks(7).map(poll).collect()),
    ];
    let mut wanted: Option<Outputs> = None;
    for (source, at, log) in formats {
        let lab = Lab::new(&in_format(source, at), &[log.into_bytes()]);
        for block_bytes in [None, Some(700), Some(40_000)] {
            let workers = if block_bytes.is_none() { 1 } else { 3 };
            let outputs = lab.replay(&Options { block_bytes, workers, ..lab.options() });
            assert_eq!(outputs.dead_letters, b"", "{source}");
            let wanted = wanted.get_or_insert_with(|| outputs.clone());
            assert!(wanted.episodes.len() > 10_000, "there is something to compare");
            let what = format!("{source}, blocks of {block_bytes:?} bytes");
            assert_same_lines(&outputs.updates, &wanted.updates, &what);
            let mut counts = [outputs.summary, wanted.summary.clone()];
            // Whether a duplicate says the same is judged by bytes, and its bytes stand elsewhere.
            counts.iter_mut().for_each(|counts| counts["conflicts"] = Value::Null);
            assert_eq!(counts[0], counts[1], "{what}");
        }
    }
}
