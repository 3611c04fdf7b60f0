//! How the columns of a segment are laid out, as its metadata says.
//!
//! A segment has a row for each record, dead letter and mark of a stretch of a partition. Columns that
//! would hold nothing are left out. Beside those of [`names`] there is one for each common value of
//! the records, and `rest` holds, as JSON, what has none.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::manifest::Range;
use crate::rules::FieldPath;

/// Under this key of the metadata of the file stands the layout.
pub(super) const KEY: &str = "limbeck";

/// The columns that stand for themselves.
pub(super) mod names {
    /// The line in the log that was imported, from 1.
    pub(in crate::log) const LINE: &str = "line";
    /// Which element of the line's array, or record of a line of a document, from 1.
    pub(in crate::log) const ELEMENT: &str = "element";
    /// The event time as it is said.
    pub(in crate::log) const TIME: &str = "time";
    /// The arrival, where it is said.
    pub(in crate::log) const ARRIVAL: &str = "arrival";
    pub(in crate::log) const SOURCE: &str = "source";
    pub(in crate::log) const TYPE: &str = "type";
    pub(in crate::log) const SUBJECT: &str = "subject";
    /// The sequence, if it is a number; if there is a text too, conditions see that, and it orders
    /// nothing.
    pub(in crate::log) const SEQUENCE: &str = "sequence";
    /// The sequence as it is written, where that is not how its number is.
    pub(in crate::log) const SEQUENCE_TEXT: &str = "sequence_text";
    pub(in crate::log) const ID: &str = "id";
    /// What stands for the id of a record without.
    pub(in crate::log) const HASH: &str = "hash";
    /// What tells records of one id apart; where it is null, the hash.
    pub(in crate::log) const CONTENT: &str = "content";
    /// Of a dead letter: where in its line, why, and the beginning of the record.
    pub(in crate::log) const COLUMN: &str = "column";
    pub(in crate::log) const REASON: &str = "reason";
    pub(in crate::log) const RECORD: &str = "record";
    /// Of a mark: what it says; its arrival is until when.
    pub(in crate::log) const MARK: &str = "mark";
    /// The line around its values.
    pub(in crate::log) const FORM: &str = "form";
    /// As a JSON object, what of the record stands in no other column.
    pub(in crate::log) const REST: &str = "rest";
}

/// What the metadata says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Layout {
    /// Under which key of the record the conditions' `data` stands; without, it is the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<SmolStr>,
    /// Whether conditions see the sequence.
    pub(super) sequence_shown: bool,
    /// Whether the lines were JSON.
    pub(super) json: bool,
    /// The common values of the records.
    pub(super) columns: Vec<Column>,
    /// Of each group of rows, from the first to the last arrival; none of dead letters alone.
    pub(super) groups: Vec<Option<Range>>,
}

/// A common value of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    /// The keys that lead to it, outermost first.
    pub(super) path: Vec<SmolStr>,
    pub(super) kind: Kind,
    #[serde(flatten)]
    pub(super) at: At,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum At {
    /// In the column of this name.
    Column(String),
    /// It is an attribute, written so.
    SameAs(Same),
}

/// What a value is in all of its column; elsewhere it is part of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Bool,
    Int,
    Float,
    Text,
}

/// An attribute as a value of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Same {
    Subject,
    Source,
    Type,
    Id,
    Sequence,
    Time(Unit),
    Arrival(Unit),
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Unit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Millis,
    #[serde(rename = "us")]
    Micros,
    #[serde(rename = "ns")]
    Nanos,
    /// As this program writes it.
    #[serde(rename = "rfc3339")]
    Rfc3339,
}

impl Unit {
    /// How many nanoseconds one is; none of a text.
    pub(super) fn nanos(self) -> Option<i64> {
        match self {
            Self::Seconds => Some(1_000_000_000),
            Self::Millis => Some(1_000_000),
            Self::Micros => Some(1_000),
            Self::Nanos => Some(1),
            Self::Rfc3339 => None,
        }
    }

    /// From the coarsest.
    pub(super) const NUMBERS: [Self; 4] = [Self::Seconds, Self::Millis, Self::Micros, Self::Nanos];
}

/// What the column of a path is called.
pub(super) fn column_name(path: &[SmolStr], kind: Option<Kind>, data: Option<&str>) -> String {
    let (root, keys) = match (data, path) {
        (Some(data), [first, rest @ ..]) if first == data => ("data", rest),
        (Some(_), keys) => ("attributes", keys),
        (None, keys) => ("data", keys),
    };
    let keys = match FieldPath::new(keys) {
        Some(path) => format!(".{path}"),
        None if keys.is_empty() => String::new(),
        // Keys that no rule file can write.
        None => format!("{keys:?}"),
    };
    let kind = kind.map_or("", |kind| match kind {
        Kind::Bool => ":bool",
        Kind::Int => ":int",
        Kind::Float => ":float",
        Kind::Text => ":text",
    });
    format!("{root}{keys}{kind}")
}
