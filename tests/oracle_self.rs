//! Tests of the oracle itself: the contract's example, and small logs worked out by hand, one
//! for each sentence of the contract. `oracle_laws` holds what must be true of every log.
//!
//! Times are in milliseconds from the start of the log's day. An episode is written
//! `state since..until @decided`, with `!` where it expired.

mod oracle;

use std::fs;
use std::path::Path;

use limbeck::model::time::format_rfc3339;
use oracle::logs::{BASE, signals};
use oracle::{DAY, Disposition, Episode, Expected, MS, RuleSpec, S, Spec, Suppressed, expected};
use serde_json::{Value, json};

/// The rule of the contract's example: ready 10 s, unready 30 s; degraded has no hold.
fn spec() -> Spec {
    let rule = |name: &str, signal, hold_ns| RuleSpec {
        name: name.into(),
        signal,
        hold_ns,
        ..RuleSpec::default()
    };
    Spec {
        lateness_ns: 5 * S,
        expire_after_ns: 7 * DAY,
        max_advance_ns: 30 * DAY,
        tick_ns: 100 * MS,
        labelled: false,
        until: None,
        corrects: false,
        signals: signals(),
        rules: vec![rule("pod-readiness", 0, vec![10 * S, 30 * S, 0])],
    }
}

fn until(ms: i64) -> Spec {
    Spec { until: Some(BASE + ms * MS), ..spec() }
}

fn expiring(ms: i64) -> Spec {
    Spec { expire_after_ns: ms * MS, ..spec() }
}

fn at(ms: i64) -> String {
    format_rfc3339(BASE + ms * MS)
}

/// A record of one entity: identity, event time, arrival and state.
fn record(id: &str, time: i64, arrival: i64, state: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "s", "type": "probe.readiness", "subject": "e",
        "time": at(time), "recordedtime": at(arrival), "data": {"state": state},
    })
}

/// A partition of records that differ in event time, arrival and state.
fn log(records: &[(i64, i64, &str)]) -> Vec<u8> {
    let record =
        |(index, r): (usize, &(i64, i64, &str))| record(&format!("{index:03}"), r.0, r.1, r.2);
    partition(&records.iter().enumerate().map(record).collect::<Vec<_>>())
}

fn partition(records: &[Value]) -> Vec<u8> {
    records.iter().map(|record| format!("{record}\n")).collect::<String>().into_bytes()
}

fn ms(time: i64) -> String {
    let nanos = time - BASE;
    if nanos % MS == 0 { (nanos / MS).to_string() } else { format!("{nanos}ns") }
}

fn text(episode: &Episode) -> String {
    let until = episode.until.map_or_else(String::new, ms);
    let expired = if episode.expired { "!" } else { "" };
    format!("{} {}..{until}{expired} @{}", episode.state, ms(episode.since), ms(episode.decided))
}

fn episodes(expected: &Expected) -> Vec<String> {
    expected.episodes.iter().map(text).collect()
}

fn updates(expected: &Expected) -> Vec<String> {
    let lines = expected.updates.iter().flat_map(|(at, changes)| {
        changes.iter().map(|(episode, diff)| format!("{}: {diff:+} {}", ms(*at), text(episode)))
    });
    lines.collect()
}

fn replay(spec: &Spec, records: &[(i64, i64, &str)]) -> Expected {
    expected(spec, &[log(records)])
}

fn dispositions(spec: &Spec, partitions: &[Vec<u8>]) -> Vec<&'static str> {
    let name = |disposition: &Disposition| match disposition {
        Disposition::DeadLetter(_) => "dead",
        Disposition::Unmatched => "unmatched",
        Disposition::Late => "late",
        Disposition::Duplicate { conflict: false } => "duplicate",
        Disposition::Duplicate { conflict: true } => "conflict",
        Disposition::Used => "used",
    };
    expected(spec, partitions).dispositions.values().map(name).collect()
}

fn data() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

#[test]
fn the_example_of_the_contract_is_copied_whole() {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/contract");
    for name in ["readiness.yaml", "readiness.ndjson", "readiness.expected.ndjson"] {
        match fs::read(contract.join(name)) {
            Ok(original) => assert_eq!(original, fs::read(data().join(name)).unwrap(), "{name}"),
            Err(_) => eprintln!("skipped: no contract beside the workspace holds {name}"),
        }
    }
}

