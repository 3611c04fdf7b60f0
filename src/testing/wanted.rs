//! What a case expects: rows of some view that fit patterns, and counts.

use serde_json::{Map, Value};

use super::Clock;
use crate::model::duration::{format_duration, parse_duration};
use crate::model::time::{format_rfc3339, parse_rfc3339};

/// A row of a view: what it says, by name.
pub(super) type Row = Map<String, Value>;

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// As in `episodes.ndjson`.
    Episodes,
    /// As in `fates.ndjson`: one for each record and rule.
    Fates,
    /// As in `notifications.ndjson`: one for each notification and sink.
    Deliveries,
    /// The same of notifications that were withheld.
    Withheld,
    /// As in `dead-letter.ndjson`.
    DeadLetters,
}

impl View {
    pub(super) const ALL: [Self; 5] =
        [Self::Episodes, Self::Fates, Self::Deliveries, Self::Withheld, Self::DeadLetters];

    /// Its name in test files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Episodes => "episodes",
            Self::Fates => "fates",
            Self::Deliveries => "deliveries",
            Self::Withheld => "withheld",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// One of it, for messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Episodes => "an episode",
            Self::Fates => "a fate",
            Self::Deliveries => "a delivery",
            Self::Withheld => "a withheld delivery",
            Self::DeadLetters => "a dead letter",
        }
    }

    /// What a pattern may name.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Episodes => &EPISODE_FIELDS,
            Self::Fates => &FATE_FIELDS,
            Self::Deliveries => &DELIVERY_FIELDS,
            Self::Withheld => &WITHHELD_FIELDS,
            Self::DeadLetters => &DEAD_LETTER_FIELDS,
        }
    }

    /// What of a row is always shown.
    pub(super) fn shown(self) -> &'static [&'static str] {
        match self {
            Self::Episodes => &["entity", "state", "since", "until"],
            Self::Fates => &["time", "entity", "state", "fate", "by"],
            Self::Deliveries => &["at", "to", "kind", "entity", "state", "since"],
            Self::Withheld => &["at", "to", "by", "name", "entity", "state", "since"],
            Self::DeadLetters => &["line", "column", "reason"],
        }
    }

    /// Whether a text need only be contained.
    fn contains(self) -> bool {
        self == Self::DeadLetters
    }
}

pub(super) const EPISODE_FIELDS: [&str; 25] = [
    "entity",
    "rule",
    "signal",
    "state",
    "since",
    "until",
    "decided",
    "reason",
    "revision",
    "labels",
    "annotations",
    "value",
    "changes",
    "first_change",
    "last_change",
    "minority",
    "schema",
    "rule_version",
    "mode",
    "age",
    "announced",
    "for",
    "p",
    "entity_lasted",
    "group_lasted",
];
pub(super) const FATE_FIELDS: [&str; 36] = [
    "entity",
    "time",
    "arrival",
    "raw_time",
    "line",
    "disposition",
    "reason",
    "conflict",
    "rule",
    "state",
    "fate",
    "by",
    "since",
    "until",
    "lasted",
    "hold",
    "within",
    "keep",
    "missed",
    "as",
    "except",
    "value",
    "smoothed",
    "votes",
    "all_votes",
    "minority",
    "would",
    "penalty",
    "suppress",
    "suppressed_until",
    "share",
    "changes",
    "first_change",
    "first_seen",
    "marked",
    "grace_until",
];
pub(super) const DELIVERY_FIELDS: [&str; 34] = [
    "to",
    "at",
    "kind",
    "standing",
    "latest",
    "group_count",
    "group_open",
    "group_first",
    "group_last",
    "entity",
    "rule",
    "signal",
    "state",
    "since",
    "until",
    "decided",
    "reason",
    "revision",
    "labels",
    "annotations",
    "value",
    "changes",
    "first_change",
    "last_change",
    "minority",
    "schema",
    "rule_version",
    "mode",
    "age",
    "announced",
    "for",
    "p",
    "entity_lasted",
    "group_lasted",
];
pub(super) const WITHHELD_FIELDS: [&str; 38] = {
    let mut fields = ["by"; 38];
    (fields[1], fields[2], fields[3]) = ("name", "silence_id", "group");
    let (_, delivery) = fields.split_at_mut(4);
    delivery.copy_from_slice(&DELIVERY_FIELDS);
    fields
};
pub(super) const DEAD_LETTER_FIELDS: [&str; 4] = ["line", "column", "reason", "record"];
/// What of these are instants, ...
const TIMES: [&str; 15] = [
    "announced",
    "since",
    "until",
    "decided",
    "time",
    "arrival",
    "raw_time",
    "at",
    "missed",
    "suppressed_until",
    "first_seen",
    "marked",
    "grace_until",
    "first_change",
    "last_change",
];
/// ... lengths of time, ...
const DURATIONS: [&str; 6] = ["lasted", "hold", "within", "keep", "age", "for"];
/// ... and texts by name; of a minority, what each witness says.
const TEXTS: [&str; 3] = ["labels", "annotations", "minority"];

