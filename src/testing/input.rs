//! The records that series stand for.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use super::InMemory;
use super::observed::SAID;
use super::series::Item;
use crate::model::time::format_rfc3339;

/// What a series says of all its records.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) entity: String,
    pub(super) signal: String,
    /// Where the signal takes its value from, if that is a place.
    pub(super) reading_keys: Vec<SmolStr>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) data: Map<String, Value>,
    pub(super) source: Option<String>,
    pub(super) kind: Option<String>,
    /// Of its first record; the others count on.
    pub(super) sequence: Option<u64>,
    /// What its ids begin with.
    pub(super) id: Option<String>,
    pub(super) severity: Option<String>,
    /// How long after it happened each record arrives.
    pub(super) delay_ns: i64,
}

/// The records of a case, in the order in which they arrive.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// With their arrivals, since the start.
    records: Vec<(i64, Value)>,
}

impl Records {
    /// Adds the records of a series.
    pub(super) fn series(&mut self, common: &Common, items: &[Item], start_ns: i64) {
        let mut before: Option<Value> = None;
        for (number, item) in (0..).zip(items) {
            let instant = |offset: i64| format_rfc3339(start_ns.saturating_add(offset));
            let mut record = match before.take().filter(|_| item.again) {
                Some(before) => before,
                None => self.record(common, number, &instant(item.time_ns)),
            };
            record["recordedtime"] = instant(item.arrival_ns).into();
            observe(&mut record["data"], common, item);
            before = Some(record.clone());
            self.records.push((item.arrival_ns, record));
        }
    }

    fn record(&self, common: &Common, number: u64, time: &str) -> Value {
        let mut record = json!({
            "specversion": "1.0",
            "id": format!("{}{:06}", common.id.as_deref().unwrap_or(""), self.records.len() + 1),
            "source": common.source.as_deref().unwrap_or("test"),
            "type": common.kind.as_deref().unwrap_or("test"),
            "subject": common.entity,
            "time": time,
            "data": common.data,
        });
        if let Some(first) = common.sequence {
            record["sequence"] = first.saturating_add(number).to_string().into();
        }
        if let Some(severity) = &common.severity {
            record["severity"] = severity.as_str().into();
        }
        let labels = common.labels.iter().map(|(name, text)| (name.clone(), text.as_str().into()));
        record["data"][SAID] =
            json!({ "signal": common.signal, "labels": labels.collect::<Map<_, _>>() });
        record
    }

    /// The latest arrival, since the start.
    pub(super) fn end_ns(&self) -> Option<i64> {
        self.records.iter().map(|(arrival, _)| *arrival).max()
    }

    /// The log.
    pub(super) fn into_log(mut self) -> InMemory {
        self.records.sort_by_key(|(arrival, _)| *arrival);
        let lines = self.records.iter().map(|(_, record)| format!("{record}\n"));
        let bytes = lines.collect::<String>().into_bytes();
        InMemory { name: "series".to_owned(), source: 0, bytes: Arc::from(bytes) }
    }
}

/// Puts what was observed into the data of a record.
fn observe(data: &mut Value, common: &Common, item: &Item) {
    if let Some(state) = &item.value.state {
        data[SAID]["state"] = state.as_str().into();
    }
    for (name, text) in &item.labels {
        data[SAID]["labels"][name] = text.as_str().into();
    }
    if let Some(reading) = item.value.reading {
        data[SAID]["value"] = reading.into();
        let mut at = data;
        for key in &common.reading_keys {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[key.as_str()];
        }
        if !common.reading_keys.is_empty() {
            *at = reading.into();
        }
    }
}