#[test]
fn the_example_of_the_contract() {
    let log = fs::read(data().join("readiness.ndjson")).unwrap();
    let expected = expected(&spec(), &[log]);
    let rows: Vec<Value> = (expected.episodes.iter())
        .map(|episode| {
            json!({
                "entity": episode.entity, "state": episode.state,
                "since": format_rfc3339(episode.since),
                "until": episode.until.map(format_rfc3339),
                "decided": format_rfc3339(episode.decided),
            })
        })
        .collect();
    let wanted = fs::read_to_string(data().join("readiness.expected.ndjson")).unwrap();
    let wanted: Vec<Value> = wanted.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows, wanted);
    let counts = expected.counts;
    assert_eq!((counts.records, counts.used, counts.late), (19, 14, 1));
    assert_eq!((counts.duplicates, counts.conflicts, counts.unmatched), (1, 0, 2));
    assert_eq!(expected.dead_letters, [(0, 7)]);
    // cart-0 timed out once for 8 s; the probe of cart-2 still waits.
    let suppressed = Suppressed { hold: 1, ..Suppressed::default() };
    assert_eq!(expected.suppressed["pod-readiness"], suppressed);
}

#[test]
fn a_run_is_established_when_it_has_lasted_its_hold() {
    let spec = spec();
    for (contrary, wanted) in [(9_999, vec![]), (10_000, vec!["ready 0.. @10000"])] {
        let records =
            [(0, 0, "ready"), (contrary, contrary, "unready"), (12_000, 12_000, "unready")];
        assert_eq!(episodes(&replay(&spec, &records)), wanted, "contrary at {contrary}");
    }
    // The spelling is not the state, and neither is a repeat.
    let same = replay(&spec, &[(0, 0, "ready"), (5_000, 5_000, "ok"), (10_000, 10_000, "Ready")]);
    assert_eq!(episodes(&same), ["ready 0.. @10000"]);
}

#[test]
fn the_clock_is_compared_exactly() {
    for (end, wanted) in [(9_999, vec![]), (10_000, vec!["ready 0.. @10000"])] {
        assert_eq!(episodes(&replay(&spec(), &[(0, 0, "ready"), (1, end, "ready")])), wanted);
        assert_eq!(episodes(&replay(&until(end), &[(0, 0, "ready")])), wanted);
    }
    // An update is of the tick after its deadline even where the log ends before that.
    let log = [(33, 33, "ready"), (34, 10_033, "ready")];
    let late_enough = Spec { lateness_ns: 20 * S, ..spec() };
    assert_eq!(updates(&replay(&late_enough, &log)), ["10100: +1 ready 33.. @10033"]);
}

#[test]
fn a_run_without_length_is_never_established() {
    let zero = replay(&spec(), &[(0, 0, "degraded"), (0, 0, "ready"), (20_000, 20_000, "ready")]);
    assert_eq!(episodes(&zero), ["ready 0.. @10000"]);
    let last = replay(&spec(), &[(0, 0, "ready"), (0, 0, "degraded")]);
    assert_eq!(episodes(&last), ["degraded 0.. @0"]);
    let one = replay(&spec(), &[(0, 0, "degraded"), (1, 1, "ready"), (20_000, 20_000, "ready")]);
    assert_eq!(episodes(&one), ["degraded 0..1 @0", "ready 1.. @10001"]);
}

#[test]
fn ties_go_by_source_sequence_and_id() {
    let tied = |source: &str, sequence: Value, id: &str, state: &str| {
        let mut record = record(id, 0, 0, state);
        record["source"] = source.into();
        record["sequence"] = sequence;
        record
    };
    // Whoever comes last at one event time has length; the others have none.
    for (a, b) in [
        (("a", json!(null), "2"), ("b", json!(null), "1")),
        (("Z", json!("9"), "2"), ("a", json!("1"), "1")),
        (("z", json!("9"), "2"), ("é", json!("1"), "1")),
        (("a", json!(null), "2"), ("a", json!("0"), "1")),
        (("a", json!("9"), "2"), ("a", json!("10"), "1")),
        (("a", json!(9), "2"), ("a", json!("010"), "1")),
        (("a", json!("18446744073709551615"), "2"), ("a", json!("18446744073709551616"), "1")),
        (("a", json!("99999999999999999999999"), "2"), ("a", json!("-1"), "1")),
        (("a", json!("999"), "2"), ("a", json!(""), "1")),
        (("a", json!("7"), "1"), ("a", json!("007"), "2")),
        (("a", json!("7"), "10"), ("a", json!("7"), "9")),
    ] {
        let first = tied(a.0, a.1, a.2, "ready");
        let second = tied(b.0, b.1, b.2, "degraded");
        for records in [[first.clone(), second.clone()], [second, first]] {
            let expected = expected(&spec(), &[partition(&records)]);
            assert_eq!(episodes(&expected), ["degraded 0.. @0"], "{records:?}");
        }
    }
}

