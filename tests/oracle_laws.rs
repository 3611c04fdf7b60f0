//! What must be true of the oracle for every log, and of the logs it is given.

mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use oracle::damage::damaged;
use oracle::decode::{decode, is_blank};
use oracle::lines::Draft;
use oracle::logs::{BASE, Random, case};
use oracle::{Disposition, Episode, Expected, MS, Used, expected};

fn replays(seeds: std::ops::Range<u64>, mut each: impl FnMut(oracle::logs::Case, Expected)) {
    for seed in seeds {
        let case = case(seed);
        let expected = expected(&case.spec, &case.partitions);
        each(case, expected);
    }
}

#[test]
fn updates_sum_to_what_holds_at_the_end() {
    replays(0..1_000, |case, expected| {
        let mut sum: BTreeMap<Episode, i64> = BTreeMap::new();
        for changes in expected.updates.values() {
            for (episode, diff) in changes {
                *sum.entry(episode.clone()).or_default() += diff;
                assert!((0..=1).contains(&sum[episode]), "{}", case.show());
            }
            sum.retain(|_, count| *count != 0);
        }
        let held: Vec<_> = sum.into_keys().collect();
        assert_eq!(held, expected.episodes, "{}", case.show());
    });
}

#[test]
fn nothing_changes_between_the_logical_times_considered() {
    replays(0..400, |case, _| {
        let spec = &case.spec;
        let intake = oracle::intake::intake(spec, &case.partitions);
        let histories = oracle::histories(spec, &intake.used);
        let Some(end) = intake.end else { return };
        let times = oracle::logical_times(spec, &histories, end);
        let view = |at| oracle::view(spec, &histories, at, Some(end));
        for at in &times {
            let tick = i128::from(spec.tick_ns);
            assert_eq!(at.rem_euclid(tick), 0);
            let before = times.range(..at).next_back().map_or_else(Vec::new, |t| view(*t));
            assert_eq!(view(at - tick), before, "before {at}\n{}", case.show());
        }
    });
}

#[test]
fn the_tick_changes_no_final_episode() {
    replays(0..400, |mut case, wanted| {
        for tick_ns in [1, MS, 77 * MS, 3_600_000 * MS] {
            case.spec.tick_ns = tick_ns;
            let got = expected(&case.spec, &case.partitions);
            assert_eq!(got.episodes, wanted.episodes, "{}", case.show());
            assert_eq!(got.suppressed, wanted.suppressed, "{}", case.show());
        }
    });
}

/// What was known then is what a replay of the log up to then says.
#[test]
fn history_is_the_replay_of_each_prefix() {
    replays(0..400, |mut case, _| {
        case.spec.tick_ns = 1;
        let whole = expected(&case.spec, &case.partitions);
        if whole.counts.records > 30 {
            return;
        }
        let mut held: BTreeSet<Episode> = BTreeSet::new();
        for (at, changes) in &whole.updates {
            for (episode, diff) in changes {
                assert!(if *diff > 0 {
                    held.insert(episode.clone())
                } else {
                    held.remove(episode)
                });
            }
            case.spec.until = Some(*at);
            let prefix = expected(&case.spec, &case.partitions);
            assert!(held.iter().eq(&prefix.episodes), "at {at}\n{}", case.show());
        }
    });
}

#[test]
fn episodes_of_one_rule_and_entity_follow_one_another() {
    replays(0..1_000, |case, expected| {
        let mut last: BTreeMap<(&str, &str), &Episode> = BTreeMap::new();
        for episode in &expected.episodes {
            let key = (episode.rule.as_str(), episode.entity.as_str());
            if let Some(before) = last.insert(key, episode) {
                let until = before.until.expect("one that another follows has ended");
                assert!(until <= episode.since, "{}", case.show());
                assert!(before.expired || until == episode.since, "{}", case.show());
                assert!(before.expired || before.state != episode.state, "{}", case.show());
            }
            assert!(episode.decided >= episode.since);
            assert!(episode.until.is_none_or(|until| until >= episode.since));
        }
    });
}

#[test]
fn counts_add_up() {
    replays(0..1_000, |_, expected| {
        let c = expected.counts;
        assert_eq!(c.records, c.used + c.late + c.duplicates + c.unmatched + c.dead_letters);
        assert!(c.conflicts <= c.duplicates);
    });
}

#[test]
fn a_seed_gives_the_same_log_everywhere() {
    for seed in 0..50 {
        let (a, b) = (case(seed), case(seed));
        assert_eq!(a.show(), b.show());
        assert_eq!(a.partitions, b.partitions);
    }
}

#[test]
fn damaged_lines_are_dead_letters_and_others_are_not() {
    let mut random = Random::new(7);
    for index in 0..20_000 {
        let draft = Draft {
            id: format!("e{index}"),
            source: (*random.pick(&["/a", "", "/probé"])).to_owned(),
            kind: "probe.readiness".to_owned(),
            subject_json: random.chance(80).then(|| "\"e\"".to_owned()),
            time: "2026-01-01T00:00:00Z".to_owned(),
            recorded: random.chance(50).then(|| "2026-01-01T00:00:00Z".to_owned()),
            sequence_json: random.chance(50).then(|| "\"1\"".to_owned()),
            data_json: random.chance(80).then(|| "{\"state\":\"ready\"}".to_owned()),
            extra: String::new(),
        };
        let good = draft.line(&mut random);
        assert!(decode(good.as_bytes()).is_ok(), "{good}");
        let bad = damaged(&draft, &mut random);
        let text = String::from_utf8_lossy(&bad);
        assert!(decode(&bad).is_err() && !is_blank(&bad), "{text}");
        assert!(!bad.contains(&b'\n'), "{text}");
    }
}

