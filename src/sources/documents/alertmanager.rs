//! What Alertmanager sends to webhooks, version 4: each alert of a body is a record.
//!
//! A record has `time` (when it began to fire, or was resolved), `alert` (its labels as Prometheus
//! writes them: `HighLatency{job="api"}`), and all that the alert has, but for the `endsAt` of one
//! that fires; of the body it has `receiver`, `groupStatus`, `groupKey`, `groupLabels`,
//! `commonLabels`, `commonAnnotations` and `externalURL`.

use std::sync::Arc;

use super::cut::{Awaits, Context, Level, Shape};
use super::{Fault, json};

const ALERT: u8 = 0;

/// What stands around the alerts stands behind them.
pub(super) static BODY: Shape = Shape::Object(&Level {
    keys: &[("alerts", Shape::Each(&Shape::Record(ALERT)))],
    awaits: Awaits::End,
});

/// What records say of the body, and how they call it.
const OF_BODY: [(&str, &str); 7] = [
    ("receiver", "receiver"),
    ("status", "groupStatus"),
    ("groupKey", "groupKey"),
    ("groupLabels", "groupLabels"),
    ("commonLabels", "commonLabels"),
    ("commonAnnotations", "commonAnnotations"),
    ("externalURL", "externalURL"),
];

pub(super) fn record(
    kind: u8,
    text: &str,
    around: &[Arc<Context>],
) -> Result<Option<String>, Fault> {
    let Some(body) = around.first() else { return Ok(None) };
    if kind != ALERT {
        return match body.entered("alerts") {
            true => Ok(None),
            false => Err(Fault::new("no body of a webhook: `alerts` is missing")),
        };
    }
    let members = json::members(text)?;
    let value = |wanted: &str| members.iter().find(|(key, _)| key == wanted).map(|(_, v)| *v);
    let text = |key: &str| value(key).and_then(json::text_of);
    let is_resolved = text("status").as_deref() == Some("resolved");
    let mut record = json::Object::default();
    if let Some(time) = value(if is_resolved { "endsAt" } else { "startsAt" }) {
        record.add("time", time);
    }
    let labels = json::labels(value("labels").unwrap_or("{}"))
        .map_err(|fault| Fault::new(format!("`labels`: {}", fault.reason)))?;
    let name = labels.iter().find(|(label, _)| label == "alertname");
    let others = labels.iter().filter(|(label, _)| label != "alertname");
    let others = others.map(|(label, value)| (label.as_str(), value.as_str()));
    record.add_text("alert", &json::series(name.map_or("", |(_, name)| name), others));
    let of_body = body.made(|body| {
        match body.get("version").and_then(json::text_of).as_deref() {
            Some("4") | None => {}
            Some(other) => return Err(format!("the body has version {other}; 4 is read")),
        }
        let mut told = json::Object::default();
        for (key, name) in OF_BODY {
            if let Some(value) = body.get(key) {
                told.add(name, value);
            }
        }
        Ok(told.end())
    })?;
    record.add_members(of_body);
    for (key, value) in &members {
        let is_made = ["time", "alert"].contains(&key.as_str());
        // The zero time of a language, which no alert ends at.
        let is_open = key == "endsAt" && !is_resolved;
        if !is_made && !is_open && !OF_BODY.iter().any(|(_, name)| name == key) {
            record.add(key, value);
        }
    }
    Ok(Some(record.end()))
}
