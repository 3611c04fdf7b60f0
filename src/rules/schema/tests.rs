//! The schema and the parser agree, on the files of the repository and on what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::super::yaml::{self, Node};
use super::super::{Rules, diagnostics::Problems};
use super::*;
use crate::model::duration::parse_duration;

/// Whether a schema accepts a value. It knows the keywords that the schema uses, and no others.
pub(crate) fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    let schema = schema.as_object().expect("a schema is an object");
    let list = |wanted: &Value| wanted.as_array().expect("a list").clone();
    let number = |wanted: &Value| wanted.as_u64().expect("a number") as usize;
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("the type {other} is not known"),
    };
    let (object, array, text) = (value.as_object(), value.as_array(), value.as_str());
    schema.iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "$defs" | "title" | "description" | "then" | "else" => true,
        "$ref" => {
            let at = wanted.as_str().and_then(|at| at.strip_prefix('#')).expect("a reference");
            accepts(root, root.pointer(at).expect("it leads somewhere"), value)
        }
        "type" => match wanted.as_str() {
            Some(kind) => is(kind),
            None => list(wanted).iter().any(|kind| is(kind.as_str().expect("a type"))),
        },
        "const" => wanted == value,
        "enum" => list(wanted).contains(value),
        "allOf" => list(wanted).iter().all(|schema| accepts(root, schema, value)),
        "anyOf" => list(wanted).iter().any(|schema| accepts(root, schema, value)),
        "oneOf" => list(wanted).iter().filter(|schema| accepts(root, schema, value)).count() == 1,
        "if" => {
            let branch = if accepts(root, wanted, value) { "then" } else { "else" };
            schema.get(branch).is_none_or(|branch| accepts(root, branch, value))
        }
        "required" => object.is_none_or(|object| {
            list(wanted).iter().all(|key| object.contains_key(key.as_str().expect("a key")))
        }),
        "properties" => object.is_none_or(|object| {
            object.iter().all(|(key, value)| {
                wanted.get(key).is_none_or(|schema| accepts(root, schema, value))
            })
        }),
        "additionalProperties" => object.is_none_or(|object| {
            let known = |key: &str| schema.get("properties").is_some_and(|p| p.get(key).is_some());
            object.iter().filter(|(key, _)| !known(key)).all(|(_, value)| match wanted {
                Value::Bool(allowed) => *allowed,
                schema => accepts(root, schema, value),
            })
        }),
        "propertyNames" => {
            object.is_none_or(|object| object.keys().all(|key| accepts(root, wanted, &json!(key))))
        }
        "minProperties" => object.is_none_or(|object| object.len() >= number(wanted)),
        "maxProperties" => object.is_none_or(|object| object.len() <= number(wanted)),
        "items" => array.is_none_or(|array| array.iter().all(|item| accepts(root, wanted, item))),
        "minimum" => value.as_f64().is_none_or(|value| value >= number(wanted) as f64),
        "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > number(wanted) as f64),
        "maximum" => value.as_f64().is_none_or(|value| value <= number(wanted) as f64),
        "minItems" => array.is_none_or(|array| array.len() >= number(wanted)),
        "minLength" => text.is_none_or(|text| text.chars().count() >= number(wanted)),
        "maxLength" => text.is_none_or(|text| text.chars().count() <= number(wanted)),
        "pattern" => {
            let pattern = Regex::new(wanted.as_str().expect("a pattern")).expect("a pattern");
            text.is_none_or(|text| pattern.is_match(text))
        }
        other => panic!("the keyword {other} is not known"),
    })
}

fn accepted(value: &Value) -> bool {
    let schema = schema();
    accepts(&schema, &schema, value)
}

/// A rule file as an editor reads it: plain scalars are numbers, truth or nothing if they can be.
fn as_json(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Scalar { text, plain: true } => match text.as_str() {
            "" | "~" => Value::Null,
            text => match serde_json::from_str(text) {
                Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
                _ => json!(text),
            },
        },
        yaml::Value::Scalar { text, .. } => json!(text),
        yaml::Value::Seq(items) => items.iter().map(as_json).collect(),
        yaml::Value::Map(entries) => {
            let entry = |(key, value): &(Node, Node)| {
                (key.text().expect("a key is text").to_owned(), as_json(value))
            };
            Value::Object(entries.iter().map(entry).collect())
        }
        yaml::Value::Invalid => panic!("the file is wrong"),
    }
}

