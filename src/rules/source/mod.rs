//! Sources: how a line of some shape becomes a record.

mod document;
mod flat;
mod format;
mod mapping;
mod path;
mod time;

#[cfg(test)]
mod tests;

use std::ops::Range;

use smol_str::SmolStr;

use super::diagnostics::Problems;
use super::fields::{self, Fields};
use super::yaml::Node;
pub(super) use document::DOCUMENTS;
pub use document::Document;
pub(super) use flat::{Columns, names_help};
pub use flat::{Csv, Regex};
use flat::{read_delimiter, read_header, read_pattern};
pub use format::{TimeFormat, TimeFormatError};
pub(super) use mapping::read_path;
pub use mapping::{Mapping, Text};
pub use path::{FieldPath, TemplatePart};
pub use time::{TimeField, TimeForm, TimeUnit};

/// Where records come from, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What `from` and the command line call it.
    pub name: SmolStr,
    /// The bytes of the rule file its name is written in; none if the file has no sources.
    pub span: Range<usize>,
    /// The shape of its lines.
    pub format: Format,
    /// What is done about clocks that are off.
    pub skew: Skew,
    /// Its fields as they are written, but for `skew`: what a record is depends on these alone. All
    /// scalars are texts.
    pub mapping: serde_json::Value,
}

/// What is done about the clocks of a source's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skew {
    /// How far they are off is reported.
    #[default]
    Report,
    /// Event times are corrected by it too.
    Correct,
}

/// The shape of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// CloudEvents 1.0 in JSON: every attribute has its place.
    CloudEvents,
    /// Any JSON object: the mapping says where the attributes are; the object itself is `data`.
    Json {
        /// Where the attributes stand.
        mapping: Box<Mapping>,
        /// An array that is exploded: the line stands for as many lines as it has elements, each
        /// with one element in the place of the array.
        explode: Option<FieldPath>,
    },
    /// Rows of text under a header: `data` has a string for each column.
    Csv(Box<Csv>),
    /// Any line of text: `data` has a string for each named group that took part.
    Regex(Box<Regex>),
    /// Documents of a tool: each record that stands in one is `data`, with fields that are known.
    Document {
        /// Of which.
        of: Document,
        /// Where the attributes stand.
        mapping: Box<Mapping>,
    },
}

impl Format {
    /// Where the attributes stand, unless they have their places by definition.
    pub fn mapping(&self) -> Option<&Mapping> {
        match self {
            Self::CloudEvents => None,
            Self::Json { mapping, .. } | Self::Document { mapping, .. } => Some(mapping),
            Self::Csv(csv) => Some(&csv.mapping),
            Self::Regex(regex) => Some(&regex.mapping),
        }
    }

    /// What a document is, if records are read from documents.
    pub fn document(&self) -> Option<Document> {
        match self {
            Self::Document { of, .. } => Some(*of),
            _ => None,
        }
    }
}

/// A source as far as it could be read.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadSource {
    /// The fields of its records, if these have no depth.
    pub(super) columns: Option<Columns>,
    pub(super) source: Option<Source>,
}

pub(super) const TIME_FIELDS: [&str; 4] = ["field", "unit", "format", "zone"];
pub(super) const TEXT_KINDS: [&str; 3] = ["field", "const", "template"];
pub(super) const ATTRIBUTES: [&str; 7] =
    ["time", "arrival", "subject", "source", "type", "sequence", "id"];
/// What belongs to one format alone.
pub(super) const OPTIONS: [(&str, &str); 4] =
    [("explode", "json"), ("delimiter", "csv"), ("header", "csv"), ("pattern", "regex")];
pub(super) const FIELDS: [&str; 13] = [
    "format",
    "skew",
    "explode",
    "delimiter",
    "header",
    "pattern",
    "time",
    "arrival",
    "subject",
    "source",
    "type",
    "sequence",
    "id",
];
pub(super) const SKEWS: [(&str, Skew); 2] = [("report", Skew::Report), ("correct", Skew::Correct)];
pub(super) const FORMATS: [&str; 10] = [
    "json",
    "csv",
    "regex",
    "cloudevents",
    "otlp",
    "prometheus",
    "openmetrics",
    "exposition",
    "kubernetes",
    "alertmanager",
];
pub(super) const UNITS: [(&str, TimeUnit); 5] = [
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Millis),
    ("us", TimeUnit::Micros),
    ("ns", TimeUnit::Nanos),
    ("rfc3339", TimeUnit::Rfc3339),
];

