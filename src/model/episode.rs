//! Episodes: sustained states, as they are published.

use std::borrow::Cow;
use std::collections::BTreeMap;

use limbeck_operators::hash::xxh3_128;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::detail::SharedDetail;
use super::survival::Survival;
use crate::rules::{Piece, Rules, Template};

/// A sustained state of an entity, by one rule. Ordered as published; signal, rule and state are
/// numbered by the order of their names ([`Catalog`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Episode {
    /// The start of its first established run.
    pub since_ns: i64,
    /// Whose.
    pub entity: SmolStr,
    /// Rank of the signal's name.
    pub signal: u16,
    /// Rank of the rule's name.
    pub rule: u16,
    /// Rank of the state's name among the signal's.
    pub state: u16,
    /// When it ended; none while it holds.
    pub until_ns: Option<i64>,
    /// When it was established.
    pub decided_ns: i64,
    /// Whether it ended because observations ceased.
    pub expired: bool,
    /// Counts the logical times at which it changed, from 1.
    pub revision: u32,
    /// What the first observation of that run carried.
    pub detail: SharedDetail,
}

impl Episode {
    /// What makes two of them versions of one episode.
    pub fn identity(&self) -> (i64, &str, u16, u16) {
        (self.since_ns, &self.entity, self.rule, self.state)
    }

    /// What was expected of it, where its rule asks for that.
    pub fn survival(&self) -> Option<&Survival> {
        self.detail.as_ref()?.survival.as_deref()
    }

    /// Whether its state has not lasted, or never did: a candidate, and no episode.
    pub fn is_undecided(&self) -> bool {
        self.survival().is_some_and(|survival| survival.undecided)
    }

    /// Bytes it owns on the heap.
    pub fn heap_bytes(&self) -> usize {
        let entity = if self.entity.is_heap_allocated() { self.entity.len() } else { 0 };
        entity + self.detail.as_ref().map_or(0, |detail| detail.heap_bytes())
    }
}

/// The names of a rule file, ranked.
#[derive(Clone, Debug)]
pub struct Catalog {
    signals: Vec<SmolStr>,
    rules: Vec<SmolStr>,
    states: Vec<Vec<SmolStr>>,
    /// For each rule by its number in the file: the ranks of its signal, itself and its states.
    ranks: Vec<Ranks>,
    /// For each rule by its rank: what else is published.
    published: Vec<Published>,
}

/// What a rule's episodes say beyond what makes them.
#[derive(Clone, Debug)]
struct Published {
    version: Option<String>,
    observes: bool,
    schema: Option<String>,
    /// The labels of the signal, by their numbers.
    carried: Vec<SmolStr>,
    labels: Vec<(SmolStr, Template)>,
    annotations: Vec<(SmolStr, Template)>,
}

#[derive(Clone, Debug)]
struct Ranks {
    signal: u16,
    rule: u16,
    states: Vec<u16>,
}

impl Catalog {
    /// Ranks the names of a rule file.
    pub fn new(rules: &Rules) -> Self {
        let signals: Vec<_> = rules.signals.iter().map(|signal| signal.name.clone()).collect();
        let names: Vec<_> = rules.rules.iter().map(|rule| rule.name.clone()).collect();
        let (signal_ranks, rule_ranks) = (ranks(&signals), ranks(&names));
        let state_names = |signal: usize| -> Vec<SmolStr> {
            rules.signals[signal].state_names().cloned().collect()
        };
        let ranks_of_rule = rules.rules.iter().zip(&rule_ranks).map(|(rule, rank)| Ranks {
            signal: signal_ranks[rule.signal],
            rule: *rank,
            states: ranks(&state_names(rule.signal)),
        });
        let ranks = ranks_of_rule.collect();
        let mut states = vec![Vec::new(); signals.len()];
        for (signal, rank) in signal_ranks.iter().enumerate() {
            states[usize::from(*rank)] = sorted(state_names(signal));
        }
        let mut by_rank: Vec<_> = rule_ranks.iter().zip(&rules.rules).collect();
        by_rank.sort_by_key(|(rank, _)| **rank);
        let published = by_rank.into_iter().map(|(_, rule)| {
            let signal = &rules.signals[rule.signal];
            Published {
                version: rule.version.as_ref().map(ToString::to_string),
                observes: rule.observes,
                schema: signal.schema.as_ref().map(ToString::to_string),
                carried: signal.labels.iter().map(|label| label.name.clone()).collect(),
                labels: rule.labels.clone(),
                annotations: rule.annotations.clone(),
            }
        });
        let published = published.collect();
        Self { signals: sorted(signals), rules: sorted(names), states, ranks, published }
    }

    /// The version of the rule, if it says one.
    pub fn version(&self, episode: &Episode) -> Option<&str> {
        self.published[usize::from(episode.rule)].version.as_deref()
    }

    /// Whether nobody is told of what the rule finds.
    pub fn is_observed(&self, episode: &Episode) -> bool {
        self.published[usize::from(episode.rule)].observes
    }

