//! Silences as records of a log say them.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::sighting::Position;

/// What a record says of a silence. Of those of one id the last counts; ordered as they came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Silencing {
    /// Which entry of the rule file has read it, by its number.
    pub silence: u16,
    /// When it arrived.
    pub arrival_ns: i64,
    /// Where it stands.
    pub position: Position,
    /// Which of the silences that such records tell of it is.
    pub id: SmolStr,
    /// All must hold of an episode; at least one.
    pub matchers: Vec<Comparison>,
    /// Its first instant.
    pub from_ns: i64,
    /// The first behind it; if that is no later, it is never.
    pub until_ns: i64,
}

/// Something that an episode says is, or is not, like a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Comparison {
    /// What is compared.
    pub name: SmolStr,
    /// Whether it must not be so.
    pub negated: bool,
    /// Whether the text is a regular expression for the whole of it.
    pub is_regex: bool,
    /// The text.
    pub value: SmolStr,
}
