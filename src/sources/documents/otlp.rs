//! Requests of the OpenTelemetry Protocol in JSON: each log record, data point and span is a
//! record.
//!
//! A record has `signal` (`log`, `metric` or `span`), `time`, `resource` (its attributes), `scope`,
//! and what OTLP says of it under the names that OTLP has, but that a time in nanoseconds is one as
//! RFC 3339 writes it and its name lacks `UnixNano`, that attributes are objects (`http.status` is
//! `attributes.http.status`), that values are plain, and that whole numbers are numbers. Of a log
//! without a time, `time` is when it was observed; of a span, when it ended. A data point has
//! `name`, `unit` and `type` (`gauge`, `sum`, ...) of its metric, and `value`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cut::{Awaits, Context, Level, Shape, WHOLE};
use super::{Fault, json};
use crate::sources::decode::decimal;

const LOG: u8 = 0;
const SPAN: u8 = 1;
const POINT: u8 = 2;

/// Keys that lead to data points, as the records call them.
const KINDS: [&str; 5] = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
/// Longer attributes keep their dots.
const SEGMENTS_MAX: usize = 16;

pub(super) static REQUEST: Shape = Shape::Object(&Level {
    keys: &[
        ("resourceLogs", Shape::Each(&Shape::Object(&RESOURCE_LOGS))),
        ("resourceMetrics", Shape::Each(&Shape::Object(&RESOURCE_METRICS))),
        ("resourceSpans", Shape::Each(&Shape::Object(&RESOURCE_SPANS))),
    ],
    awaits: Awaits::Keys(&[]),
});

static RESOURCE_LOGS: Level = Level {
    keys: &[("scopeLogs", Shape::Each(&Shape::Object(&SCOPE_LOGS)))],
    awaits: Awaits::Keys(&["resource"]),
};

static SCOPE_LOGS: Level = Level {
    keys: &[("logRecords", Shape::Each(&Shape::Record(LOG)))],
    awaits: Awaits::Keys(&["scope"]),
};

static RESOURCE_SPANS: Level = Level {
    keys: &[("scopeSpans", Shape::Each(&Shape::Object(&SCOPE_SPANS)))],
    awaits: Awaits::Keys(&["resource"]),
};

static SCOPE_SPANS: Level = Level {
    keys: &[("spans", Shape::Each(&Shape::Record(SPAN)))],
    awaits: Awaits::Keys(&["scope"]),
};

static RESOURCE_METRICS: Level = Level {
    keys: &[("scopeMetrics", Shape::Each(&Shape::Object(&SCOPE_METRICS)))],
    awaits: Awaits::Keys(&["resource"]),
};

static SCOPE_METRICS: Level = Level {
    keys: &[("metrics", Shape::Each(&Shape::Object(&METRIC)))],
    awaits: Awaits::Keys(&["scope"]),
};

/// Its name may stand behind its points, and of a sum what it is does.
static METRIC: Level = Level {
    keys: &[
        (KINDS[0], Shape::Object(&DATA)),
        (KINDS[1], Shape::Object(&DATA)),
        (KINDS[2], Shape::Object(&DATA)),
        (KINDS[3], Shape::Object(&DATA)),
        (KINDS[4], Shape::Object(&DATA)),
    ],
    awaits: Awaits::End,
};

static DATA: Level =
    Level { keys: &[("dataPoints", Shape::Each(&Shape::Record(POINT)))], awaits: Awaits::End };