fn read(text: &str) -> Value {
    as_json(&yaml::load(text, &mut Problems::default()).expect("it is YAML"))
}

/// The rule files beneath a folder; tests of rules are none.
fn rule_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() && !path.ends_with("tests/conformance") {
            rule_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

/// All of the language.
const WHOLE: &str = r#"version: 1
lateness: 1m30s
max_advance: 60d
expire_after: 1h
label_values_max: 50
sources:
  probe:
    format: json
    time: { field: "`@ts`.at", unit: ms }
    arrival: { field: received, unit: rfc3339 }
    subject: { template: "{namespace}/{pod}" }
    source: { const: 7 }
    type: { field: kind }
    sequence: { field: seq }
    id: { field: id }
  polls:
    format: json
    explode: pods
    skew: report
    time: { field: at, unit: s }
    subject: { field: pods.name }
    source: { const: api }
    type: { const: poll }
  rows:
    format: csv
    delimiter: tab
    header: [ts, host]
    time: { field: ts, format: "%d/%b/%Y:%H:%M:%S", zone: "+02:00" }
    subject: { field: host }
    source: { const: rows }
    type: { const: row }
  lines:
    format: regex
    pattern: "^(?<ts>[0-9]+) (?<host>[a-z]+)$"
    time: { field: ts, unit: s }
    subject: { field: host }
    source: { const: lines }
    type: { const: line }
  events:
    format: cloudevents
    skew: correct
  traces:
    format: otlp
    arrival: { field: observedTime, unit: rfc3339 }
    subject: { field: resource.host.name }
signals:
  readiness:
    from: probe
    where: type == "readiness"
    schema: { name: pod-readiness, version: 1.2.0-rc.1 }
    labels: { zone: data.zone, weight: data.a + data.b, _: data.c, pod: { field: "`k8s.pod`.name" } }
    value: data.latency
    keep_transitions: true
    states:
      ready: data.state == "ready"
      unready: true
  load: { value: { field: load } }
rules:
  - name: hot
    signal: load
    smooth: { median: 5m }
    above: 0.9
    below: 0.1
    recover: { above: 0.8, below: 0.2 }
    faults: [above]
    absent: { after: 5m }
    flap_damping: { fault: 1000, return: 0, change: 500, suppress: 2000, reuse: 750, half_life: 15m, max: 1h, test: true }
    flap_detection: { weights: nagios, high: 30, low: 20 }
    grace: { for: 1m, after: [first_seen, { signal: load }, { signal: readiness, states: [ready] }] }
    session: { gap: 5m, least: 3 }
    except: severity == "critical"
    hold: { above: 5m, session: 1m }
    keep: { above: 5m }
  - name: pod-readiness
    signal: readiness
    where: labels.zone == "a"
    dedup: { by: [data.id, subject], within: 5m }
    faults: [unready]
    quorum: { of: zone, share: 0.5, within: 1m, weights: { a: 2, b: 0.5 } }
    hold: { ready: 0, unready: 30s }
    amend_within: 1h
    expire_after: 1d
    labels: { severity: page }
    annotations: { summary: "{{ $entity }}: {{ $labels.zone }}" }
    version: 1.0.0
  - name: next
    version: 1.1.0-rc.1
    mode: observe
    canary: { share: 12.5%, by: zone, base: pod-readiness@1.0.0 }
    limit: { burst: 10, every: 1m, by: zone }
    aggregate: { by: [zone], from: 5, within: 1m }
    persistence: { by: zone, prior: 5, remember: 30d, horizons: [5m], announce: p_lasts("1h") > 0.9 }
    signal: readiness
    faults: [unready]
    quorum: { of: zone, at_least: 2, within: 1m }
sinks:
  hook:
    webhook:
      url: https://example.org/hook
      headers: { Authorization: { env: TOKEN }, X-From: limbeck, X-Key: { file: /run/key } }
      timeout: 5s
  alerts:
    alertmanager: { url: { env: ALERTMANAGER }, resolve_after: 7d }
routes:
  - { match: [severity = "page", 'state =~ "un.*"'], on: [opened, closed], to: hook }
  - to: alerts
silences:
  disks: { match: [severity = "page"], from: 2026-03-01T22:00:00Z, until: 2026-03-02T02:00:00Z }
  move:
    from: 2026-03-01T22:00
    until: "2026-03-02 02:00:00"
    location: Europe/Berlin
    comment: to another house
  told: { events: { from: probe, where: "has(data.matchers)", id: data.id, starts: { field: from } } }
  upgrade: { while: { match: [state = unready], equal: [zone] }, match: [state = ready] }
windows:
  nights:
    match: [entity =~ "batch-.*"]
    comment: backups
    time_intervals:
      - times: [{ start_time: "22:00", end_time: "24:00" }]
        weekdays: ["monday:friday", sunday]
        days_of_month: ["1:7", -1]
        months: ["march:may", 12]
        years: ["2026:2027", 2030]
        location: America/New_York
"#;

#[test]
fn every_rule_file_of_the_repository_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["tests", "datasets", "src"] {
        rule_files(&root.join(folder), &mut files);
    }
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a file can be read");
        assert!(accepted(&read(&text)), "{}", file.display());
    }
}

