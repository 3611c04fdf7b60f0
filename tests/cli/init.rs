//! A first rule file, guessed from a log: it is right, and it reads the log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect;

use super::Place;
use super::common::rows;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The lines that become dead letters when rules read a log.
fn dead_lines(place: &Place, rules: &str, log: &str) -> BTreeSet<u64> {
    place.run(&format!("replay --rules {rules} --log {log} --out out")).assert(0, &[]);
    let outputs = place.outputs("out");
    let line = |row: &serde_json::Value| row["line"].as_u64().expect("a dead letter has a line");
    assert!(outputs.summary["used"].as_u64() > Some(0), "{log}: {}", outputs.summary);
    rows(&outputs.dead_letters).iter().map(line).collect()
}

/// What is dead to the draft is dead to the rules that people wrote for the log, too.
#[test]
fn drafts_read_the_logs_of_the_repository() {
    let place = Place::new();
    for (log, rules) in [
        ("tests/data/readiness.ndjson", "tests/data/readiness.yaml"),
        ("tests/golden/flat/flat.ndjson.zst", "tests/golden/flat/rules.yaml"),
        ("tests/golden/readiness/readiness.ndjson", "tests/golden/readiness/rules.yaml"),
        ("tests/golden/adversarial/a.ndjson", "tests/golden/adversarial/rules.yaml"),
        ("tests/golden/adversarial/b.ndjson", "tests/golden/adversarial/rules.yaml"),
        ("tests/golden/adversarial/c.ndjson", "tests/golden/adversarial/rules.yaml"),
        ("datasets/flap-generated/log.ndjson.zst", "datasets/flap-generated/rules.yaml"),
    ] {
        let (log, rules) = (repository(log), repository(rules));
        let (log, rules) = (log.to_str().expect("a path"), rules.to_str().expect("a path"));
        let ran = place.run(&format!("init {log}"));
        ran.assert(0, &[]);
        place.write("draft.yaml", ran.said.as_bytes());
        let checked = place.run(&format!("check draft.yaml --sample {log}"));
        checked.assert(0, &[]);
        // No draft waits longer than a day; of the records of one log that is too short.
        let too_late = log.ends_with("adversarial/c.ndjson")
            && checked.complained.contains("records of")
            && checked.complained.contains("are late")
            && checked.complained.ends_with("\n1 warning\n\n");
        assert!(checked.complained.is_empty() || too_late, "{log}: {checked:?}: {}", ran.said);
        let by_draft = dead_lines(&place, "draft.yaml", log);
        let by_hand = dead_lines(&place, rules, log);
        assert!(by_draft.is_subset(&by_hand), "{log}: {by_draft:?}, {by_hand:?}: {}", ran.said);
    }
}

/// The states of its column are spelt in more ways than a state can have.
#[test]
fn a_draft_reads_the_recorded_checks() {
    let place = Place::new();
    let log = repository("datasets/haproxy/checks.csv.zst");
    let log = log.to_str().expect("a path");
    let ran = place.run(&format!("init {log}"));
    ran.assert(0, &[]);
    for line in [
        "    format:   csv ",
        "    time:     { field: asked, unit: rfc3339 } ",
        "    arrival:  { field: recorded, unit: rfc3339 } ",
        "    subject:  { field: svname } ",
    ] {
        assert!(ran.said.contains(line), "{line}: {}", ran.said);
    }
    place.write("draft.yaml", ran.said.as_bytes());
    assert_eq!(dead_lines(&place, "draft.yaml", log), BTreeSet::new());
}

