//! The JSON Schema of a test file, for editors: made of the reader's own lists of fields.
//!
//! What it cannot say (how a series is written, that a name is defined) only the reader checks.

use serde_json::{Map, Value, json};

use super::read::{
    BY_RULE, CASE_FIELDS, COUNTS, EXPECT_FIELDS, FILE_FIELDS, SERIES_FIELDS, VIEW_FIELDS,
};
use super::wanted::{Reads, View};

/// The JSON Schema (draft 2020-12) of a test file.
pub fn schema() -> Value {
    let mut schema = object(&FILE_FIELDS, &["rules", "cases"], |field| match field {
        "rules" => json!({
            "description": "The rule file, by its path from here; or rules, as in one. A signal may \
                            be a list of its states.",
            "type": ["string", "object"],
        }),
        "start" => {
            described("instant", "The instant from which cases count; 2026-01-01T00:00:00Z.")
        }
        "cases" => json!({ "type": "array", "minItems": 1, "items": reference("case") }),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Tests of Limbeck's rules");
    schema["$defs"] = json!({
        "case": case(),
        "values": {
            "description": "What was observed: 0s ready, 20s unready @ 26s, again; or ready x5 \
                            unready x2 every 10s; readings as 75 85 70 every 1m.",
            "type": ["string", "number"],
        },
        "expectation": expectation(),
        "time": {
            "description": "Since the start, as 1m30s, or an instant.", "type": ["string", "number"],
        },
        "instant": { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]" },
        "scalar": { "type": ["string", "number", "boolean"] },
        "texts": { "type": "object", "additionalProperties": reference("scalar") },
    });
    schema
}

fn case() -> Value {
    let mut case = object(&CASE_FIELDS, &["name", "expect"], |field| match field {
        "name" => described("scalar", "What is so; no other case of the file has it."),
        "start" => described("instant", "The instant from which this case counts."),
        "signal" => described("scalar", "Which signal observes series that say no other."),
        "series" => json!({
            "description": "What was observed of each entity.",
            "anyOf": [
                { "type": "object", "additionalProperties": {
                    "anyOf": [reference("values"), series(&SERIES_FIELDS[1..], &["values"])],
                } },
                { "type": "array", "items": series(&SERIES_FIELDS, &["entity", "values"]) },
            ],
        }),
        "records" => json!({
            "description": "Records as they are: lines, or mappings; by source if there are several.",
            "type": ["string", "array", "object"],
        }),
        "until" => described("time", "Where the log ends; at its last record if not given."),
        "expect" => json!({ "anyOf": [
            reference("expectation"),
            { "type": "array", "minItems": 1, "items": reference("expectation") },
        ] }),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    let given = |field: &str| json!({ "required": [field] });
    case["oneOf"] = json!([given("series"), given("records")]);
    case
}

fn series(known: &[&str], required: &[&str]) -> Value {
    object(known, required, |field| match field {
        "entity" => described("scalar", "Of whom it is."),
        "signal" => described("scalar", "Which signal observes it; the only one if not given."),
        "values" => reference("values"),
        "labels" => described("texts", "Labels of the signal."),
        "data" => json!({ "description": "More data of its records.", "type": "object" }),
        "source" => described("scalar", "Who says it; test if not given."),
        "type" => described("scalar", "The type of its records; test if not given."),
        "sequence" => described("scalar", "The sequence number of the first; they count on."),
        "id" => described("scalar", "What the ids of its records begin with."),
        "severity" => described("scalar", "The severity of its records."),
        "delay" => described("time", "How long after it happened each arrives."),
        other => unreachable!("the schema says nothing of the field {other}"),
    })
}

fn expectation() -> Value {
    object(&EXPECT_FIELDS, &[], |field| match field {
        "at" => described("time", "As known then; at the end of the log if not given."),
        "entity" | "rule" | "signal" => described("scalar", "Looks only at what is of it."),
        "counts" => counts(),
        name => {
            let view = View::ALL.into_iter().find(|view| view.name() == name);
            view.map_or_else(|| unreachable!("the schema says nothing of the field {name}"), rows)
        }
    })
}

/// A list of all there are, or what must and must not be among them.
fn rows(view: View) -> Value {
    let fields = |counted: bool| {
        let mut fields = view.fields().to_vec();
        fields.extend(counted.then_some("count"));
        let mut row = object(&fields, &[], |field| match Reads::of(field) {
            Reads::Texts => json!({ "anyOf": [reference("texts"), { "const": "any" }] }),
            Reads::Instant | Reads::Duration | Reads::Text => {
                json!({ "anyOf": [reference("scalar"), { "type": "null" }] })
            }
        });
        row["description"] = json!("What it says of these; the rest is not looked at.");
        row
    };
    let list = |counted: bool| json!({ "type": "array", "items": fields(counted) });
    let some = |counted: bool| json!({ "anyOf": [fields(counted), list(counted)] });
    let mut nested = object(&VIEW_FIELDS, &[], |field| some(field == "contains"));
    nested["minProperties"] = json!(1);
    json!({ "anyOf": [list(false), nested] })
}

fn counts() -> Value {
    let number = json!({ "type": "integer", "minimum": 0 });
    let by_rule = json!({
        "type": "object",
        "additionalProperties": { "type": "object", "additionalProperties": number },
    });
    let mut counts = object(&COUNTS, &[], |field| match field {
        field if BY_RULE.contains(&field) => by_rule.clone(),
        _ => number.clone(),
    });
    counts["description"] = json!("As in summary.json; what is not named is not looked at.");
    counts
}

/// A mapping with the fields that the reader knows, and no others.
fn object(known: &[&str], required: &[&str], field: impl Fn(&str) -> Value) -> Value {
    let properties: Map<_, _> = known.iter().map(|name| (name.to_string(), field(name))).collect();
    json!({
        "type": "object", "properties": properties,
        "required": required, "additionalProperties": false,
    })
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn described(definition: &str, description: &str) -> Value {
    let mut schema = reference(definition);
    schema["description"] = json!(description);
    schema
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::Suite;
    use super::*;
    use crate::rules::Problems;
    use crate::rules::schema::tests::accepts;
    use crate::rules::yaml;

    fn is_accepted(text: &str) -> bool {
        let root = yaml::load(text, &mut Problems::default()).expect("it is YAML");
        let schema = schema();
        // What is written plainly is a number or a truth to other readers of YAML.
        accepts(&schema, &schema, &super::super::read::as_json(&root))
    }

    #[test]
    fn the_suite_is_accepted() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
        for entry in fs::read_dir(dir).expect("there is a suite") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a file");
            assert!(is_accepted(&text), "{}", path.display());
        }
    }

    #[test]
    fn what_is_refused_is_wrong() {
        const RIGHT: &str = "rules: { signals: { h: [up] }, rules: [{ name: r, signal: h }] }\n\
                             cases: [{ name: n, series: { a: 0s up }, expect: { episodes: [] } }]\n";
        let dir = tempfile::TempDir::new().expect("a temporary folder can be made");
        let path = dir.path().join("t.yaml");
        let reads = |text: &str| {
            fs::write(&path, text).expect("it can be written");
            Suite::read(&path).is_ok()
        };
        assert!(reads(RIGHT) && is_accepted(RIGHT));
        for (from, to) in [
            ("series: { a: 0s up }, ", ""),
            ("series: { a: 0s up }", "series: { a: 0s up }, records: []"),
            ("series: { a: 0s up }", "series: { a: { labels: {} } }"),
            ("series: { a: 0s up }", "series: [{ values: 0s up }]"),
            ("episodes: []", "episodes: [{ stat: up }]"),
            ("episodes: []", "episodes: { exactly: [] }"),
            ("episodes: []", "episodes: {}"),
            ("episodes: []", "episodes: [{ count: 1 }]"),
            ("episodes: []", "counts: { lat: 1 }"),
            ("episodes: []", "deliveries: up"),
            (", expect: { episodes: [] }", ""),
            ("name: n, ", ""),
            ("cases", "tests"),
        ] {
            let text = RIGHT.replace(from, to);
            assert_ne!(text, RIGHT);
            assert!(!is_accepted(&text) && !reads(&text), "{text}");
        }
    }
}
