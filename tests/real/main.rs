//! Logs that others recorded on real systems, replayed with the rules an operator would write.
//!
//! The logs are not part of the repository. They are looked for in `$LIMBECK_DATASETS`, and without
//! that in `../shared/datasets`; a test that does not find them says so and is passed over.
//!
//! The oracle says which episodes there must be of each log, and a file beside the rules what they
//! come to: a digest, the longest of them, and how often each rule was wrong about what lasted, as
//! is known with hindsight. `UPDATE_EXPECT=1` writes these files anew; read the difference.

#[path = "../common/mod.rs"]
mod common;
mod hindsight;
#[path = "../oracle/mod.rs"]
mod oracle;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Lab, replaying, rows};
use expect_test::{expect, expect_file};
use limbeck::model::time::format_rfc3339;
use limbeck::rules::{Rule, Signal};
use oracle::decode::Order;
use oracle::{Episode, Histories, Observation, RuleSpec, S, SignalSpec, Spec, published};
use serde_json::Value;
use tempfile::TempDir;

/// A log, with what the oracle must know of its mapping and conditions.
struct Recording {
    name: String,
    rules: &'static str,
    log: Vec<u8>,
    /// The states of each signal, in the order of the rule file.
    states: &'static [&'static [&'static str]],
    /// What a line shows, if anything.
    shown: fn(&Value) -> Option<Shown>,
}

/// An observation, with the index of its signal and its entity.
struct Shown {
    signal: usize,
    entity: String,
    observation: Observation,
}

/// What a replay and the oracle agreed on.
struct Replayed {
    spec: Spec,
    histories: Histories,
    episodes: Vec<Episode>,
    /// Where the clock stood at the end.
    end: i64,
    /// Counts and digest.
    summary: String,
}

impl Recording {
    fn replay(&self) -> Replayed {
        let lab = Lab::new(self.rules, std::slice::from_ref(&self.log));
        let mut options = lab.options();
        replaying(self.name.clone());
        let outputs = lab.replay(&options);
        options.workers = 4;
        lab.replay(&options).assert_equal(&outputs, &format!("{} on 4 workers", self.name));

        let spec = self.spec(&lab);
        let (mut histories, mut end, mut used) = (Histories::new(), i128::MIN, 0);
        for Shown { signal, entity, observation } in rows(&self.log).iter().filter_map(self.shown) {
            used += 1;
            end = end.max(observation.time);
            for (number, _) in (0..).zip(&spec.rules).filter(|(_, rule)| rule.signal == signal) {
                let history = histories.entry((number, entity.clone())).or_default();
                history.push(observation.clone());
            }
        }
        histories.values_mut().for_each(|history| history.sort());
        let end = i64::try_from(end).expect("times fit in 64 bits");
        let episodes: Vec<_> = rows(&outputs.episodes).iter().map(published::episode).collect();
        let wanted = oracle::view(&spec, &histories, i128::MAX, Some(end));
        let wrong = oracle::difference(&wanted, &episodes);
        assert!(wrong.is_empty(), "{}: {:#?}", self.name, &wrong[..wrong.len().min(5)]);

        let count = |name: &str| outputs.summary[name].as_u64().expect(name);
        assert_eq!(count("used"), used);
        let counts = ["records", "used", "late", "duplicates", "unmatched", "dead_letters"];
        let counts = counts.map(|name| format!("{} {}", count(name), name.replace('_', " ")));
        let digest = outputs.summary["digest"].as_str().expect("a digest");
        let summary = format!(
            "{}, until {}\n{}\ndigest {digest}\n",
            self.name,
            format_rfc3339(end),
            counts.join(", ")
        );
        Replayed { spec, histories, episodes, end, summary }
    }