/// All that comes of one change at one place: a field too many, one too few, or another value.
fn changed(value: &Value) -> Vec<Value> {
    let mut all = vec![json!([]), json!({}), Value::Null, json!(["x"]), json!(1.5), json!("30 s")];
    match value {
        Value::Object(object) => {
            let mut more = object.clone();
            more.insert("no_such_field".to_owned(), json!("x"));
            all.push(more.into());
            for (key, value) in object {
                let mut less = object.clone();
                less.remove(key);
                all.push(less.into());
                for value in changed(value) {
                    let mut other = object.clone();
                    other.insert(key.clone(), value);
                    all.push(other.into());
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for item in changed(item) {
                    let mut other = items.clone();
                    other[index] = item;
                    all.push(other.into());
                }
            }
        }
        _ => {}
    }
    all
}

#[test]
fn what_the_parser_refuses_for_its_form_the_schema_refuses() {
    /// What a schema cannot know: which names are defined, and what is CEL, a path or a template.
    const BEYOND: &[&str] = &[
        "unknown group",
        "unknown column",
        "not a valid pattern",
        "not a valid format",
        "has no fields of its own",
        "unknown signal",
        "unknown state",
        "unknown source",
        "the condition",
        "unknown attribute",
        "not a valid condition",
        "is not a field",
        "is not a template",
        "there is another rule",
        "the signal has no label",
        "is a semantic version",
        "there is no",
        "unknown rule",
        "unknown sink",
        "the signal has readings",
        "the signal has `states`",
        "is of a threshold",
        "would have recovered",
        "there is no threshold",
        "two thresholds need",
        "is not less than",
        "is forgotten before",
        "nothing is ever suppressed",
        "must be below `suppress`",
        "is above `high`",
        "is a share in percent",
        "every state is a fault",
        "needs to know which states",
        "says no offset",
        "has the version",
        "says no version",
        "its own base",
        "this is no",
        "a probability is between",
        "names no time that a fault",
        "is longer than `remember`",
        "no record tells of a silence",
    ];
    let (mut unknown_fields, mut right) = (0, 0);
    for value in changed(&read(WHOLE)) {
        let text = value.to_string();
        let accepted = accepted(&value);
        match Rules::parse("rules.yaml", &text) {
            Ok(_) => {
                right += 1;
                assert!(accepted, "only the schema refuses {text}");
            }
            Err(errors) => {
                let form = errors
                    .iter()
                    .find(|error| !BEYOND.iter().any(|beyond| error.message.contains(beyond)));
                if let Some(error) = form {
                    assert!(!accepted, "the schema accepts {text}: {}", error.message);
                    unknown_fields += usize::from(error.message.contains("has no field"));
                }
            }
        }
    }
    // One for the file, each source, signal and rule, each time, and each other attribute.
    assert!(unknown_fields >= 12, "{unknown_fields}");
    assert!(right >= 10, "{right}");
}

#[test]
fn durations_are_those_of_the_parser() {
    let duration = &schema()["$defs"]["duration"];
    for text in [
        "0",
        "30s",
        "1h30m",
        "100ms",
        "1y2w3d4h5m6s7ms",
        "",
        "30",
        "s",
        "30 s",
        "-1s",
        "1m1h",
        "1s1s",
        "1.5s",
        "30S",
        "0s",
        "00",
        "s30",
    ] {
        let accepted = accepts(&schema(), duration, &json!(text));
        assert_eq!(accepted, parse_duration(text).is_some(), "{text}");
    }
}
