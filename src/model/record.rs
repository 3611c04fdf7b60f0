//! What a record says, before any rule has judged it.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A value found in a record at a path which the rule file names.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scalar<'a> {
    /// Nothing stands at that path.
    #[default]
    Missing,
    /// JSON `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits in 64 bits with a sign.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// A string, without its escapes.
    Str(Cow<'a, str>),
    /// An array or an object.
    Composite,
}

impl<'a> Scalar<'a> {
    /// As text; none of nothing, null, arrays and objects.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Str(text) => Some(text.clone()),
            Self::Int(number) => Some(Cow::Owned(number.to_string())),
            Self::UInt(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => Some(Cow::Owned(number.to_string())),
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Missing | Self::Null | Self::Composite => None,
        }
    }

    /// The same, borrowed from nothing.
    pub fn to_owned(&self) -> Scalar<'static> {
        match self {
            Self::Missing => Scalar::Missing,
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Int(number) => Scalar::Int(*number),
            Self::UInt(number) => Scalar::UInt(*number),
            Self::Float(number) => Scalar::Float(*number),
            Self::Str(text) => Scalar::Str(Cow::Owned(text.clone().into_owned())),
            Self::Composite => Scalar::Composite,
        }
    }
}

/// The producer's own number of a record: orders records of one source and one event time.
///
/// Absent comes first, then digits by their value, then other text by its bytes. Spellings of one
/// number (`7`, `007`) are equal here.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sequence {
    /// The record has none.
    #[default]
    Absent,
    /// Digits whose value fits in 64 bits.
    Number(u64),
    /// Digits of a larger value, without leading zeros: more digits is more.
    Large(Digits),
    /// Anything else.
    Text(SmolStr),
}

impl Sequence {
    /// Reads a sequence as it is written.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Self::Text(SmolStr::new(text));
        }
        match text.parse() {
            Ok(number) => Self::Number(number),
            Err(_) => Self::Large(Digits(SmolStr::new(text.trim_start_matches('0')))),
        }
    }
}

/// Decimal digits without leading zeros, ordered by value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digits(SmolStr);

impl Digits {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Digits {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), self.0.as_str()).cmp(&(other.0.len(), other.0.as_str()))
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What tells records of one source, event time and subject apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Id {
    /// Derived from the whole record: without an id, equal records are the same record.
    Content(u64),
    /// The producer's own.
    Text(SmolStr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_order_absent_then_by_value_then_text() {
        let sorted = [
            "0",
            "007",
            "8",
            "18446744073709551615",
            "018446744073709551616",
            "99999999999999999999",
            "100000000000000000000",
            "",
            "-1",
            "1a",
            "a",
        ];
        let parsed: Vec<_> = std::iter::once(Sequence::Absent)
            .chain(sorted.iter().map(|text| Sequence::parse(text)))
            .collect();
        assert!(parsed.windows(2).all(|pair| pair[0] < pair[1]), "{parsed:?}");
        assert_eq!(Sequence::parse("007"), Sequence::parse("7"));
    }
}