    fn spec(&self, lab: &Lab) -> Spec {
        let rules = &lab.rules;
        let signal = |(signal, states): (&Signal, &&[&str])| SignalSpec {
            name: signal.name.to_string(),
            states: states.iter().map(|state| (*state).to_owned()).collect(),
            matches: Box::new(|_| unreachable!("what a line shows is known")),
        };
        let rule = |rule: &Rule| RuleSpec {
            name: rule.name.to_string(),
            signal: rule.signal,
            hold_ns: rule.hold_ns.clone(),
            expire_after_ns: Some(rule.expire_after_ns),
            ..RuleSpec::default()
        };
        Spec {
            lateness_ns: rules.lateness_ns,
            // Each rule has its own.
            expire_after_ns: 0,
            max_advance_ns: rules.max_advance_ns,
            tick_ns: lab.options().tick_ns,
            labelled: false,
            corrects: false,
            until: None,
            signals: rules.signals.iter().zip(self.states).map(signal).collect(),
            rules: rules.rules.iter().map(rule).collect(),
        }
    }
}

/// The folder of a recording, if it is there.
fn recorded(name: &str) -> Option<PathBuf> {
    let given = env::var_os("LIMBECK_DATASETS").map(PathBuf::from);
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets");
    let folder = given.clone().unwrap_or_else(usual).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert_eq!(given, None, "LIMBECK_DATASETS has no {name}");
    // Past the capture of the test's output: that nothing was tested must be seen.
    writeln!(io::stderr(), "passed over: there is no {}", folder.display()).expect("stderr");
    None
}

/// The probes of 16 endpoints in three months.
#[test]
fn upptime() {
    let Some(folder) = recorded("upptime-curc") else { return };
    let log = fs::read(folder.join("probes.jsonl")).expect("the log can be read");
    let recording = Recording {
        name: "upptime-curc".to_owned(),
        rules: include_str!("upptime.yaml"),
        log,
        states: &[&["up", "degraded", "down"]],
        shown: |probe| {
            let text = |name: &str| probe[name].as_str().expect(name).to_owned();
            let states = ["up", "degraded", "down"];
            let observation = Observation {
                time: i128::from(probe["t"].as_i64()? * S),
                source: "upptime".to_owned(),
                sequence: Order::Absent,
                id: text("commit"),
                raw: None,
                state: states.iter().position(|state| probe["status"] == *state)?,
                known_at: 0,
                made: false,
                withheld: false,
                reading: 0,
                urgent: false,
                changes: None,
                minority: Vec::new(),
                marks: false,
                shows: true,
            };
            Some(Shown { signal: 0, entity: text("slug"), observation })
        },
    };
    let replayed = recording.replay();
    let report = [
        replayed.summary.clone(),
        replayed.hindsight("site", "down", 7_200 * S),
        replayed.longest("two-hours", "down"),
    ];
    expect_file!["upptime.txt"].assert_eq(&report.concat());
}

/// Three collectors of routing updates: minutes in which much changes.
#[test]
fn bgp() {
    let Some(folder) = recorded("bgp-ripe") else { return };
    let mut report = String::new();
    for (name, archive) in [
        ("rrc00", "rrc00_2000.01_updates.20000102.2014.gz"),
        ("rrc01", "rrc01_2000.11_updates.20001104.0124.gz"),
        ("rrc15", "rrc15_2010.02_updates.20100227.1600.gz"),
    ] {
        let recording = Recording {
            name: name.to_owned(),
            rules: include_str!("bgp.yaml"),
            log: converted(&folder.join(archive)),
            states: &[&["established", "down"], &["announced", "withdrawn"]],
            shown: |line| {
                let (signal, state) = match line["kind"].as_str()? {
                    "session" => (0, usize::from(line["to"] != "established")),
                    "route" => (1, usize::from(line["state"] != "announced")),
                    _ => return None,
                };
                let number = line["n"].to_string();
                let observation = Observation {
                    time: i128::from(line["time_us"].as_i64()?) * 1_000,
                    source: "mrt".to_owned(),
                    sequence: Order::Digits(number.len(), number.clone()),
                    id: number,
                    raw: None,
                    state,
                    known_at: 0,
                    made: false,
                    withheld: false,
                    reading: 0,
                    urgent: false,
                    changes: None,
                    minority: Vec::new(),
                    marks: false,
                    shows: true,
                };
                Some(Shown { signal, entity: line["entity"].as_str()?.to_owned(), observation })
            },
        };
        let replayed = recording.replay();
        report += &replayed.summary;
        report += &replayed.hindsight("session", "down", 60 * S);
        report += &replayed.hindsight("route", "withdrawn", 60 * S);
        report += &replayed.longest("one-minute", "withdrawn");
        report.push('\n');
    }
    expect_file!["bgp.txt"].assert_eq(&report);
}

/// What is in no recording: IPv6, microseconds, a table, a record that breaks off.
#[test]
fn an_archive_of_routing_updates_becomes_lines() {
    let python = Command::new("python3").arg("--version").output();
    if python.is_err() {
        writeln!(io::stderr(), "passed over: there is no python3").expect("stderr");
        return;
    }
    let record = |kind: u16, subtype: u16, body: &[&[u8]]| {
        let body = body.concat();
        let header = [&kind.to_be_bytes()[..], &subtype.to_be_bytes()].concat();
        let length = u32::try_from(body.len()).expect("it is short");
        [&1_000_000_000_u32.to_be_bytes()[..], &header, &length.to_be_bytes(), &body].concat()
    };
    let (peer, marker) = ([0, 1, 0, 2, 0, 0, 0, 1, 10, 0, 0, 1, 10, 0, 0, 2], [0xff; 16]);
    let wide_peer = [&[0, 3, 0, 0, 0, 0, 0, 2, 0, 1, 0, 2][..], &[0xfe; 16], &[0xfd; 16]].concat();
    let reach = [0x80, 14, 13, 0, 2, 1, 4, 9, 9, 9, 9, 0, 24, 0x20, 1, 0xd];
    let unreach = [0x90, 15, 0, 4, 0, 2, 1, 0];
    let update =
        [&[0, 3, 16, 10, 1, 0, 24][..], &reach, &unreach, &[8, 11, 32, 1, 2, 3, 4]].concat();
    let log = [
        record(16, 0, &[&peer, &[0, 6, 0, 1]]),
        record(16, 1, &[&peer, &marker, &[0, 57, 2], &update]),
        record(17, 5, &[&[0, 0, 0, 7], &wide_peer, &[0, 5, 0, 6]]),
        record(16, 1, &[&peer, &marker, &[0, 19, 4]]),
        record(16, 0, &[&peer, &[0, 6, 0, 9]]),
        record(16, 0, &[&peer[..14]]),
        record(13, 2, &[&[1, 2, 3]]),
        vec![0; 11],
    ];
    let folder = TempDir::new().expect("a temporary folder can be made");
    let archive = folder.path().join("updates");
    fs::write(&archive, log.concat()).expect("an archive can be written");
    let ran = script().arg(archive).output().expect("the script runs");
    let complaint = String::from_utf8_lossy(&ran.stderr);
    assert!(complaint.contains("updates is cut off: 1 bytes are missing"), "{complaint}");
    assert_eq!(ran.status.code(), Some(1));
    expect![[r#"
        {"n": 1, "time_us": 1000000000000000, "kind": "session", "from": "established", "to": "idle", "peer": "10.0.0.1", "as": 1, "entity": "10.0.0.1"}
        {"n": 2, "time_us": 1000000000000000, "kind": "route", "prefix": "10.1.0.0/16", "state": "withdrawn", "peer": "10.0.0.1", "as": 1, "entity": "10.0.0.1 10.1.0.0/16"}
        {"n": 3, "time_us": 1000000000000000, "kind": "route", "prefix": "::/0", "state": "withdrawn", "peer": "10.0.0.1", "as": 1, "entity": "10.0.0.1 ::/0"}
        {"n": 4, "time_us": 1000000000000000, "kind": "route", "prefix": "2001:d00::/24", "state": "announced", "peer": "10.0.0.1", "as": 1, "entity": "10.0.0.1 2001:d00::/24"}
        {"n": 5, "time_us": 1000000000000000, "kind": "route", "prefix": "11.0.0.0/8", "state": "announced", "peer": "10.0.0.1", "as": 1, "entity": "10.0.0.1 11.0.0.0/8"}
        {"n": 6, "time_us": 1000000000000000, "kind": "route", "prefix": "1.2.3.4/32", "state": "announced", "peer": "10.0.0.1", "as": 1, "entity": "10.0.0.1 1.2.3.4/32"}
        {"n": 7, "time_us": 1000000000000007, "kind": "session", "from": "openconfirm", "to": "established", "peer": "fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe", "as": 196608, "entity": "fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe"}
        {"n": 8, "time_us": 1000000000000000, "kind": "keepalive", "peer": "10.0.0.1", "as": 1, "entity": "10.0.0.1"}
        {"n": 9, "time_us": 1000000000000000, "kind": "damaged", "reason": "9 is no state of a session", "bytes": "00010002000000010a0000010a00000200060009"}
        {"n": 10, "time_us": 1000000000000000, "kind": "damaged", "reason": "2 bytes are missing at byte 14", "bytes": "00010002000000010a0000010a00"}
        {"n": 11, "time_us": 1000000000000000, "kind": "other", "type": 13, "subtype": 2}
    "#]].assert_eq(&String::from_utf8_lossy(&ran.stdout));
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mrt-to-ndjson"))
}

/// An archive of routing updates as lines.
fn converted(archive: &Path) -> Vec<u8> {
    let ran = script().arg(archive).output().expect("the script runs: it needs python3");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}
