//! Quorum: several witnesses say what state a key is in, and a fault counts while enough of them agree.
//!
//! # Meaning
//!
//! An observation is the *vote* of its witness, in the place of the one before, and counts from then on for `within`,
//! the end not included. Each witness has a weight; one without has no vote, and what it says makes no
//! difference. A fault has a *quorum* while its votes weigh at least what is asked for: so much, or such a share of
//! all votes that count. Who is silent counts for nobody, nor against anybody: whoever wants that asks for so
//! much. The key is in
//!
//! 1. the fault that has a quorum; of several, the one that weighs most;
//! 2. or else, of the other states, the one whose votes weigh most;
//! 3. or else, when nobody says such a thing, the state that it was in before.
//!
//! Of states that weigh the same the first [in order](Convenes::rank) counts. All this is by whole numbers.
//!
//! Every observation passes as the state that the key is in then, whatever it says. It is withheld while a key was in
//! no state yet: what was seen is a fault without a quorum. Where a vote is over, and the key is in another state for
//! it, that is handed on and begins there; a vote that is renewed in that very instant was over before.
//!
//! The *minority* are the votes that count and say otherwise, the oldest first. What passes tells them, so that a
//! state that lasts tells those against it when it began.
//!
//! What a deadline made passes as it is, and ends all votes: nobody was observed for so long.
//!
//! # Bounds
//!
//! So many witnesses of a key have votes as [`Quorum::most`] says. The vote of another one takes the place of the
//! oldest.
//!
//! # Cost
//!
//! A state and 32 bytes a key, and a state, a witness and 16 bytes for each vote that counts; one deadline. An
//! observation costs time by the number of votes and states. A minority is put together only where there is one.

use std::cmp::Reverse;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::machine::Data;
use crate::machines::hold_down::Observation;
use crate::stage::{Seen, Stage, Step};

/// What the whole is where a share is asked for.
pub const WHOLE: u32 = 1_000_000;

/// What gives a fault a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// How much of the votes.
    pub asks: Asks,
    /// For how long a vote counts; positive.
    pub within: i64,
    /// So many votes are remembered; positive.
    pub most: usize,
}

/// How much of the votes makes a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// They weigh so much; positive.
    AtLeast(u64),
    /// Such a part of all, in parts of the [`WHOLE`]; positive.
    Share(u32),
}

impl Asks {
    /// Whether a weight is enough, of that of all votes.
    pub fn is_met(self, weight: u64, all: u64) -> bool {
        match self {
            Self::AtLeast(least) => weight >= least,
            Self::Share(share) => {
                u128::from(weight) * u128::from(WHOLE) >= u128::from(all) * u128::from(share)
            }
        }
    }
}

/// Whose witnesses are asked, and what they weigh.
pub trait Convenes<K, S>: 'static {
    /// Who says something; those of one key are told apart by it.
    type Witness: Data;
    /// A vote as it is told.
    type Ballot: Data;

    /// What gives the faults of a key a quorum, if they need one.
    fn quorum(&self, key: &K) -> Option<Quorum>;

    /// Who says a state, and the weight of that; none if it is nobody who has a vote.
    fn witness(&self, key: &K, state: &S) -> Option<(Self::Witness, u64)>;

    /// Whether a state is a fault.
    fn is_fault(&self, key: &K, state: &S) -> bool;

    /// The place of a state among others: those at one place are one state.
    fn rank(&self, key: &K, state: &S) -> u32;

    /// A vote, as it is told.
    fn ballot(&self, key: &K, vote: &Vote<Self::Witness, S>) -> Self::Ballot;

    /// The state of a key that counts as `counts`, in the place of one that was observed or voted for, with the
    /// votes against it.
    fn counted(&self, key: &K, by: &S, counts: &S, minority: &[Self::Ballot]) -> S;

    /// How long a key may be silent until it is forgotten.
    fn expire_after(&self, key: &K) -> i64;
}