#[test]
fn an_episode_ends_where_the_next_established_run_starts() {
    let flap = replay(
        &spec(),
        &[
            (0, 0, "ready"),
            (20_000, 20_000, "unready"),
            (25_000, 25_000, "ready"),
            (40_000, 40_000, "ready"),
            (50_000, 50_000, "unready"),
            (80_000, 80_000, "ready"),
            (80_001, 80_001, "degraded"),
        ],
    );
    let wanted =
        ["ready 0..50000 @10000", "unready 50000..80001 @80000", "degraded 80001.. @80001"];
    assert_eq!(episodes(&flap), wanted);
    // The blip at 20 s, and the millisecond of ready.
    assert_eq!(flap.suppressed["pod-readiness"], Suppressed { hold: 2, ..Suppressed::default() });
    let wanted = [
        "10000: +1 ready 0.. @10000",
        "80000: -1 ready 0.. @10000",
        "80000: +1 ready 0..50000 @10000",
        "80000: +1 unready 50000.. @80000",
        "80100: -1 unready 50000.. @80000",
        "80100: +1 unready 50000..80001 @80000",
        "80100: +1 degraded 80001.. @80001",
    ];
    assert_eq!(updates(&flap), wanted);
}

#[test]
fn what_arrives_later_withdraws_or_moves() {
    let withdrawn = [(0, 0, "ready"), (11_000, 11_000, "ready"), (9_000, 12_050, "unready")];
    let wanted = ["10000: +1 ready 0.. @10000", "12000: -1 ready 0.. @10000"];
    assert_eq!(updates(&replay(&spec(), &withdrawn)), wanted);
    let moved = [(2_000, 2_000, "ready"), (12_000, 12_000, "ready"), (8_000, 12_100, "ready")];
    assert_eq!(updates(&replay(&spec(), &moved)), ["12000: +1 ready 2000.. @12000"]);
    let moved = [(4_000, 4_000, "degraded"), (1_000, 5_000, "degraded")];
    let wanted = [
        "4000: +1 degraded 4000.. @4000",
        "5000: -1 degraded 4000.. @4000",
        "5000: +1 degraded 1000.. @1000",
    ];
    let mut got = updates(&replay(&spec(), &moved));
    got[1..].sort_by_key(|line| line.contains("+1"));
    assert_eq!(got, wanted);
    // What comes and goes within a tick is not shown.
    let within = [(0, 10, "degraded"), (0, 90, "degraded"), (0, 95, "ready")];
    assert_eq!(updates(&replay(&spec(), &within)), [""; 0]);
}

#[test]
fn an_event_time_may_be_ahead_of_the_clock() {
    let ahead = [(4_000, 0, "degraded"), (8_000, 3_000, "ready")];
    assert_eq!(episodes(&replay(&spec(), &ahead)), [""; 0]);
    assert_eq!(updates(&replay(&until(7_999), &ahead)), ["4000: +1 degraded 4000.. @4000"]);
    let wanted = [
        "4000: +1 degraded 4000.. @4000",
        "18000: -1 degraded 4000.. @4000",
        "18000: +1 degraded 4000..8000 @4000",
        "18000: +1 ready 8000.. @18000",
    ];
    assert_eq!(updates(&replay(&until(18_000), &ahead)), wanted);
    // Known already, it cuts short what is before it.
    let contrary = [(0, 0, "ready"), (9_000, 0, "unready")];
    assert_eq!(episodes(&replay(&until(15_000), &contrary)), [""; 0]);
}

