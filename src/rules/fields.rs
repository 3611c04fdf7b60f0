//! Reading the fields of a rule file: each function reports what is wrong and goes on.

use std::ops::Range;

use smol_str::SmolStr;

use super::condition::Fault;
use super::diagnostics::{Problems, suggestion};
use super::yaml::{self, Node, Value};
use crate::model::duration::{NoDuration, read_duration};

pub(crate) const NAME_BYTES_MAX: usize = 128;

/// A mapping whose fields are known; it reports the others when it is opened.
pub(crate) struct Fields<'n> {
    /// Of what it is the mapping, for messages: "a signal".
    what: &'static str,
    /// Where to report that a field is absent; nowhere if that may be right.
    at: Option<Range<usize>>,
    entries: &'n [(Node, Node)],
}

impl<'n> Fields<'n> {
    /// Opens a mapping. What is absent in it is reported at `at`, its name.
    pub(crate) fn open(
        node: &'n Node,
        at: &Range<usize>,
        what: &'static str,
        known: &[&str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let entries = entries(node, what, problems)?;
        for (key, _) in entries {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name) {
                let help = suggestion("field", name, known);
                problems.error_help(&key.span, format!("{what} has no field `{name}`"), help);
            }
        }
        Some(Self { what, at: Some(at.clone()), entries })
    }

    /// The same where it is not known which fields it needs.
    pub(crate) fn as_given(&self) -> Self {
        Self { at: None, ..*self }
    }

    /// The value of a field, if it is given.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    /// The value of a field that must be given.
    pub(crate) fn require(
        &self,
        name: &str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<&'n Node> {
        let found = self.get(name);
        if let (None, Some(at)) = (found, &self.at) {
            let message = format!("{} needs `{name}`", self.what);
            problems.error_help(at, message, format!("add `{name}: {example}`"));
        }
        found
    }
}

/// A field of a node that may be a mapping.
pub(super) fn get<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
}

/// The entries of a mapping.
pub(crate) fn entries<'n>(
    node: &'n Node,
    what: &str,
    problems: &mut Problems,
) -> Option<&'n [(Node, Node)]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        Value::Invalid => None,
        _ => {
            problems.error(&node.span, not_so(node, what, "a mapping, `key: value`"));
            None
        }
    }
}

/// The items of a list.
pub(crate) fn items<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [Node]> {
    match &node.value {
        Value::Seq(items) => Some(items),
        Value::Invalid => None,
        _ => {
            problems.error(&node.span, not_so(node, what, "a list, `- item`"));
            None
        }
    }
}

/// The text of a scalar that is not empty.
pub(crate) fn text<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n str> {
    if matches!(node.value, Value::Invalid) {
        return None;
    }
    let found = node.text().filter(|_| !node.is_null());
    if found.is_none() {
        let message = not_so(node, what, "text");
        match node.text().unwrap_or_default() {
            "" => problems.error(&node.span, message),
            word => problems.error_help(
                &node.span,
                message,
                format!("`{word}` is nothing in YAML; write \"{word}\" if you mean the word"),
            ),
        }
    }
    found
}

/// A name that people refer to: short, and without blanks.
pub(crate) fn name(node: &Node, what: &str, problems: &mut Problems) -> Option<SmolStr> {
    let name = text(node, what, problems)?;
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '=' | '`');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
        let message = format!("`{}` cannot be {what}", name.escape_debug());
        let help = format!("at most {NAME_BYTES_MAX} bytes, without blanks, `=` and backticks");
        problems.error_help(&node.span, message, help);
        return None;
    }
    Some(SmolStr::new(name))
}

/// The name of a label or an annotation, as in Prometheus.
pub(crate) fn label_name(node: &Node, problems: &mut Problems) -> Option<SmolStr> {
    let name = name(node, "the name of a label", problems)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.starts_with("__")
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(fits)
    {
        let message = format!("`{name}` cannot be the name of a label");
        let help = "letters, digits and _, no digit first, and not __ first";
        problems.error_help(&node.span, message, help);
        return None;
    }
    Some(name)
}

/// A whole number above zero.
pub(crate) fn count(node: &Node, what: &str, problems: &mut Problems) -> Option<usize> {
    let text = text(node, what, problems)?;
    let found = text.parse().ok().filter(|count| *count > 0);
    if found.is_none() {
        let message = format!("{what} is a whole number above zero, not `{text}`");
        problems.error(&node.span, message);
    }
    found
}

/// A finite number.
pub(super) fn finite(node: &Node, what: &str, problems: &mut Problems) -> Option<f64> {
    let text = text(node, what, problems)?;
    let found = text.parse::<f64>().ok().filter(|number| number.is_finite());
    if found.is_none() {
        problems.error(&node.span, format!("{what} is a finite number, not `{text}`"));
    }
    found
}

/// A finite number that is at least `least`.
pub(super) fn number(node: &Node, what: &str, least: f64, problems: &mut Problems) -> Option<f64> {
    let text = text(node, what, problems)?;
    let found = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= least);
    if found.is_none() {
        let message = format!("{what} is a finite number, {least} at least, not `{text}`");
        problems.error(&node.span, message);
    }
    found
}

/// Whether something is so.
pub(super) fn truth(node: &Node, what: &str, problems: &mut Problems) -> Option<bool> {
    let text = text(node, what, problems)?;
    let found = text.parse().ok();
    if found.is_none() {
        problems.error(&node.span, format!("{what} is true or false, not `{text}`"));
    }
    found
}

/// Reports what is wrong within the text of a node.
pub(crate) fn without_faults<T>(
    result: Result<T, Vec<Fault>>,
    node: &Node,
    file: &str,
    problems: &mut Problems,
) -> Option<T> {
    let faults = match result {
        Ok(value) => return Some(value),
        Err(faults) => faults,
    };
    for fault in faults {
        let span = yaml::locate_range(file, node, &fault.place);
        problems.error_help(&span, fault.message, fault.help);
    }
    None
}

/// A duration in nanoseconds.
pub(crate) fn duration(node: &Node, what: &str, problems: &mut Problems) -> Option<i64> {
    let text = text(node, what, problems)?;
    let (message, help) = match read_duration(text) {
        Ok(duration) => return Some(duration),
        Err(NoDuration::TooLong) => {
            (format!("`{text}` is too long a time"), "the longest is 292y, and 0 is none")
        }
        Err(NoDuration::Form) => {
            (format!("`{text}` is not a duration"), "write 30s, 1h30m, 100ms: largest unit first")
        }
    };
    problems.error_help(&node.span, message, help);
    None
}

/// What to say of a node that is not what is wanted.
fn not_so(node: &Node, what: &str, wanted: &str) -> String {
    let found = match &node.value {
        Value::Scalar { .. } if node.is_null() => {
            return format!("{what} is empty, and must be {wanted}");
        }
        Value::Scalar { .. } => "text",
        Value::Seq(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Invalid => "this",
    };
    format!("{what} is {wanted}, not {found}")
}
