//! From the tree of a rule file to [`Rules`]: sources first, then signals, then rules, so that
//! each finds the names it refers to.

mod grace;
mod persistence;
mod quorum;
mod route;
mod rule;
mod signal;
mod silence;
mod stages;
mod thresholds;

use self::route::Names;
use self::signal::ReadSignal;
use super::condition::{Condition, Expression, Fault, Paths, Wanted};
use super::diagnostics::{self, Diagnostic, Problems};
use super::expression::{Labels, Sees};
use super::fields::{self, Fields};
use super::known::Known;
use super::source::{ReadSource, Source, read_path};
use super::stages::number_made;
use super::yaml::{self, Node, Value};
use super::{Rule, Rules, Written};

pub(super) use self::grace::{FIRST_SEEN, GRACE_FIELDS, MARKER_FIELDS};
pub(super) use self::persistence::PERSISTENCE_FIELDS;
pub(super) use self::quorum::QUORUM_FIELDS;
pub(super) use self::route::{
    ALERTMANAGER_FIELDS, ROUTE_FIELDS, SETTING_KINDS, SINK_KINDS, WEBHOOK_FIELDS,
};
pub(crate) use self::route::{check_url, is_header_value};
pub(super) use self::rule::{
    AGGREGATE_FIELDS, CANARY_FIELDS, DEDUP_FIELDS, FIELDS as RULE_FIELDS, LIMIT_FIELDS, MODES,
};
pub(super) use self::signal::{FIELDS as SIGNAL_FIELDS, SCHEMA_FIELDS};
pub(super) use self::silence::{
    EVENTS_FIELDS, INTERVAL_FIELDS, SILENCE_FIELDS, TIMES_FIELDS, WHILE_FIELDS, WINDOW_FIELDS,
};
pub(super) use self::stages::{
    ABSENT_FIELDS, DAMPING_FIELDS, DETECTION_FIELDS, SESSION_FIELDS, WEIGHTS,
};
pub(super) use self::thresholds::{RECOVER_FIELDS, SMOOTH_FIELDS};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// So many values of a label are told apart in a log, unless the file says otherwise.
const LABEL_VALUES_MAX: usize = 1000;
/// What a value has that is no CEL.
pub(super) const VALUE_FIELDS: [&str; 1] = ["field"];
pub(super) const FIELDS: [&str; 12] = [
    "version",
    "lateness",
    "max_advance",
    "expire_after",
    "label_values_max",
    "sources",
    "signals",
    "rules",
    "sinks",
    "routes",
    "silences",
    "windows",
];

/// Reads the whole file; the problems are all there are.
pub(super) fn file(text: &str) -> Result<Rules, Problems> {
    let mut problems = Problems::default();
    let rules = yaml::load(text, &mut problems).and_then(|root| tree(text, &root, &mut problems));
    match rules {
        Some(rules) if problems.0.is_empty() => Ok(rules),
        _ => Err(problems),
    }
}

/// Reads a rule file that is a part of a text, or all of it. Only if there are no problems, what
/// comes of it can be used.
///
/// Must run [with room](super::with_room).
pub(crate) fn tree(text: &str, root: &Node, problems: &mut Problems) -> Option<Rules> {
    let (paths, remarks) = (Paths::default(), Vec::new());
    Reader { text, problems, paths, remarks }.rules(root)
}

/// A name that others refer to. One that is defined wrongly is still known, lest every reference
/// to it be reported too.
struct Named<'n, T> {
    name: &'n str,
    value: Option<T>,
}

