//! Events of Kubernetes: each of a list, of a watch, or by itself is a record.
//!
//! A record has `time` (when it was last seen), `object` (`Pod/shop/web-1`: kind, namespace, name),
//! `reason`, `message`, `count` and `reporter`, and all that the event has, whose fields are called
//! as core/v1 calls them: what events.k8s.io/v1 calls `regarding` is `involvedObject`, `note` is
//! `message`, and `deprecatedSource` and the like are `source`. A watch that tells what has changed
//! adds `watch` (`ADDED`, ...).

use std::sync::Arc;

use super::cut::{Awaits, Context, Level, Shape};
use super::{Fault, json};

const ITEM: u8 = 0;

pub(super) static LIST: Shape = Shape::Object(&Level {
    keys: &[("items", Shape::Each(&Shape::Record(ITEM)))],
    awaits: Awaits::Keys(&[]),
});

/// What events.k8s.io/v1 calls otherwise than core/v1.
const RENAMED: [(&str, &str); 6] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub(super) fn record(
    kind: u8,
    text: &str,
    around: &[Arc<Context>],
) -> Result<Option<String>, Fault> {
    if kind == ITEM {
        return Event::new(json::members(text)?).record(None).map(Some);
    }
    let Some(document) = around.first() else { return Ok(None) };
    if document.entered("items") {
        return Ok(None);
    }
    match (document.get("type").and_then(json::text_of), document.get("object")) {
        (Some(change), Some(object)) => {
            let members = json::members(object)
                .map_err(|fault| Fault::new(format!("`object`: {}", fault.reason)))?;
            Event::new(members).record(Some(&change)).map(Some)
        }
        _ => {
            let members = document.members().map(|(key, value)| (key.to_owned(), value));
            Event::new(members.collect()).record(None).map(Some)
        }
    }
}

/// An event, its fields as core/v1 calls them.
struct Event<'a>(Vec<(String, &'a str)>);

impl<'a> Event<'a> {
    fn new(members: Vec<(String, &'a str)>) -> Self {
        let renamed = members.into_iter().map(|(key, value)| {
            let known = RENAMED.iter().find(|(from, _)| *from == key);
            (known.map_or(key, |(_, to)| (*to).to_owned()), value)
        });
        Self(renamed.collect())
    }

    /// What stands in a field, if anything does.
    fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(known, value)| known == key && *value != "null");
        found.map(|(_, value)| *value)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(json::text_of).filter(|text| !text.is_empty())
    }

    /// What is an object in a field; without it, an empty one.
    fn object(&self, key: &str) -> Result<Event<'a>, Fault> {
        let members = self.get(key).map_or(Ok(Vec::new()), json::members);
        let members = members.map_err(|fault| Fault::new(format!("`{key}`: {}", fault.reason)))?;
        Ok(Event(members))
    }

    fn record(&self, change: Option<&str>) -> Result<String, Fault> {
        if let Some(kind) = self.text("kind").filter(|kind| kind != "Event") {
            return Err(Fault::new(format!("`kind` is {kind}, and not Event")));
        }
        if self.get("involvedObject").is_none() {
            let reason = "no event: it has neither `involvedObject` nor `regarding` nor `items`";
            return Err(Fault::new(reason));
        }
        let (about, series) = (self.object("involvedObject")?, self.object("series")?);
        let (source, metadata) = (self.object("source")?, self.object("metadata")?);
        let mut record = json::Object::default();
        let times = [
            series.text("lastObservedTime"),
            self.text("lastTimestamp"),
            self.text("eventTime"),
            self.text("firstTimestamp"),
            metadata.text("creationTimestamp"),
        ];
        if let Some(time) = times.into_iter().flatten().next() {
            record.add_text("time", &time);
        }
        let parts = ["kind", "namespace", "name"].map(|key| about.text(key));
        record.add_text("object", &parts.into_iter().flatten().collect::<Vec<_>>().join("/"));
        record.add_text("reason", &self.text("reason").unwrap_or_default());
        record.add_text("message", &self.text("message").unwrap_or_default());
        record.add("count", series.get("count").or(self.get("count")).unwrap_or("1"));
        let reporters = [
            self.text("reportingComponent"),
            self.text("reportingController"),
            source.text("component"),
        ];
        if let Some(reporter) = reporters.into_iter().flatten().next() {
            record.add_text("reporter", &reporter);
        }
        if let Some(change) = change {
            record.add_text("watch", change);
        }
        const MADE: [&str; 7] =
            ["time", "object", "reason", "message", "count", "reporter", "watch"];
        for (key, value) in &self.0 {
            if !MADE.contains(&key.as_str()) {
                record.add(key, value);
            }
        }
        Ok(record.end())
    }
}