/// The stage. See the [module documentation](self).
#[derive(Debug)]
pub struct Convened<C> {
    convenes: C,
    tells: bool,
}

impl<C> Convened<C> {
    /// A stage that counts so.
    pub fn new(convenes: C) -> Self {
        Self { convenes, tells: false }
    }

    /// Says of every observation how it was counted, not only of those that are withheld.
    #[must_use]
    pub fn telling(mut self, tells: bool) -> Self {
        self.tells = tells;
        self
    }
}

/// What a witness says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote<W, S> {
    /// Who.
    pub witness: W,
    /// What.
    pub state: S,
    /// When.
    pub time: i64,
    /// What it weighs.
    weight: u64,
}

/// What is said of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Counted<E, B> {
    /// The observation.
    pub event: E,
    /// Whether it passed.
    pub passed: bool,
    /// The latest vote for the fault that it counts as, or else says, or else weighs most, if there is any.
    pub fault: Option<B>,
    /// What its votes weigh.
    pub weight: u64,
    /// Whether it has a quorum.
    pub agreed: bool,
    /// What all votes weigh.
    pub all: u64,
    /// The votes against what it counts as, if it passed.
    pub minority: Vec<B>,
}

/// What is remembered of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes<W, S> {
    /// Those that count, the oldest first.
    votes: Vec<Vote<W, S>>,
    /// The state that the key is in.
    holds: Option<S>,
}

// Derived, it would ask for a default state.
impl<W, S> Default for Votes<W, S> {
    fn default() -> Self {
        Self { votes: Vec::new(), holds: None }
    }
}

/// The votes for one state.
#[derive(Clone, Copy, Debug)]
struct Tally {
    rank: u32,
    is_fault: bool,
    weight: u64,
    /// The place of the latest.
    latest: usize,
}

/// All of them, by state.
struct Tallies {
    states: SmallVec<[Tally; 4]>,
    all: u64,
}

impl Tallies {
    fn new<K, S, C: Convenes<K, S>>(convenes: &C, key: &K, votes: &[Vote<C::Witness, S>]) -> Self {
        let mut states: SmallVec<[Tally; 4]> = SmallVec::new();
        for (latest, vote) in votes.iter().enumerate() {
            let rank = convenes.rank(key, &vote.state);
            match states.iter_mut().find(|tally| tally.rank == rank) {
                Some(tally) => (tally.weight, tally.latest) = (tally.weight + vote.weight, latest),
                None => {
                    let is_fault = convenes.is_fault(key, &vote.state);
                    states.push(Tally { rank, is_fault, weight: vote.weight, latest });
                }
            }
        }
        let all = states.iter().map(|tally| tally.weight).sum();
        Self { states, all }
    }

    /// The one that weighs most of those that are so.
    fn heaviest(&self, is_so: impl Fn(&Tally) -> bool) -> Option<Tally> {
        let which = self.states.iter().copied().filter(is_so);
        which.max_by_key(|tally| (tally.weight, Reverse(tally.rank)))
    }

    /// The state that counts, if the votes say which.
    fn counts(&self, asks: Asks) -> Option<Tally> {
        let fault = self.heaviest(|of| of.is_fault && asks.is_met(of.weight, self.all));
        fault.or_else(|| self.heaviest(|of| !of.is_fault))
    }
}

