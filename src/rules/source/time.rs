//! Times of a record: where one stands, and how it is written.

use jiff::tz::Offset;

use super::flat::Flat;
use super::format::{TimeFormat, parse_zone};
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
    pub form: TimeForm,
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// In one of the usual ways.
    Unit(TimeUnit),
    /// In a way of its own.
    Format(TimeFormat),
}

/// A usual way to write a time.
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
        file: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let fields = Fields::open(node, &node.span, "a time", &TIME_FIELDS, problems)?;
        let field = fields.require("field", "ts", problems);
        let field = field.and_then(|node| read_path(node, flat, problems));
        let (unit, format, zone) = (fields.get("unit"), fields.get("format"), fields.get("zone"));
        let form = match (unit, format) {
            (Some(unit), Some(format)) => {
                let message = "a time has a `unit` or a `format`, not both";
                problems.error_help(&format.span, message, "remove one");
                read_unit(unit, problems);
                read_format(format, zone, file, problems);
                None
            }
            (None, None) => {
                let help = "add `unit: ms`, or as `format: \"%Y-%m-%d %H:%M:%S\"`";
                problems.error_help(&node.span, "a time needs `unit` or `format`", help);
                zone.and_then(|zone| read_zone(zone, problems));
                None
            }
            (Some(unit), None) => {
                if let Some(zone) = zone {
                    let message = "`zone` belongs to `format`: no unit needs it";
                    problems.error_help(&zone.span, message, "remove it");
                }
                read_unit(unit, problems)
            }
            (None, Some(format)) => read_format(format, zone, file, problems),
        };
        Some(Self { field: field?, form: form? })
    }
}

fn read_unit(node: &Node, problems: &mut Problems) -> Option<TimeForm> {
    let text = fields::text(node, "the unit", problems)?;
    let found = UNITS.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        problems.unknown(&node.span, "unit", text, &UNITS.map(|(name, _)| name));
    }
    found.map(|(_, unit)| TimeForm::Unit(*unit))
}

fn read_format(
    node: &Node,
    zone: Option<&Node>,
    file: &str,
    problems: &mut Problems,
) -> Option<TimeForm> {
    let format = fields::text(node, "a format", problems)
        .and_then(|text| fields::without_faults(TimeFormat::new(text), node, file, problems));
    let Some(node) = zone else { return format.map(TimeForm::Format) };
    let zone = read_zone(node, problems);
    let zoned = format?.at(zone?);
    if zoned.is_none() {
        let message = "the format reads the offset of each time";
        problems.error_help(&node.span, message, "remove the zone, or %z");
    }
    zoned.map(TimeForm::Format)
}

fn read_zone(node: &Node, problems: &mut Problems) -> Option<Offset> {
    let text = fields::text(node, "a zone", problems)?;
    let zone = parse_zone(text);
    if zone.is_none() {
        let help = "write a fixed offset, as \"+02:00\"; zones whose offset changes with the \
                    season are not known";
        problems.error_help(&node.span, format!("`{text}` is not a zone"), help);
    }
    zone
}
