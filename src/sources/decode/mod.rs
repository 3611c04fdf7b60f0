//! A line becomes a record: parsed once, and only where a rule or the record's identity looks.
//!
//! Guarantees: a line is *readable* exactly if it is what the contract says (UTF-8, one valid JSON
//! object, the attributes present, of their type and not repeated); otherwise the reason and the
//! column come back. Of other repeated keys the first counts. State: buffers only.

mod layout;
mod learn;
mod shape;
#[cfg(test)]
mod tests;
mod token;
mod walk;

use std::borrow::Cow;

use smol_str::SmolStr;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use self::layout::{Fill, From, Layout, Part, TimeFrom};
pub use self::shape::Shapes;
use self::walk::{Captured, FirstWins};
use crate::model::time::{TimeError, parse_rfc3339};
use crate::model::{Id, Scalar, Sequence};
use crate::rules::{Paths, RecordView, Source, TimeUnit};

/// A readable record, borrowed from its line.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// When it was recorded, if it says so.
    pub arrival_ns: Option<i64>,
    /// The entity, if it has one.
    pub subject: Option<Cow<'a, str>>,
    /// Who says it.
    pub source: Cow<'a, str>,
    /// The source's own number of it.
    pub sequence: Sequence,
    /// What tells it apart.
    pub id: Id,
    /// Equal for lines with equal bytes, the value of `recordedtime` left out.
    pub content: u64,
}

/// Why a line is not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where, in bytes from 1.
    pub column: usize,
    /// What is wrong, or what would be right.
    pub reason: String,
}

/// Reads the lines of one source.
#[derive(Clone, Debug)]
pub struct Decoder {
    layout: Layout,
}

/// Buffers for the lines of one block, and the conditions' view of the last line decoded.
///
/// The default remembers no shapes: every line is parsed in full.
#[derive(Debug, Default)]
pub struct Lines<'a> {
    shapes: Option<&'a mut Shapes>,
    line: &'a str,
    data_key: Option<&'static str>,
    captured: Captured<'a>,
    slots: Vec<Scalar<'a>>,
}

impl<'a> Lines<'a> {
    /// Buffers that use and add to the shapes of earlier blocks.
    pub fn new(shapes: &'a mut Shapes) -> Self {
        Self { shapes: Some(shapes), ..Self::default() }
    }

    /// Captures what a line has where the layout looks, and checks the rest.
    fn capture(&mut self, line: &'a str, layout: &Layout) -> Result<(), serde_json::Error> {
        let (nodes, captures) = (&layout.nodes, layout.captures);
        let Some(shapes) = &mut self.shapes else {
            return self.captured.walk(line, nodes, captures);
        };
        if !shapes.read(line, nodes, captures, &mut self.captured) {
            self.captured.walk(line, nodes, captures)?;
            shapes.learn(line, nodes);
        }
        Ok(())
    }
}

impl RecordView for Lines<'_> {
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        &self.slots[slot]
    }

    fn data(&self) -> serde_json::Value {
        let record = serde_json::from_str(self.line).map_or_else(
            |_| serde_json::Value::Object(serde_json::Map::new()),
            |FirstWins(record)| record,
        );
        match (self.data_key, record) {
            (Some(key), serde_json::Value::Object(mut record)) => record
                .remove(key)
                .unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new())),
            (_, record) => record,
        }
    }
}

impl Decoder {
    /// A decoder for a source; the conditions' paths say what else to look for.
    pub fn new(source: &Source, paths: &Paths) -> Self {
        Self { layout: Layout::new(source, paths) }
    }

