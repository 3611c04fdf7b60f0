//! Explanations against replays of the same logs: they tell the same episodes, and account for every
//! record.

mod common;

use std::collections::BTreeSet;

use common::{Lab, rows};
use limbeck::bench::workload::Workload;
use limbeck::explain::{Explained, Reason, explain};
use limbeck::model::lane::RunOutcome;
use limbeck::model::time::{format_rfc3339, parse_rfc3339};
use serde_json::Value;

/// Some records are late, some pods expire, and two rules see every record.
const RULES: &str = r#"
version: 1
lateness: 5s
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
    hold: { ready: 10s, unready: 30s }
  - name: flap
    signal: readiness
    hold: { ready: 2s, unready: 0s }
"#;

fn lab() -> Lab {
    let workload = Workload {
        seed: 11,
        entities: 24,
        events: 3_000,
        span_ns: 1_200_000_000_000,
        disorder_ns: 5_400_000_000,
        ..Workload::default()
    };
    let mut log = Vec::new();
    workload.write_cloudevents(&mut log).expect("a Vec takes every write");
    // Two partitions, each with its own arrival.
    let mut parts = [Vec::new(), Vec::new()];
    for (number, line) in log.split_inclusive(|byte| *byte == b'\n').enumerate() {
        parts[number / 7 % 2].extend_from_slice(line);
    }
    Lab::new(RULES, &parts)
}

fn entities(lab: &Lab) -> BTreeSet<String> {
    let lines = lab.logs.iter().flat_map(|log| rows(&std::fs::read(log).expect("a log")));
    lines.filter_map(|row| Some(row["subject"].as_str()?.to_owned())).collect()
}

/// What a rule announced of an entity, as the rows of a replay say it.
fn announced(rows: &[Value], entity: &str, rule: &str) -> Vec<String> {
    let of = |row: &&Value| row["subject"] == entity && row["data"]["rule"] == rule;
    let told = |row: &Value| {
        let data = &row["data"];
        format!("{} {} {} {}", data["state"], data["since"], data["until"], data["decided"])
    };
    rows.iter().filter(of).map(told).collect()
}

fn explained(rule: &Explained) -> Vec<String> {
    let told = rule.episodes.iter().map(|episode| {
        let instant = |nanos: i64| Value::from(format_rfc3339(nanos));
        let until = episode.until.map_or(Value::Null, instant);
        let state = Value::from(episode.state.as_str());
        format!("{state} {} {until} {}", instant(episode.since), instant(episode.decided))
    });
    told.collect()
}

#[test]
fn what_is_explained_is_what_the_replay_says() {
    let lab = lab();
    let whole = lab.options();
    let until = |text: &str| Some(parse_rfc3339(text).expect("a time"));
    for until_ns in [None, until("2026-01-01T00:07:13.05Z"), until("2026-01-01T00:30:00Z")] {
        let options = limbeck::replay::Options { until_ns, ..whole.clone() };
        let outputs = lab.replay(&options);
        let episodes = rows(&outputs.episodes);
        let mut compared = 0;
        for entity in entities(&lab) {
            let explanation =
                explain(&lab.rules, &whole.logs, &entity, until_ns).expect("explained");
            for rule in &explanation.rules {
                let wanted = announced(&episodes, &entity, &rule.rule);
                assert_eq!(explained(rule), wanted, "{entity}, {}, until {until_ns:?}", rule.rule);
                compared += wanted.len();
            }
        }
        assert_eq!(compared, episodes.len(), "every episode is explained");
    }
}

#[test]
fn every_record_has_one_fate_and_the_numbers_that_decided_it() {
    let lab = lab();
    let options = lab.options();
    let summary = lab.replay(&options).summary;
    let number = |name: &str| summary[name].as_u64().expect(name) as usize;
    let (mut used, mut late, mut duplicates) = ([0; 2], 0, 0);
    let mut suppressed = [0; 2];
    let mut places = BTreeSet::new();
    for entity in entities(&lab) {
        let explanation = explain(&lab.rules, &options.logs, &entity, None).expect("explained");
        let clock = explanation.known_at.expect("there are records");
        for record in &explanation.not_used {
            let new = places.insert(record.record.origin.clone());
            assert!(new, "a record is not used once: {record:?}");
            match record.reason {
                Reason::Late => late += 1,
                Reason::Unobserved => panic!("rules without `where` observe all: {record:?}"),
                Reason::Duplicate => duplicates += 1,
            }
        }
        for rule in &explanation.rules {
            let which = usize::from(rule.rule == "flap");
            for run in &rule.runs {
                let first = run.observations.first().expect("a run has observations");
                let last = run.observations.last().expect("a run has observations");
                assert_eq!(first.time, run.since);
                assert!(run.observations.is_sorted_by_key(|seen| seen.time), "{run:?}");
                let lasted = run.until.unwrap_or(clock) - run.since;
                match run.outcome {
                    RunOutcome::Established => assert!(lasted >= run.hold_ns, "{run:?}"),
                    RunOutcome::HeldDown => {
                        assert!(lasted < run.hold_ns || lasted == 0, "{run:?}");
                        assert!(run.until.is_some_and(|until| until >= last.time), "{run:?}");
                        suppressed[which] += run.observations.len();
                    }
                    RunOutcome::KeptDown => panic!("nothing is kept: {run:?}"),
                    RunOutcome::Expired => assert_eq!(run.until, Some(last.time), "{run:?}"),
                    RunOutcome::Pending => assert!(lasted < run.hold_ns, "{run:?}"),
                }
                used[which] += run.observations.len();
            }
            used[which] += rule.waiting.len();
        }
    }
    assert_eq!([number("late"), number("duplicates")], [late, duplicates]);
    assert_eq!(used, [number("used"); 2]);
    for (which, rule) in ["outage", "flap"].into_iter().enumerate() {
        assert_eq!(summary["suppressed"][rule]["hold"], suppressed[which], "{rule}");
    }
    assert!(late > 0 && duplicates > 0 && suppressed[0] > 0, "{summary}");
}
