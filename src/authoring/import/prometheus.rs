//! Groups of Prometheus' rules: alerts become a signal and a rule each.

use std::collections::BTreeSet;

use super::promql::{Comparison, LabelMatcher, comparison, quoted as cel};
use super::{Node, Reader, entry, fields, get, given, quoted, unused};
use crate::model::duration::{format_duration, parse_duration};

/// A sample exactly at the end of `for` is in time in Prometheus, and at the end of `hold` is not: it
/// lasts as much longer as instants of Prometheus are apart.
const INSTANT_NS: i64 = 1_000_000;
/// For so long Prometheus takes the last sample of a series for what it is.
const LOOKBACK: &str = "5m";
/// What matchers of Limbeck call something else.
pub(super) const TAKEN: [&str; 4] = ["rule", "signal", "state", "entity"];
/// The label of an alert that is its name.
pub(super) const NAME: &str = "alertname";
const RULE_FIELDS: [&str; 7] =
    ["alert", "expr", "for", "keep_firing_for", "labels", "annotations", "record"];

/// An alert.
pub(super) struct Alert {
    /// The name of its rule.
    pub(super) name: String,
    /// Its own.
    pub(super) called: String,
    asked: Comparison,
    conditions: Vec<String>,
    for_ns: Option<i64>,
    keep_ns: Option<i64>,
    /// Names with texts.
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    /// Labels of series that its texts show.
    shown: BTreeSet<String>,
}

impl Reader<'_> {
    pub(super) fn groups(&mut self, root: &Node) {
        for group in self.items(root, "groups") {
            let Some(entries) = fields::entries(group, "a group", self.problems) else { continue };
            for (key, _) in entries {
                match key.text().unwrap_or_default() {
                    "name" | "rules" => {}
                    "interval" | "query_offset" => self.leave(
                        &key.span,
                        "when rules are evaluated is not converted",
                        "every sample is judged when it comes: there is nothing to do",
                    ),
                    "limit" => self.leave(
                        &key.span,
                        "a limit of alerts is not converted",
                        "leave it to who reads them",
                    ),
                    other => self.leave(
                        &key.span,
                        format!("`{other}` of a group is not converted"),
                        "write it into each of its rules",
                    ),
                }
            }
            for rule in self.items(group, "rules") {
                self.rule(rule);
            }
        }
    }

    fn rule(&mut self, node: &Node) {
        let Some(entries) = fields::entries(node, "a rule", self.problems) else { return };
        if let Some(record) = get(node, "record") {
            return self.leave(
                &record.span,
                format!("the recording rule `{}` computes a series", record.text().unwrap_or("")),
                "leave it to Prometheus, and read what it records",
            );
        }
        let (Some(alert), Some(expr)) = (given(node, "alert"), given(node, "expr")) else {
            return self.leave(
                &node.span,
                "this is no alerting rule",
                "it has an `alert` and an `expr`",
            );
        };
        for (key, _) in
            entries.iter().filter(|(key, _)| !RULE_FIELDS.contains(&key.text().unwrap_or_default()))
        {
            let message = format!("`{}` of a rule is not known", key.text().unwrap_or_default());
            self.leave(&key.span, message, "remove it");
        }
        let (name, written) = (self.field(node, "alert"), self.field(node, "expr"));
        let (Some(name), Some(written)) = (name, written) else { return };
        let asked = match comparison(written) {
            Ok(asked) => asked,
            Err((why, help)) => {
                return self.leave(
                    &expr.span,
                    format!("the alert `{name}` is not converted: {why}"),
                    help,
                );
            }
        };
        let conditions: Option<Vec<_>> =
            asked.matchers.iter().map(LabelMatcher::condition).collect();
        let Some(conditions) = conditions else {
            let message = format!("the alert `{name}` is not converted: a pattern is none here");
            return self.leave(&expr.span, message, "patterns are those of docs.rs/regex");
        };
        let mut duration = |field: &str| -> Result<Option<i64>, ()> {
            let Some(node) = given(node, field) else { return Ok(None) };
            let text = fields::text(node, &format!("`{field}`"), self.problems).ok_or(())?;
            match parse_duration(text) {
                Some(0) => Ok(None),
                Some(nanos) => Ok(Some(nanos)),
                None => {
                    let message =
                        format!("`{text}` is no time: the alert `{name}` is not converted");
                    self.leave(&node.span, message, "write it as 5m");
                    Err(())
                }
            }
        };
        let (Ok(for_ns), Ok(keep_ns)) = (duration("for"), duration("keep_firing_for")) else {
            return;
        };
        let mut shown = BTreeSet::new();
        let mut labels = self.texts((node, "labels"), name, &mut shown);
        // In Prometheus it is the name of the alert, whatever is written.
        labels.retain(|(label, _)| label != NAME);
        let annotations = self.texts((node, "annotations"), name, &mut shown);
        let plain: String = name
            .chars()
            .map(|c| {
                if c.is_whitespace() || c.is_control() || matches!(c, '=' | '`') { '-' } else { c }
            })
            .collect();
        let unique =
            unused(&plain, |name| self.found.alerts.iter().any(|alert| alert.name == name));
        if unique != name {
            let message = format!("the alert `{name}` is called `{unique}`");
            let help =
                "each rule has a name of its own, without blanks: whoever matches it must know";
            self.leave(&alert.span, message, help);
        }
        self.found.alerts.push(Alert {
            name: unique,
            called: name.to_owned(),
            asked,
            conditions,
            for_ns,
            keep_ns,
            labels,
            annotations,
            shown,
        });
    }

    /// Texts by name, but for those with what texts cannot say.
    fn texts(
        &mut self,
        (node, field): (&Node, &str),
        alert: &str,
        shown: &mut BTreeSet<String>,
    ) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (key, value) in self.entries(node, field) {
            let name = key.text().unwrap_or_default();
            let Some(written) = self.text(value, &format!("`{name}` of `{field}`")) else {
                continue;
            };
            if !is_label(name) {
                self.leave(
                    &key.span,
                    format!("`{name}` of the alert `{alert}` is left out"),
                    "names are letters, digits and _, no digit first, and not __ first",
                );
                continue;
            }
            match template(written) {
                Ok((written, labels)) => {
                    shown.extend(labels);
                    texts.push((name.to_owned(), written));
                }
                Err(place) => self.leave(
                    &value.span,
                    format!("`{name}` of the alert `{alert}` is left out: `{place}`"),
                    "texts show {{ $labels.NAME }} and {{ $value }} as they are, without functions",
                ),
            }
        }
        texts
    }
}