#[test]
fn a_history_expires() {
    let spec = expiring(20_000);
    let again = [
        (0, 0, "ready"),
        (10_000, 10_000, "ready"),
        (30_000, 30_000, "ready"),
        (45_000, 45_000, "ready"),
    ];
    let wanted = ["ready 0..10000! @10000", "ready 30000.. @40000"];
    assert_eq!(episodes(&replay(&spec, &again)), wanted);
    let just_in_time = [(0, 0, "ready"), (10_000, 10_000, "ready"), (29_999, 29_999, "ready")];
    assert_eq!(episodes(&replay(&spec, &just_in_time)), ["ready 0.. @10000"]);
    for (end, wanted) in [(29_999, "ready 0.. @10000"), (30_000, "ready 0..10000! @10000")] {
        let spec = Spec { until: Some(BASE + end * MS), ..expiring(20_000) };
        assert_eq!(
            episodes(&replay(&spec, &[(0, 0, "ready"), (10_000, 10_000, "ready")])),
            [wanted]
        );
    }
    let wanted = ["20000: -1 degraded 0.. @0", "20000: +1 degraded 0..0! @0"];
    let alone = Spec { until: Some(BASE + 60_000 * MS), ..expiring(19_950) };
    assert_eq!(updates(&replay(&alone, &[(0, 0, "degraded")]))[1..], wanted);
    // The last observation ends the episode, whatever it shows; what waited is dropped.
    let waiting = [(0, 0, "ready"), (15_000, 15_000, "unready"), (40_000, 40_000, "ready")];
    let dropped = replay(&spec, &waiting);
    assert_eq!(episodes(&dropped), ["ready 0..15000! @10000"]);
    assert_eq!(
        dropped.suppressed["pod-readiness"],
        Suppressed { expired: 1, ..Suppressed::default() }
    );
}

/// As `promtool test rules` (2.42) says of the same values: above 50 is unready.
#[test]
fn a_keep_is_that_of_prometheus() {
    let minutes = |hold: i64, keep: i64, values: &[i64]| {
        let mut spec = until(3_600_000);
        spec.rules[0].hold_ns = vec![0, hold * 60 * S, 0];
        spec.rules[0].keep_ns = vec![0, keep * 60 * S, 0];
        let state = |value: &i64| if *value > 50 { "unready" } else { "ready" };
        let records = values.iter().enumerate().map(|(minute, value)| {
            let at = minute as i64 * 60_000;
            (at, at, state(value))
        });
        let expected = replay(&spec, &records.collect::<Vec<_>>());
        (episodes(&expected), expected.suppressed["pod-readiness"])
    };
    let (said, suppressed) = minutes(1, 1, &[75, 85, 70, 70, 10, 10]);
    assert_eq!(said, ["unready 0..300000 @60000", "ready 300000.. @300000"]);
    assert_eq!(suppressed, Suppressed::default());
    let (said, _) = minutes(0, 2, &[75, 85, 70, 70, 10, 10, 10, 10]);
    assert_eq!(said, ["unready 0..360000 @0", "ready 360000.. @360000"]);
    // It returns in the last instant of the keep, twice, and does not last.
    let values = [60, 60, 60, 10, 10, 60, 10, 10, 60, 10, 10, 10, 60, 10];
    let (said, suppressed) = minutes(2, 2, &values);
    assert_eq!(said, ["unready 0..660000 @120000", "ready 660000.. @660000"]);
    assert_eq!(suppressed, Suppressed { hold: 3, keep: 4, ..Suppressed::default() });
}

#[test]
fn a_deadline_at_the_expiry_comes_first() {
    let log = [(0, 0, "ready"), (60_000, 60_000, "unready")];
    assert_eq!(episodes(&replay(&expiring(10_000), &log)), ["ready 0..0! @10000"]);
    assert_eq!(episodes(&replay(&expiring(9_999), &log)), [""; 0]);
    let wanted = ["10000: +1 ready 0..0! @10000"];
    assert_eq!(updates(&replay(&expiring(10_000), &log)), wanted);
}

#[test]
fn an_expiry_is_taken_back() {
    let log = [(0, 0, "degraded"), (7_000, 7_000, "ready"), (3_500, 7_200, "degraded")];
    let wanted = [
        "0: +1 degraded 0.. @0",
        "6000: -1 degraded 0.. @0",
        "6000: +1 degraded 0..0! @0",
        "7200: -1 degraded 0..0! @0",
        "7200: +1 degraded 0.. @0",
    ];
    let mut got = updates(&replay(&expiring(6_000), &log));
    got[3..].sort_by_key(|line| line.contains("+1"));
    assert_eq!(got, wanted);
}