pub(super) fn record(
    kind: u8,
    text: &str,
    around: &[Arc<Context>],
) -> Result<Option<String>, Fault> {
    if kind == WHOLE {
        let known = ["resourceLogs", "resourceMetrics", "resourceSpans"];
        let is_request =
            around.first().is_some_and(|request| known.iter().any(|key| request.entered(key)));
        return match is_request {
            true => Ok(None),
            false => Err(Fault::new(format!("no request of OTLP: it has none of {known:?}"))),
        };
    }
    let (signal, time_key, else_key) = match kind {
        LOG => ("log", "timeUnixNano", "observedTimeUnixNano"),
        SPAN => ("span", "endTimeUnixNano", "startTimeUnixNano"),
        _ => ("metric", "timeUnixNano", "timeUnixNano"),
    };
    let members = json::members(text)?;
    let mut record = json::Object::default();
    record.add_text("signal", signal);
    let value = |wanted: &str| {
        let found = members.iter().find(|(key, value)| key == wanted && is_set(value));
        found.map(|(_, value)| *value)
    };
    for key in [time_key, else_key] {
        if let Some(nanos) = value(key).map(|value| nanos(text, value)).transpose()?.flatten() {
            record.add_time("time", nanos);
            break;
        }
    }
    let makes: [Make; 4] = [data, metric, scope, resource];
    let makes = if kind == POINT { &makes[..] } else { &makes[2..] };
    for (make, context) in makes.iter().zip(around).rev() {
        record.add_members(context.made(make)?);
    }
    for (key, value) in &members {
        match key.as_str() {
            "timeUnixNano" => {}
            "events" | "links" | "exemplars" if is_set(value) => {
                let items: Vec<&RawValue> = json::read(text, value)?;
                let items = items.into_iter().map(|item| converted_in(text, item.get()));
                record.add(key, &array(items.collect::<Result<Vec<_>, _>>()?));
            }
            "positive" | "negative" if value.starts_with('{') => {
                record.add(key, &converted_in(text, value)?);
            }
            _ => push_member(&mut record, text, key, value)?,
        }
    }
    Ok(Some(record.end()))
}

/// What records say of an object around them.
type Make = fn(&Context) -> Result<String, String>;

fn resource(context: &Context) -> Result<String, String> {
    let attributes = context.get("resource").filter(|value| is_set(value));
    let attributes = attributes.map_or(Ok("{}".to_owned()), |resource| {
        let members = json::members(resource)?;
        let attributes = members.iter().find(|(key, _)| key == "attributes");
        attributes.map_or(Ok("{}".to_owned()), |(_, value)| attributes_of(resource, value))
    });
    let attributes = attributes.map_err(|fault| format!("`resource`: {}", fault.reason))?;
    Ok(json::Object::default().add("resource", &attributes).end())
}

fn scope(context: &Context) -> Result<String, String> {
    let scope = context.get("scope").filter(|value| is_set(value));
    let scope = scope.map_or(Ok("{}".to_owned()), converted);
    let scope = scope.map_err(|fault| format!("`scope`: {}", fault.reason))?;
    Ok(json::Object::default().add("scope", &scope).end())
}

fn metric(context: &Context) -> Result<String, String> {
    let mut metric = json::Object::default();
    for key in ["name", "unit"] {
        if let Some(value) = context.get(key).filter(|value| is_set(value)) {
            metric.add(key, value);
        }
    }
    if let Some(kind) = KINDS.iter().find(|kind| context.entered(kind)) {
        metric.add_text("type", kind);
    }
    Ok(metric.end())
}

fn data(context: &Context) -> Result<String, String> {
    let mut data = json::Object::default();
    for (key, value) in context.members().filter(|(_, value)| is_set(value)) {
        data.add(key, value);
    }
    Ok(data.end())
}

/// An object with all in it as records have it; what is of objects there stays as it is.
fn converted(object: &str) -> Result<String, Fault> {
    let mut made = json::Object::default();
    for (key, value) in json::members(object)? {
        push_member(&mut made, object, &key, value)?;
    }
    Ok(made.end())
}

/// The same of a part of `text`.
fn converted_in(text: &str, part: &str) -> Result<String, Fault> {
    converted(part).map_err(|fault| Fault { at: place(text, part) + fault.at, ..fault })
}

/// Adds a member of an object of `text` as records have it.
fn push_member(record: &mut json::Object, text: &str, key: &str, value: &str) -> Result<(), Fault> {
    match key {
        _ if !is_set(value) => {}
        "attributes" | "filteredAttributes" => {
            record.add(key, &attributes_of(text, value)?);
        }
        "body" => {
            let body: Option<AnyValue<'_>> = json::read(text, value)?;
            record.add(key, &body.map_or("null".to_owned(), AnyValue::json));
        }
        "asDouble" | "asInt" => {
            record.add("value", &number(value));
        }
        "count" | "zeroCount" | "sum" | "min" | "max" => {
            record.add(key, &number(value));
        }
        "bucketCounts" => {
            let counts: Vec<&RawValue> = json::read(text, value)?;
            record.add(key, &array(counts.into_iter().map(|count| number(count.get()))));
        }
        _ => match key.strip_suffix("UnixNano") {
            Some(name) => {
                if let Some(nanos) = nanos(text, value)? {
                    record.add_time(name, nanos);
                }
            }
            None => {
                record.add(key, value);
            }
        },
    }
    Ok(())
}

