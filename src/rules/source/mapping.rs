//! Where the attributes of a record stand.

use std::ops::Range;

use smol_str::SmolStr;

use super::flat::Flat;
use super::path::{FieldPath, TemplatePart, parse_template};
use super::time::TimeField;
use super::{ATTRIBUTES, TEXT_KINDS, optional};
use crate::rules::diagnostics::Problems;
use crate::rules::fields::{self, Fields};
use crate::rules::yaml::Node;

/// Where the attributes of a record stand in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Event time.
    pub time: TimeField,
    /// When the collector recorded it; event time where absent.
    pub arrival: Option<TimeField>,
    /// The entity.
    pub subject: Text,
    /// Who says it.
    pub source: Text,
    /// What kind of record it is.
    pub type_: Text,
    /// The source's own number of the record.
    pub sequence: Option<Text>,
    /// Without it, equal records are the same record.
    pub id: Option<Text>,
    /// The bytes of the rule file in which each attribute is written; none of one that is not.
    pub spans: Vec<(&'static str, Range<usize>)>,
}

/// Text taken from an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// What stands in a field.
    Field(FieldPath),
    /// The same for every record.
    Const(SmolStr),
    /// Put together from fields.
    Template(Vec<TemplatePart>),
}

impl Mapping {
    /// Every path that it names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        let times = [Some(&self.time), self.arrival.as_ref()].into_iter().flatten();
        let texts = [&self.subject, &self.source, &self.type_].into_iter();
        let texts = texts.chain([&self.sequence, &self.id].into_iter().flatten());
        times.map(|time| &time.field).chain(texts.flat_map(Text::paths))
    }

    pub(super) fn read(
        fields: &Fields<'_>,
        flat: Option<&Flat<'_>>,
        file: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        Self::read_over(fields, None, flat, file, problems)
    }

    /// The same where attributes that are not given have a place already.
    pub(super) fn read_over(
        fields: &Fields<'_>,
        usual: Option<Self>,
        flat: Option<&Flat<'_>>,
        file: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let time = match (&usual, fields.get("time")) {
            (Some(usual), None) => Some(usual.time.clone()),
            _ => fields
                .require("time", "{ field: ts, unit: ms }", problems)
                .and_then(|node| TimeField::read(node, flat, file, problems)),
        };
        let arrival =
            optional(fields.get("arrival"), |node| TimeField::read(node, flat, file, problems));
        let mut required = |name: &str, example: &str, usual: Option<&Text>| {
            if let (Some(usual), None) = (usual, fields.get(name)) {
                return Some(usual.clone());
            }
            let node = fields.require(name, example, problems)?;
            Text::read(node, flat, problems)
        };
        let of = usual.as_ref();
        let subject = required("subject", "{ field: name }", of.map(|usual| &usual.subject));
        let source = required("source", "{ const: probe }", of.map(|usual| &usual.source));
        let type_ = required("type", "{ field: kind }", of.map(|usual| &usual.type_));
        let sequence = optional(fields.get("sequence"), |node| Text::read(node, flat, problems));
        let id = optional(fields.get("id"), |node| Text::read(node, flat, problems));
        let spans = ATTRIBUTES.iter();
        let spans = spans.filter_map(|name| Some((*name, fields.get(name)?.span.clone())));
        Some(Self {
            time: time?,
            arrival: arrival?,
            subject: subject?,
            source: source?,
            type_: type_?,
            sequence: sequence?,
            id: id?.or(usual.and_then(|usual| usual.id)),
            spans: spans.collect(),
        })
    }
}

impl Text {
    /// Every path that it names.
    pub fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        let (field, parts) = match self {
            Self::Field(path) => (Some(path), &[][..]),
            Self::Const(_) => (None, &[][..]),
            Self::Template(parts) => (None, parts.as_slice()),
        };
        let in_template = parts.iter().filter_map(|part| match part {
            TemplatePart::Field(path) => Some(path),
            TemplatePart::Literal(_) => None,
        });
        field.into_iter().chain(in_template)
    }

    fn read(node: &Node, flat: Option<&Flat<'_>>, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::open(node, &node.span, "an attribute", &TEXT_KINDS, problems)?;
        let given: Vec<_> =
            TEXT_KINDS.iter().filter_map(|kind| Some((*kind, fields.get(kind)?))).collect();
        let mut read: Vec<_> =
            given.iter().map(|(kind, node)| Self::read_as(kind, node, flat, problems)).collect();
        if given.len() != 1 {
            let message = "an attribute is one of `field`, `const` and `template`";
            problems.error_help(&node.span, message, "write { field: a.b }");
            return None;
        }
        read.pop().flatten()
    }

    fn read_as(
        kind: &str,
        value: &Node,
        flat: Option<&Flat<'_>>,
        problems: &mut Problems,
    ) -> Option<Self> {
        match kind {
            "field" => read_path(value, flat, problems).map(Self::Field),
            "const" => {
                fields::text(value, "a const", problems).map(|text| Self::Const(SmolStr::new(text)))
            }
            _ => {
                let text = fields::text(value, "a template", problems)?;
                match parse_template(text) {
                    Ok(parts) => {
                        let template = Self::Template(parts);
                        let mut fits = true;
                        for path in template.paths() {
                            fits &= accept(path, flat, &value.span, problems);
                        }
                        fits.then_some(template)
                    }
                    Err(reasons) => {
                        let help = "write \"{namespace}/{pod}\"; {{ and }} are braces";
                        for reason in reasons {
                            refuse(&value.span, "a template", text, reason, help, problems);
                        }
                        None
                    }
                }
            }
        }
    }
}

pub(in crate::rules) fn read_path(
    node: &Node,
    flat: Option<&Flat<'_>>,
    problems: &mut Problems,
) -> Option<FieldPath> {
    let text = fields::text(node, "a field", problems)?;
    match FieldPath::parse(text) {
        Ok(path) => accept(&path, flat, &node.span, problems).then_some(path),
        Err(reason) => {
            let help = "write a.b, or `a.b` in backticks for a key with a dot";
            refuse(&node.span, "a field", text, reason, help, problems);
            None
        }
    }
}

/// Whether the records can have such a field; says if not.
fn accept(
    path: &FieldPath,
    flat: Option<&Flat<'_>>,
    span: &Range<usize>,
    problems: &mut Problems,
) -> bool {
    let fault = flat.and_then(|flat| flat.fault(path));
    let fits = fault.is_none();
    if let Some((message, help)) = fault {
        problems.error_help(span, message, help);
    }
    fits
}

fn refuse(
    span: &Range<usize>,
    what: &str,
    text: &str,
    reason: &str,
    help: &str,
    problems: &mut Problems,
) {
    problems.error_help(span, format!("`{text}` is not {what}: {reason}"), help);
}