#[test]
fn late_is_more_than_lateness() {
    let log = log(&[(0, 5_000, "ready"), (0, 5_001, "ready"), (9_000, 5_002, "ready")]);
    assert_eq!(dispositions(&spec(), &[log]), ["used", "late", "used"]);
    // Arrival is raised to the largest before it, and without it event time stands in.
    let mut bare = record("bare", 20_000, 0, "ready");
    bare.as_object_mut().unwrap().remove("recordedtime");
    let raised = record("raised", 14_999, 14_999, "ready");
    let on_time = record("on time", 15_000, 15_000, "ready");
    let nothing = json!({"id": "", "source": "", "type": "", "time": at(30_000)});
    let late = record("late", 20_000, 20_000, "ready");
    let log = partition(&[bare, raised, on_time, nothing, late]);
    assert_eq!(dispositions(&spec(), &[log]), ["used", "late", "used", "unmatched", "late"]);
}

#[test]
fn the_first_of_equal_records_counts() {
    let one = record("a", 0, 1_000, "ready");
    let again = record("a", 0, 2_000, "ready");
    let earlier = record("a", 0, 500, "unready");
    let late = record("a", 0, 5_001, "ready");
    let partitions =
        [partition(&[one.clone(), again.clone(), late]), partition(&[earlier, one.clone()])];
    let wanted = ["conflict", "conflict", "late", "used", "conflict"];
    assert_eq!(dispositions(&spec(), &partitions), wanted);
    // At one arrival the partition decides, then the position.
    let partitions =
        [partition(&[one.clone(), one.clone()]), partition(std::slice::from_ref(&one))];
    assert_eq!(dispositions(&spec(), &partitions), ["used", "duplicate", "duplicate"]);
    // Another source, time or subject is another record, and so is one that shows no state.
    let other = |key: &str, value: &str| {
        let mut record = one.clone();
        record[key] = value.into();
        record
    };
    let mut silent = again;
    silent["data"]["state"] = "weird".into();
    let same_instant = other("time", "2026-01-01T01:00:00+01:00");
    let others =
        [other("source", "t"), other("subject", "f"), other("time", &at(1)), silent, same_instant];
    let log = [partition(&[vec![one.clone()], others.to_vec()].concat())];
    let wanted = ["used", "used", "used", "used", "unmatched", "conflict"];
    assert_eq!(dispositions(&spec(), &log), wanted);
}

#[test]
fn an_absurd_arrival_moves_nothing() {
    let spec = Spec { max_advance_ns: 60 * S, ..spec() };
    let log_a =
        log(&[(0, 0, "ready"), (0, 60_001, "ready"), (60_000, 60_000, "ready"), (0, 0, "ok")]);
    // Each partition has its own clock, and the first record sets it.
    let log_b = log(&[(900_000, 900_000, "unready")]);
    let wanted = ["used", "dead", "used", "late", "used"];
    assert_eq!(dispositions(&spec, &[log_a, log_b]), wanted);
}

#[test]
fn until_leaves_out_what_arrives_after() {
    let first = log(&[(0, 0, "degraded"), (10, 10, "ready"), (11, 11, "ready"), (5, 5, "ready")]);
    let second = b"\n{}\n".to_vec();
    let expected = expected(&until(10), &[first, second]);
    assert_eq!(expected.counts.records, 3);
    assert_eq!(expected.dead_letters, [(1, 2)]);
    assert_eq!(updates(&expected), ["0: +1 degraded 0.. @0"]);
}

#[test]
fn a_record_may_be_an_observation_of_several_signals() {
    let rule =
        RuleSpec { name: "pod-load".into(), signal: 1, hold_ns: vec![0, 0], ..RuleSpec::default() };
    let mut spec = spec();
    spec.rules.push(rule);
    let mut both = record("a", 0, 0, "degraded");
    both["type"] = "probe.both".into();
    both["data"]["load"] = "max".into();
    let mut one = record("b", 1, 1, "weird");
    one["type"] = "probe.both".into();
    one["data"]["load"] = "idle".into();
    let expected = expected(&spec, &[partition(&[both, one])]);
    assert_eq!(expected.counts.used, 2);
    assert_eq!(episodes(&expected), ["high 0..1 @0", "degraded 0.. @0", "low 1.. @1"]);
}
