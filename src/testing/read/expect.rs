//! What a case expects.

use std::collections::BTreeSet;

use super::super::series::Start;
use super::super::wanted::{Check, Counted, Expectation, Mode, Reads, RowPattern, View, Wanted};
use super::Reader;
use super::case::Input;
use crate::alerts::withholding;
use crate::model::ledger::{Unmatched, by};
use crate::rules::fields::{self, Fields};
use crate::rules::yaml::{Node, Value};
use crate::rules::{Kind, OBSERVE, READING};
use crate::sinks::fates::FATE_NAMES;
use crate::sinks::json::REASONS;
use crate::sinks::report::RuleFates;

pub(in crate::testing) const EXPECT_FIELDS: [&str; 10] = [
    "at",
    "entity",
    "rule",
    "signal",
    "episodes",
    "fates",
    "deliveries",
    "withheld",
    "dead_letters",
    "counts",
];
pub(in crate::testing) const VIEW_FIELDS: [&str; 2] = ["contains", "none"];
/// What restricts an expectation to some rows.
const OF: [&str; 3] = ["entity", "rule", "signal"];
/// Those of the counts that are by rule, and by reason or fate; or by what withholds, and its name.
pub(in crate::testing) const BY_RULE: [&str; 4] =
    ["suppressed", "would_suppress", "fates", WITHHELD];
const WITHHELD: &str = "withheld";
/// The counts of the summary.
pub(in crate::testing) const COUNTS: [&str; 16] = [
    "records",
    "used",
    "late",
    "duplicates",
    "dead_letters",
    "unmatched",
    "conflicts",
    "condition_errors",
    "label_overflows",
    "episodes",
    "updates",
    "notifications",
    "withheld",
    "suppressed",
    "would_suppress",
    "fates",
];
const DISPOSITIONS: [&str; 5] = ["used", "late", "duplicate", "unmatched", DEAD_LETTER];
const DEAD_LETTER: &str = "dead-letter";
const STANDINGS: [&str; 3] = ["open", "closed", "withdrawn"];

/// What is known of a case, for names and times.
#[derive(Clone, Copy)]
struct Known<'i> {
    start: Start,
    entities: Option<&'i BTreeSet<String>>,
    until_ns: Option<i64>,
    /// Whether reasons may be any: those of dead letters are.
    any_reason: bool,
}

fn owned<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