impl Source {
    /// What a rule file without `sources` reads.
    pub(super) fn implicit() -> Self {
        let (name, skew) = (SmolStr::new_static("cloudevents"), Skew::Report);
        let mapping = serde_json::json!({ "format": "cloudevents" });
        Self { name, span: 0..0, format: Format::CloudEvents, skew, mapping }
    }

    /// The rule file that has this source of this mapping, and a rule about nothing.
    pub(crate) fn file_of(name: &str, mapping: &serde_json::Value) -> String {
        let name = serde_json::Value::from(name);
        format!(
            "version: 1\nsources: {{ {name}: {mapping} }}\n\
             signals: {{ s: {{ states: {{ any: type != \"\" }} }} }}\n\
             rules: [{{ name: r, signal: s }}]\n"
        )
    }

    /// Reads a source of a rule file, whose text is `file`.
    pub(super) fn read(key: &Node, node: &Node, file: &str, problems: &mut Problems) -> ReadSource {
        let name = fields::name(key, "the name of a source", problems);
        let Some(fields) = Fields::open(node, &key.span, "a source", &FIELDS, problems) else {
            return ReadSource::default();
        };
        let skew = optional(fields.get("skew"), |node| Skew::read(node, problems));
        let Some(text) = read_format(&fields, problems) else {
            look_through(&fields, file, problems);
            return ReadSource::default();
        };
        for (option, of) in OPTIONS {
            if let Some(node) = fields.get(option).filter(|_| of != text) {
                let message = format!("`{option}` belongs to format: {of}, not to {text}");
                problems.error_help(&node.span, message, "remove it");
            }
        }
        let mut columns = None;
        let document = Document::named(text);
        let format = match text {
            _ if let Some(of) = document => {
                let usual = Some(of.mapping());
                let mapping = Mapping::read_over(&fields, usual, None, file, problems);
                mapping.map(|mapping| Format::Document { of, mapping: Box::new(mapping) })
            }
            "json" => {
                let explode =
                    optional(fields.get("explode"), |node| read_path(node, None, problems));
                let mapping = Mapping::read(&fields, None, file, problems);
                let json = |mapping, explode| Format::Json { mapping: Box::new(mapping), explode };
                mapping.zip(explode).map(|(mapping, explode)| json(mapping, explode))
            }
            "csv" => {
                let (found, csv) = Csv::read(&fields, file, problems);
                columns = Some(found);
                csv.map(|csv| Format::Csv(Box::new(csv)))
            }
            "regex" => {
                let (found, regex) = Regex::read(&fields, file, problems);
                columns = Some(found);
                regex.map(|regex| Format::Regex(Box::new(regex)))
            }
            _ => {
                for field in ATTRIBUTES {
                    if let Some(node) = fields.get(field) {
                        let message = format!("CloudEvents have a place for `{field}` already");
                        problems.error_help(&node.span, message, "remove it, or use format: json");
                    }
                }
                Some(Format::CloudEvents)
            }
        };
        let read = || {
            let (skew, span) = (skew?.unwrap_or_default(), key.span.clone());
            let mut mapping = node.to_json();
            mapping.as_object_mut().map(|fields| fields.remove("skew"));
            Some(Self { name: name?, span, format: format?, skew, mapping })
        };
        ReadSource { columns, source: read() }
    }
}

fn read_format<'n>(fields: &Fields<'n>, problems: &mut Problems) -> Option<&'n str> {
    let node = fields.require("format", "json", problems)?;
    let text = fields::text(node, "the format", problems)?;
    if !FORMATS.contains(&text) {
        problems.unknown(&node.span, "format", text, &FORMATS);
        return None;
    }
    Some(text)
}

/// Reports what is wrong in a source whatever its format.
fn look_through(fields: &Fields<'_>, file: &str, problems: &mut Problems) {
    optional(fields.get("explode"), |node| read_path(node, None, problems));
    optional(fields.get("delimiter"), |node| read_delimiter(node, problems));
    optional(fields.get("header"), |node| read_header(node, problems));
    optional(fields.get("pattern"), |node| read_pattern(node, file, problems));
    Mapping::read(&fields.as_given(), None, file, problems);
}

impl Skew {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let text = fields::text(node, "`skew`", problems)?;
        let found = SKEWS.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            problems.unknown(&node.span, "skew", text, &SKEWS.map(|(name, _)| name));
        }
        found.map(|(_, skew)| *skew)
    }
}

/// Reads what may be absent; `None` only if it is there and wrong.
fn optional<T>(node: Option<&Node>, read: impl FnOnce(&Node) -> Option<T>) -> Option<Option<T>> {
    match node {
        Some(node) => read(node).map(Some),
        None => Some(None),
    }
}
