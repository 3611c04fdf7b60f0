//! Rules: what makes episodes of states.

use std::ops::Range;

use smol_str::SmolStr;

use super::super::condition::Wanted;
use super::super::expression::{Labels, Sees};
use super::super::known::Known;
use super::super::stages::Stages;
use super::super::template::Template;
use super::super::yaml::Node;
use super::super::{Dedup, Rule};
use super::signal::ReadSignal;
use super::thresholds::Places;
use super::{Defaults, Named, Reader, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const FIELDS: [&str; 21] = [
    "name",
    "signal",
    "where",
    "dedup",
    "except",
    "absent",
    "smooth",
    "above",
    "below",
    "recover",
    "flap_damping",
    "flap_detection",
    "faults",
    "grace",
    "session",
    "hold",
    "keep",
    "amend_within",
    "expire_after",
    "labels",
    "annotations",
];
pub(in crate::rules) const DEDUP_FIELDS: [&str; 2] = ["by", "within"];

/// A duration of a state, and where it is written.
type OfState = (i64, Option<Range<usize>>);

impl Reader<'_> {
    pub(super) fn rule(
        &mut self,
        node: &Node,
        signals: &[Named<'_, ReadSignal<'_>>],
        defaults: Defaults,
        names: &mut Vec<SmolStr>,
    ) -> Option<Rule> {
        let fields = Fields::open(node, &node.span, "a rule", &FIELDS, self.problems)?;
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
        let read = signal.and_then(|index| signals[index].value.as_ref());
        let known_labels = read.and_then(|read| read.label_names.as_deref());
        let known = read.map(|read| read.known.clone()).unwrap_or_default();
        let sees = Sees { known: &known, labels: Labels::Of(known_labels) };
        let mut condition = |name: &str| match fields.get(name) {
            Some(node) => self.condition(node, &format!("`{name}`"), sees).map(Some),
            None => Some(None),
        };
        let (filter, except) = (condition("where"), condition("except"));
        let states = read.and_then(|read| read.state_names.as_deref());
        let states = Self::known_states(&fields, states);
        let states = states.as_deref();
        let holds = self.by_state(fields.get("hold"), ("`hold`", "a hold"), states);
        let keeps = self.by_state(fields.get("keep"), ("`keep`", "a keep"), states);
        let dedup = match fields.get("dedup") {
            Some(node) => self.dedup(node, &known).map(Some),
            None => Some(None),
        };
        let amend_within_ns = self.amend_within(&fields, defaults.lateness_ns);
        let expire_after_ns = self.expire_after(&fields, defaults.expire_after_ns);
        let at = name_node.map_or(&node.span, |name| &name.span);
        let thresholds =
            self.thresholds(&fields, &Places { measured: read.and_then(|r| r.measured), name: at });
        let stages = self.stages(&fields, at, states, expire_after_ns);
        let labels = self.texts(fields.get("labels"), "`labels`", known_labels);
        let annotations = self.texts(fields.get("annotations"), "`annotations`", known_labels);
        let (hold_ns, hold_spans) = holds?.into_iter().unzip();
        let keep_ns = keeps?.into_iter().map(|(keep_ns, _)| keep_ns).collect();
        Some(Rule {
            name: name?,
            span: name_node?.span.clone(),
            signal: signal?,
            filter: filter?,
            dedup: dedup?,
            except: except?,
            hold_ns,
            hold_spans,
            keep_ns,
            stages: Stages { thresholds: thresholds?, ..stages? },
            amend_within_ns: amend_within_ns?,
            expire_after_ns: expire_after_ns?,
            labels: labels?,
            annotations: annotations?,
        })
    }

    /// The durations by state, each with its place; without knowing the states only their form is
    /// checked.
    fn by_state(
        &mut self,
        node: Option<&Node>,
        (what, one): (&str, &str),
        states: Option<&[&str]>,
    ) -> Option<Vec<OfState>> {
        let mut durations = vec![(0, None); states.map_or(0, <[_]>::len)];
        let Some(node) = node else { return Some(durations) };
        for (key, node) in fields::entries(node, what, self.problems)? {
            let duration = fields::duration(node, one, self.problems);
            let (Some(states), Some(name)) = (states, key.text()) else { continue };
            match states.iter().position(|state| *state == name) {
                Some(index) => {
                    durations[index] = (duration.unwrap_or_default(), Some(node.span.clone()));
                }
                None => self.problems.unknown(&key.span, "state", name, states),
            }
        }
        Some(durations)
    }

    fn dedup(&mut self, node: &Node, known: &Known) -> Option<Dedup> {
        let fields = Fields::open(node, &node.span, "`dedup`", &DEDUP_FIELDS, self.problems)?;
        let by = fields.require("by", "[data.id]", self.problems);
        let by = by.and_then(|node| {
            let items = fields::items(node, "`by`", self.problems)?;
            if items.is_empty() {
                let help = "name what repeats have in common, as data.started";
                self.problems.error_help(&node.span, "`by` needs at least one value", help);
            }
            let by = items
                .iter()
                .map(|item| self.expression(item, "a value of `by`", Wanted::Value, known));
            let by: Vec<_> = by.collect();
            by.into_iter().collect::<Option<Vec<_>>>()
        });
        let node = fields.require("within", "5m", self.problems)?;
        let within_ns = fields::duration(node, "`within`", self.problems)?;
        if within_ns == 0 {
            let message = "`within` must be above zero: nothing would be a repeat";
            self.problems.error(&node.span, message);
        }
        Some(Dedup { by: by?, within_ns })
    }

    fn amend_within(&mut self, fields: &Fields<'_>, lateness_ns: i64) -> Option<i64> {
        let amend_within_ns = self.duration(fields, "amend_within", lateness_ns)?;
        if let Some(node) = fields.get("amend_within")
            && amend_within_ns < lateness_ns
        {
            let message = "`amend_within` is below `lateness`, within which all is amended anyway";
            self.problems.error_help(&node.span, message, "raise it, or remove it");
        }
        Some(amend_within_ns)
    }

    /// Texts with places, by the names of labels or annotations.
    fn texts(
        &mut self,
        node: Option<&Node>,
        what: &str,
        labels: Option<&[&str]>,
    ) -> Option<Vec<(SmolStr, Template)>> {
        let Some(node) = node else { return Some(Vec::new()) };
        let entries = fields::entries(node, what, self.problems)?;
        let read: Vec<_> = entries
            .iter()
            .map(|(key, node)| {
                let name = fields::label_name(key, self.problems);
                let what = format!("the text of `{}`", key.text().unwrap_or_default());
                let text = fields::text(node, &what, self.problems)?;
                let template = self.without_faults(node, Template::parse(text, labels));
                Some((name?, template?))
            })
            .collect();
        read.into_iter().collect()
    }
}