/// Whether a member says something: null is as if it were not there.
fn is_set(value: &str) -> bool {
    value != "null"
}

fn place(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize)
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

/// A number, which may be in quotes; what JSON has no number for stays a text.
fn number(json: &str) -> String {
    json::text_of(json).map_or_else(|| json.to_owned(), |text| json::number(&text))
}

/// A time since 1970; none if it is 0, which says that it is not known.
fn nanos(text: &str, value: &str) -> Result<Option<i64>, Fault> {
    let digits = json::text_of(value).unwrap_or_else(|| value.to_owned());
    let reason = match decimal(&digits, 0) {
        Some(Some(0)) => return Ok(None),
        Some(Some(nanos @ 1..)) => return Ok(Some(nanos)),
        Some(_) => "the time is outside of the years 1970 to 2261",
        None => "expected a time in nanoseconds since 1970",
    };
    Err(Fault { at: place(text, value), reason: reason.to_owned() })
}

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<AnyValue<'a>>,
}

/// One of these; none is no value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue<'a> {
    string_value: Option<String>,
    bool_value: Option<bool>,
    #[serde(borrow)]
    int_value: Option<&'a RawValue>,
    double_value: Option<&'a RawValue>,
    array_value: Option<ArrayValue<'a>>,
    kvlist_value: Option<KeyValueList<'a>>,
    bytes_value: Option<String>,
}

#[derive(Deserialize)]
struct ArrayValue<'a> {
    #[serde(borrow)]
    values: Option<Vec<AnyValue<'a>>>,
}

#[derive(Deserialize)]
struct KeyValueList<'a> {
    #[serde(borrow)]
    values: Option<Vec<KeyValue<'a>>>,
}

impl AnyValue<'_> {
    fn json(self) -> String {
        if let Some(text) = self.string_value.or(self.bytes_value) {
            return json::string(&text);
        }
        if let Some(value) = self.bool_value {
            return value.to_string();
        }
        if let Some(value) = self.int_value.or(self.double_value) {
            return number(value.get());
        }
        if let Some(ArrayValue { values }) = self.array_value {
            return array(values.into_iter().flatten().map(Self::json));
        }
        self.kvlist_value.map_or("null".to_owned(), |list| nested(list.values.unwrap_or_default()))
    }
}

/// A list of attributes as an object.
fn attributes_of(text: &str, list: &str) -> Result<String, Fault> {
    let list: Option<Vec<KeyValue<'_>>> = json::read(text, list)?;
    Ok(nested(list.unwrap_or_default()))
}

/// An attribute, or the object of those whose names go on with a dot.
enum Node {
    Value(String),
    Object(BTreeMap<String, Node>),
}

/// Attributes as an object: what stands before a dot is an object, unless it is an attribute too;
/// then the dot stays. Of repeated names the first counts.
fn nested(list: Vec<KeyValue<'_>>) -> String {
    let mut sorted = BTreeMap::new();
    for KeyValue { key, value } in list {
        let json = |value: Option<AnyValue<'_>>| value.map_or("null".to_owned(), AnyValue::json);
        sorted.entry(key).or_insert_with(|| json(value));
    }
    let mut root = BTreeMap::new();
    // A name comes before those that go on with a dot.
    for (key, value) in sorted {
        insert(&mut root, &key, value, SEGMENTS_MAX);
    }
    written(&root)
}

fn insert(object: &mut BTreeMap<String, Node>, key: &str, value: String, segments: usize) {
    if segments > 1
        && let Some((first, rest)) = key.split_once('.')
        && !first.is_empty()
        && rest.split('.').all(|segment| !segment.is_empty())
    {
        let node = object.entry(first.to_owned()).or_insert_with(|| Node::Object(BTreeMap::new()));
        if let Node::Object(beneath) = node {
            return insert(beneath, rest, value, segments - 1);
        }
    }
    object.entry(key.to_owned()).or_insert(Node::Value(value));
}

fn written(object: &BTreeMap<String, Node>) -> String {
    let mut text = json::Object::default();
    for (key, node) in object {
        match node {
            Node::Value(value) => text.add(key, value),
            Node::Object(beneath) => text.add(key, &written(beneath)),
        };
    }
    text.end()
}
