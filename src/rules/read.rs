//! From the tree of a rule file to [`Rules`]: sources first, then signals, then rules, so that
//! each finds the names it refers to.

use std::ops::Range;

use smol_str::SmolStr;

use super::condition::{Condition, Paths};
use super::diagnostics::Problems;
use super::fields::{self, Fields};
use super::source::Source;
use super::yaml::{self, Node};
use super::{Rule, Rules, Signal, State};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
pub(super) const FIELDS: [&str; 7] =
    ["version", "lateness", "max_advance", "expire_after", "sources", "signals", "rules"];
pub(super) const SIGNAL_FIELDS: [&str; 3] = ["from", "where", "states"];
pub(super) const RULE_FIELDS: [&str; 3] = ["name", "signal", "hold"];

/// Reads the whole file; the problems are all there are.
pub(super) fn file(text: &str) -> Result<Rules, Problems> {
    let mut problems = Problems::default();
    let rules = yaml::load(text, &mut problems).and_then(|root| {
        Reader { text, problems: &mut problems, paths: Paths::default() }.rules(&root)
    });
    match rules {
        Some(rules) if problems.0.is_empty() => Ok(rules),
        _ => Err(problems),
    }
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
}

impl Reader<'_> {
    fn rules(mut self, root: &Node) -> Option<Rules> {
        let start = root.span.start..root.span.start;
        let fields = Fields::open(root, &start, "a rule file", &FIELDS, self.problems)?;
        let version = self.version(&fields);
        let lateness_ns = self.duration(&fields, "lateness", 0);
        let max_advance_ns = self.duration(&fields, "max_advance", 30 * DAY_NS);
        let expire_after_ns = self.duration(&fields, "expire_after", 7 * DAY_NS);
        if let (Some(0), Some(node)) = (expire_after_ns, fields.get("expire_after")) {
            let what = "`expire_after` must be above zero: every record would end what came before";
            self.problems.error(&node.span, what.to_owned());
        }
        let sources = match fields.get("sources") {
            Some(node) => self.sources(node),
            None => vec![Named { name: "cloudevents", value: Some(Source::implicit()) }],
        };
        let example = "{ NAME: { states: ... } }";
        let signals = match fields.require("signals", example, self.problems) {
            Some(node) => self.signals(node, &sources),
            None => Vec::new(),
        };
        let example = "[{ name: NAME, signal: NAME }]";
        let rules = match fields.require("rules", example, self.problems) {
            Some(node) => self.rule_list(node, &signals),
            None => Vec::new(),
        };
        Some(Rules {
            version: version?,
            lateness_ns: lateness_ns?,
            max_advance_ns: max_advance_ns?,
            expire_after_ns: expire_after_ns?,
            sources: sources.into_iter().map(|named| named.value).collect::<Option<_>>()?,
            signals: signals.into_iter().map(|named| named.value?.signal).collect::<Option<_>>()?,
            rules: rules.into_iter().collect::<Option<_>>()?,
            paths: self.paths,
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

    /// The entries of a mapping that may not be empty.
    fn some_entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Node, Node)] {
        let entries = fields::entries(node, what, self.problems);
        if entries.is_some_and(<[_]>::is_empty) {
            self.problems.error(&node.span, format!("{what} needs at least one entry"));
        }
        entries.unwrap_or_default()
    }

    fn sources<'n>(&mut self, node: &'n Node) -> Vec<Named<'n, Source>> {
        let entries = self.some_entries(node, "`sources`").iter();
        entries
            .map(|(key, node)| Named {
                name: key.text().unwrap_or_default(),
                value: Source::read(key, node, self.text, self.problems),
            })
            .collect()
    }

    fn signals<'n>(
        &mut self,
        node: &'n Node,
        sources: &[Named<'_, Source>],
    ) -> Vec<Named<'n, ReadSignal<'n>>> {
        let entries = self.some_entries(node, "`signals`").iter();
        entries
            .map(|(key, node)| Named {
                name: key.text().unwrap_or_default(),
                value: self.signal(key, node, sources),
            })
            .collect()
    }

    fn signal<'n>(
        &mut self,
        key: &Node,
        node: &'n Node,
        sources: &[Named<'_, Source>],
    ) -> Option<ReadSignal<'n>> {
        let name = fields::name(key, "the name of a signal", self.problems);
        let fields = Fields::open(node, &key.span, "a signal", &SIGNAL_FIELDS, self.problems)?;
        let from = match fields.get("from") {
            Some(node) => self.reference(node, "source", sources).map(Some),
            None => Some(None),
        };
        let filter = match fields.get("where") {
            Some(node) => self.condition(node, "`where`").map(Some),
            None => Some(None),
        };
        let example = "{ NAME: CONDITION }";
        let node = fields.require("states", example, self.problems)?;
        let entries = self.some_entries(node, "`states`");
        let state_names = entries.iter().filter_map(|(key, _)| key.text()).collect();
        let states: Vec<_> = entries.iter().map(|(key, node)| self.state(key, node)).collect();
        let states: Option<Vec<_>> = states.into_iter().collect();
        let signal = (|| {
            Some(Signal {
                name: name?,
                span: key.span.clone(),
                from: from?,
                filter: filter?,
                states: states?,
            })
        })();
        Some(ReadSignal { state_names, signal })
    }

    fn state(&mut self, key: &Node, node: &Node) -> Option<State> {
        let name = fields::name(key, "the name of a state", self.problems);
        let when = self.condition(node, "the condition of a state");
        Some(State { name: name?, when: when? })
    }

    fn condition(&mut self, node: &Node, what: &str) -> Option<Condition> {
        let text = fields::text(node, what, self.problems)?;
        match Condition::compile(text, node.span.clone(), &mut self.paths) {
            Ok(condition) => Some(condition),
            Err(faults) => {
                for fault in faults {
                    let span = yaml::locate_range(self.text, node, &fault.place);
                    self.problems.error_help(&span, fault.message, fault.help);
                }
                None
            }
        }
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

    fn rule_list(
        &mut self,
        node: &Node,
        signals: &[Named<'_, ReadSignal<'_>>],
    ) -> Vec<Option<Rule>> {
        let Some(items) = fields::items(node, "`rules`", self.problems) else { return Vec::new() };
        if items.is_empty() {
            self.problems.error(&node.span, "`rules` needs at least one rule");
        }
        let mut names = Vec::new();
        items.iter().map(|node| self.rule(node, signals, &mut names)).collect()
    }

    fn rule(
        &mut self,
        node: &Node,
        signals: &[Named<'_, ReadSignal<'_>>],
        names: &mut Vec<SmolStr>,
    ) -> Option<Rule> {
        let fields = Fields::open(node, &node.span, "a rule", &RULE_FIELDS, self.problems)?;
        let name_node = fields.require("name", "NAME", self.problems);
        let name = name_node.and_then(|node| {
            let name = fields::name(node, "the name of a rule", self.problems)?;
            if names.contains(&name) {
                let message = format!("there is another rule `{name}`");
                self.problems.error_help(&node.span, message, "give each its own name");
            }
            names.push(name.clone());
            Some(name)
        });
        let signal = fields
            .require("signal", "NAME", self.problems)
            .and_then(|node| self.reference(node, "signal", signals));
        let states = signal.and_then(|index| signals[index].value.as_ref());
        let holds =
            self.hold(fields.get("hold"), states.map(|read| read.state_names.as_slice()))?;
        let (hold_ns, hold_spans) = holds.into_iter().unzip();
        Some(Rule {
            name: name?,
            span: name_node?.span.clone(),
            signal: signal?,
            hold_ns,
            hold_spans,
        })
    }

    /// The durations by state, each with its place; without knowing the states only their form is
    /// checked.
    fn hold(&mut self, node: Option<&Node>, states: Option<&[&str]>) -> Option<Vec<Hold>> {
        let mut holds = vec![(0, None); states.map_or(0, <[_]>::len)];
        let Some(node) = node else { return Some(holds) };
        for (key, node) in fields::entries(node, "`hold`", self.problems)? {
            let duration = fields::duration(node, "a hold", self.problems);
            let (Some(states), Some(name)) = (states, key.text()) else { continue };
            match states.iter().position(|state| *state == name) {
                Some(index) => {
                    holds[index] = (duration.unwrap_or_default(), Some(node.span.clone()));
                }
                None => self.problems.unknown(&key.span, "state", name, states),
            }
        }
        Some(holds)
    }
}

/// How long a state must last, and where that is written.
type Hold = (i64, Option<Range<usize>>);

/// A signal as far as it could be read: rules may refer to its states in any case.
struct ReadSignal<'n> {
    state_names: Vec<&'n str>,
    signal: Option<Signal>,
}
