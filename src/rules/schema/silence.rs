//! Silences and windows in the schema.

use serde_json::{Value, json};

use super::super::{interval, read};
use super::{described, object, reference, scalar};

pub(super) fn silence() -> Value {
    let mut silence = object(&read::SILENCE_FIELDS, &[], |field| match field {
        "match" => reference("matchers"),
        "from" => instant("The first instant, as 2026-03-01T22:00:00Z."),
        "until" => instant("The first instant behind it."),
        "location" => {
            described(scalar(), "Whose clocks show times without an offset, as an IANA zone.")
        }
        "while" => {
            let mut lasting = object(&read::WHILE_FIELDS, &["match"], |field| match field {
                "match" => json!({ "allOf": [reference("matchers"), { "minItems": 1 }] }),
                "equal" => json!({
                    "description": "What must be the same of that episode and of what is silenced.",
                    "type": "array", "items": scalar(),
                }),
                other => unreachable!("the schema says nothing of the field {other}"),
            });
            lasting["description"] = json!("An episode as long as which it lasts.");
            lasting
        }
        "events" => {
            let mut events = object(&read::EVENTS_FIELDS, &[], |field| match field {
                "from" => described(reference("name"), "The only source it hears; without, all."),
                "where" => described(reference("condition"), "Which records are of a silence."),
                "id" => described(reference("expression"), "Which silence; data.id if not given."),
                "matchers" => described(
                    reference("expression"),
                    "A list, as in Alertmanager; data.matchers if not given.",
                ),
                "starts" => described(
                    reference("expression"),
                    "The first instant; data.startsAt if not given.",
                ),
                "ends" => described(
                    reference("expression"),
                    "The first instant behind it; data.endsAt if not given.",
                ),
                other => unreachable!("the schema says nothing of the field {other}"),
            });
            events["description"] = json!("Records of the log that tell of silences.");
            events["anyOf"] = json!([{ "required": ["from"] }, { "required": ["where"] }]);
            events
        }
        "comment" => described(scalar(), "What it is for."),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    silence["if"] = json!({ "required": ["while"] });
    silence["then"] = json!({ "propertyNames": { "enum": ["match", "while", "comment"] } });
    silence["else"] = json!({
        "if": { "required": ["events"] },
        "then": { "propertyNames": { "enum": ["match", "events", "comment"] } },
        "else": { "required": ["from", "until"] },
    });
    silence
}

pub(super) fn window() -> Value {
    object(&read::WINDOW_FIELDS, &["time_intervals"], |field| match field {
        "match" => reference("matchers"),
        "time_intervals" => json!({
            "description": "When it is, as in Alertmanager.",
            "type": "array", "minItems": 1, "items": reference("interval"),
        }),
        "comment" => described(scalar(), "What it is for."),
        other => unreachable!("the schema says nothing of the field {other}"),
    })
}

pub(super) fn time_interval() -> Value {
    let list = |item: Value, description: &str| json!({ "description": description, "type": "array", "minItems": 1, "items": item });
    let range = |one: String| json!({ "type": "string", "pattern": format!("^{one}(:{one})?$") });
    let named = |names: &[&str]| format!("({})", names.join("|"));
    let numbered =
        |numbers: Vec<i32>, one: String| json!({ "anyOf": [{ "enum": numbers }, range(one)] });
    let mut interval = object(&read::INTERVAL_FIELDS, &[], |field| match field {
        "times" => {
            let times = object(&read::TIMES_FIELDS, &read::TIMES_FIELDS, |field| match field {
                "end_time" => {
                    json!({ "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$" })
                }
                _ => json!({ "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$" }),
            });
            list(times, "Times of the day, each until before its end, as \"08:00\".")
        }
        "weekdays" => list(range(named(&interval::WEEKDAYS)), "As monday:friday, or sunday."),
        "days_of_month" => {
            let day = "-?([1-9]|[12][0-9]|3[01])".to_owned();
            let days = (-31..=31).filter(|day| *day != 0).collect();
            list(numbered(days, day), "As 1:7, or -1 for the last.")
        }
        "months" => {
            let month = format!("({}|[1-9]|1[012])", interval::MONTHS.join("|"));
            list(numbered((1..=12).collect(), month), "As march:may, or 3.")
        }
        "years" => {
            let year = "(1[6-9][0-9]{2}|2[012][0-9]{2})".to_owned();
            list(numbered((1678..=2261).collect(), year), "As 2026:2027.")
        }
        "location" => described(scalar(), "Whose clocks, as an IANA zone; UTC if not given."),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    let says = read::INTERVAL_FIELDS.iter().filter(|field| **field != "location");
    interval["anyOf"] = says.map(|field| json!({ "required": [field] })).collect();
    interval
}

fn instant(description: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]" })
}
