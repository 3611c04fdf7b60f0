//! What a rule file says, as hashes: by which it is known what of it has changed.
//!
//! They are of the values as they are written, in their order: comments, and how it is laid out,
//! change nothing.

use std::collections::BTreeSet;

use limbeck_operators::hash::fixed_hash;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::fields::get;
use super::yaml::{Node, Value};
use super::{Machinery, Rule, Rules, Signal, Skew, Source};

/// What a rule file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// All that every rule depends on: sources, signals, times.
    pub base: u64,
    /// The rules, in the order of the file.
    pub rules: Vec<WrittenRule>,
    /// Sinks, routes, and what is silenced.
    pub routes: u64,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenRule {
    /// Its name.
    pub name: SmolStr,
    /// All else that its episodes depend on, beside the [base](Written::base).
    pub hash: u64,
    /// How late a record may be to amend what it said.
    pub amend_within_ns: i64,
    /// What folds its observations.
    pub machinery: Machinery,
    /// Whether the changes of its signal are told.
    pub keeps_transitions: bool,
}

/// The fields of a file that are no part of the base.
const OTHERS: [&str; 5] = ["rules", "sinks", "routes", "silences", "windows"];

impl Written {
    /// Of a file that has been read; `nodes` are those of the rules.
    pub(super) fn new(
        entries: &[(Node, Node)],
        nodes: &[Node],
        (sources, signals, rules): (&[Source], &[Signal], &[Rule]),
    ) -> Self {
        let is_other = |key: &Node| OTHERS.contains(&key.text().unwrap_or_default());
        let (others, base): (Vec<_>, Vec<_>) = entries.iter().partition(|(key, _)| is_other(key));
        let routes = others.into_iter().filter(|(key, _)| key.text() != Some(OTHERS[0]));
        // Rules share how long they are known, and what observations are made of.
        let dedups = rules.iter().any(|rule| rule.dedup.is_some());
        let has_detail = rules.iter().any(|rule| rule.has_detail(&signals[rule.signal]));
        let corrects = sources.iter().any(|source| source.skew == Skew::Correct);
        let longest = rules.iter().map(|rule| rule.amend_within_ns).max().filter(|_| corrects);
        let made: Vec<_> = signals.iter().map(|signal| &signal.made).collect();
        // A record that should be of a silence, and is none, is shown to no rule.
        let silences = entries.iter().filter(|(key, _)| key.text() == Some("silences"));
        let silences = silences.flat_map(|(_, node)| match &node.value {
            Value::Map(silences) => &silences[..],
            _ => &[],
        });
        let heard: Vec<_> = silences.filter_map(|(_, node)| get(node, "events")).collect();
        let filter = |node: &Node| fixed_hash(&get(node, "where"));
        let of_rule = |(rule, node): (&Rule, &Node)| {
            // Which values of its labels come first depends on what the other rules look at.
            let others = rules.iter().zip(nodes).filter(|(other, _)| other.signal == rule.signal);
            let filters: BTreeSet<u64> = match signals[rule.signal].labels.is_empty() {
                true => BTreeSet::new(),
                false => others.map(|(_, node)| filter(node)).collect(),
            };
            // What canaries see, their base does not.
            let canaries = rules.iter().zip(nodes).filter(|(other, _)| {
                let base = other.canary.as_ref().and_then(|canary| rules.get(canary.base));
                base.is_some_and(|base| base.name == rule.name)
            });
            let canaries = canaries.map(|(other, node)| (&other.name, get(node, "canary")));
            let canaries: Vec<_> = canaries.collect();
            let hash = match canaries.is_empty() {
                true => fixed_hash(&(node, filters)),
                false => fixed_hash(&(node, filters, canaries)),
            };
            let Rule { name, amend_within_ns, .. } = rule;
            let (name, machinery) = (name.clone(), rule.machinery());
            let keeps_transitions = signals[rule.signal].keeps_transitions;
            let amend_within_ns = *amend_within_ns;
            WrittenRule { name, hash, amend_within_ns, machinery, keeps_transitions }
        };
        Self {
            base: fixed_hash(&(base, heard, dedups, has_detail, longest, made)),
            rules: rules.iter().zip(nodes).map(of_rule).collect(),
            routes: fixed_hash(&routes.collect::<Vec<_>>()),
        }
    }
}

/// The rules of a file that an earlier one has, too.
#[derive(Clone, Debug)]
pub struct Unchanged {
    before: Vec<WrittenRule>,
    /// Which each of those is now.
    now: Vec<Option<usize>>,
    /// The names of all that there are now.
    names: Vec<SmolStr>,
}

impl Unchanged {
    /// The earlier rules.
    pub fn before(&self) -> &[WrittenRule] {
        &self.before
    }

    /// Which number an earlier rule has now.
    pub fn now(&self, before: usize) -> Option<usize> {
        self.now[before]
    }

    /// The numbers that the unchanged have now.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        self.now.iter().flatten().copied()
    }

    /// The names of those that are unchanged, or of the others, as they are now.
    pub fn names(&self, unchanged: bool) -> Vec<SmolStr> {
        let is_it = |number: &usize| self.now.contains(&Some(*number)) == unchanged;
        (0..self.names.len()).filter(is_it).map(|number| self.names[number].clone()).collect()
    }

    /// The rank by name that an unchanged rule has now, of the one that it had.
    pub fn rank(&self, before: u16) -> Option<u16> {
        let mut ranked: Vec<_> = (0..self.before.len()).collect();
        ranked.sort_by_key(|number| &self.before[*number].name);
        let name = &self.names[self.now[ranked[usize::from(before)]]?];
        Some(self.names.iter().filter(|other| *other < name).count() as u16)
    }
}

