//! Episodes as a replay publishes them, in the words of the oracle.

use limbeck::model::time::parse_rfc3339;
use serde_json::{Value, json};

use super::Episode;

/// Reads an episode, and that its CloudEvent says the same as its data.
pub(crate) fn episode(event: &Value) -> Episode {
    let data = &event["data"];
    assert_eq!(event["type"], "dev.limbeck.episode.v1");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!((&event["subject"], &event["time"]), (&data["entity"], &data["since"]));
    assert!(data["revision"].as_u64().is_some_and(|revision| revision > 0), "{event}");
    let until = Some(&data["until"]).filter(|until| !until.is_null()).map(instant);
    let reason = if until.is_none() { json!(null) } else { data["reason"].clone() };
    assert_eq!(reason, data["reason"], "what is open has no reason to have ended");
    Episode {
        since: instant(&data["since"]),
        entity: text(&data["entity"]),
        signal: text(&data["signal"]),
        rule: text(&data["rule"]),
        state: text(&data["state"]),
        until,
        decided: instant(&data["decided"]),
        expired: reason == "expired",
        changes: data["changes"].as_u64().map(|count| {
            (count as u32, instant(&data["first_change"]), instant(&data["last_change"]))
        }),
        minority: (data["minority"].as_array().into_iter().flatten())
            .map(|of| (text(&of["witness"]), text(&of["state"]), instant(&of["time"])))
            .collect(),
        value: data["value"].as_f64().map(f64::to_bits),
        label: data["labels"]["by"].as_str().map(str::to_owned),
    }
}

pub(crate) fn instant(value: &Value) -> i64 {
    parse_rfc3339(value.as_str().expect("a time is a text")).expect("a time is RFC 3339")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a name is a text").to_owned()
}
