//! Answers of Prometheus to queries: each sample of a matrix, a vector or a scalar is a record.
//!
//! A record has `time`, `value` (a number, or a text where JSON has no such number: `NaN`, `+Inf`),
//! `name`, `labels` without the name, and `series`, which is both as Prometheus writes them; a
//! native histogram has `histogram` in the place of `value`.

use super::cut::{Awaits, Context, Level, Shape, WHOLE};
use super::{Fault, json};
use crate::sources::decode::decimal;
use std::sync::Arc;

const VALUE: u8 = 0;
const HISTOGRAM: u8 = 1;
const SCALAR: u8 = 2;
const SECOND_DIGITS: u32 = 9;

pub(super) static ANSWER: Shape =
    Shape::Object(&Level { keys: &[("data", Shape::Object(&DATA))], awaits: Awaits::Keys(&[]) });

static DATA: Level =
    Level { keys: &[("result", Shape::EachOrOne(&SERIES, SCALAR))], awaits: Awaits::Keys(&[]) };

static SERIES: Shape = Shape::Object(&Level {
    keys: &[
        ("values", Shape::Each(&Shape::Record(VALUE))),
        ("value", Shape::Record(VALUE)),
        ("histograms", Shape::Each(&Shape::Record(HISTOGRAM))),
        ("histogram", Shape::Record(HISTOGRAM)),
    ],
    awaits: Awaits::Keys(&["metric"]),
});

pub(super) fn record(
    kind: u8,
    text: &str,
    around: &[Arc<Context>],
) -> Result<Option<String>, Fault> {
    if kind == WHOLE {
        return around.first().map_or(Ok(()), |answer| check(answer)).map(|()| None);
    }
    let wrong = || Fault::new("expected a time in seconds and a value in quotes");
    let [time, value] = json::items(text)?[..] else { return Err(wrong()) };
    // It says the time as a number, an older one in quotes.
    let seconds = json::text_of(time).unwrap_or_else(|| time.to_owned());
    let nanos = decimal(&seconds, SECOND_DIGITS).ok_or_else(wrong)?;
    let nanos = nanos.ok_or_else(|| Fault::new("the time is outside of the years 1678 to 2261"))?;
    let mut record = json::Object::default();
    record.add_time("time", nanos);
    if kind != SCALAR {
        let series = around.first().ok_or_else(wrong)?;
        record.add_members(series.made(labels)?);
    }
    match kind {
        HISTOGRAM => record.add("histogram", value),
        _ => record.add("value", &json::number(&json::text_of(value).ok_or_else(wrong)?)),
    };
    Ok(Some(record.end()))
}

/// What the samples of a series say of it.
fn labels(series: &Context) -> Result<String, String> {
    let metric = series.get("metric").ok_or("`metric` is missing")?;
    let labels = json::labels(metric).map_err(|fault| format!("`metric`: {}", fault.reason))?;
    Ok(told(&labels))
}

/// The members of a record that tell its series.
pub(super) fn told(labels: &[(String, String)]) -> String {
    const NAME: &str = "__name__";
    let name = labels.iter().find(|(label, _)| label == NAME).map(|(_, name)| name.as_str());
    let others = || labels.iter().filter(|(label, _)| label != NAME);
    let mut told = json::Object::default();
    if let Some(name) = name {
        told.add_text("name", name);
    }
    let mut object = json::Object::default();
    for (label, value) in others() {
        object.add_text(label, value);
    }
    told.add("labels", &object.end());
    let pairs = others().map(|(label, value)| (label.as_str(), value.as_str()));
    told.add_text("series", &json::series(name.unwrap_or_default(), pairs));
    told.end()
}

/// Whether an answer is one.
fn check(answer: &Context) -> Result<(), Fault> {
    let text = |key: &str| answer.get(key).and_then(json::text_of).unwrap_or_default();
    if text("status") == "error" {
        let (kind, error) = (text("errorType"), text("error"));
        return Err(Fault::new(format!("Prometheus answered with an error: {kind}: {error}")));
    }
    match answer.entered("data") {
        true => Ok(()),
        false => Err(Fault::new("no answer to a query: `data` is missing")),
    }
}
