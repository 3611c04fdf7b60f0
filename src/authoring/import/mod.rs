//! `limbeck import-rules`: a rule file of Prometheus' alerting rules, and of what Alertmanager inhibits and
//! mutes, as far as they say what a rule file can.
//!
//! Nothing is converted to something else than it means: what does not map is told, with its place, why,
//! and what to do instead.
//!
//! - `promql`: which expressions are questions about one sample.
//! - `prometheus`: groups of rules. `alertmanager`: inhibition, and times.

mod alertmanager;
mod prometheus;
mod promql;

use std::collections::BTreeSet;
use std::ops::Range;

use super::draft::yaml::{escaped, scalar};
use crate::rules::fields;
use crate::rules::yaml::{self, Node, Value};
use crate::rules::{Diagnostic, Diagnostics, Problems, with_room};

/// What came of some files.
pub struct Imported {
    /// The rule file; empty if nothing could be converted.
    pub text: String,
    /// What could not, by file.
    pub left: Vec<Diagnostics>,
}

/// What is converted, of all files.
#[derive(Default)]
struct Found {
    alerts: Vec<prometheus::Alert>,
    /// By name.
    silences: Vec<(String, String)>,
    windows: Vec<(String, String)>,
    /// Labels that are asked for, beyond those that alerts ask for themselves.
    labels: BTreeSet<String>,
    /// Whether rules say what their alerts are called.
    keeps_names: bool,
}

/// Converts files, each with the name that messages call it.
///
/// # Errors
/// What is wrong with a file that is not YAML, none of these tools, or not as they read it.
pub fn import(files: &[(String, String)]) -> Result<Imported, Vec<Diagnostics>> {
    with_room(|| convert(files)).unwrap_or_else(|error| {
        let mut problems = Problems::default();
        problems.error(&(0..0), format!("the files cannot be read: {error}"));
        Err(vec![Diagnostics::errors("", "", problems.0)])
    })
}

fn convert(files: &[(String, String)]) -> Result<Imported, Vec<Diagnostics>> {
    let (mut found, mut left, mut wrong) = (Found::default(), Vec::new(), Vec::new());
    let mut read: Vec<_> = files
        .iter()
        .map(|(name, text)| {
            let mut problems = Problems::default();
            let root = yaml::load(text, &mut problems);
            (name, text, root, problems)
        })
        .collect();
    // What Alertmanager does is of alerts, which are known by then.
    read.sort_by_key(|(.., root, _)| {
        root.as_ref().is_none_or(|root| get(root, "groups").is_none())
    });
    for (name, text, root, mut problems) in read {
        let root = root.filter(|_| problems.0.is_empty());
        let mut reader = Reader { found: &mut found, problems: &mut problems, left: Vec::new() };
        if let Some(root) = root
            && !reader.file(&root)
        {
            let help = "a rule file of Prometheus has `groups`, one of Alertmanager a `route`";
            reader.problems.error_help(&root.span, "nothing here is a rule of these tools", help);
        }
        left.extend(Diagnostics::warnings(name, text, reader.left));
        if !problems.0.is_empty() {
            // What is used twice is read twice.
            problems.0.sort_by_key(|wrong| wrong.span.start);
            problems.0.dedup();
            wrong.push(Diagnostics::errors(name, text, problems.0));
        }
    }
    if wrong.is_empty() { Ok(Imported { text: found.text(), left }) } else { Err(wrong) }
}

struct Reader<'f> {
    found: &'f mut Found,
    /// What the tools would refuse, too.
    problems: &'f mut Problems,
    /// What is left, and why.
    left: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Whether a file is one of these tools.
    fn file(&mut self, root: &Node) -> bool {
        match (get(root, "groups"), is_alertmanager(root)) {
            (Some(_), _) => self.groups(root),
            (None, true) => self.alertmanager(root),
            (None, false) => return false,
        }
        true
    }

    /// The items of a list that is given.
    fn items<'n>(&mut self, node: &'n Node, name: &str) -> &'n [Node] {
        let list = given(node, name);
        let items = list.and_then(|list| fields::items(list, &format!("`{name}`"), self.problems));
        items.unwrap_or_default()
    }

    /// The entries of a mapping that is given.
    fn entries<'n>(&mut self, node: &'n Node, name: &str) -> &'n [(Node, Node)] {
        let map = given(node, name);
        let entries = map.and_then(|map| fields::entries(map, &format!("`{name}`"), self.problems));
        entries.unwrap_or_default()
    }

    /// The text of a field that is given.
    fn field<'n>(&mut self, node: &'n Node, name: &str) -> Option<&'n str> {
        fields::text(given(node, name)?, &format!("`{name}`"), self.problems)
    }

    /// A text, of which nothing may be written; `None` if it is something else.
    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        if node.is_null() { Some("") } else { fields::text(node, what, self.problems) }
    }

    /// Tells that something is left, why, and what to do instead.
    fn leave(&mut self, span: &Range<usize>, what: impl Into<String>, help: impl Into<String>) {
        self.left.push(Diagnostic::new(span.clone(), what.into(), help));
    }
}

fn is_alertmanager(root: &Node) -> bool {
    let known = ["route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals"];
    known.iter().any(|name| get(root, name).is_some())
}

/// A field of a mapping.
fn get<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
}

/// The same, if something is written in it.
fn given<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    get(node, name).filter(|value| !value.is_null())
}

/// A text in quotes, as YAML reads it.
fn quoted(text: &str) -> String {
    escaped(&serde_json::Value::from(text).to_string())
}

impl Found {
    /// The rule file.
    fn text(&self) -> String {
        let mut out = String::new();
        if !self.alerts.is_empty() {
            out += "version: 1\n\nsources:\n  prometheus: { format: prometheus }   # or openmetrics, exposition\n\nsignals:\n";
            for alert in &self.alerts {
                out += &alert.signal(&self.labels);
            }
            out += "\nrules:\n";
            for alert in &self.alerts {
                out += &alert.rule(self.keeps_names);
            }
            out += "\nsinks:\n  alertmanager: { alertmanager: { url: \"http://localhost:9093\" } }   # where yours is\n\n";
            out += "routes:\n  - { match: [state = firing], to: alertmanager }\n";
        }
        for (name, blocks) in [("silences", &self.silences), ("windows", &self.windows)] {
            if !blocks.is_empty() {
                out += &format!("\n{name}:\n");
            }
            for (name, block) in blocks {
                out += &format!("  {}\n{block}", entry(name, "").trim_end());
            }
        }
        out.trim_start().to_owned()
    }
}

/// A name that nothing has yet.
fn unused(name: &str, used: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !used(name)).unwrap_or_default()
}

/// `KEY: VALUE` with a key in quotes where it needs them.
fn entry(key: &str, value: &str) -> String {
    format!("{}: {value}", scalar(key))
}

#[cfg(test)]
mod tests;
