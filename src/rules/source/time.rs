//! Times of a record: where one stands, and how it is written.

use super::flat::Flat;
use super::mapping::read_path;
use super::path::FieldPath;
use super::{TIME_FIELDS, UNITS};
use crate::rules::diagnostics::Problems;
use crate::rules::fields::{self, Fields};
use crate::rules::yaml::Node;

/// A time in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeField {
    /// Where it stands.
    pub field: FieldPath,
    /// How it is written.
    pub unit: TimeUnit,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since the Unix epoch.
    Seconds,
    /// Milliseconds since the Unix epoch.
    Millis,
    /// Microseconds since the Unix epoch.
    Micros,
    /// Nanoseconds since the Unix epoch.
    Nanos,
    /// As RFC 3339 says.
    Rfc3339,
}

impl TimeUnit {
    /// As the rule file calls it.
    pub fn name(self) -> &'static str {
        UNITS.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }
}

impl TimeField {
    pub(super) fn read(
        node: &Node,
        flat: Option<&Flat<'_>>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let fields = Fields::open(node, &node.span, "a time", &TIME_FIELDS, problems)?;
        let field = fields.require("field", "ts", problems);
        let field = field.and_then(|node| read_path(node, flat, problems));
        let unit = fields.require("unit", "ms", problems)?;
        let text = fields::text(unit, "the unit", problems)?;
        let known = UNITS.map(|(name, _)| name);
        match UNITS.iter().find(|(name, _)| *name == text) {
            Some((_, unit)) => Some(Self { field: field?, unit: *unit }),
            None => {
                problems.unknown(&unit.span, "unit", text, &known);
                None
            }
        }
    }
}