/// A text with places that can be shown, and the labels in them; or the place that cannot.
fn template(written: &str) -> Result<(String, Vec<String>), String> {
    let (mut out, mut labels, mut rest) = (String::new(), Vec::new(), written);
    while let Some((before, inside)) = rest.split_once("{{") {
        let (place, after) = inside.split_once("}}").ok_or_else(|| written.to_owned())?;
        let name = place.trim().trim_matches('-').trim();
        let name = match name.strip_prefix('.') {
            Some("Value") => "$value".to_owned(),
            Some(label) => label
                .strip_prefix("Labels.")
                .map_or_else(|| name.to_owned(), |label| format!("$labels.{label}")),
            None => name.to_owned(),
        };
        let label = name.strip_prefix("$labels.").filter(|label| is_label(label));
        if name != "$value" && label.is_none() {
            return Err(format!("{{{{{place}}}}}"));
        }
        labels.extend(label.map(str::to_owned));
        out += &format!("{before}{{{{ {name} }}}}");
        rest = after;
    }
    Ok((out + rest, labels))
}

/// Whether a name can be carried.
pub(super) fn is_label(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty()
        && !name.starts_with("__")
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(fits)
}

impl Alert {
    /// The signal of its samples, which carries these labels, too.
    pub(super) fn signal(&self, labels: &BTreeSet<String>) -> String {
        let Self { name, asked, conditions, shown, .. } = self;
        let metric = asked.metric.as_ref().map(|metric| format!("data.name == {}", cel(metric)));
        let mut all: Vec<_> = metric.into_iter().chain(conditions.iter().cloned()).collect();
        // Of a native histogram there is none.
        all.push("has(data.value)".to_owned());
        let own = |label: &&String| self.labels.iter().any(|(own, _)| own == *label);
        let others = labels.iter().filter(|label| !own(label));
        let carried: BTreeSet<_> = shown.iter().chain(others).collect();
        let carried = carried.into_iter();
        let carried = carried.map(|label| entry(label, &format!("{{ field: labels.{label} }}")));
        let carried: Vec<_> = carried.collect();
        let carried = match carried.is_empty() {
            true => String::new(),
            false => format!("    labels: {{ {} }}\n", carried.join(", ")),
        };
        let number = match asked.number {
            number if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.1}"),
            number => format!("{number:?}"),
        };
        format!(
            "  {}:\n    from: prometheus\n    where: {}\n{carried}    value: data.value\n    states:\n      \
             firing: {}\n      inactive: \"true\"\n",
            super::scalar(name),
            quoted(&all.join(" && ")),
            quoted(&format!("double(data.value) {} {number}", asked.operator)),
        )
    }

    /// The rule, which says what the alert is called if that is asked for.
    pub(super) fn rule(&self, keeps_name: bool) -> String {
        let name = super::scalar(&self.name);
        let mut out = format!("  - name: {name}\n    signal: {name}\n");
        if let Some(for_ns) = self.for_ns {
            let hold = format_duration(for_ns.saturating_add(INSTANT_NS));
            let written = format_duration(for_ns);
            out += &format!(
                "    hold: {{ firing: {hold} }}   # for {written}; what comes at its very end still counts\n"
            );
        }
        if let Some(keep_ns) = self.keep_ns {
            out += &format!("    keep: {{ firing: {} }}\n", format_duration(keep_ns));
        }
        out += &format!(
            "    expire_after: {LOOKBACK}   # as Prometheus does with series that have ended\n"
        );
        let mut labels = self.labels.clone();
        if keeps_name {
            labels.insert(0, (NAME.to_owned(), self.called.clone()));
        }
        for (field, texts) in [("labels", &labels), ("annotations", &self.annotations)] {
            if !texts.is_empty() {
                out += &format!("    {field}:\n");
                for (name, text) in texts {
                    out += &format!("      {}\n", entry(name, &quoted(text)));
                }
            }
        }
        out
    }
}