#[test]
fn a_draft_gives_its_evidence() {
    let place = Place::new();
    place.write("flat.ndjson", &super::flat_log(1_000));
    let ran = place.run("init flat.ndjson");
    ran.assert(0, &[]);
    expect![[r##"
        # A first rule file, guessed from 1,000 records.
        # The comments say why: check them.
        version: 1
        lateness: 5s                                # 99.9 % of the records came within 3s820ms

        sources:
          log:
            format:   json                          # one JSON object a line
            time:     { field: ts, unit: ms }       # milliseconds since 1970 in 1,000 of 1,000 records: 1767225600000
            subject:  { field: entity }             # 100 values in 1,000 records: pod-000044 (32), pod-000090 (28), ...
            source:   { const: probe }              # 1 value in 1,000 records: probe (1,000)
            type:     { field: kind }               # 1 value in 1,000 records: readiness (1,000)
            sequence: { field: seq }                # 29 values in 1,000 records: 6 (109), 3 (108), ...

        signals:
          readiness:
            from: log
            where: type == "readiness"              # 1 value in 1,000 records: readiness (1,000)
            states:                                 # 2 values in 1,000 records: ready (847), unready (153)
              ready: data.state == "ready"          # 847 records
              unready: data.state == "unready"      # 153 records

        rules:
          - name: entity-readiness
            signal: readiness
            hold: { ready: 30m, unready: 30m }      # three times the usual 5m58s between observations, or more
    "##]].assert_eq(&ran.said);
    place.write("draft.yaml", ran.said.as_bytes());
    assert_eq!(dead_lines(&place, "draft.yaml", "flat.ndjson"), BTreeSet::new());
    let packed = zstd::encode_all(&super::flat_log(1_000)[..], 1).expect("a Vec takes every write");
    assert_eq!(place.run_with_input("init -", &packed).said, ran.said);
}

#[test]
fn rows_are_recognised_whatever_stands_between_their_columns() {
    let place = Place::new();
    let mut log = "\u{feff}seen;code;unit;\"health; as said\";status;note\r\n".to_owned();
    for number in 0..40 {
        let status = if number % 8 < 6 { "passing" } else { "critical" };
        let (minute, unit) = (number / 4, number % 4);
        log += &format!("2026-01-01 00:{minute:02}:0{unit};{};u{unit};x;{status};\r\n", unit % 2);
    }
    log += "not a row\r\n";
    place.write("rows", log.as_bytes());
    let ran = place.run("init rows");
    ran.assert(0, &[]);
    expect![[r##"
        # A first rule file, guessed from 40 of 41 lines; the others are no rows.
        # The comments say why: check them.
        version: 1
        lateness: 5s                                # the records are in order; this leaves some room

        sources:
          log:
            format:   csv                           # rows under the first line, which names the columns
            delimiter: ";"
            # this format in 40 of 40 records: 2026-01-01 00:00:00; taken for UTC, unless there is zone: "+02:00"
            time:     { field: seen, format: "%Y-%m-%d %H:%M:%S%.f" }
            subject:  { field: unit }               # 4 values in 40 records: u0 (10), u1 (10), u2 (10), u3 (10)
            source:   { const: log }                # no field says who reports
            type:     { const: record }             # no field says of what kind a record is

        signals:
          status:
            from: log
            states:                                 # 2 values in 40 records: passing (30), critical (10)
              passing: data.status == "passing"     # 30 records
              critical: data.status == "critical"   # 10 records

        rules:
          - name: unit-status
            signal: status
            hold: { passing: 5m, critical: 5m }     # three times the usual 1m between observations, or more
    "##]]
    .assert_eq(&ran.said);
    place.write("draft.yaml", ran.said.as_bytes());
    assert_eq!(dead_lines(&place, "draft.yaml", "rows"), BTreeSet::from([42]));
    for mark in [",", "\t", "|"] {
        place.write("others", log.replace("; as", "").replace(';', mark).as_bytes());
        let ran = place.run("init others");
        ran.assert(0, &[]);
        let delimiter = if mark == "\t" { "tab".to_owned() } else { format!("\"{mark}\"") };
        let said = ran.said.contains(&format!("    delimiter: {delimiter}\n"));
        assert_eq!(said, mark != ",", "{}", ran.said);
        place.write("draft.yaml", ran.said.as_bytes());
        assert_eq!(dead_lines(&place, "draft.yaml", "others"), BTreeSet::from([42]));
    }
}

#[test]
fn cloudevents_are_recognised() {
    let place = Place::new();
    let ran = place.run("init probes.ndjson");
    ran.assert(0, &[]);
    expect![[r##"
        # A first rule file, guessed from 18 of 19 lines; the others are no JSON objects.
        # The comments say why: check them.
        version: 1
        lateness: 10s                               # 99.9 % of the records came within 10s

        # The lines are CloudEvents 1.0: no source has to be described.

        signals:
          readiness:
            where: type == "probe.readiness"        # 2 values in 18 records: probe.readiness (17), probe.liveness (1)
            states:                                 # 7 values in 18 records: ready (7), unready (5), ...
              ready: data.state in ["ready", "Ready"]  # 7 records
              unready: data.state == "unready"      # 5 records
              notready: data.state == "NotReady"    # 2 records
              ok: data.state == "ok"                # 1 record
              timeout: data.state == "timeout"      # 1 record
              weird: data.state == "weird"          # 1 record

        rules:
          - name: readiness
            signal: readiness
            # three times the usual 20s between observations, or more
            hold: { ready: 1m, unready: 1m, notready: 1m, ok: 1m, timeout: 1m, weird: 1m }
    "##]].assert_eq(&ran.said);
}

#[test]
fn what_cannot_be_guessed_is_said() {
    let place = Place::new();
    place.write("empty", b"\n\n");
    place.write("text", b"a line\nanother\n");
    place.write("numbers", b",seen,ec2\n1,1700000000,0.5\n2,1700000009,0.7\n3,1700000019,0.5\n");
    let numbers = place.run("init numbers");
    numbers.assert(0, &[]);
    assert!(numbers.said.contains("subject:  { const: all }"), "{}", numbers.said);
    // Values are no names of columns.
    place.write("headless", b"2026-01-01T00:00:00Z,a,up\n2026-01-01T00:00:01Z,a,up\n");
    place.write("prose", b"Well, then\nthis, that, and\nno more\n");
    place.write("timeless", b"{\"state\":\"up\",\"count\":7}\n");
    place.run("init empty").assert(1, &["empty", "the log is empty"]);
    place.run("init text").assert(1, &["none of 2 lines is a JSON object, or a row", "regex"]);
    place.run("init headless").assert(1, &["none of 2 lines"]);
    place.run("init prose").assert(1, &["none of 3 lines"]);
    place.run("init timeless").assert(1, &["no field is a time", "count, state"]);
    place.run("init missing").assert(66, &["missing"]);
}
