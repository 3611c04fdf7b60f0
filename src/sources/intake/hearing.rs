//! What records say of silences.
//!
//! Guarantee: what is heard depends on the record and the rule file alone. A record that should tell
//! of a silence, and does not, is a dead letter, and nothing else. State: none; rule files that hear
//! nothing pay nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::decoding::{DecodedBlock, Place};
use super::matcher::Matcher;
use crate::model::Scalar;
use crate::model::sighting::Position;
use crate::model::silencing::{Comparison, Silencing};
use crate::model::time::{TimeError, parse_rfc3339};
use crate::rules::{Expression, Hearing, Matcher as Compares, Pattern, RecordView};
use crate::sources::decode::Unreadable;

/// Why a record is of no silence: where in `data`, if that is known, and what would be right.
struct Fault {
    keys: Vec<SmolStr>,
    reason: String,
}

impl Matcher {
    /// Whether some silence may be of the records of a source.
    pub(super) fn hears(&self, source: usize) -> bool {
        let mut hearings = self.rules().hearings();
        hearings.any(|(_, hearing)| hearing.from.is_none_or(|from| from == source))
    }

    /// The silences of the rule file that a record of a source is of.
    pub(super) fn hearing(
        &self,
        source: usize,
        record: &impl RecordView,
    ) -> impl Iterator<Item = (usize, &Hearing)> {
        self.rules().hearings().filter(move |(_, hearing)| {
            let is_here = hearing.from.is_none_or(|from| from == source);
            is_here && hearing.filter.as_ref().is_none_or(|filter| filter.eval(record).holds())
        })
    }

    /// What a record says of a silence.
    fn heard(
        &self,
        (number, hearing): (usize, &Hearing),
        record: &impl RecordView,
        position: Position,
    ) -> Result<Silencing, Fault> {
        let paths = &self.rules().paths;
        let fault = |of: &Expression, reason: String| {
            let keys = of.keys(paths).unwrap_or_default().to_vec();
            let name = &self.rules().silences[number].name;
            Fault { keys, reason: format!("no silence of `{name}`: {reason}") }
        };
        let text = |of: &Expression| {
            let wrong = match of.eval(record) {
                Ok(Scalar::Missing) => "missing",
                Ok(Scalar::Null) => "null",
                value => match value.ok().and_then(|value| value.text()) {
                    Some(text) if !text.is_empty() => return Ok(SmolStr::new(text)),
                    Some(_) => "empty",
                    None => "no text",
                },
            };
            Err(fault(of, format!("`{}` is {wrong}", of.text())))
        };
        let instant = |of: &Expression| {
            let text = text(of)?;
            parse_rfc3339(&text).map_err(|error| {
                let why = match error {
                    TimeError::NotRfc3339 => "is no instant: write 2026-03-01T22:00:00Z",
                    TimeError::OutOfRange => "is outside of the years 1678 to 2261",
                };
                fault(of, format!("`{text}` {why}"))
            })
        };
        let of = &hearing.matchers;
        let matchers = match of.json(record, paths) {
            Some(Value::Array(items)) if !items.is_empty() => {
                let read: Result<_, String> = items.iter().map(comparison).collect();
                read.map_err(|why| fault(of, why))?
            }
            _ => return Err(fault(of, format!("`{}` is no list of matchers", of.text()))),
        };
        Ok(Silencing {
            silence: number as u16,
            arrival_ns: i64::MIN,
            position,
            id: text(&hearing.id)?,
            matchers,
            from_ns: instant(&hearing.starts)?,
            until_ns: instant(&hearing.ends)?,
        })
    }
}

/// A matcher as Alertmanager writes it in JSON, or as rule files have it.
fn comparison(matcher: &Value) -> Result<Comparison, String> {
    let wrong = || {
        format!(
            "{matcher} is no matcher: write {{\"name\": \"zone\", \"value\": \"a\"}}, with isRegex or isEqual"
        )
    };
    if let Value::String(text) = matcher {
        let Ok(Compares { subject, negated, value }) = text.parse() else { return Err(wrong()) };
        let (is_regex, value) = match &value {
            Pattern::Text(text) => (false, text.clone()),
            Pattern::Regex(_) => (true, value.text().into()),
        };
        return Ok(Comparison { name: subject.name().into(), negated, is_regex, value });
    }
    let text = |name: &str| matcher.get(name).and_then(Value::as_str).map(SmolStr::new);
    let truth = |name: &str, usual: bool| match matcher.get(name) {
        None | Some(Value::Null) => Some(usual),
        Some(value) => value.as_bool(),
    };
    let name = text("name").filter(|name| !name.is_empty());
    let (Some(name), Some(value), Some(is_regex), Some(is_equal)) =
        (name, text("value"), truth("isRegex", false), truth("isEqual", true))
    else {
        return Err(wrong());
    };
    let comparison = Comparison { name, negated: !is_equal, is_regex, value };
    Compares::of(&comparison).map(|_| comparison)
}

impl DecodedBlock {
    /// Notes what the next record says of silences; whether it is not a dead letter because of that.
    /// `text` is what it is from.
    #[inline(never)]
    pub(super) fn hear<'t>(
        &mut self,
        matcher: &Matcher,
        place: &Place,
        view: &impl RecordView,
        text: impl FnOnce() -> Cow<'t, [u8]>,
    ) -> bool {
        let position = Position::new(self.partition, place.line);
        let heard = matcher.hearing(place.source, view);
        let heard: Result<Vec<_>, _> =
            heard.map(|hearing| matcher.heard(hearing, view, position)).collect();
        match heard {
            Ok(heard) => {
                let head = self.heads.len();
                self.heard.extend(heard.into_iter().map(|silencing| (head, silencing)));
                true
            }
            Err(Fault { keys, reason }) => {
                let text = text();
                let column = place.skipped + 1 + column(&text, &keys).unwrap_or_default();
                self.bury(place.line, Unreadable { column, reason }, &text);
                false
            }
        }
    }
}

/// Behind how many bytes of a JSON text a value of its `data` begins, or the deepest object around
/// that there is.
fn column(text: &[u8], keys: &[SmolStr]) -> Option<usize> {
    let text = str::from_utf8(text).ok()?;
    let object = |text| serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text).ok();
    let mut at = text;
    // CloudEvents have their data below a key of their own.
    let whole = object(text)?;
    if let Some(data) =
        whole.get("data").filter(|_| keys.first().is_some_and(|key| !whole.contains_key(&**key)))
    {
        at = data.get();
    }
    for key in keys {
        let Some(value) = object(at).and_then(|object| Some(object.get(&**key)?.get())) else {
            break;
        };
        at = value;
    }
    Some((at.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize))
}