    /// Reads a line; `lines` then shows it to conditions.
    ///
    /// # Errors
    ///
    /// Why it is no record.
    pub fn decode<'a>(
        &self,
        line: &'a [u8],
        lines: &mut Lines<'a>,
    ) -> Result<Decoded<'a>, Unreadable> {
        let layout = &self.layout;
        let line = std::str::from_utf8(line).map_err(|error| Unreadable {
            column: error.valid_up_to() + 1,
            reason: "not valid UTF-8".to_owned(),
        })?;
        lines.line = line;
        lines.data_key = layout.data_key;
        lines.capture(line, layout).map_err(|error| syntax(&error))?;
        let values = &lines.captured.values;

        let reader = Reader { line, values, strict: layout.strict };
        let id = layout.id.as_ref().map(|from| reader.text(from)).transpose()?.flatten();
        if layout.strict && id.is_none() {
            return Err(reader.missing("id"));
        }
        let source = reader.required(&layout.source)?;
        let type_ = reader.required(&layout.type_)?;
        let event_time_ns = reader.required_time(&layout.time)?;
        let arrival_ns = match &layout.arrival {
            Some(from) => reader.time(from)?,
            None => None,
        };
        let subject = reader.lenient(&layout.subject).filter(|subject| !subject.is_empty());
        let sequence = layout.sequence.as_ref().map_or(Sequence::Absent, |f| reader.sequence(f));
        let hash = content_hash(line, layout.arrival.as_ref().map(|from| &values[from.capture]));
        let id = id.map_or(Id::Content(hash), |id| Id::Text(SmolStr::new(id)));

        lines.slots.clear();
        for fill in &layout.slots {
            let text = |text: &Cow<'a, str>| Scalar::Str(text.clone());
            lines.slots.push(match fill {
                Fill::Capture(capture) => lines.captured.values[*capture].clone(),
                Fill::Data(capture) => match &lines.captured.values[*capture] {
                    Scalar::Missing => Scalar::Composite,
                    data => data.clone(),
                },
                Fill::Id => match &id {
                    Id::Text(id) => Scalar::Str(Cow::Owned(id.to_string())),
                    Id::Content(hash) => Scalar::Str(Cow::Owned(format!("{hash:032x}"))),
                },
                Fill::Source => text(&source),
                Fill::Type => text(&type_),
                Fill::Subject => subject.as_ref().map_or(Scalar::Missing, text),
                Fill::Sequence => match &layout.sequence {
                    Some(From::Capture(capture, _)) => as_text(&lines.captured.values[*capture]),
                    _ => Scalar::Missing,
                },
                Fill::Missing => Scalar::Missing,
            });
        }
        let content = hash as u64;
        Ok(Decoded { event_time_ns, arrival_ns, subject, source, sequence, id, content })
    }
}

/// A sequence as the string it is to conditions.
fn as_text<'a>(value: &Scalar<'a>) -> Scalar<'a> {
    match value {
        Scalar::Int(number) => Scalar::Str(Cow::Owned(number.to_string())),
        Scalar::UInt(number) => Scalar::Str(Cow::Owned(number.to_string())),
        Scalar::Str(_) => value.clone(),
        _ => Scalar::Missing,
    }
}

fn syntax(error: &serde_json::Error) -> Unreadable {
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    Unreadable { column: error.column().max(1), reason: reason.to_owned() }
}

/// Of the whole line but the value of its arrival: a record that is delivered again is the same.
fn content_hash(line: &str, arrival: Option<&Scalar<'_>>) -> u128 {
    match arrival {
        Some(Scalar::Str(Cow::Borrowed(value))) => {
            let start = offset(line, value);
            let head = xxh3_128(&line.as_bytes()[..start]);
            xxh3_128_with_seed(&line.as_bytes()[start + value.len()..], head as u64)
        }
        _ => xxh3_128(line.as_bytes()),
    }
}

/// Where a part of a line begins in it.
fn offset(line: &str, part: &str) -> usize {
    (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize)
}

/// Reads attributes from what was captured.
struct Reader<'v, 'a> {
    line: &'a str,
    values: &'v [Scalar<'a>],
    strict: bool,
}

