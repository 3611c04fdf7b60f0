//! Every record has one fate, and the fates add up to the summary: for every golden log, and for a
//! generated one, on any number of workers.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Outputs, assert_same_lines, rows};
use limbeck::bench::workload::Workload;
use serde_json::Value;
use tempfile::TempDir;

/// Replays with fates; gives them with the other outputs.
fn replay(folder: &Path, logs: &[&str], workers: usize) -> (Vec<u8>, Outputs) {
    let out = TempDir::new().expect("a temporary folder can be made");
    let ran = Command::new(env!("CARGO_BIN_EXE_limbeck"))
        .current_dir(folder)
        .args(["replay", "--fates", "--rules", "rules.yaml", "--workers", &workers.to_string()])
        .args(["--log"])
        .args(logs)
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("the command can be run");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let fates = fs::read(out.path().join("fates.ndjson")).expect("fates.ndjson");
    (fates, Outputs::read(out.path()))
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} of {value}"))
}

/// Holds the fates against the summary and the episodes; gives them for more.
fn check(folder: &Path, logs: &[&str]) -> Vec<Value> {
    let (fates, outputs) = replay(folder, logs, 1);
    for workers in 2..=4 {
        let (others, _) = replay(folder, logs, workers);
        assert_same_lines(&others, &fates, &format!("{logs:?} on {workers} workers"));
    }
    let fates = rows(&fates);
    let summary = &outputs.summary;
    let mut dispositions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut conflicts = 0;
    let mut kinds: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut reasons: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut firsts = Vec::new();
    let mut named = BTreeSet::new();
    for row in &fates {
        *dispositions.entry(text(row, "disposition")).or_default() += 1;
        conflicts += u64::from(row["conflict"] == true);
        for fate in row["fates"].as_array().into_iter().flatten() {
            let (rule, kind) = (text(fate, "rule"), text(fate, "fate"));
            let sum = match kind {
                "first" | "repeat" => "in_episodes",
                "blip" | "suppressed" => "suppressed",
                "pending" => "pending",
                "marker" => "markers",
                _ => panic!("{fate}"),
            };
            *kinds.entry((rule, sum)).or_default() += 1;
            if let Some(reason) = fate["by"].as_str() {
                *reasons.entry((rule, reason)).or_default() += 1;
            }
            assert_eq!(sum == "suppressed", fate["by"].is_string(), "{fate}");
            named.extend(fate["episode"].as_str());
            if kind == "first" {
                firsts.push(text(fate, "episode"));
            }
        }
    }
    let records = summary["records"].as_u64().expect("a number");
    assert_eq!(fates.len() as u64, records, "{logs:?}: a row for every record");
    for (member, disposition) in [
        ("used", "used"),
        ("late", "late"),
        ("duplicates", "duplicate"),
        ("dead_letters", "dead-letter"),
        ("unmatched", "unmatched"),
    ] {
        let count = dispositions.get(disposition).copied().unwrap_or(0);
        assert_eq!(summary[member], count, "{logs:?}: {member}");
    }
    assert_eq!(summary["conflicts"], conflicts);
    for (rule, of_rule) in summary["fates"].as_object().expect("fates by rule") {
        for sum in ["in_episodes", "suppressed", "pending", "markers"] {
            let count = kinds.get(&(rule, sum)).copied().unwrap_or(0);
            assert_eq!(of_rule[sum].as_u64().unwrap_or(0), count, "{logs:?}: {rule}, {sum}");
        }
        let parts = ["in_episodes", "suppressed", "pending", "markers"];
        let parts = parts.map(|sum| of_rule[sum].as_u64().unwrap_or(0));
        assert_eq!(of_rule["observed"], parts.into_iter().sum::<u64>(), "{logs:?}: {rule}");
        for (reason, count) in summary["suppressed"][rule].as_object().into_iter().flatten() {
            let sum = reasons.get(&(rule, reason)).copied().unwrap_or(0);
            assert_eq!(*count, sum, "{logs:?}: {rule}, {reason}");
        }
    }
    // Each episode has one record that it begins with, and no fate names another one; of a rule with
    // stages it may have none, if time alone made it.
    let episodes = rows(&outputs.episodes);
    let mut ids: Vec<String> =
        episodes.iter().map(|episode| text(episode, "id").to_owned()).collect();
    ids.sort_unstable();
    firsts.sort_unstable();
    let begun: Vec<_> = episodes
        .iter()
        .filter(|episode| !text(&episode["data"], "rule").starts_with("staged"))
        .map(|episode| text(episode, "id").to_owned())
        .collect();
    assert!(firsts.is_sorted_by(|one, other| one < other), "{logs:?}");
    assert!(begun.iter().all(|id| firsts.binary_search(&id.as_str()).is_ok()), "{logs:?}");
    assert!(named.iter().all(|id| ids.binary_search_by(|known| known.as_str().cmp(id)).is_ok()));
    // In the order of the logs.
    let place = |row: &Value| {
        let file = logs.iter().position(|log| log.ends_with(text(row, "file")));
        (file.expect("a log"), row["line"].as_u64(), row["element"].as_u64())
    };
    assert!(fates.is_sorted_by_key(place), "{logs:?}");
    fates
}

