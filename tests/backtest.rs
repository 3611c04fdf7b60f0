//! Backtests against two replays: what differs is what differs between their episodes.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Lab, rows};
use limbeck::backtest::{Asked, Compared, Pair, backtest};
use limbeck::bench::workload::Workload;
use limbeck::replay::{Log, Options};
use limbeck::rules::Rules;
use serde_json::Value;

fn rule_file(lateness: &str, down: &str, up: &str, more: &str) -> String {
    format!(
        r#"
version: 1
lateness: {lateness}
expire_after: 100s
signals:
  readiness:
    where: type == "readiness"
    states:
      ready: data.state == "ready"
      unready: data.state == "unready"
rules:
  - name: outage
    signal: readiness
    hold: {{ ready: {up}, unready: {down} }}
{more}"#
    )
}

const FLAP: &str = "  - { name: flap, signal: readiness, hold: { ready: 2s } }\n";

fn lab(a: &str) -> Lab {
    let workload = Workload {
        seed: 5,
        entities: 24,
        events: 3_000,
        span_ns: 1_200_000_000_000,
        disorder_ns: 5_400_000_000,
        ..Workload::default()
    };
    let mut log = Vec::new();
    workload.write_cloudevents(&mut log).expect("a Vec takes every write");
    Lab::new(a, &[log])
}

/// Compares A, the rules of the lab, with B, and gives the rows, too.
fn compare(lab: &Lab, a: &str, b: &str, workers: usize) -> (Compared, Vec<Value>) {
    let pair = Pair::read([("a.yaml", a), ("b.yaml", b)]).unwrap_or_else(|all| panic!("{all:?}"));
    let logs: Vec<_> = lab.logs.iter().map(|path| Log::file(path, 0)).collect();
    let out = lab.dir.path().join("diff");
    let names = ["a.yaml".to_owned(), "b.yaml".to_owned()];
    let asked = Asked { pair: &pair, names, logs: [&logs, &logs], out: &out, workers };
    let (compared, damaged) = backtest(&asked).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(damaged, []);
    let text = std::fs::read(out.join("differences.ndjson")).expect("there are differences");
    (compared, rows(&text))
}

/// Episodes of a replay by rule, by what makes them equal.
fn replayed(lab: &Lab, rules: &str) -> BTreeSet<String> {
    let rules = Rules::parse("rules.yaml", rules).unwrap_or_else(|all| panic!("{all}"));
    let lab =
        Lab { dir: tempfile::TempDir::new().expect("a folder"), rules, logs: lab.logs.clone() };
    let outputs = lab.replay(&Options { fates: false, ..lab.options() });
    rows(&outputs.episodes).iter().map(|row| told(row, &row["data"]["rule"])).collect()
}

fn told(row: &Value, rule: &Value) -> String {
    let data = if row["data"].is_null() { row } else { &row["data"] };
    let part = |name: &str| data[name].as_str().unwrap_or("open").to_owned();
    let [since, until, decided] = ["since", "until", "decided"].map(part);
    format!("{} {rule} {since} {until} {decided}", row["id"])
}

#[test]
fn what_differs_is_what_differs_between_two_replays() {
    let a = rule_file("5s", "30s", "10s", FLAP);
    let lab = lab(&a);
    for b in [
        rule_file("5s", "20s", "10s", FLAP),
        rule_file("5s", "30s", "15s", ""),
        rule_file("5s", "30s", "10s", FLAP),
        // Another lateness: the log is read twice.
        rule_file("2s", "30s", "10s", FLAP),
    ] {
        let [of_a, of_b] = [&a, &b].map(|rules| replayed(&lab, rules));
        let (compared, rows) = compare(&lab, &a, &b, 1);
        assert_eq!(compared.read_twice.is_some(), b.contains("lateness: 2s"));
        assert_eq!(compared.episodes, [of_a.len() as u64, of_b.len() as u64]);
        // All that is told of A is an episode of A, once; what is not told is in both.
        let mut left = [of_a.clone(), of_b.clone()];
        for row in &rows {
            for (side, left) in ["a", "b"].into_iter().zip(&mut left) {
                if !row[side].is_null() {
                    let episode = told(&row[side], &row[side]["rule"]);
                    assert!(left.remove(&episode), "{side}: {row}");
                }
            }
        }
        assert_eq!(left[0], left[1], "what is not told is the same");
        assert_eq!(left[0].len() as u64, compared.all.same);
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for row in &rows {
            *kinds.entry(row["difference"].as_str().expect("a kind")).or_default() += 1;
        }
        let kind = |name: &str| kinds.get(name).copied().unwrap_or(0);
        let all = compared.all;
        assert_eq!(
            [all.only_a, all.only_b, all.moved],
            [kind("only-a"), kind("only-b"), kind("moved")]
        );
        assert_eq!(compared.is_same(), a == b, "{compared:?}");
        assert_eq!(compared.is_same(), of_a == of_b);
    }
}

#[test]
fn it_says_the_same_on_any_number_of_workers_and_the_opposite_the_other_way_round() {
    let (a, b) = (rule_file("5s", "30s", "10s", FLAP), rule_file("5s", "18s", "12s", FLAP));
    let lab = lab(&a);
    let (compared, told) = compare(&lab, &a, &b, 1);
    assert!(compared.all.moved > 0 && compared.all.only_b > 0, "{compared:?}");
    for workers in [2, 4] {
        assert_eq!((compared.clone(), told.clone()), compare(&lab, &a, &b, workers));
    }
    let (reverse, _) = compare(&lab, &b, &a, 1);
    let (all, other) = (compared.all, reverse.all);
    assert_eq!(
        [all.same, all.only_a, all.only_b, all.moved],
        [other.same, other.only_b, other.only_a, other.moved]
    );
    assert_eq!([all.since.earlier, all.until.later], [other.since.later, other.until.earlier]);
}

/// States that rules make, and signals do not have; and signals that mark entities to others.
#[test]
fn what_rules_make_is_compared_as_well() {
    let rule = |after: &str| {
        format!(
            "  - {{ name: seen, signal: readiness, absent: {{ after: {after} }} }}\n  \
             - {{ name: marked, signal: readiness, faults: [unready], hold: {{ unready: 10s }},\n      \
                 grace: {{ for: {after}, after: [{{ signal: readiness, states: [ready] }}] }} }}\n"
        )
    };
    let [a, b] = ["12s", "15s"].map(|after| rule_file("5s", "30s", "10s", &rule(after)));
    let pair = Pair::read([("a.yaml", &a), ("b.yaml", &b)]).unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!(pair.merged.map(|rules| rules.rules.len()), Ok(6));
    let lab = lab(&a);
    let (compared, rows) = compare(&lab, &a, &b, 1);
    assert!(rows.iter().any(|row| row["state"] == "unknown"), "{compared:?}");
    assert_eq!(compared.episodes, [&a, &b].map(|rules| replayed(&lab, rules).len() as u64));
}
