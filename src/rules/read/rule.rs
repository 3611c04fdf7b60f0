//! Rules: what makes episodes of states.

use std::collections::BTreeMap;
use std::ops::Range;

use smol_str::SmolStr;

use super::super::canary::{Canary, Unit, WHOLE};
use super::super::condition::Wanted;
use super::super::diagnostics;
use super::super::expression::{Labels, Sees};
use super::super::known::Known;
use super::super::stages::Stages;
use super::super::template::Template;
use super::super::yaml::Node;
use super::super::{Aggregate, Dedup, Limit, OBSERVE, Rule};
use super::signal::ReadSignal;
use super::thresholds::Places;
use super::{Defaults, Named, Reader, SECOND_NS, fields};
use crate::rules::fields::Fields;

pub(in crate::rules) const FIELDS: [&str; 28] = [
    "name",
    "version",
    "mode",
    "canary",
    "signal",
    "where",
    "dedup",
    "except",
    "absent",
    "smooth",
    "above",
    "below",
    "recover",
    "quorum",
    "flap_damping",
    "flap_detection",
    "faults",
    "grace",
    "session",
    "hold",
    "keep",
    "persistence",
    "limit",
    "aggregate",
    "amend_within",
    "expire_after",
    "labels",
    "annotations",
];
pub(in crate::rules) const LIMIT_FIELDS: [&str; 3] = ["burst", "every", "by"];
pub(in crate::rules) const AGGREGATE_FIELDS: [&str; 3] = ["by", "from", "within"];
pub(in crate::rules) const CANARY_FIELDS: [&str; 3] = ["share", "by", "base"];
/// What is done with what a rule finds.
pub(in crate::rules) const MODES: [&str; 2] = ["deliver", OBSERVE];
pub(in crate::rules) const DEDUP_FIELDS: [&str; 2] = ["by", "within"];

