//! Whatever the records are, the draft is a rule file.

use expect_test::expect;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::rules::Rules;

fn objects(records: impl IntoIterator<Item = Value>) -> Vec<Record> {
    let object = |record| match record {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    };
    records.into_iter().map(object).collect()
}

fn text(records: impl IntoIterator<Item = Value>) -> String {
    Guess::new(Format::Json, objects(records))
        .unwrap_or_else(|no_draft| panic!("{no_draft}"))
        .text()
}

#[test]
fn names_and_values_speak_for_a_meaning() {
    let record = |number: u64| {
        json!({
            "@timestamp": format!("2026-01-01T00:{:02}:00Z", number % 60),
            "received_at": 1_767_225_600 + number * 60,
            "k8s.io": { "pod name": format!("cart-{}", number % 3), "Ready": !number.is_multiple_of(4) },
            "event_id": format!("e{number}"),
            "message": format!("probe {number}"),
            "in": "eu-1",
            "kind": if number.is_multiple_of(10) { "restart" } else { "probe.readiness" },
        })
    };
    expect![[r#"
        version: 1
        lateness: 5s                                # the records are in order; this leaves some room

        sources:
          log:
            format:   json                          # one JSON object a line
            time:     { field: "@timestamp", unit: rfc3339 }  # RFC 3339 in 60 of 60 records: 2026-01-01T00:00:00Z
            arrival:  { field: received_at, unit: s }  # seconds since 1970 in 60 of 60 records: 1767225600
            subject:  { field: "`k8s.io`.`pod name`" }  # 3 values in 60 records: cart-0 (20), cart-1 (20), cart-2 (20)
            source:   { const: log }                # no field says who reports
            type:     { field: kind }               # 2 values in 60 records: probe.readiness (54), restart (6)
            id:       { field: event_id }           # 60 values in 60 records: e0 (1), e1 (1), ...

        signals:
          readiness:
            from: log
            where: type == "probe.readiness"        # 2 values in 60 records: probe.readiness (54), restart (6)
            states:                                 # 2 values in 60 records: true (45), false (15)
              Ready: data["k8s.io"].Ready == true   # 42 records
              not-Ready: data["k8s.io"].Ready == false  # 12 records

        rules:
          - name: pod-name-readiness
            signal: readiness
            hold: { Ready: 10m, not-Ready: 10m }    # three times the usual 3m between observations, or more
    "#]].assert_eq(&text((0..60).map(record)));
}

#[test]
fn usual_formats_of_times_are_recognized() {
    for (example, wanted) in [
        ("02/Jan/2026:03:04:05 +0100", "format: \"%d/%b/%Y:%H:%M:%S %z\""),
        ("2026-01-02 03:04:05,123", "format: \"%Y-%m-%d %H:%M:%S,%f\""),
        ("2026-01-02 03:04:05", "format: \"%Y-%m-%d %H:%M:%S%.f\""),
        ("2026-01-02 03:04:05.123 +0100", "format: \"%Y-%m-%d %H:%M:%S%.f %z\""),
        ("2026-01-02 03:04:05 UTC", "format: \"%Y-%m-%d %H:%M:%S%.f UTC\""),
        ("2026-01-02T03:04:05.123456", "format: \"%Y-%m-%dT%H:%M:%S%.f\""),
        ("2026-01-02T03:04:05.123+0100", "format: \"%Y-%m-%dT%H:%M:%S%.f%z\""),
        ("2026/01/02 03:04:05", "format: \"%Y/%m/%d %H:%M:%S%.f\""),
        ("Fri, 02 Jan 2026 03:04:05 GMT", "format: \"%a, %d %b %Y %H:%M:%S GMT\""),
        ("Fri, 02 Jan 2026 03:04:05 -0700", "format: \"%a, %d %b %Y %H:%M:%S %z\""),
        ("Fri Jan  2 03:04:05 2026", "format: \"%a %b %e %H:%M:%S %Y\""),
        ("2026-01-02 03:04:05+01:00", "unit: rfc3339"),
    ] {
        let draft = text((0..20).map(|n| json!({ "logged": example, "up": n % 2 == 0 })));
        let line = format!("    time:     {{ field: logged, {wanted} }}\n");
        assert!(draft.contains(line.trim_end()), "{example}: {draft}");
        let says = ["rfc3339", "%z", "UTC", "GMT"].iter().any(|zone| wanted.contains(zone));
        assert_eq!(draft.contains("taken for UTC"), !says, "{draft}");
        Rules::parse("draft.yaml", &draft).unwrap_or_else(|errors| panic!("{errors}"));
    }
    // It may be the first of February.
    let records = (0..20).map(|_| json!({ "logged": "01/02/2026 03:04:05", "up": true }));
    assert!(Guess::new(Format::Json, objects(records)).is_err());
}

#[test]
fn spellings_of_a_state_are_one() {
    let values = ["UP", "up", "Up", "down", "up", "not-ready", "NotReady", "+", "-"];
    let record = |(number, value): (usize, &&str)| json!({ "t": 1e9 + number as f64, "s": value });
    let records = values.iter().enumerate().map(record);
    let draft = text(records.map(|mut record| {
        record["state"] = record["s"].take();
        record
    }));
    for line in [
        "      up: data.state in [\"up\", \"UP\", \"Up\"] ",
        "      not-ready: data.state in [\"not-ready\", \"NotReady\"] ",
        "      unnamed: data.state == \"+\" ",
        "      unnamed-2: data.state == \"-\" ",
    ] {
        assert!(draft.contains(line), "{line}: {draft}");
    }
}

#[test]
fn a_state_that_some_records_lack_is_asked_for() {
    let draft = text((0..20).map(|n| match n % 2 {
        0 => json!({ "t": 1_000_000_000 + n, "host": { "name": "a" }, "status": n % 4 == 0 }),
        _ => json!({ "t": 1_000_000_000 + n, "host": { "name": "b" } }),
    }));
    for line in ["where: has(data.status) ", "subject:  { field: host.name } ", "name: host-status"]
    {
        assert!(draft.contains(line), "{line}: {draft}");
    }
}

#[test]
fn a_gap_raises_max_advance() {
    let draft = text([1_000_000_000_u64, 1_010_000_000].map(|t| json!({ "t": t, "up": true })));
    assert!(draft.contains("max_advance: 116d "), "{draft}");
}

#[test]
fn numbers_that_are_called_times_need_not_rise() {
    let record = |number: u64, key: &str| {
        let nanos = 1_700_000_000_000_000_000 + number * 7_919 % 100 * 1_000_000_000;
        json!({ key: nanos, "n": 1_700_000_000 + number * 7_919 % 100, "up": number.is_multiple_of(2) })
    };
    let draft = text((0..50).map(|number| record(number, "StartTimeUnixNano")));
    assert!(draft.contains("time:     { field: StartTimeUnixNano, unit: ns }"), "{draft}");
    assert!(Guess::new(Format::Json, objects((0..50).map(|number| record(number, "x")))).is_err());
}

#[test]
fn an_array_of_objects_is_pointed_out() {
    let record = |number: u64| {
        let at = 1_700_000_000 + number;
        json!({ "at": at, "group": { "pods.all": [{ "name": "a" }], "n": [1] }, "pods": [{}] })
    };
    let draft = text((0..20).map(record));
    assert!(draft.contains("    # explode: \"group.`pods.all`\" "), "{draft}");
    Rules::parse("draft.yaml", &draft.replace("# explode", "explode"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let timeless = objects([json!({ "spans": [{ "at": 1 }] })]);
    let error = Guess::new(Format::Json, timeless).err().expect("no time").to_string();
    assert!(error.contains("called a time); with `explode: spans` each"), "{error}");
}

#[test]
fn without_a_time_there_is_no_draft() {
    let records = || objects((0..10).map(|n| json!({ "state": "up", "count": n, "at": "noon" })));
    let error = Guess::new(Format::Json, records()).err().map(|no_draft| no_draft.to_string());
    assert!(error.is_some_and(|error| error.contains("at, count, state")), "all fields are named");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_draft_is_always_a_rule_file(
        keys in prop::collection::vec("\\PC{0,6}|[\\x00-\\x7f]{0,4}|true|null|in|state|pod|kind|source", 1..8),
        values in prop::collection::vec("\\PC{0,5}|[\\x00-\\x{a0}\\x{2028}]{0,3}|true|up|down: #", 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let record = |number: usize| {
            let value = |at: usize| picks[(number + at) % 40].get(&values).as_str();
            let mut record = json!({ "ts": 1_767_225_600_000_i64 + number as i64 });
            for (at, key) in keys.iter().enumerate() {
                if key != "ts" {
                    record[key] = match at % 3 {
                        0 => json!(value(at)),
                        1 => json!({ "x.y": value(at), "ok": number.is_multiple_of(2) }),
                        _ => json!(number.is_multiple_of(2)),
                    };
                }
            }
            record
        };
        let draft = text((0..20).map(record));
        let rules = Rules::parse("draft.yaml", &draft);
        prop_assert!(rules.is_ok(), "{}\n{}", draft, rules.expect_err("it is wrong"));
    }
}