#[test]
fn the_fates_of_golden_logs_add_up() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    check(&golden.join("readiness"), &["readiness.ndjson"]);
    check(&golden.join("flat"), &["probe=flat.ndjson.zst"]);
    check(&golden.join("adversarial"), &["a.ndjson", "b.ndjson", "c.ndjson"]);
}

/// Two sources, of which one is a table and one a log of plain lines.
#[test]
fn the_fates_of_the_recording_add_up() {
    let dataset = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/haproxy");
    check(&dataset, &["checks=checks.csv.zst", "messages=haproxy.log.zst"]);
}

/// What rules decide otherwise than by hold alone, in so many words.
#[test]
fn a_fate_has_the_numbers_that_decided_it() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let fates = check(&golden.join("labels"), &["log.ndjson"]);
    let of = |line: usize, rule: &str| -> Value {
        let row = fates.iter().find(|row| row["line"] == line).expect("a row");
        let fates = row["fates"].as_array().into_iter().flatten();
        let mut found = fates.filter(|fate| fate["rule"] == rule).cloned();
        let mut fate = found.next().unwrap_or(Value::Null);
        if let Some(members) = fate.as_object_mut() {
            members.retain(|name, _| !["rule", "state", "episode"].contains(&name.as_str()));
        }
        fate
    };
    let told = [
        (1, "any-host"),
        (5, "any-host"),
        (6, "any-host"),
        (6, "large-in-a"),
        (8, "once"),
        (12, "any-host"),
        (12, "amends"),
        (13, "amends"),
        (22, "amends"),
    ]
    .map(|(line, rule)| format!("{line} {rule}: {}\n", of(line, rule)));
    expect_test::expect![[r#"
        1 any-host: {"fate":"first"}
        5 any-host: {"fate":"repeat"}
        6 any-host: {"by":"hold","fate":"blip","hold":"20s","lasted":"6s","since":"1970-01-01T00:17:10.000Z","until":"1970-01-01T00:17:16.000Z"}
        6 large-in-a: {"fate":"first"}
        8 once: {"by":"dedup","fate":"suppressed","within":"30s"}
        12 any-host: null
        12 amends: {"by":"hold","fate":"blip","hold":"20s","lasted":"17s","since":"1970-01-01T00:17:25.000Z","until":"1970-01-01T00:17:42.000Z"}
        13 amends: null
        22 amends: {"fate":"pending","hold":"20s","since":"1970-01-01T00:18:10.000Z"}
    "#]].assert_eq(&told.concat());
}

/// Many more than fit in the memory of a sort would be another test; here all of them are mixed.
#[test]
fn the_fates_of_a_generated_log_add_up() {
    let dir = TempDir::new().expect("a temporary folder can be made");
    let workload = Workload { entities: 300, events: 30_000, ..Workload::default() };
    let workload = Workload { span_ns: 1_800_000_000_000, ..workload };
    let mut log = Vec::new();
    workload.write_flat(&mut log).expect("a Vec takes every write");
    fs::write(dir.path().join("flat.ndjson"), log).expect("the log can be written");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/flat/rules.yaml");
    fs::copy(golden, dir.path().join("rules.yaml")).expect("the rules can be copied");
    check(dir.path(), &["probe=flat.ndjson"]);
}

/// What stages withhold has a fate each, and so has what they count as something else.
#[test]
fn the_fates_of_stages_add_up() {
    let dir = TempDir::new().expect("a temporary folder can be made");
    let workload = Workload { entities: 100, events: 20_000, ..Workload::default() };
    let workload = Workload { span_ns: 7_200_000_000_000, ..workload };
    let mut log = Vec::new();
    workload.write_flat(&mut log).expect("a Vec takes every write");
    fs::write(dir.path().join("flat.ndjson"), log).expect("the log can be written");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/flat/rules.yaml");
    let rules = fs::read_to_string(golden).expect("rules");
    let (head, rule) = rules.split_once("rules:").expect("rules");
    let signal = rule.split_once("signal: ").and_then(|(_, rest)| rest.lines().next());
    let signal = signal.expect("a signal");
    let more = format!(
        "{head}  counter: {{ value: data.seq }}\n  \
           others: {{ where: data.seq % 50 != 0,\n    \
             states: {{ ready: data.state == \"ready\", unready: data.state == \"unready\" }} }}\n  \
           marks: {{ where: data.seq % 50 == 0, states: {{ early: data.seq < 5000, late: data.seq >= 5000 }} }}\n  \
           seen: {{ labels: {{ by: 'data.seq % 3 == 0 ? \"a\" : \"b\"' }}, where: type == \"readiness\",\n    \
             states: {{ ready: data.state == \"ready\", unready: data.state == \"unready\" }} }}\n\
         rules:\n  \
         - {{ name: staged-a, signal: {signal}, faults: [unready], flap_damping: {{ half_life: 5m }},\n      \
             absent: {{ after: 1m }}, keep: {{ unready: 20s }}, hold: {{ ready: 5s }} }}\n  \
         - {{ name: staged-b, signal: {signal}, faults: [unready], grace: 1m,\n      \
             flap_detection: {{ high: 20, low: 10 }}, hold: {{ flapping: 1m }} }}\n  \
         - {{ name: staged-c, signal: counter, smooth: {{ rate: 2m }}, above: 0.05, recover: 0.03,\n      \
             hold: {{ above: 1m }} }}\n  \
         - {{ name: staged-d, signal: {signal}, session: {{ gap: 30s }}, hold: {{ unready: 10s }},\n      \
             except: data.seq < 5 }}\n  \
         - {{ name: staged-f, signal: others, faults: [unready], hold: {{ unready: 10s }},\n      \
             grace: {{ for: 30s, after: {{ signal: marks }} }} }}\n  \
         - {{ name: staged-e, signal: seen, faults: [unready], hold: {{ unready: 10s }},\n      \
             quorum: {{ of: by, at_least: 2, within: 5m }} }}\n"
    );
    fs::write(dir.path().join("rules.yaml"), more).expect("the rules can be written");
    let fates = check(dir.path(), &["probe=flat.ndjson"]);
    let all = || fates.iter().flat_map(|row| row["fates"].as_array().into_iter().flatten());
    for by in ["hold", "keep", "rate", "quorum", "flap_damping", "grace"] {
        assert!(all().any(|fate| fate["by"] == by), "nothing by {by}");
    }
    assert!(all().any(|fate| fate["as"] == "flapping" && fate["share"].is_number()));
    assert!(all().any(|fate| fate["as"] == "session" && fate["changes"].is_number()));
    assert!(all().any(|fate| fate["as"] == "ready" && fate["minority"].is_array()));
    assert!(all().any(|fate| fate["fate"] == "marker" && fate["grace_until"].is_string()));
    assert!(all().any(|fate| fate["by"] == "grace" && fate["marked"].is_string()));
    assert!(all().any(|fate| fate["except"] == true));
    assert!(all().any(|fate| fate["as"] == "above" && fate["smoothed"].is_number()));
}

/// Lines that are many records: by element, with what is known of each, and why it is not used.
#[test]
fn the_fates_of_exploded_lines_are_told_by_element() {
    let dir = TempDir::new().expect("a temporary folder can be made");
    let rules = r#"
version: 1
sources:
  p:
    format: json
    explode: pods
    time: { field: pods.at, unit: s }
    arrival: { field: sent, unit: s }
    subject: { field: pods.name }
    source: { const: z }
    type: { const: t }
    id: { field: pods.id }
signals:
  a:
    where: data.pods.kind == "k"
    states: { up: data.pods.n > 5, down: data.pods.n < 3 }
rules: [{ name: r, signal: a }]
"#;
    fs::write(dir.path().join("rules.yaml"), rules).expect("the rules can be written");
    let log = r#"
{"sent":9,"pods":[{"at":9,"name":"x","kind":"k","n":9},{"at":9,"name":"c","kind":"k","n":9},{"at":9,"name":"a","kind":"k","n":9}]}
{"sent":10,"pods":[{"at":10,"name":"b","kind":"k","n":4},{"at":10,"name":"a","kind":"l"},5,{"at":10,"kind":"k"},{"at":10,"name":"z"},{"at":10,"name":"a","kind":"k","n":"9"}]}
{"sent":11,"pods":[]}
{"sent":11,"pods":{}}
{"sent":11,"pods":[{"at":11,"name":"c","kind":"k","n":9,"id":"1"},{"at":11,"name":"c","kind":"k","n":9,"id":"1"},{"at":11,"name":"c","kind":"k","n":8,"id":"1"},{"at":1,"name":"c","kind":"k","n":8}]}
"#;
    fs::write(dir.path().join("log.ndjson"), log.trim_start()).expect("the log can be written");
    let shown = |row: &Value| {
        let part = |member: &str| match &row[member] {
            Value::Null => "-".to_owned(),
            value => value.to_string(),
        };
        let parts = ["line", "element", "disposition", "entity", "time", "conflict", "reason"];
        parts.map(part).join(" ") + "\n"
    };
    let told: String = check(dir.path(), &["log.ndjson"]).iter().map(shown).collect();
    expect_test::expect![[r#"
        1 1 "used" "x" "1970-01-01T00:00:09.000Z" - -
        1 2 "used" "c" "1970-01-01T00:00:09.000Z" - -
        1 3 "used" "a" "1970-01-01T00:00:09.000Z" - -
        2 1 "unmatched" "b" "1970-01-01T00:00:10.000Z" - "no state of its signal fits"
        2 2 "unmatched" "a" "1970-01-01T00:00:10.000Z" - "no signal's condition holds"
        2 3 "dead-letter" - - - "`pods.at` is missing"
        2 4 "unmatched" - "1970-01-01T00:00:10.000Z" - "no subject"
        2 5 "unmatched" "z" "1970-01-01T00:00:10.000Z" - "a condition could not be judged"
        2 6 "unmatched" "a" "1970-01-01T00:00:10.000Z" - "a condition could not be judged"
        4 - "dead-letter" - - - "`pods` must be an array, which is exploded"
        5 1 "used" "c" "1970-01-01T00:00:11.000Z" - -
        5 2 "duplicate" "c" "1970-01-01T00:00:11.000Z" false -
        5 3 "duplicate" "c" "1970-01-01T00:00:11.000Z" true -
        5 4 "late" "c" "1970-01-01T00:00:01.000Z" - -
    "#]]
    .assert_eq(&told);
}