/// So many entities may be remembered of what is similar.
const FROM_MAX: u32 = 1_000;

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
        let version = match fields.get("version") {
            Some(node) => self.semantic_version(node, "the version of a rule").map(Some),
            None => Some(None),
        };
        let observes = match fields.get("mode") {
            Some(node) => self.mode(node),
            None => Some(false),
        };
        let canary = match fields.get("canary") {
            Some(node) => self.canary(node, known_labels).map(Some),
            None => Some(None),
        };
        let limit = match fields.get("limit") {
            Some(node) => self.limit(node, known_labels).map(Some),
            None => Some(None),
        };
        let aggregate = match fields.get("aggregate") {
            Some(node) => self.aggregate(node, known_labels).map(Some),
            None => Some(None),
        };
        let persistence = match fields.get("persistence") {
            Some(node) => self.persistence(node, known_labels).map(Some),
            None => Some(None),
        };
        let at = name_node.map_or(&node.span, |name| &name.span);
        let thresholds =
            self.thresholds(&fields, &Places { measured: read.and_then(|r| r.measured), name: at });
        let stages = self.stages(&fields, (at, signals), (states, known_labels), expire_after_ns);
        let labels = self.texts(fields.get("labels"), "`labels`", known_labels);
        let annotations = self.texts(fields.get("annotations"), "`annotations`", known_labels);
        let (hold_ns, hold_spans) = holds?.into_iter().unzip();
        let keep_ns = keeps?.into_iter().map(|(keep_ns, _)| keep_ns).collect();
        Some(Rule {
            name: name?,
            span: name_node?.span.clone(),
            version: version?,
            observes: observes?,
            canary: canary?,
            limit: limit?,
            aggregate: aggregate?,
            persistence: persistence?,
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

    fn mode(&mut self, node: &Node) -> Option<bool> {
        let text = fields::text(node, "`mode`", self.problems)?;
        if !MODES.contains(&text) {
            self.problems.unknown(&node.span, "mode", text, &MODES);
        }
        MODES.contains(&text).then_some(text == OBSERVE)
    }

    /// A canary; the number of its base is known when all rules are read.
    fn canary(&mut self, node: &Node, labels: Option<&[&str]>) -> Option<Canary> {
        let fields = Fields::open(node, &node.span, "`canary`", &CANARY_FIELDS, self.problems)?;
        let share = fields.require("share", "10%", self.problems);
        let share = share.and_then(|node| self.share(node));
        let by = self.unit(fields.get("by"), labels);
        fields.require("base", "RULE@VERSION", self.problems)?;
        Some(Canary { share: share?, by: by?, base: usize::MAX })
    }

    /// How many episodes are told; what is not given is as Kubernetes limits its events.
    fn limit(&mut self, node: &Node, labels: Option<&[&str]>) -> Option<Limit> {
        let fields = Fields::open(node, &node.span, "`limit`", &LIMIT_FIELDS, self.problems)?;
        let burst = match fields.get("burst") {
            Some(node) => fields::count(node, "`burst`", self.problems)
                .map(|burst| u32::try_from(burst).unwrap_or(u32::MAX)),
            None => Some(25),
        };
        let every_ns = match fields.get("every") {
            Some(node) => {
                self.above_zero(node, "`every`", "`every` must be above zero: all would be told")
            }
            None => Some(300 * SECOND_NS),
        };
        let by = self.unit(fields.get("by"), labels);
        Some(Limit { burst: burst?, every_ns: every_ns?, by: by? })
    }

    /// Which episodes are told as one; what is not given is as Kubernetes aggregates its events.
    fn aggregate(&mut self, node: &Node, labels: Option<&[&str]>) -> Option<Aggregate> {
        let known = &AGGREGATE_FIELDS;
        let fields = Fields::open(node, &node.span, "`aggregate`", known, self.problems)?;
        let by = match fields.get("by") {
            Some(node) => fields::items(node, "`by`", self.problems).and_then(|items| {
                let read: Vec<_> =
                    items.iter().map(|node| self.label_number(node, labels, &[])).collect();
                read.into_iter().collect()
            }),
            None => Some(Vec::new()),
        };
        let from = match fields.get("from") {
            Some(node) => self.from(node),
            None => Some(10),
        };
        let within_ns = match fields.get("within") {
            Some(node) => self.above_zero(
                node,
                "`within`",
                "`within` must be above zero: nothing would be told as one",
            ),
            None => Some(600 * SECOND_NS),
        };
        Some(Aggregate { by: by?, from: from?, within_ns: within_ns? })
    }

    fn from(&mut self, node: &Node) -> Option<u32> {
        let from = fields::count(node, "`from`", self.problems)?;
        let from = u32::try_from(from).ok().filter(|from| *from <= FROM_MAX);
        if from.is_none() {
            let message = format!("`from` is at most {FROM_MAX}: so many entities are remembered");
            self.problems.error_help(&node.span, message, "lower it, or use `limit`");
        }
        from
    }

    /// A share in percent, in millionths.
    fn share(&mut self, node: &Node) -> Option<u32> {
        let text = fields::text(node, "`share`", self.problems)?;
        let percent = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        let share = percent.map(|percent: f64| (percent * 10_000.0).round());
        let share = share.filter(|share| *share >= 1.0 && *share <= f64::from(WHOLE - 1));
        if share.is_none() {
            let message = format!("`{text}` is no share");
            let help = "write a percentage above 0% and below 100%, as 10% or 0.5%";
            self.problems.error_help(&node.span, message, help);
        }
        share.map(|share| share as u32)
    }

    /// An entity, unless a label is named.
    fn unit(&mut self, node: Option<&Node>, labels: Option<&[&str]>) -> Option<Unit> {
        let Some(node) = node else { return Some(Unit::Entity) };
        if node.text() == Some("entity") {
            return Some(Unit::Entity);
        }
        self.label_number(node, labels, &["entity"]).map(Unit::Label)
    }

    /// The number of a label of the signal, where others may be named, too.
    fn label_number(
        &mut self,
        node: &Node,
        labels: Option<&[&str]>,
        others: &[&'static str],
    ) -> Option<usize> {
        let name = fields::text(node, "`by`", self.problems)?;
        let labels = labels?;
        let found = labels.iter().position(|label| *label == name);
        if found.is_none() {
            let message = format!("the signal has no label `{name}`");
            let known: Vec<_> = others.iter().chain(labels).copied().collect();
            let help = diagnostics::suggestion("name", name, &known);
            self.problems.error_help(&node.span, message, help);
        }
        found
    }

    /// Finds the rules that see what canaries do not; `nodes` are those of the rules.
    pub(super) fn find_bases(&mut self, nodes: &[Node], rules: &mut [Option<Rule>]) {
        let name = |node: &Node| fields::get(node, "name").and_then(Node::text).map(str::to_owned);
        let names: Vec<_> = nodes.iter().map(|node| name(node).unwrap_or_default()).collect();
        // By base: the number of its canary, and where that names it.
        let mut canaries = BTreeMap::new();
        for (number, node) in nodes.iter().enumerate() {
            let base = fields::get(node, "canary").and_then(|canary| fields::get(canary, "base"));
            let Some(node) = base else { continue };
            let Some(base) = self.base(node, &names, number, rules) else { continue };
            let (first, at) = *canaries.entry(base).or_insert((number, node.span.start));
            if first != number {
                let line = self.text[..at].matches('\n').count() + 1;
                let message = format!(
                    "the rule `{}` is the base of `{}` in line {line}, too: units that both canaries \
                     see would be told twice",
                    names[base], names[first]
                );
                let help = "a base has one canary: try one after the other";
                self.problems.error_help(&node.span, message, help);
            }
            if let Some(canary) = rules[number].as_mut().and_then(|rule| rule.canary.as_mut()) {
                canary.base = base;
            }
        }
    }

    fn base(
        &mut self,
        node: &Node,
        names: &[String],
        of: usize,
        rules: &[Option<Rule>],
    ) -> Option<usize> {
        let text = fields::text(node, "`base`", self.problems)?;
        let Some((name, version)) = text.rsplit_once('@') else {
            let message = format!("`{text}` names no version of a rule");
            self.problems.error_help(&node.span, message, "write RULE@VERSION, as outage@1.2.0");
            return None;
        };
        let Some(base) = names.iter().position(|known| known == name) else {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            self.problems.unknown(&node.span, "rule", name, &names);
            return None;
        };
        if base == of {
            let message = "a rule cannot be its own base".to_owned();
            self.problems.error_help(&node.span, message, "name the rule before it");
            return None;
        }
        // Of one that is wrong it is not known what it is.
        let found = rules[base].as_ref()?;
        let is_elsewhere = rules[of].as_ref().is_some_and(|rule| rule.signal != found.signal);
        let fault = match &found.version {
            None => {
                let message = format!("the rule `{name}` says no version");
                Some((message, "give it one, as `version: 1.0.0`, and name that"))
            }
            Some(known) if known.to_string() != version => {
                let message = format!("the rule `{name}` has the version {known}, not `{version}`");
                Some((message, "name the version that there is"))
            }
            Some(_) if found.canary.is_some() => {
                let message = format!("the rule `{name}` is a canary, too");
                Some((message, "name the base of that: each sees its share of all"))
            }
            Some(_) if is_elsewhere => {
                let message = format!("the rule `{name}` is on another signal");
                Some((message, "what a canary does not see must be seen by its base"))
            }
            Some(_) => return Some(base),
        };
        if let Some((message, help)) = fault {
            self.problems.error_help(&node.span, message, help);
        }
        None
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
