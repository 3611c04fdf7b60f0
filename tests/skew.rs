//! Clocks that are off, and what is told of each source: against the oracle on long random logs,
//! and against the truth on logs of which it is known.

mod common;
mod oracle;

use std::collections::BTreeMap;

use common::{Lab, replaying};
use limbeck::explain::{Observed, explain};
use limbeck::model::time::format_rfc3339;
use limbeck::replay::Options;
use oracle::accounts::told;
use oracle::logs::{BASE, Random, signals};
use oracle::{DAY, Disposition, MS, RuleSpec, S, Spec};
use serde_json::{Value, json};

fn spec(corrects: bool) -> Spec {
    Spec {
        labelled: false,
        lateness_ns: 2 * S,
        expire_after_ns: 7 * DAY,
        max_advance_ns: 30 * DAY,
        tick_ns: 100 * MS,
        until: None,
        corrects,
        signals: signals(),
        rules: vec![RuleSpec {
            name: "r".to_owned(),
            signal: 0,
            hold_ns: vec![S, S, S],
            ..RuleSpec::default()
        }],
    }
}

fn rules(corrects: bool) -> String {
    let skew = if corrects { "correct" } else { "report" };
    format!(
        r#"
version: 1
lateness: 2s
sources: {{ cloudevents: {{ format: cloudevents, skew: {skew} }} }}
signals:
  readiness:
    where: type == "probe.readiness"
    states:
      ready: data.state == "ready"
      unready: data.state == "unready"
rules: [{{ name: r, signal: readiness, hold: {{ ready: 1s, unready: 1s }} }}]
"#
    )
}

/// How a source counts, and how its clock goes.
struct Source {
    offset: i64,
    number: u64,
    /// How many of its entities count for themselves.
    entities: u64,
    /// What is on its way: when it arrives, and what it says.
    delayed: Vec<(i64, Value)>,
}

/// A log of sources whose clocks are off, drift and are set, who count, lose, repeat and restart.
fn log(random: &mut Random) -> Vec<u8> {
    let offsets = [0, 0, 30 * MS, -40 * S, 90 * S, 3_600 * S, -DAY];
    let mut sources: Vec<_> = (0..1 + random.below(4))
        .map(|_| Source {
            offset: *random.pick(&offsets),
            number: *random.pick(&[0, 1, 1, 5_000, u64::MAX - 300]),
            entities: *random.pick(&[1, 1, 1, 5]),
            delayed: Vec::new(),
        })
        .collect();
    let mut now = BASE;
    let mut lines = Vec::new();
    let step_max = *random.pick(&[S, 10 * S, 20 * S]);
    for _ in 0..100 + random.below(400) {
        now += random.up_to(step_max);
        let name = random.below(sources.len() as u64) as usize;
        let source = &mut sources[name];
        source.offset += match random.below(200) {
            0 => *random.pick(&[-60 * S, 60 * S, 2 * S]),
            1..50 => random.up_to(MS),
            _ => 0,
        };
        source.number = match random.below(100) {
            0 => *random.pick(&[0, 1, source.number / 2]),
            1 => source.number.saturating_add(1 + random.below(3_000)),
            2 => source.number.saturating_sub(random.below(2_000)),
            3..10 => source.number.saturating_add(2),
            _ => source.number.saturating_add(1),
        };
        let delay = match random.below(20) {
            0 => random.up_to(20 * S),
            _ => random.up_to(2 * S),
        };
        let mut record = json!({
            "id": format!("{}", random.below(1_000_000)),
            "source": format!("s{name}"),
            "type": "probe.readiness",
            "subject": format!("pod-{}", random.below(3)),
            "time": format_rfc3339(now - source.offset),
            "data": { "state": *random.pick(&["ready", "unready", "unready", "?"]) },
        });
        match random.below(100) {
            0..5 => {}
            5..10 => record["sequence"] = json!("none"),
            _ => record["sequence"] = json!((source.number / source.entities).to_string()),
        }
        match random.below(100) {
            // Once more, later on: perhaps when the clock is known better.
            0..5 => source.delayed.push((now + random.up_to(100 * S), record.clone())),
            5 => record["time"] = json!(format_rfc3339(now + 200 * DAY)),
            _ => {}
        }
        source.delayed.push((now + delay, record));
        for source in &mut sources {
            source.delayed.sort_by_key(|(arrival, _)| *arrival);
            let due = source.delayed.partition_point(|(arrival, _)| *arrival <= now);
            lines.extend(source.delayed.drain(..due));
        }
    }
    let mut log = Vec::new();
    for (arrival, mut record) in lines {
        let arrival = match random.below(50) {
            0 => arrival - random.up_to(10 * S),
            _ => arrival,
        };
        if !random.chance(3) {
            record["recordedtime"] = json!(format_rfc3339(arrival));
        }
        log.extend_from_slice(format!("{record}\n").as_bytes());
    }
    log
}

/// Deals the lines of a log to partitions.
fn deal(log: &[u8], parts: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let mut partitions = vec![Vec::new(); parts];
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        partitions[random.below(parts as u64) as usize].extend_from_slice(line);
    }
    partitions
}

