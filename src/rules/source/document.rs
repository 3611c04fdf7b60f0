//! Formats in which tools record: documents that hold many records, with fields that are known.

use smol_str::SmolStr;

use super::mapping::{Mapping, Text};
use super::path::{FieldPath, TemplatePart, parse_template};
use super::time::{TimeField, TimeForm, TimeUnit};

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// Requests of the OpenTelemetry Protocol in JSON, one a line: logs, metrics and spans.
    Otlp,
    /// Answers of Prometheus to queries, in JSON.
    Prometheus,
    /// OpenMetrics text: times are seconds.
    OpenMetrics,
    /// The text format of Prometheus: times are milliseconds.
    Exposition,
    /// Events of Kubernetes in JSON: lists, watches, or one after the other.
    Kubernetes,
    /// What Alertmanager sends to webhooks, in JSON.
    Alertmanager,
}

pub(in crate::rules) const DOCUMENTS: [(&str, Document); 6] = [
    ("otlp", Document::Otlp),
    ("prometheus", Document::Prometheus),
    ("openmetrics", Document::OpenMetrics),
    ("exposition", Document::Exposition),
    ("kubernetes", Document::Kubernetes),
    ("alertmanager", Document::Alertmanager),
];

impl Document {
    /// As the rule file calls it.
    pub fn name(self) -> &'static str {
        DOCUMENTS.iter().find(|(_, document)| *document == self).map_or("", |(name, _)| name)
    }

    /// What it has, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Otlp => "logs, metrics and spans of OTLP in JSON",
            Self::Prometheus => "samples in answers of Prometheus to queries",
            Self::OpenMetrics => "samples in OpenMetrics text",
            Self::Exposition => "samples in the text format of Prometheus",
            Self::Kubernetes => "events of Kubernetes in JSON",
            Self::Alertmanager => "alerts that Alertmanager sent to a webhook",
        }
    }

    /// The format of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        DOCUMENTS.iter().find(|(known, _)| *known == name).map(|(_, document)| *document)
    }

    /// Where the attributes stand unless the rule file says otherwise.
    pub(super) fn mapping(self) -> Mapping {
        let of = |keys: &str| FieldPath::parse(keys).expect("a path that is written here");
        let field = |keys: &str| Text::Field(of(keys));
        let this = || Text::Const(SmolStr::new_static(self.name()));
        let (subject, type_, id) = match self {
            Self::Otlp => (field("resource.service.name"), field("signal"), None),
            Self::Prometheus | Self::OpenMetrics | Self::Exposition => {
                (field("series"), Text::Const(SmolStr::new_static("sample")), None)
            }
            Self::Kubernetes => {
                let id = "{metadata.uid}/{metadata.resourceVersion}";
                (field("object"), field("reason"), Some(template(id)))
            }
            Self::Alertmanager => {
                let id = template("{fingerprint}/{status}");
                (field("alert"), Text::Const(SmolStr::new_static("alert")), Some(id))
            }
        };
        Mapping {
            time: TimeField { field: of("time"), form: TimeForm::Unit(TimeUnit::Rfc3339) },
            arrival: None,
            subject,
            source: this(),
            type_,
            sequence: None,
            id,
            spans: Vec::new(),
        }
    }
}

fn template(text: &str) -> Text {
    let parts: Vec<TemplatePart> = parse_template(text).expect("a template that is written here");
    Text::Template(parts)
}