struct Reader<'f> {
    text: &'f str,
    problems: &'f mut Problems,
    paths: Paths,
    remarks: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn rules(mut self, root: &Node) -> Option<Rules> {
        let start = root.span.start..root.span.start;
        let fields = Fields::open(root, &start, "a rule file", &FIELDS, self.problems)?;
        let version = self.version(&fields);
        let lateness_ns = self.duration(&fields, "lateness", 0);
        let max_advance_ns = self.duration(&fields, "max_advance", 30 * DAY_NS);
        let expire_after_ns = self.expire_after(&fields, 7 * DAY_NS);
        let label_values_max = match fields.get("label_values_max") {
            Some(node) => fields::count(node, "`label_values_max`", self.problems),
            None => Some(LABEL_VALUES_MAX),
        };
        let defaults = Defaults {
            lateness_ns: lateness_ns.unwrap_or(0),
            expire_after_ns: expire_after_ns.unwrap_or(i64::MAX),
        };
        let sources = match fields.get("sources") {
            Some(node) => self.sources(node),
            None => {
                let source = Some(Source::implicit());
                vec![Named {
                    name: "cloudevents",
                    value: Some(ReadSource { columns: None, source }),
                }]
            }
        };
        let example = "{ NAME: { states: ... } }";
        let signals = match fields.require("signals", example, self.problems) {
            Some(node) => self.signals(node, &sources),
            None => Vec::new(),
        };
        self.compare_schemas(&signals);
        let example = "[{ name: NAME, signal: NAME }]";
        let rules = match fields.require("rules", example, self.problems) {
            Some(node) => self.rules_on(node, &signals, defaults),
            None => Vec::new(),
        };
        let sinks = fields.get("sinks").map_or_else(Vec::new, |node| self.sinks(node));
        let names = Names::new(&signals, &rules);
        let routes = match fields.get("routes") {
            Some(node) => self.routes(node, &sinks, &names),
            None => Vec::new(),
        };
        let silences = match fields.get("silences") {
            Some(node) => self.silences(node, &names, &sources),
            None => Some(Vec::new()),
        };
        let windows = match fields.get("windows") {
            Some(node) => self.windows(node, &names),
            None => Some(Vec::new()),
        };
        let span = |name| fields.get(name).map_or(start.start..start.start + 1, |n| n.span.clone());
        let sources: Vec<_> =
            sources.into_iter().map(|named| named.value?.source).collect::<Option<_>>()?;
        let mut signals: Vec<_> =
            signals.into_iter().map(|named| named.value?.signal).collect::<Option<_>>()?;
        let mut rules: Vec<_> = rules.into_iter().collect::<Option<_>>()?;
        number_made(&mut signals, &mut rules);
        let written = match (&root.value, fields.get("rules").map(|node| &node.value)) {
            (Value::Map(entries), Some(Value::Seq(nodes))) => {
                Written::new(entries, nodes, (&sources, &signals, &rules))
            }
            _ => return None,
        };
        Some(Rules {
            version: version?,
            lateness_ns: lateness_ns?,
            time_spans: ["lateness", "max_advance"].map(span),
            max_advance_ns: max_advance_ns?,
            label_values_max: label_values_max?,
            sources,
            signals,
            rules,
            sinks: sinks.into_iter().map(|named| named.value).collect::<Option<_>>()?,
            routes: routes.into_iter().collect::<Option<_>>()?,
            silences: [silences?, windows?].concat(),
            paths: self.paths,
            written,
            remarks: self.remarks,
        })
    }

    fn version(&mut self, fields: &Fields<'_>) -> Option<u32> {
        let node = fields.require("version", "1", self.problems)?;
        let text = fields::text(node, "the version", self.problems)?;
        if text != "1" {
            let message = format!("version `{text}` of the rule language is not known");
            self.problems.error_help(&node.span, message, "write `version: 1`");
            return None;
        }
        Some(1)
    }

    fn duration(&mut self, fields: &Fields<'_>, name: &str, default_ns: i64) -> Option<i64> {
        match fields.get(name) {
            Some(node) => fields::duration(node, &format!("`{name}`"), self.problems),
            None => Some(default_ns),
        }
    }

    fn expire_after(&mut self, fields: &Fields<'_>, default_ns: i64) -> Option<i64> {
        let expire_after_ns = self.duration(fields, "expire_after", default_ns);
        if let (Some(0), Some(node)) = (expire_after_ns, fields.get("expire_after")) {
            let what = "`expire_after` must be above zero: every record would end what came before";
            self.problems.error(&node.span, what.to_owned());
        }
        expire_after_ns
    }

    /// The entries of a mapping that may not be empty; none if it is not known which there are.
    fn some_entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        let entries = fields::entries(node, what, self.problems)?;
        if entries.is_empty() {
            self.problems.error(&node.span, format!("{what} needs at least one entry"));
        }
        (!entries.is_empty()).then_some(entries)
    }

    fn sources<'n>(&mut self, node: &'n Node) -> Vec<Named<'n, ReadSource>> {
        let entries = self.some_entries(node, "`sources`").unwrap_or_default();
        entries
            .iter()
            .map(|(key, node)| Named {
                name: key.text().unwrap_or_default(),
                value: Some(Source::read(key, node, self.text, self.problems)),
            })
            .collect()
    }

    fn signals<'n>(
        &mut self,
        node: &'n Node,
        sources: &[Named<'_, ReadSource>],
    ) -> Vec<Named<'n, ReadSignal<'n>>> {
        let entries = self.some_entries(node, "`signals`").unwrap_or_default();
        entries
            .iter()
            .map(|(key, node)| Named {
                name: key.text().unwrap_or_default(),
                value: self.signal(key, node, sources),
            })
            .collect()
    }

    fn condition(&mut self, node: &Node, what: &str, sees: Sees<'_>) -> Option<Condition> {
        let text = fields::text(node, what, self.problems)?;
        let span = node.span.clone();
        let compiled = Condition::compile(text, span, sees, &mut self.paths);
        let (condition, remarks) = self.without_faults(node, compiled)?;
        self.remark(node, remarks);
        Some(condition)
    }

    /// A value, as CEL or as a field.
    fn expression(
        &mut self,
        node: &Node,
        what: &'static str,
        wanted: Wanted,
        known: &Known,
    ) -> Option<Expression> {
        if matches!(node.value, Value::Map(_)) {
            return self.field(node, what, known);
        }
        let text = fields::text(node, what, self.problems)?;
        let sees = Sees { known, labels: Labels::Never };
        let span = node.span.clone();
        let compiled = Expression::compile(text, span, wanted, sees, &mut self.paths);
        let (expression, remarks) = self.without_faults(node, compiled)?;
        self.remark(node, remarks);
        Some(expression)
    }

    fn field(&mut self, node: &Node, what: &'static str, known: &Known) -> Option<Expression> {
        let fields = Fields::open(node, &node.span, what, &VALUE_FIELDS, self.problems)?;
        let node = fields.require("field", "a.b", self.problems)?;
        let path = read_path(node, None, self.problems)?;
        if let Some((message, help)) = known.fault(path.keys(), |name| format!("`{name}`")) {
            self.problems.error_help(&node.span, message, help);
            return None;
        }
        Some(Expression::field(path.keys(), node.span.clone(), &mut self.paths))
    }

    /// Keeps what is to be said of the text of a node, if nothing is wrong.
    fn remark(&mut self, node: &Node, remarks: Vec<Fault>) {
        let remarks = remarks.into_iter().map(|Fault { place, message, help }| {
            Diagnostic::new(yaml::locate_range(self.text, node, &place), message, help)
        });
        self.remarks.extend(remarks);
    }

    /// Reports what is wrong within the text of a node.
    fn without_faults<T>(&mut self, node: &Node, result: Result<T, Vec<Fault>>) -> Option<T> {
        fields::without_faults(result, node, self.text, self.problems)
    }

    /// The index of what a node names.
    fn reference<T>(&mut self, node: &Node, kind: &str, known: &[Named<'_, T>]) -> Option<usize> {
        let name = fields::text(node, &format!("the name of a {kind}"), self.problems)?;
        let index = known.iter().position(|named| named.name == name);
        if index.is_none() {
            let names: Vec<_> = known.iter().map(|named| named.name).collect();
            self.problems.unknown(&node.span, kind, name, &names);
        }
        index
    }

    fn rules_on(
        &mut self,
        node: &Node,
        signals: &[Named<'_, ReadSignal<'_>>],
        defaults: Defaults,
    ) -> Vec<Option<Rule>> {
        let Some(items) = fields::items(node, "`rules`", self.problems) else { return Vec::new() };
        if items.is_empty() {
            self.problems.error(&node.span, "`rules` needs at least one rule");
        }
        let mut names = Vec::new();
        let rules = items.iter().map(|node| self.rule(node, signals, defaults, &mut names));
        let mut rules: Vec<_> = rules.collect();
        self.find_bases(items, &mut rules);
        rules
    }
}

/// What rules have that say nothing else.
#[derive(Clone, Copy)]
struct Defaults {
    lateness_ns: i64,
    expire_after_ns: i64,
}

#[cfg(test)]
mod tests;
