//! Grace: the faults of a key that has just been seen for the first time wait.
//!
//! # Meaning
//!
//! A key's grace lasts from its first observation for as long as the stage says, the end not included;
//! a key that was forgotten has another. Faults that are observed meanwhile are withheld, other states
//! pass. When it is over, the state that was observed last is handed on, if it was withheld: it begins
//! then. What a deadline made passes.
//!
//! # Cost
//!
//! A state and 24 bytes a key; constant time per observation.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::machines::hold_down::Observation;
use crate::stage::{Seen, Stage, Step};

/// Which keys have a grace.
pub trait Graces<K, S>: 'static {
    /// How long it is, if a key has one; positive.
    fn grace(&self, key: &K) -> Option<i64>;

    /// Whether a state is a fault.
    fn is_fault(&self, key: &K, state: &S) -> bool;

    /// How long a key may be silent until it is forgotten.
    fn expire_after(&self, key: &K) -> i64;
}

/// The stage. See the [module documentation](self).
#[derive(Debug)]
pub struct Grace<G>(G);

impl<G> Grace<G> {
    /// A stage that gives this grace.
    pub fn new(graces: G) -> Self {
        Self(graces)
    }
}

/// What is said of an observation that is withheld.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spared<E> {
    /// The observation.
    pub event: E,
    /// When the key was first seen.
    pub first: i64,
    /// When its grace ends.
    pub until: i64,
}

/// What is remembered of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since<S> {
    /// When it was first seen.
    first: Option<i64>,
    /// Whether its grace is over.
    over: bool,
    /// What was observed last, if it is withheld.
    withheld: Option<S>,
}

// Derived, it would ask for a default state.
impl<S> Default for Since<S> {
    fn default() -> Self {
        Self { first: None, over: false, withheld: None }
    }
}

impl<K, E: Observation, G: Graces<K, E::State>> Stage<K, E> for Grace<G> {
    type State = Since<E::State>;
    type Note = Spared<E>;

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.0.grace(key).map(|_| self.0.expire_after(key))
    }

    fn observe<'e>(
        &self,
        key: &K,
        since: &mut Self::State,
        seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Spared<E>>),
    ) {
        let (Some(event), Some(grace), false) = (seen.by, self.0.grace(key), since.over) else {
            return step(Step::Pass(seen));
        };
        let first = *since.first.get_or_insert(seen.time);
        since.withheld = self.0.is_fault(key, &seen.state).then(|| seen.state.clone());
        match since.withheld {
            Some(_) => {
                let (event, until) = (event.clone(), first.saturating_add(grace));
                step(Step::Note(Spared { event, first, until }));
            }
            None => step(Step::Pass(seen)),
        }
    }

    fn deadline(&self, key: &K, since: &Self::State) -> Option<i64> {
        let first = since.first.filter(|_| !since.over)?;
        first.checked_add(self.0.grace(key)?)
    }

    fn elapse<'e>(
        &self,
        _: &K,
        since: &mut Self::State,
        at: i64,
        step: &mut impl FnMut(Step<'e, E, Spared<E>>),
    ) {
        since.over = true;
        if let Some(state) = since.withheld.take() {
            step(Step::Pass(Seen::made(at, state)));
        }
    }
}