impl<'a> Reader<'_, 'a> {
    fn missing(&self, name: &str) -> Unreadable {
        Unreadable { column: self.line.len().max(1), reason: format!("`{name}` is missing") }
    }

    fn wrong(&self, value: &Scalar<'_>, reason: String) -> Unreadable {
        let column = match value {
            Scalar::Str(Cow::Borrowed(text)) => offset(self.line, text) + 1,
            _ => 1,
        };
        Unreadable { column, reason }
    }

    /// A text that may be absent; a mapping's may be written as a number.
    fn text(&self, from: &From) -> Result<Option<Cow<'a, str>>, Unreadable> {
        match from {
            From::Const(text) => Ok(Some(Cow::Owned(text.to_string()))),
            From::Capture(capture, name) => match &self.values[*capture] {
                Scalar::Str(text) => Ok(Some(text.clone())),
                Scalar::Missing | Scalar::Null => Ok(None),
                other if self.strict => {
                    Err(self.wrong(other, format!("`{name}` must be a string")))
                }
                other => Ok(plain(other)),
            },
            From::Template(parts) => Ok(parts
                .iter()
                .map(|part| match part {
                    Part::Literal(text) => Some(Cow::Borrowed(text.as_str())),
                    Part::Capture(capture) => plain(&self.values[*capture]),
                })
                .collect::<Option<Vec<_>>>()
                .map(|parts| Cow::Owned(parts.concat()))),
        }
    }

    fn required(&self, from: &From) -> Result<Cow<'a, str>, Unreadable> {
        self.text(from)?.ok_or_else(|| match from {
            From::Capture(_, name) => self.missing(name),
            _ => self.missing("a field of the template"),
        })
    }

    /// A text that is as good as absent if it is none.
    fn lenient(&self, from: &From) -> Option<Cow<'a, str>> {
        self.text(from).ok().flatten()
    }

    fn sequence(&self, from: &From) -> Sequence {
        match from {
            From::Capture(capture, _) => match &self.values[*capture] {
                Scalar::Str(text) => Sequence::parse(text),
                Scalar::Int(number) => {
                    u64::try_from(*number).map_or(Sequence::Absent, Sequence::Number)
                }
                Scalar::UInt(number) => Sequence::Number(*number),
                _ => Sequence::Absent,
            },
            other => self.lenient(other).map_or(Sequence::Absent, |text| Sequence::parse(&text)),
        }
    }

    fn required_time(&self, from: &TimeFrom) -> Result<i64, Unreadable> {
        self.time(from)?.ok_or_else(|| self.missing(&from.name))
    }

    fn time(&self, from: &TimeFrom) -> Result<Option<i64>, Unreadable> {
        let value = &self.values[from.capture];
        let name = &from.name;
        let nanos = match (value, from.unit) {
            (Scalar::Missing | Scalar::Null, _) => return Ok(None),
            (Scalar::Str(text), TimeUnit::Rfc3339) => {
                parse_rfc3339(text).map_err(|error| match error {
                    TimeError::NotRfc3339 => format!("`{name}` is no RFC 3339 time"),
                    TimeError::OutOfRange => out_of_range(name),
                })
            }
            (_, TimeUnit::Rfc3339) => Err(format!("`{name}` must be an RFC 3339 string")),
            (value, unit) => epoch(value, unit, name),
        };
        nanos.map(Some).map_err(|reason| self.wrong(value, reason))
    }
}

fn out_of_range(name: &str) -> String {
    format!("`{name}` is outside of the years 1678 to 2261")
}

/// A value as text, where a mapping wants one.
fn plain<'a>(value: &Scalar<'a>) -> Option<Cow<'a, str>> {
    match value {
        Scalar::Str(text) => Some(text.clone()),
        Scalar::Int(number) => Some(Cow::Owned(number.to_string())),
        Scalar::UInt(number) => Some(Cow::Owned(number.to_string())),
        Scalar::Float(number) => Some(Cow::Owned(number.to_string())),
        Scalar::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Scalar::Missing | Scalar::Null | Scalar::Composite => None,
    }
}

/// A time since the epoch, as a number or as its digits in a string.
fn epoch(value: &Scalar<'_>, unit: TimeUnit, name: &str) -> Result<i64, String> {
    let nanos_per_unit: i64 = match unit {
        TimeUnit::Seconds => 1_000_000_000,
        TimeUnit::Millis => 1_000_000,
        TimeUnit::Micros => 1_000,
        TimeUnit::Nanos | TimeUnit::Rfc3339 => 1,
    };
    let whole = match value {
        Scalar::Int(count) => Some(*count),
        Scalar::Str(text) => text.parse().ok(),
        _ => None,
    };
    let fractional = match value {
        Scalar::Float(count) => Some(*count),
        Scalar::UInt(count) => Some(*count as f64),
        Scalar::Str(text) => text.parse().ok(),
        _ => None,
    };
    match (whole, fractional) {
        (Some(count), _) => count.checked_mul(nanos_per_unit).ok_or_else(|| out_of_range(name)),
        (None, Some(count)) => {
            let nanos = count * nanos_per_unit as f64;
            let fits = nanos.abs() < i64::MAX as f64;
            fits.then_some(nanos as i64).ok_or_else(|| out_of_range(name))
        }
        (None, None) => Err(format!("`{name}` must be a number since the epoch")),
    }
}
