//! The attributes of a record, from what was captured of its line.
//!
//! Guarantees: an attribute that is required is there, and of its type; if not, the error says where
//! in the line. The usual ones are read in place, all others out of the way. State: none.

use std::borrow::Cow;

use super::layout::{From, Part, TimeFrom};
use super::{Unreadable, offset, time, written};
use crate::model::time::parse_rfc3339;
use crate::model::{Scalar, Sequence};
use crate::rules::{FieldPath, TimeForm, TimeUnit};

/// Where in a line the value of a field begins.
fn place(line: &str, name: &str) -> Option<usize> {
    let path = FieldPath::parse(name).ok()?;
    Some(offset(line, written::at(line, path.keys())?))
}

/// Reads attributes from what was captured.
pub(super) struct Reader<'v, 'a> {
    pub(super) line: &'a str,
    /// Where the record begins and ends in the line.
    pub(super) part: (usize, usize),
    pub(super) values: &'v [Scalar<'a>],
    pub(super) strict: bool,
    pub(super) flat: bool,
}

impl<'a> Reader<'_, 'a> {
    #[cold]
    pub(super) fn missing(&self, name: &str) -> Unreadable {
        Unreadable { column: self.part.1.max(1), reason: format!("`{name}` is missing") }
    }

    #[cold]
    fn wrong(&self, name: &str, value: &Scalar<'_>, reason: String) -> Unreadable {
        let place = match value {
            Scalar::Str(Cow::Borrowed(text)) => Some(offset(self.line, text)),
            _ if self.flat => None,
            _ => place(self.line, name),
        };
        Unreadable { column: place.unwrap_or(self.part.0) + 1, reason }
    }

    /// Whether a text says nothing: rows and lines have no other way to leave a field out.
    #[inline(always)]
    fn is_void(&self, text: &str) -> bool {
        self.flat && text.is_empty()
    }

    /// Whether a text is certainly there.
    #[inline(always)]
    pub(super) fn has_plain_text(&self, from: &From) -> bool {
        match from {
            From::Const(_) => true,
            From::Capture(capture, _) => {
                matches!(&self.values[*capture], Scalar::Str(text) if !self.is_void(text))
            }
            From::Template(_) => false,
        }
    }

    /// A text that may be absent; a mapping's may be written as a number.
    #[inline(always)]
    pub(super) fn text(&self, from: &'a From) -> Result<Option<Cow<'a, str>>, Unreadable> {
        match from {
            From::Const(text) => Ok(Some(Cow::Borrowed(text))),
            From::Capture(capture, _) => match &self.values[*capture] {
                Scalar::Str(Cow::Borrowed(text)) if !self.is_void(text) => {
                    Ok(Some(Cow::Borrowed(text)))
                }
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
                Scalar::Missing | Scalar::Null => Ok(None),
                Scalar::Str(text) if self.is_void(text) => Ok(None),
                Scalar::Str(text) => Ok(Some(text.clone())),
                other if self.strict => {
                    Err(self.wrong(name, other, format!("`{name}` must be a string")))
                }
                other => Ok(other.text()),
            },
            From::Template(parts) => Ok(parts
                .iter()
                .map(|part| match part {
                    Part::Literal(text) => Some(Cow::Borrowed(text.as_str())),
                    Part::Capture(capture) => {
                        self.values[*capture].text().filter(|text| !self.is_void(text))
                    }
                })
                .collect::<Option<Vec<_>>>()
                .map(|parts| Cow::Owned(parts.concat()))),
        }
    }

    #[inline(always)]
    pub(super) fn required(&self, from: &'a From) -> Result<Cow<'a, str>, Unreadable> {
        self.text(from)?.ok_or_else(|| match from {
            From::Capture(capture, name) => match &self.values[*capture] {
                value @ Scalar::Composite => {
                    self.wrong(name, value, format!("`{name}` is no text and no number"))
                }
                _ => self.missing(name),
            },
            _ => self.missing("a field of the template"),
        })
    }

    /// A text that is as good as absent if it is none.
    #[inline(always)]
    pub(super) fn lenient(&self, from: &'a From) -> Option<Cow<'a, str>> {
        self.text(from).ok().flatten()
    }

    #[inline(always)]
    pub(super) fn sequence(&self, from: &'a From) -> Sequence {
        if let From::Capture(capture, _) = from
            && let Scalar::Int(number) = &self.values[*capture]
        {
            return u64::try_from(*number).map_or(Sequence::Absent, Sequence::Number);
        }
        self.unusual_sequence(from)
    }

    #[inline(never)]
    fn unusual_sequence(&self, from: &'a From) -> Sequence {
        match from {
            From::Capture(capture, _) => match &self.values[*capture] {
                Scalar::Str(text) if self.is_void(text) => Sequence::Absent,
                Scalar::Str(text) => Sequence::parse(text),
                Scalar::UInt(number) => Sequence::Number(*number),
                _ => Sequence::Absent,
            },
            other => self.lenient(other).map_or(Sequence::Absent, |text| Sequence::parse(&text)),
        }
    }

    #[inline(always)]
    pub(super) fn required_time(&self, from: &TimeFrom) -> Result<i64, Unreadable> {
        self.time(from)?.ok_or_else(|| self.missing(&from.name))
    }

    #[inline(always)]
    pub(super) fn time(&self, from: &TimeFrom) -> Result<Option<i64>, Unreadable> {
        let usual = match (&self.values[from.capture], &from.form) {
            (Scalar::Missing, _) => return Ok(None),
            (Scalar::Int(count), TimeForm::Unit(TimeUnit::Millis)) => count.checked_mul(1_000_000),
            (Scalar::Str(text), TimeForm::Unit(TimeUnit::Rfc3339)) => parse_rfc3339(text).ok(),
            _ => None,
        };
        if usual.is_some() { Ok(usual) } else { self.unusual_time(from) }
    }

    #[inline(never)]
    fn unusual_time(&self, from: &TimeFrom) -> Result<Option<i64>, Unreadable> {
        let value = &self.values[from.capture];
        match value {
            Scalar::Missing | Scalar::Null => Ok(None),
            Scalar::Str(text) if self.is_void(text) => Ok(None),
            _ => {
                let nanos = time::read(value, &from.form, &from.name);
                nanos.map(Some).map_err(|reason| self.wrong(&from.name, value, reason))
            }
        }
    }
}