impl Reader<'_> {
    /// What is expected, and whether some time of it is written as an instant.
    pub(super) fn expectations(
        &mut self,
        node: &Node,
        start: Start,
        input: Option<&Input>,
        until_ns: Option<i64>,
    ) -> Option<(Vec<Expectation>, bool)> {
        let entities = input.and_then(|input| input.entities.as_ref());
        let known = Known { start, entities, until_ns, any_reason: false };
        let nodes = match &node.value {
            Value::Map(_) => std::slice::from_ref(node),
            _ => fields::items(node, "`expect`", &mut self.problems)?,
        };
        if nodes.is_empty() {
            self.problems.error(&node.span, "`expect` needs at least one expectation");
        }
        let mut by_instants = false;
        let all: Vec<_> =
            nodes.iter().map(|node| self.expectation(node, known, &mut by_instants)).collect();
        Some((all.into_iter().collect::<Option<_>>()?, by_instants))
    }

    fn expectation(
        &mut self,
        node: &Node,
        known: Known<'_>,
        by_instants: &mut bool,
    ) -> Option<Expectation> {
        let what = "an expectation";
        let fields = Fields::open(node, &node.span, what, &EXPECT_FIELDS, &mut self.problems)?;
        let at_ns = fields.get("at").and_then(|node| {
            let (at, instant) = self.time(node, known.start)?;
            *by_instants |= instant;
            if known.until_ns.is_some_and(|until| at > until) {
                let message = "this is after `until`, where the log ends";
                self.problems.error(&node.span, message);
            }
            Some(at)
        });
        // Groups are told of, and nothing else has their names.
        let view = match fields.get(View::Deliveries.name()) {
            Some(_) => View::Deliveries,
            None => View::Episodes,
        };
        let of = OF.iter().filter_map(|name| {
            let node = fields.get(name)?;
            Some(((*name).to_owned(), self.wanted(name, view, node, known)?))
        });
        let of: Vec<_> = of.collect();
        let mut checks = Vec::new();
        for view in View::ALL {
            if let Some(node) = fields.get(view.name()) {
                self.checks(view, node, known, &mut checks);
            }
        }
        let mut counts = Vec::new();
        if let Some(node) = fields.get("counts") {
            self.counts(node, &mut Vec::new(), &mut counts);
            if let Some(node) = OF.iter().find_map(|name| fields.get(name)) {
                let message = "counts are of all records and rules";
                self.problems.error_help(&node.span, message, "write them as one of their own");
            }
        }
        let is_wrong =
            |node: &Node| self.problems.0.iter().any(|wrong| node.span.contains(&wrong.span.start));
        let mut given = View::ALL.iter().map(|view| view.name()).chain(["counts"]);
        if checks.is_empty()
            && counts.is_empty()
            && !given.any(|name| fields.get(name).is_some_and(is_wrong))
        {
            let views = View::ALL.map(View::name).join("`, `");
            let help = format!("add one of `{views}`, `counts`");
            self.problems.error_help(&node.span, "nothing is expected", help);
        }
        Some(Expectation { at_ns, of, checks, counts })
    }

    fn checks(&mut self, view: View, node: &Node, known: Known<'_>, checks: &mut Vec<Check>) {
        let line = self.line(&node.span);
        let Value::Map(_) = node.value else {
            let patterns = self.patterns(view, Mode::Exactly, node, known);
            return checks.push(Check { line, view, mode: Mode::Exactly, patterns });
        };
        let what = "what is expected of them";
        let opened = Fields::open(node, &node.span, what, &VIEW_FIELDS, &mut self.problems);
        let Some(fields) = opened else { return };
        for (name, mode) in VIEW_FIELDS.into_iter().zip([Mode::Contains, Mode::NoneOf]) {
            if let Some(node) = fields.get(name) {
                let patterns = self.patterns(view, mode, node, known);
                checks.push(Check { line: self.line(&node.span), view, mode, patterns });
            }
        }
        if VIEW_FIELDS.iter().all(|name| fields.get(name).is_none()) {
            let help = "write a list of all there are, or `contains:`, or `none:`";
            self.problems.error_help(&node.span, "nothing is expected", help);
        }
    }

    fn patterns(
        &mut self,
        view: View,
        mode: Mode,
        node: &Node,
        known: Known<'_>,
    ) -> Vec<RowPattern> {
        let nodes = match &node.value {
            Value::Map(_) => std::slice::from_ref(node),
            _ => fields::items(node, view.name(), &mut self.problems).unwrap_or_default(),
        };
        if nodes.is_empty() && mode != Mode::Exactly {
            self.problems.error(&node.span, "this says nothing");
        }
        nodes.iter().filter_map(|node| self.pattern(view, mode, node, known)).collect()
    }

    fn pattern(
        &mut self,
        view: View,
        mode: Mode,
        node: &Node,
        known: Known<'_>,
    ) -> Option<RowPattern> {
        let mut names = view.fields().to_vec();
        if mode == Mode::Contains {
            names.push("count");
        }
        let fields = Fields::open(node, &node.span, view.noun(), &names, &mut self.problems)?;
        let is_dead = |name| fields.get(name).and_then(Node::text) == Some(DEAD_LETTER);
        let any_reason = ["fate", "disposition"].into_iter().any(is_dead);
        let known = Known { any_reason, ..known };
        let mut wanted = Vec::new();
        for (key, value) in fields::entries(node, view.noun(), &mut self.problems)? {
            let name = key.text().unwrap_or_default();
            if view.fields().contains(&name)
                && let Some(value) = self.wanted(name, view, value, known)
            {
                wanted.push((name.to_owned(), value));
            }
        }
        let count = fields.get("count").and_then(|node| self.number(node));
        // What is not said of an end is that there is none.
        if (view, mode) == (View::Episodes, Mode::Exactly) && fields.get("until").is_none() {
            wanted.push(("until".to_owned(), Wanted::Nothing));
        }
        Some(RowPattern { line: self.line(&node.span), fields: wanted, count })
    }

    fn wanted(&mut self, name: &str, view: View, node: &Node, known: Known<'_>) -> Option<Wanted> {
        if node.is_null() || name == "until" && node.text() == Some("open") {
            return Some(Wanted::Nothing);
        }
        if node.text() == Some("any") {
            return Some(Wanted::Anything);
        }
        match Reads::of(name) {
            Reads::Instant => self.time(node, known.start).map(|(at, _)| Wanted::Instant(at)),
            Reads::Duration => fields::duration(node, &format!("`{name}`"), &mut self.problems)
                .map(Wanted::Duration),
            Reads::Texts => {
                let entries = fields::entries(node, &format!("`{name}`"), &mut self.problems)?;
                let texts: Vec<_> = entries
                    .iter()
                    .map(|(key, node)| {
                        let text = node.text().unwrap_or_default();
                        self.check_text(name, key, node);
                        (key.text().unwrap_or_default().to_owned(), text.to_owned())
                    })
                    .collect();
                Some(Wanted::Texts(texts))
            }
            Reads::Text => {
                let text = fields::text(node, &format!("`{name}`"), &mut self.problems)?;
                self.check_name(name, view, text, node, known);
                Some(Wanted::Text(text.to_owned()))
            }
        }
    }

    /// Reports a name that nothing has: an expectation that something of it is absent would hold.
    fn check_name(&mut self, field: &str, view: View, text: &str, node: &Node, known: Known<'_>) {
        let names: Vec<String> = match (field, view) {
            // What is told of many has the name of a group.
            ("entity", View::Deliveries) | ("group", _) if text.starts_with('{') => return,
            ("group", _) => {
                let message = format!("`{text}` is no group");
                let help = "write what its members have in common, as '{zone=\"a\"}', or '{}'";
                return self.problems.error_help(&node.span, message, help);
            }
            ("entity", _) => match known.entities {
                Some(entities) => entities.iter().cloned().collect(),
                None => return,
            },
            ("kind", _) => owned(Kind::NAMES.map(|(name, _)| name)),
            ("standing", _) => owned(STANDINGS),
            ("disposition", _) => owned(DISPOSITIONS),
            ("fate", _) => owned(FATE_NAMES.into_iter().chain(DISPOSITIONS)),
            ("by", View::Fates) => owned(by::ALL),
            ("by", _) => owned(withholding()),
            ("would", _) => owned([by::FLAP_DAMPING]),
            ("reason", View::DeadLetters) => return,
            ("reason", View::Fates) if known.any_reason => return,
            ("reason", View::Fates) => owned(Unmatched::ALL.map(Unmatched::reason)),
            ("reason", _) => owned(REASONS),
            ("mode", _) => owned([OBSERVE]),
            ("rule" | "signal" | "state" | "as" | "to" | "name", _) => match self.names(field) {
                Some(names) => names,
                None => return,
            },
            ("revision" | "value" | "changes" | "line" | "column", _)
                if text.parse::<f64>().is_err() =>
            {
                let message = format!("`{text}` is no number");
                return self.problems.error(&node.span, message);
            }
            ("latest" | "conflict" | "except", _) => owned(["true", "false"]),
            _ => return,
        };
        let kind = match field {
            "to" => "sink",
            "as" => "state",
            "by" | "would" => "kind",
            "name" => "rule or silence",
            _ => field,
        };
        self.check(kind, text, node, &names);
    }

    /// The same of a label or annotation, or of what a witness says.
    fn check_text(&mut self, field: &str, name: &Node, node: &Node) {
        let (kind, named) = match field {
            "labels" => ("label", name),
            "annotations" => ("annotation", name),
            // A witness that says nothing is none of them.
            _ if node.text() == Some("") => return,
            _ => ("state", node),
        };
        if let (Some(names), Some(text)) = (self.names(kind), named.text()) {
            self.check(kind, text, named, &names);
        }
    }

    fn check(&mut self, kind: &str, text: &str, node: &Node, names: &[String]) -> bool {
        let is_known = names.iter().any(|known| known == text);
        if !is_known {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            self.problems.unknown(&node.span, kind, text, &names);
        }
        is_known
    }

    /// What rules, signals, states, sinks and so on are called; not known where the rules are wrong.
    fn names(&self, field: &str) -> Option<Vec<String>> {
        let rules = &self.rules.as_ref()?.rules;
        let names: BTreeSet<&str> = match field {
            "rule" => rules.rules.iter().map(|rule| rule.name.as_str()).collect(),
            "signal" => rules.signals.iter().map(|signal| signal.name.as_str()).collect(),
            "to" => rules.sinks.iter().map(|sink| sink.name.as_str()).collect(),
            "name" => {
                let silences = rules.silences.iter().map(|silence| silence.name.as_str());
                silences.chain(rules.rules.iter().map(|rule| rule.name.as_str())).collect()
            }
            "label" => {
                let carried = rules.signals.iter().flat_map(|signal| &signal.labels);
                let added = rules.rules.iter().flat_map(|rule| &rule.labels);
                let carried = carried.map(|label| label.name.as_str());
                carried.chain(added.map(|(name, _)| name.as_str())).collect()
            }
            "annotation" => {
                let all = rules.rules.iter().flat_map(|rule| &rule.annotations);
                all.map(|(name, _)| name.as_str()).collect()
            }
            _ => {
                let states = rules.signals.iter().flat_map(|signal| {
                    let reading = signal.is_measured().then(|| signal.state_name(READING));
                    signal.state_names().chain(reading)
                });
                states.map(|state| state.as_str()).collect()
            }
        };
        Some(names.into_iter().map(str::to_owned).collect())
    }

    fn number(&mut self, node: &Node) -> Option<u64> {
        let text = fields::text(node, "a count", &mut self.problems)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.problems.error(&node.span, format!("a count is a whole number, not `{text}`"));
        }
        number
    }

    /// Counts, by the names that lead to them.
    fn counts(&mut self, node: &Node, path: &mut Vec<String>, counts: &mut Vec<Counted>) {
        let Some(entries) = fields::entries(node, "`counts`", &mut self.problems) else { return };
        for (key, node) in entries {
            let name = key.text().unwrap_or_default();
            let (kind, names) = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] => ("count", Some(owned(COUNTS))),
                [WITHHELD] => ("kind", Some(owned(withholding()))),
                [_] => ("rule", self.names("rule")),
                [WITHHELD, _] => ("rule or silence", self.names("name")),
                ["fates", _] => ("fate", Some(RuleFates::names())),
                _ => ("kind", Some(owned(by::ALL))),
            };
            if names.is_some_and(|names| !self.check(kind, name, key, &names)) {
                continue;
            }
            let by_rule = BY_RULE.contains(&path.first().map_or(name, |first| first));
            path.push(name.to_owned());
            match by_rule && path.len() < 3 {
                true => self.counts(node, path, counts),
                false => {
                    if let Some(count) = self.number(node) {
                        let line = self.line(&key.span);
                        counts.push(Counted { line, path: path.clone(), count });
                    }
                }
            }
            path.pop();
        }
    }
}
