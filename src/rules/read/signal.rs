//! Signals: what makes canonical states of records.

use std::collections::BTreeSet;

use super::super::condition::Wanted;
use super::super::expression::{Labels, Sees};
use super::super::known::Known;
use super::super::source::ReadSource;
use super::super::yaml::Node;
use super::super::{Label, Schema, Signal, State};
use super::{Named, Reader, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const FIELDS: [&str; 7] =
    ["from", "where", "schema", "labels", "value", "states", "keep_transitions"];
pub(in crate::rules) const SCHEMA_FIELDS: [&str; 2] = ["name", "version"];

/// A signal as far as it could be read: rules may refer to its states and labels in any case.
pub(super) struct ReadSignal<'n> {
    /// None if it is not known which there are.
    pub(super) state_names: Option<Vec<&'n str>>,
    /// Whether its readings are what it observes; none if that is not known.
    pub(super) measured: Option<bool>,
    /// None if it is not known which there are.
    pub(super) label_names: Option<Vec<&'n str>>,
    /// What is known of its records.
    pub(super) known: Known,
    schema: Option<Schema>,
    pub(super) signal: Option<Signal>,
}

impl Reader<'_> {
    pub(super) fn signal<'n>(
        &mut self,
        key: &Node,
        node: &'n Node,
        sources: &[Named<'_, ReadSource>],
    ) -> Option<ReadSignal<'n>> {
        let name = fields::name(key, "the name of a signal", self.problems);
        let fields = Fields::open(node, &key.span, "a signal", &FIELDS, self.problems)?;
        let (from, known) = self.records_of(&fields, sources);
        let sees = Sees { known: &known, labels: Labels::Never };
        let filter = match fields.get("where") {
            Some(node) => self.condition(node, "`where`", sees).map(Some),
            None => Some(None),
        };
        let schema = match fields.get("schema") {
            Some(node) => self.schema(node).map(Some),
            None => Some(None),
        };
        let labels = match fields.get("labels") {
            Some(node) => fields::entries(node, "`labels`", self.problems),
            None => Some(&[][..]),
        };
        let label_names = labels.map(names);
        let labels = labels.and_then(|labels| {
            let labels: Vec<_> =
                labels.iter().map(|(key, node)| self.label(key, node, &known)).collect();
            labels.into_iter().collect::<Option<Vec<_>>>()
        });
        let value = match fields.get("value") {
            Some(node) => self.expression(node, "`value`", Wanted::Number, &known).map(Some),
            None => Some(None),
        };
        let example = "{ NAME: CONDITION }";
        let states = match (fields.get("states"), fields.get("value")) {
            (None, Some(_)) => Some(&[][..]),
            _ => {
                let states = fields.require("states", example, self.problems);
                states.and_then(|node| self.some_entries(node, "`states`"))
            }
        };
        let measured = states.map(<[_]>::is_empty);
        let state_names = states.map(names);
        let states = states.and_then(|states| {
            let states: Vec<_> =
                states.iter().map(|(key, node)| self.state(key, node, sees)).collect();
            states.into_iter().collect::<Option<Vec<_>>>()
        });
        let keeps_transitions = match fields.get("keep_transitions") {
            Some(node) => fields::truth(node, "`keep_transitions`", self.problems),
            None => Some(false),
        };
        let read_schema = schema.clone().flatten();
        let signal = (|| {
            Some(Signal {
                name: name?,
                span: key.span.clone(),
                from: from?,
                filter: filter?,
                schema: schema?,
                labels: labels?,
                value: value?,
                states: states?,
                made: Vec::new(),
                keeps_transitions: keeps_transitions?,
            })
        })();
        Some(ReadSignal { state_names, measured, label_names, known, schema: read_schema, signal })
    }

    /// The source that `from` names, if it names one, and what is known of the records.
    pub(super) fn records_of(
        &mut self,
        fields: &Fields<'_>,
        sources: &[Named<'_, ReadSource>],
    ) -> (Option<Option<usize>>, Known) {
        let from = match fields.get("from") {
            Some(node) => self.reference(node, "source", sources).map(Some),
            None => Some(None),
        };
        let of: Option<Vec<_>> = match from {
            None => None,
            Some(Some(one)) => sources[one].value.as_ref().map(|source| vec![source]),
            Some(None) => sources.iter().map(|named| named.value.as_ref()).collect(),
        };
        (from, of.map_or_else(Known::default, |of| Known::of(&of)))
    }

    fn state(&mut self, key: &Node, node: &Node, sees: Sees<'_>) -> Option<State> {
        let name = fields::name(key, "the name of a state", self.problems);
        let when = self.condition(node, "the condition of a state", sees);
        Some(State { name: name?, when: when? })
    }

    fn label(&mut self, key: &Node, node: &Node, known: &Known) -> Option<Label> {
        let name = fields::label_name(key, self.problems);
        let from = self.expression(node, "the value of a label", Wanted::Value, known);
        Some(Label { name: name?, from: from? })
    }

    /// Signals that share a schema show its states: the same in the same version, and of one major
    /// version the later has all of the earlier.
    pub(super) fn compare_schemas(&mut self, signals: &[Named<'_, ReadSignal<'_>>]) {
        let read = || {
            signals.iter().enumerate().filter_map(|(number, named)| {
                let read = named.value.as_ref()?;
                Some((number, read.schema.as_ref()?, read.state_names.as_ref()?))
            })
        };
        for (number, schema, states) in read() {
            for (other_number, known, known_states) in read() {
                if known.name != schema.name {
                    continue;
                }
                let follows = (&known.version, other_number) < (&schema.version, number);
                if !follows || known.version.major != schema.version.major {
                    continue;
                }
                let mine: BTreeSet<_> = states.iter().collect();
                let theirs: BTreeSet<_> = known_states.iter().collect();
                let missing = theirs.difference(&mine).next();
                let added = mine.difference(&theirs).next();
                let same_version = known.version == schema.version;
                let (message, help) = match (missing, added) {
                    (Some(state), _) => (
                        format!("{schema} has no state `{state}`, which {known} has"),
                        "add it, or raise the major version",
                    ),
                    (None, Some(state)) if same_version => (
                        format!("another signal of {schema} has no state `{state}`"),
                        "a version has one set of states: raise the minor version",
                    ),
                    _ => continue,
                };
                self.problems.error_help(&schema.span, message, help);
            }
        }
    }

    fn schema(&mut self, node: &Node) -> Option<Schema> {
        let fields = Fields::open(node, &node.span, "a schema", &SCHEMA_FIELDS, self.problems)?;
        let name = fields.require("name", "NAME", self.problems);
        let name = name.and_then(|n| fields::name(n, "the name of a schema", self.problems));
        let node = fields.require("version", "1.0.0", self.problems)?;
        let version = self.semantic_version(node, "the version of a schema");
        Some(Schema { name: name?, version: version?, span: node.span.clone() })
    }

    /// A version after <https://semver.org>.
    pub(super) fn semantic_version(&mut self, node: &Node, what: &str) -> Option<semver::Version> {
        let text = fields::text(node, what, self.problems)?;
        let parsed = semver::Version::parse(text);
        if let Err(error) = &parsed {
            let message = format!("`{text}` is not a semantic version: {error}");
            self.problems.error_help(&node.span, message, "write MAJOR.MINOR.PATCH, as 1.2.0");
        }
        parsed.ok()
    }
}

/// What the entries of a mapping are called.
fn names(entries: &[(Node, Node)]) -> Vec<&str> {
    entries.iter().filter_map(|(key, _)| key.text()).collect()
}