impl Rules {
    /// The rules that an earlier file has, too; the [base](Written::base) must be the same.
    pub fn unchanged(&self, before: &Written) -> Unchanged {
        let rules = &self.written.rules;
        let number = |rule: &WrittenRule| rules.iter().position(|now| now == rule);
        let now = before.rules.iter().map(|rule| number(rule).filter(|now| self.shows_all(*now)));
        let names = rules.iter().map(|rule| rule.name.clone()).collect();
        Unchanged { before: before.rules.clone(), now: now.collect(), names }
    }

    /// Whether all that an episode of a rule is made of can be read from what is published of it:
    /// labels of the rule may hide those of its signal.
    fn shows_all(&self, rule: usize) -> bool {
        let rule = &self.rules[rule];
        let carried = &self.signals[rule.signal].labels;
        // How long faults lasted that were no episodes is published nowhere.
        rule.persistence.is_none()
            && !rule.labels.iter().any(|(name, _)| carried.iter().any(|label| label.name == *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
version: 1
lateness: 5s
signals:
  a: { where: type == "a", labels: { zone: data.zone }, states: { up: data.up, down: "!data.up" } }
  b: { states: { up: data.up } }
rules:
  - { name: one, signal: a, hold: { up: 1s } }
  - { name: two, signal: a, where: labels.zone == "x" }
  - { name: three, signal: b }
"#;

    fn written(from: &str, to: &str) -> (Written, Written) {
        let of = |text: &str| Rules::parse("", text).unwrap_or_else(|all| panic!("{all}")).written;
        assert!(FILE.contains(from), "{from}");
        (of(FILE), of(&FILE.replacen(from, to, 1)))
    }

    /// The rules that are the same, by name.
    fn same(from: &str, to: &str) -> Vec<String> {
        let (before, now) = written(from, to);
        assert_eq!(before.base, now.base, "{to}");
        let same = now.rules.iter().filter(|rule| before.rules.contains(rule));
        same.map(|rule| rule.name.to_string()).collect()
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        for (from, to) in [
            ("version", "# a comment\nversion"),
            ("hold: { up: 1s }", "hold: {up: \"1s\"}"),
            ("signals:", "\nsignals:"),
        ] {
            let (before, now) = written(from, to);
            assert_eq!(before, now, "{to}");
        }
    }

    #[test]
    fn what_all_depend_on_is_the_base() {
        for (from, to) in [
            ("lateness: 5s", "lateness: 6s"),
            ("lateness: 5s", "lateness: 5s\nlabel_values_max: 3"),
            ("data.zone", "data.place"),
            ("up: data.up, down: \"!data.up\"", "down: \"!data.up\", up: data.up"),
            ("name: three", "name: three, dedup: { by: [data.x], within: 1s }"),
            ("lateness: 5s", "lateness: 5s\nsources: { s: { format: cloudevents } }"),
            ("rules:", "silences: { told: { events: { where: type == \"silence\" } } }\nrules:"),
        ] {
            let (before, now) = written(from, to);
            assert_ne!(before.base, now.base, "{to}");
        }
    }

    #[test]
    fn a_rule_that_says_the_same_is_the_same() {
        assert_eq!(same("hold: { up: 1s }", "hold: { up: 2s }"), ["two", "three"]);
        assert_eq!(same("name: two", "name: tow"), ["one", "three"]);
        assert_eq!(same("rules:", "rules:\n  - { name: new, signal: b }").len(), 3);
        // It looks at other labels, of which only so many are told apart.
        assert_eq!(same("where: labels.zone == \"x\"", "where: labels.zone == \"y\""), ["three"]);
        let before = Rules::parse("", FILE).unwrap_or_else(|all| panic!("{all}")).written;
        let file = FILE
            .replace("name: one,", "name: zero,")
            .replace("rules:", "rules:\n  - { name: last, signal: b }");
        let unchanged =
            Rules::parse("", &file).unwrap_or_else(|all| panic!("{all}")).unchanged(&before);
        assert_eq!(unchanged.names(true), ["two", "three"]);
        assert_eq!(unchanged.names(false), ["last", "zero"]);
        // One, three, two were; last, three, two, zero are.
        assert_eq!([0, 1, 2].map(|rank| unchanged.rank(rank)), [None, Some(1), Some(2)]);
        assert_eq!([0, 1, 2].map(|number| unchanged.now(number)), [None, Some(2), Some(3)]);
        let (before, now) =
            written("rules:", "sinks: { s: { webhook: { url: http://x } } }\nrules:");
        assert_eq!((before.base, &before.rules), (now.base, &now.rules));
        assert_ne!(before.routes, now.routes);
    }

    #[test]
    fn what_a_canary_sees_its_base_does_not() {
        let file = |share: &str| {
            format!(
                "version: 1\nsignals: {{ a: {{ states: {{ up: data.up }} }} }}\nrules:\n\
                 - {{ name: base, version: 1.0.0, signal: a }}\n\
                 - {{ name: new, signal: a, canary: {{ share: {share}, base: base@1.0.0 }} }}\n\
                 - {{ name: other, signal: a }}\n"
            )
        };
        let of = |share: &str| Rules::parse("", &file(share)).unwrap_or_else(|all| panic!("{all}"));
        let unchanged = of("20%").unchanged(&of("10%").written);
        assert_eq!(unchanged.names(true), ["other"]);
    }
}