impl<K, E: Observation, C: Convenes<K, E::State>> Stage<K, E> for Convened<C> {
    type State = Votes<C::Witness, E::State>;
    type Note = Counted<E, C::Ballot>;

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.convenes.quorum(key).map(|_| self.convenes.expire_after(key))
    }

    fn observe<'e>(
        &self,
        key: &K,
        of: &mut Self::State,
        mut seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Self::Note>),
    ) {
        let convenes = &self.convenes;
        let (Some(quorum), Some(event)) = (convenes.quorum(key), seen.by) else {
            of.votes.clear();
            if let Some(holds) = &mut of.holds {
                holds.clone_from(&seen.state);
            }
            return step(Step::Pass(seen));
        };
        let (time, said) = (seen.time, &seen.state);
        if let Some((witness, weight)) = convenes.witness(key, said) {
            of.votes.retain(|vote| vote.witness != witness);
            if of.votes.len() >= quorum.most {
                of.votes.remove(0);
            }
            of.votes.push(Vote { witness, state: said.clone(), time, weight });
        }
        let tallies = Tallies::new(convenes, key, &of.votes);
        let counts = tallies.counts(quorum.asks);
        if let Some(counts) = counts {
            of.holds = Some(of.votes[counts.latest].state.clone());
        }
        let minority = of.minority(convenes, key);
        if self.tells || of.holds.is_none() {
            let rank = convenes.rank(key, said);
            let agreed = counts.filter(|of| of.is_fault);
            let fault = agreed
                .or_else(|| tallies.heaviest(|of| of.is_fault && of.rank == rank))
                .or_else(|| tallies.heaviest(|of| of.is_fault));
            step(Step::Note(Counted {
                event: event.clone(),
                passed: of.holds.is_some(),
                fault: fault.map(|fault| convenes.ballot(key, &of.votes[fault.latest])),
                weight: fault.map_or(0, |fault| fault.weight),
                agreed: agreed.is_some(),
                all: tallies.all,
                minority: minority.clone(),
            }));
        }
        if let Some(holds) = &of.holds {
            seen.state = convenes.counted(key, said, holds, &minority);
            step(Step::Pass(seen));
        }
    }

    fn deadline(&self, key: &K, of: &Self::State) -> Option<i64> {
        of.votes.first()?.time.checked_add(self.convenes.quorum(key)?.within)
    }

    fn elapse<'e>(
        &self,
        key: &K,
        of: &mut Self::State,
        at: i64,
        step: &mut impl FnMut(Step<'e, E, Self::Note>),
    ) {
        let convenes = &self.convenes;
        let Some(quorum) = convenes.quorum(key) else { return };
        of.votes.retain(|vote| vote.time.checked_add(quorum.within).is_none_or(|end| end > at));
        let counts = Tallies::new(convenes, key, &of.votes).counts(quorum.asks);
        let held = of.holds.as_ref().map(|holds| convenes.rank(key, holds));
        if let Some(counts) = counts.filter(|counts| Some(counts.rank) != held) {
            let state = of.votes[counts.latest].state.clone();
            of.holds = Some(state.clone());
            let minority = of.minority(convenes, key);
            let state = convenes.counted(key, &state, &state, &minority);
            step(Step::Pass(Seen::made(at, state)));
        }
    }
}

impl<W, S> Votes<W, S> {
    /// The votes against the state that holds.
    fn minority<K, C: Convenes<K, S, Witness = W>>(&self, convenes: &C, key: &K) -> Vec<C::Ballot> {
        let Some(holds) = &self.holds else { return Vec::new() };
        let holds = convenes.rank(key, holds);
        let against = |vote: &&Vote<W, S>| convenes.rank(key, &vote.state) != holds;
        self.votes.iter().filter(against).map(|vote| convenes.ballot(key, vote)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_met_exactly() {
        let third = Asks::Share(333_333);
        assert!(third.is_met(1, 3));
        assert!(!Asks::Share(333_334).is_met(1, 3));
        assert!(Asks::Share(WHOLE / 2).is_met(5, 10) && !Asks::Share(WHOLE / 2).is_met(4, 9));
        assert!(Asks::Share(WHOLE).is_met(u64::MAX, u64::MAX));
        assert!(!Asks::Share(WHOLE).is_met(u64::MAX - 1, u64::MAX));
        assert!(Asks::AtLeast(2).is_met(2, 9) && !Asks::AtLeast(2).is_met(1, 1));
    }
}