/// What is expected at an instant.
#[derive(Debug)]
pub(super) struct Expectation {
    /// As known then; at the end if none.
    pub(super) at_ns: Option<i64>,
    /// Only rows that say so are looked at.
    pub(super) of: Vec<(String, Wanted)>,
    pub(super) checks: Vec<Check>,
    pub(super) counts: Vec<Counted>,
}

/// What rows of a view there shall be.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) line: usize,
    pub(super) view: View,
    pub(super) mode: Mode,
    pub(super) patterns: Vec<RowPattern>,
}

/// Which of the rows the patterns are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each row fits one of them, and each of them one row.
    Exactly,
    /// There are rows that fit each.
    Contains,
    /// No row fits any.
    NoneOf,
}

/// What a row shall say.
#[derive(Debug)]
pub(super) struct RowPattern {
    pub(super) line: usize,
    pub(super) fields: Vec<(String, Wanted)>,
    /// How many rows it shall fit, if that is said.
    pub(super) count: Option<u64>,
}

/// A count of the summary, by the names that lead to it.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
    pub(super) count: u64,
}

/// What a value shall be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// Nothing; `open` of an end.
    Nothing,
    /// Whatever it is.
    Anything,
    Instant(i64),
    Duration(i64),
    /// A text, or a number or truth as it is written.
    Text(String),
    /// Texts by name; what is empty is absent.
    Texts(Vec<(String, String)>),
}

/// How what a field says is to be read.
pub(super) enum Reads {
    Instant,
    Duration,
    Texts,
    Text,
}

impl Reads {
    pub(super) fn of(field: &str) -> Self {
        match field {
            _ if TIMES.contains(&field) => Self::Instant,
            _ if DURATIONS.contains(&field) => Self::Duration,
            _ if TEXTS.contains(&field) => Self::Texts,
            _ => Self::Text,
        }
    }
}

impl Wanted {
    /// Whether a value is so.
    pub(super) fn fits(&self, view: View, found: Option<&Value>) -> bool {
        let found = found.unwrap_or(&Value::Null);
        match self {
            Self::Anything => true,
            Self::Nothing => found.is_null(),
            Self::Instant(wanted) => {
                found.as_str().and_then(|text| parse_rfc3339(text).ok()) == Some(*wanted)
            }
            Self::Duration(wanted) => found.as_str().and_then(parse_duration) == Some(*wanted),
            Self::Text(wanted) => match found {
                Value::String(text) if view.contains() => text.contains(wanted),
                Value::String(text) => text == wanted,
                Value::Number(number) => {
                    let wanted = wanted.parse::<f64>().ok();
                    wanted.is_some() && wanted == number.as_f64()
                }
                Value::Bool(truth) => wanted == if *truth { "true" } else { "false" },
                Value::Null => wanted.is_empty(),
                Value::Array(_) | Value::Object(_) => false,
            },
            Self::Texts(wanted) => wanted.iter().all(|(name, text)| {
                let mut ballots = found.as_array().into_iter().flatten();
                let ballot = ballots.rfind(|of| of["witness"] == **name).map(|of| &of["state"]);
                let said = found.get(name).or(ballot).and_then(Value::as_str);
                said.unwrap_or_default() == text
            }),
        }
    }

    /// As it is told.
    pub(super) fn told(&self, clock: Clock) -> String {
        match self {
            Self::Nothing => "open".to_owned(),
            Self::Anything => "any".to_owned(),
            Self::Instant(nanos) => clock.told(*nanos),
            Self::Duration(nanos) => format_duration(*nanos),
            Self::Text(text) => text.clone(),
            Self::Texts(texts) => {
                let texts = texts.iter().map(|(name, text)| format!("{name}={text}"));
                format!("{{{}}}", texts.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

impl RowPattern {
    pub(super) fn fits(&self, view: View, row: &Row) -> bool {
        self.fields.iter().all(|(name, wanted)| wanted.fits(view, row.get(name)))
    }

    /// What a row says otherwise.
    pub(super) fn differs<'p>(&'p self, view: View, row: &Row) -> Vec<&'p (String, Wanted)> {
        let differs = |(name, wanted): &&(String, Wanted)| !wanted.fits(view, row.get(name));
        self.fields.iter().filter(differs).collect()
    }
}

impl Clock {
    /// An instant as the case counts time.
    pub(super) fn told(self, nanos: i64) -> String {
        match nanos.checked_sub(self.start_ns).filter(|offset| *offset >= 0 && !self.absolute) {
            Some(offset) => format_duration(offset),
            None => format_rfc3339(nanos),
        }
    }

    /// What a row says, as the case counts time.
    pub(super) fn value(self, name: &str, value: Option<&Value>) -> String {
        match value {
            None | Some(Value::Null) if name == "until" => "open".to_owned(),
            None | Some(Value::Null) => "nothing".to_owned(),
            Some(Value::String(text)) => match (Reads::of(name), parse_rfc3339(text)) {
                (Reads::Instant, Ok(nanos)) => self.told(nanos),
                _ => text.clone(),
            },
            Some(Value::Object(texts)) => {
                let texts = texts
                    .iter()
                    .map(|(name, text)| format!("{name}={}", text.as_str().unwrap_or_default()));
                format!("{{{}}}", texts.collect::<Vec<_>>().join(" "))
            }
            Some(other) => other.to_string(),
        }
    }
}
