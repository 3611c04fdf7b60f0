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
use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

use self::layout::{Fill, From, Layout, Made, Part, TimeFrom};
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
    fills: &'a [Fill],
    /// By slot; void for those that are captured as they are.
    made: Vec<Scalar<'a>>,
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
            shapes.learn(line, nodes, captures);
        }
        Ok(())
    }
}

impl RecordView for Lines<'_> {
    #[inline]
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        match self.fills[slot] {
            Fill::Capture(capture) => &self.captured.values[capture],
            Fill::Text(capture, _) => match &self.captured.values[capture] {
                text @ Scalar::Str(_) => text,
                _ => &self.made[slot],
            },
            Fill::Made(_) => &self.made[slot],
        }
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
        &'a self,
        line: &'a [u8],
        lines: &mut Lines<'a>,
    ) -> Result<Decoded<'a>, Unreadable> {
        let line = simdutf8::basic::from_utf8(line).map_err(|_| not_utf8(line))?;
        self.decode_text(line, lines)
    }

    /// [`decode`](Self::decode) for what is known to be UTF-8.
    ///
    /// # Errors
    ///
    /// Why it is no record.
    #[inline(always)]
    pub fn decode_text<'a>(
        &'a self,
        line: &'a str,
        lines: &mut Lines<'a>,
    ) -> Result<Decoded<'a>, Unreadable> {
        let layout = &self.layout;
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
        let arrival = layout.arrival.as_ref().map(|from| &values[from.capture]);
        let (identity, content) = identify(line, arrival, id.as_deref());

        lines.fills = &layout.slots;
        lines.made.resize_with(layout.slots.len(), Scalar::default);
        for (slot, made) in &layout.made {
            if let Fill::Text(capture, _) = layout.slots[*slot]
                && matches!(values[capture], Scalar::Str(_))
            {
                continue;
            }
            lines.made[*slot] = match made {
                Made::Data(capture) => match &values[*capture] {
                    Scalar::Missing => Scalar::Composite,
                    data => data.clone(),
                },
                Made::Id => Scalar::Str(id.clone().unwrap_or_else(|| hexadecimal(&identity))),
                Made::Source => Scalar::Str(source.clone()),
                Made::Type => Scalar::Str(type_.clone()),
                Made::Subject => subject.clone().map_or(Scalar::Missing, Scalar::Str),
                Made::Sequence => match &layout.sequence {
                    Some(From::Capture(capture, _)) => as_text(&values[*capture]),
                    _ => Scalar::Missing,
                },
                Made::Missing => Scalar::Missing,
            };
        }
        let id = identity;
        Ok(Decoded { event_time_ns, arrival_ns, subject, source, sequence, id, content })
    }
}

/// An identity as the string it is to conditions.
fn hexadecimal(id: &Id) -> Cow<'static, str> {
    Cow::Owned(match id {
        Id::Text(id) => id.to_string(),
        Id::Content(hash) => format!("{hash:032x}"),
    })
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

#[cold]
fn not_utf8(line: &[u8]) -> Unreadable {
    let valid_up_to = std::str::from_utf8(line).map_or_else(|e| e.valid_up_to(), str::len);
    Unreadable { column: valid_up_to + 1, reason: "not valid UTF-8".to_owned() }
}

#[cold]
fn syntax(error: &serde_json::Error) -> Unreadable {
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    Unreadable { column: error.column().max(1), reason: reason.to_owned() }
}

/// Identity and content. Both are of the whole line but the value of its arrival: a record that is
/// delivered again is the same. Where the producer has given an identity, the content only serves
/// to find conflicts, and 64 bits are enough.
#[inline]
fn identify(line: &str, arrival: Option<&Scalar<'_>>, id: Option<&str>) -> (Id, u64) {
    /// Odd: the product says as much as the factor.
    const HEAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (head, tail) = match arrival {
        Some(Scalar::Str(Cow::Borrowed(value))) => {
            let start = offset(line, value);
            (Some(&line.as_bytes()[..start]), &line.as_bytes()[start + value.len()..])
        }
        _ => (None, line.as_bytes()),
    };
    match (id, head) {
        (Some(id), None) => (Id::Text(SmolStr::new(id)), xxh3_64(tail)),
        (Some(id), Some(head)) => {
            let head = xxh3_64(head).wrapping_mul(HEAD);
            (Id::Text(SmolStr::new(id)), head.wrapping_add(xxh3_64(tail)))
        }
        (None, head) => {
            let hash = match head {
                Some(head) => xxh3_128_with_seed(tail, xxh3_128(head) as u64),
                None => xxh3_128(tail),
            };
            (Id::Content(hash), hash as u64)
        }
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
    #[cold]
    fn missing(&self, name: &str) -> Unreadable {
        Unreadable { column: self.line.len().max(1), reason: format!("`{name}` is missing") }
    }

    #[cold]
    fn wrong(&self, value: &Scalar<'_>, reason: String) -> Unreadable {
        let column = match value {
            Scalar::Str(Cow::Borrowed(text)) => offset(self.line, text) + 1,
            _ => 1,
        };
        Unreadable { column, reason }
    }

    /// A text that may be absent; a mapping's may be written as a number.
    #[inline(always)]
    fn text(&self, from: &'a From) -> Result<Option<Cow<'a, str>>, Unreadable> {
        match from {
            From::Const(text) => Ok(Some(Cow::Borrowed(text))),
            From::Capture(capture, _) => match &self.values[*capture] {
                Scalar::Str(Cow::Borrowed(text)) => Ok(Some(Cow::Borrowed(text))),
                _ => self.unusual_text(from),
            },
            From::Template(_) => self.unusual_text(from),
        }
    }

    #[inline(never)]
    fn unusual_text(&self, from: &'a From) -> Result<Option<Cow<'a, str>>, Unreadable> {
        match from {
            From::Const(text) => Ok(Some(Cow::Borrowed(text))),
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

    #[inline(always)]
    fn required(&self, from: &'a From) -> Result<Cow<'a, str>, Unreadable> {
        self.text(from)?.ok_or_else(|| match from {
            From::Capture(_, name) => self.missing(name),
            _ => self.missing("a field of the template"),
        })
    }

    /// A text that is as good as absent if it is none.
    #[inline(always)]
    fn lenient(&self, from: &'a From) -> Option<Cow<'a, str>> {
        self.text(from).ok().flatten()
    }

    #[inline]
    fn sequence(&self, from: &'a From) -> Sequence {
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

    #[inline(always)]
    fn required_time(&self, from: &TimeFrom) -> Result<i64, Unreadable> {
        self.time(from)?.ok_or_else(|| self.missing(&from.name))
    }

    #[inline(always)]
    fn time(&self, from: &TimeFrom) -> Result<Option<i64>, Unreadable> {
        let usual = match (&self.values[from.capture], from.unit) {
            (Scalar::Missing, _) => return Ok(None),
            (Scalar::Int(count), TimeUnit::Millis) => count.checked_mul(1_000_000),
            (Scalar::Str(text), TimeUnit::Rfc3339) => parse_rfc3339(text).ok(),
            _ => None,
        };
        if usual.is_some() { Ok(usual) } else { self.unusual_time(from) }
    }

    #[inline(never)]
    fn unusual_time(&self, from: &TimeFrom) -> Result<Option<i64>, Unreadable> {
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