#[test]
fn every_source_is_told_as_the_oracle_tells_it() {
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let corrects = random.chance(60);
        let parts = *random.pick(&[1, 1, 2, 3]);
        let partitions = deal(&log(&mut random), parts, &mut random);
        let mut spec = spec(corrects);
        if random.chance(20) {
            spec.until = Some(BASE + random.up_to(1_000) * S);
        }
        let intake = oracle::intake::intake(&spec, &partitions);
        let wanted = told(&spec, &intake.accounts);
        let lab = Lab::new(&rules(corrects), &partitions);
        for block_bytes in [None, Some(4), Some(random.below(5_000) as usize)] {
            let workers = 1 + random.below(3) as usize;
            let options = lab.options();
            let options = Options { workers, block_bytes, until_ns: spec.until, ..options };
            replaying(format!("seed {seed}, {options:?}"));
            let summary = lab.replay(&options).summary;
            let sources = summary["sources"].as_array().expect("a list");
            for (got, wanted) in sources.iter().zip(&wanted) {
                assert_eq!(got, wanted, "seed {seed}, {options:?}");
            }
            assert_eq!(sources.len(), wanted.len());
            let count =
                |of: fn(&&Disposition) -> bool| intake.dispositions.values().filter(of).count();
            let used = count(|d| **d == Disposition::Used);
            let duplicates = count(|d| matches!(d, Disposition::Duplicate { .. }));
            assert_eq!(
                (&summary["used"], &summary["duplicates"]),
                (&json!(used), &json!(duplicates))
            );
            // What is told by source adds up to what is told of all.
            let sum =
                |of: &str| sources.iter().filter_map(|source| source[of].as_u64()).sum::<u64>();
            let dead = summary["dead_letters"].as_u64().expect("a count");
            assert_eq!(json!(sum("records") + dead), summary["records"]);
            assert_eq!(json!(sum("late")), summary["late"]);
        }
        for account in &wanted {
            let mut meet = |what, yes: bool| *met.entry(what).or_default() += u64::from(yes);
            let number = |of: &str| account[of].as_i64().unwrap_or(0);
            meet("gaps", number("sequence_gaps") > 0);
            meet("restarts", number("sequence_restarts") > 0);
            meet("no sequence", account["sequence_gaps"].is_null());
            meet("disorder", number("out_of_order") > 0);
            meet("regressions", number("arrival_regressions") > 0);
            meet("late", number("late") > 0);
            meet("ahead", number("offset_min_ns") < 0);
            meet("another clock", number("offset_max_ns") - number("offset_min_ns") > 30 * S);
        }
    }
    for (what, times) in met {
        assert!(times > 10, "{what}: {times}");
    }
}

/// Hosts that watch the same pods, each with its own clock and its own way to the collector.
struct Watched {
    partition: Vec<u8>,
    /// When each line really happened.
    truth: Vec<i64>,
}

/// Every pod is observed once a second, by some host; what happens is written when it arrives.
fn watched(random: &mut Random, drift_ppm: i64) -> Watched {
    const HOSTS: u64 = 12;
    let offsets: Vec<i64> = (0..HOSTS).map(|_| random.up_to(240 * S) - 120 * S).collect();
    let mut records = Vec::new();
    for second in 0..3_000 {
        for pod in 0..4 {
            let host = random.below(HOSTS) as usize;
            let truth = BASE + second * S + random.up_to(300 * MS);
            // Fast as a rule, and slow at times.
            let delay = match random.below(10) {
                0 => 20 * MS + random.up_to(4 * S),
                _ => 20 * MS + random.up_to(200 * MS),
            };
            let drift = (truth - BASE) / 1_000_000 * drift_ppm * (host as i64 % 3 - 1);
            let record = json!({
                "id": format!("{second}"),
                "source": format!("host-{host}"),
                "type": "probe.readiness",
                "subject": format!("pod-{pod}"),
                "time": format_rfc3339(truth - offsets[host] - drift),
                "recordedtime": format_rfc3339(truth + delay),
                "data": { "state": if random.chance(50) { "ready" } else { "unready" } },
            });
            records.push((truth + delay, truth, format!("{record}\n")));
        }
    }
    records.sort();
    Watched {
        partition: records.iter().flat_map(|(.., line)| line.bytes()).collect(),
        truth: records.iter().map(|(_, truth, _)| *truth).collect(),
    }
}

/// How many observations follow one that happened later, and how many there are.
fn errors(lab: &Lab, truth: &[i64]) -> (usize, usize) {
    let (mut wrong, mut all) = (0, 0);
    for pod in 0..4 {
        let logs = &lab.options().logs;
        let told = explain(&lab.rules, logs, &format!("pod-{pod}"), None).expect("it is explained");
        let rule = &told.rules[0];
        let line = |seen: &Observed| seen.origin.line as usize;
        let order: Vec<i64> = rule.observations().map(|seen| truth[line(seen) - 1]).collect();
        wrong += order.windows(2).filter(|pair| pair[0] > pair[1]).count();
        // What is late is in no order at all.
        wrong += told.not_used.len();
        all += order.len() + told.not_used.len();
    }
    (wrong, all)
}

#[test]
fn corrected_times_are_in_the_order_of_what_happened() {
    for (seed, drift_ppm) in [(1, 0), (2, 0), (3, 30)] {
        let watched = watched(&mut Random::new(seed), drift_ppm);
        let partitions = [watched.partition];
        let of = |corrects: bool| {
            let rules = rules(corrects).replace("lateness: 2s", "lateness: 5s");
            errors(&Lab::new(&rules, &partitions), &watched.truth)
        };
        let (wrong, all) = of(false);
        assert!(all == 12_000 && wrong * 4 > all, "it is out of order: {wrong} of {all}");
        let (wrong, all) = of(true);
        println!("seed {seed}: {wrong} of {all}");
        assert!(all == 12_000 && wrong * 1_000 < all, "{wrong} of {all}");
    }
}