    /// The name and version of the states' schema, if they have one.
    pub fn schema(&self, episode: &Episode) -> Option<&str> {
        self.published[usize::from(episode.rule)].schema.as_deref()
    }

    /// The labels of an episode by name, those of the rule in place of those of the signal. What is
    /// empty is no label.
    pub fn labels<'e>(&'e self, episode: &'e Episode) -> BTreeMap<&'e str, Cow<'e, str>> {
        let published = &self.published[usize::from(episode.rule)];
        let carried = episode.detail.iter().flat_map(|detail| &detail.labels);
        let carried = published.carried.iter().zip(carried);
        let carried = carried.map(|(name, value)| (&**name, Cow::Borrowed(&**value)));
        let mut labels: BTreeMap<_, _> = carried.collect();
        labels.extend(self.rendered(&published.labels, episode));
        labels.retain(|_, value| !value.is_empty());
        labels
    }

    /// The annotations of an episode by name.
    pub fn annotations<'e>(&'e self, episode: &'e Episode) -> BTreeMap<&'e str, Cow<'e, str>> {
        let published = &self.published[usize::from(episode.rule)];
        self.rendered(&published.annotations, episode).collect()
    }

    fn rendered<'e>(
        &'e self,
        texts: &'e [(SmolStr, Template)],
        episode: &'e Episode,
    ) -> impl Iterator<Item = (&'e str, Cow<'e, str>)> {
        texts.iter().map(|(name, template)| (&**name, self.render(template, episode)))
    }

    /// A text with what an episode says in its places.
    fn render<'e>(&'e self, template: &'e Template, episode: &'e Episode) -> Cow<'e, str> {
        let (signal, rule, state) = self.names(episode);
        let detail = episode.detail.as_deref();
        let piece = |piece: &'e Piece| -> Cow<'e, str> {
            match piece {
                Piece::Text(text) => text.as_str().into(),
                Piece::Label(number) => detail.map_or("", |detail| &detail.labels[*number]).into(),
                Piece::Value => {
                    let value = detail.and_then(|detail| detail.value);
                    value.map_or_else(String::new, |value| value.get().to_string()).into()
                }
                Piece::Entity => episode.entity.as_str().into(),
                Piece::State => state.into(),
                Piece::Signal => signal.into(),
                Piece::Rule => rule.into(),
            }
        };
        match template.pieces() {
            [] => "".into(),
            [one] => piece(one),
            many => many.iter().map(piece).collect::<String>().into(),
        }
    }

    /// The ranks of the rules, by their numbers in the file.
    pub fn rule_ranks(&self) -> Vec<u16> {
        self.ranks.iter().map(|ranks| ranks.rule).collect()
    }

    /// The ranks of the signal, the rule and a state of a rule, by numbers in the file.
    pub fn ranks(&self, rule: usize, state: u16) -> (u16, u16, u16) {
        let ranks = &self.ranks[rule];
        (ranks.signal, ranks.rule, ranks.states[usize::from(state)])
    }

    /// The names of an episode's signal, rule and state.
    pub fn names(&self, episode: &Episode) -> (&str, &str, &str) {
        let signal = usize::from(episode.signal);
        let state = &self.states[signal][usize::from(episode.state)];
        (&self.signals[signal], &self.rules[usize::from(episode.rule)], state)
    }

    /// The name of a label of a rule's signal, by the rank of the rule and the number of the label.
    pub fn carried(&self, rule: u16, label: usize) -> &str {
        &self.published[usize::from(rule)].carried[label]
    }

    /// The name of a rule, by its rank.
    pub fn rule_name(&self, rule: u16) -> &str {
        &self.rules[usize::from(rule)]
    }

    /// The episode's id: a hash of rule, signal, entity, state and since.
    pub fn id(&self, episode: &Episode) -> u128 {
        let Episode { entity, since_ns, .. } = episode;
        self.id_of((episode.signal, episode.rule, episode.state), entity, *since_ns)
    }

    /// The id of an episode with these ranks of signal, rule and state.
    pub fn id_of(
        &self,
        (signal, rule, state): (u16, u16, u16),
        entity: &str,
        since_ns: i64,
    ) -> u128 {
        let state = &self.states[usize::from(signal)][usize::from(state)];
        let (signal, rule) = (&self.signals[usize::from(signal)], &self.rules[usize::from(rule)]);
        let mut bytes = Vec::with_capacity(96);
        for text in [rule.as_str(), signal, entity, state] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(since_ns.to_le_bytes());
        xxh3_128(&bytes)
    }
}

fn sorted(mut names: Vec<SmolStr>) -> Vec<SmolStr> {
    names.sort();
    names
}

/// The rank of each name.
fn ranks(names: &[SmolStr]) -> Vec<u16> {
    let sorted = sorted(names.to_vec());
    let rank = |name| sorted.partition_point(|other| other < name);
    names.iter().map(|name| u16::try_from(rank(name)).expect("fewer than 2^16 names")).collect()
}
