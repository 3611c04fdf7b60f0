//! Episodes: sustained states, as they are published.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_128;

use crate::rules::Rules;

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
}

impl Episode {
    /// What makes two of them versions of one episode.
    pub fn identity(&self) -> (i64, &str, u16, u16) {
        (self.since_ns, &self.entity, self.rule, self.state)
    }

    /// Bytes it owns on the heap.
    pub fn heap_bytes(&self) -> usize {
        if self.entity.is_heap_allocated() { self.entity.len() } else { 0 }
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
            rules.signals[signal].states.iter().map(|state| state.name.clone()).collect()
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
        Self { signals: sorted(signals), rules: sorted(names), states, ranks }
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

    /// The name of a rule, by its rank.
    pub fn rule_name(&self, rule: u16) -> &str {
        &self.rules[usize::from(rule)]
    }

    /// The episode's id: a hash of rule, signal, entity, state and since.
    pub fn id(&self, episode: &Episode) -> u128 {
        let (signal, rule, state) = self.names(episode);
        let mut bytes = Vec::with_capacity(96);
        for text in [rule, signal, &episode.entity, state] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(episode.since_ns.to_le_bytes());
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