/// The CEL of the rule file, judged by its own library, shows the states that the closures show.
#[test]
fn the_rule_file_says_what_the_spec_says() {
    let holds = |condition: &str, record: &serde_json::Value| {
        let program = cel::Program::compile(condition).expect("the condition is CEL");
        let mut context = cel::Context::default();
        for name in ["type", "data"] {
            if let Some(value) = record.get(name) {
                context.add_variable(name, value).expect("JSON is a value");
            }
        }
        matches!(program.execute(&context), Ok(cel::Value::Bool(true)))
    };
    replays(0..60, |case, _| {
        let (_, rest) = case.yaml.split_once("signals:\n").expect("a section of signals");
        let (signals, _) = rest.split_once("\nrules:").expect("a section of rules");
        let signals = signals.replace("    labels: { by: source }\n", "");
        let sections: Vec<_> = signals.split("    where: ").skip(1).collect();
        for line in case.partitions.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
            let Ok(record) = decode(line) else { continue };
            let of_states = case.spec.signals.iter().filter(|signal| !signal.states.is_empty());
            for (signal, section) in of_states.zip(&sections) {
                let (condition, states) = section.split_once('\n').expect("states below");
                let states = states.lines().filter_map(|line| line.trim().split_once(": "));
                let shown = (states.map(|(_, condition)| holds(condition, &record.json)))
                    .position(|fits| fits)
                    .filter(|_| holds(condition, &record.json));
                assert_eq!(shown, (signal.matches)(&record.json), "{:?}", record.json);
            }
        }
    });
}

/// Each edge the generator is for is met by many of its logs.
#[test]
fn the_logs_meet_every_edge() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let seeds = 2_000;
    replays(0..seeds, |case, expected| {
        let mut meet = |edge, times: usize| *met.entry(edge).or_default() += usize::from(times > 0);
        let c = expected.counts;
        meet("late", c.late);
        meet("duplicate", c.duplicates - c.conflicts);
        meet("conflict", c.conflicts);
        meet("unmatched", c.unmatched);
        let jumps = |d: &&Disposition| **d == Disposition::DeadLetter("arrival jumps".to_owned());
        meet("jump", expected.dispositions.values().filter(jumps).count());
        meet("damaged", c.dead_letters);
        let changes = || expected.updates.values().flatten();
        let open = |e: &&(Episode, i64)| e.1 < 0 && e.0.until.is_none();
        let closed = |e: &&(Episode, i64)| e.1 < 0 && e.0.until.is_some();
        meet("closed or withdrawn", changes().filter(open).count());
        meet("reopened or moved", changes().filter(closed).count());
        let expired = || expected.episodes.iter().filter(|e| e.expired);
        meet("expired", expired().count());
        meet("expired while waiting", expected.suppressed.values().map(|s| s.expired).sum());
        meet("suppressed", expected.suppressed.values().map(|s| s.hold).sum());
        meet("kept", expected.suppressed.values().map(|s| s.keep).sum());
        meet("damped", expected.suppressed.values().map(|s| s.damped).sum());
        meet("without a rate", expected.suppressed.values().map(|s| s.unrated).sum());
        meet("without a quorum", expected.suppressed.values().map(|s| s.outvoted).sum());
        let divided = expected.episodes.iter().filter(|e| !e.minority.is_empty());
        meet("a minority", divided.count());
        meet("in a grace", expected.suppressed.values().map(|s| s.spared).sum());
        let of = |state: &str| expected.episodes.iter().filter(|e| e.state == state).count();
        meet("flapping", of("flapping"));
        meet("unknown", of("unknown"));
        meet("session", of("session"));
        meet("above", of("above"));
        meet("below", of("below"));
        meet("normal", of("normal"));
        meet("several partitions", case.partitions.len() - 1);

        let intake = oracle::intake::intake(&case.spec, &case.partitions);
        let (lateness, end) = (case.spec.lateness_ns, intake.end.unwrap_or(BASE));
        let age = |u: &Used| u.arrival.saturating_sub(u.record.event_time);
        meet("exactly at lateness", intake.used.iter().filter(|u| age(u) == lateness).count());
        meet("ahead", intake.used.iter().filter(|u| u.record.event_time > u.arrival).count());
        meet("ahead of the end", intake.used.iter().filter(|u| u.record.event_time > end).count());
        for ((signal, _), history) in oracle::histories(&case.spec, &intake.used) {
            let contrary = || history.windows(2).filter(|pair| pair[0].state != pair[1].state);
            meet("no length", contrary().filter(|p| p[0].time == p[1].time).count());
            for rule in case.spec.rules.iter().filter(|rule| rule.signal == signal) {
                let gap = |wait: i64| {
                    contrary().filter(move |p| p[1].time - p[0].time == i128::from(wait))
                };
                let holds = rule.hold_ns.iter().filter(|hold| **hold > 0);
                meet("contrary at the deadline", holds.map(|hold| gap(*hold).count()).sum());
                meet("gap exactly of expiry", gap(case.spec.expire_after_ns).count());
            }
        }
    });
    println!("{met:#?}");
    for (edge, logs) in met {
        assert!(logs as u64 * 50 > seeds, "{edge} is met by only {logs} of {seeds} logs");
    }
}
