//! Grace: the faults of a key that has just been seen for the first time, or was marked, wait.
//!
//! # Meaning
//!
//! A key's grace lasts from its first observation, if [that begins one](Graces::begins_at_first), and from each
//! [marker](Observation::is_marker), for as long as the stage says, the end not included; one that begins while another
//! lasts takes its place. A key that was forgotten is seen for the first time again. Faults that are observed
//! meanwhile are withheld, other states pass. When it is over, the state that was observed last is handed on, if it was withheld: it
//! begins then. What a deadline made passes, and takes the place of what is withheld; what had passed before is left
//! as it is.
//!
//! A marker is no observation: a grace that it began lasts whether the key is known or not, and is all that
//! is remembered for it. At one instant markers and observations count in the order of events.
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

    /// Whether it begins when the key is first seen.
    fn begins_at_first(&self, key: &K) -> bool {
        let _ = key;
        true
    }

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

/// What is said of an observation that is withheld, and of a marker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spared<E> {
    /// The observation, or marker.
    pub event: E,
    /// When the grace began.
    pub since: i64,
    /// When it ends.
    pub until: i64,
    /// What that is said for.
    pub by: Begun,
}

/// What a grace began with, and what of that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Begun {
    /// An observation is withheld, in the grace of a key that was first seen.
    First,
    /// Likewise, of one that was marked.
    Marked,
    /// It is the marker.
    Marker,
}

/// What is remembered of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since<S> {
    /// When its grace began, while that lasts.
    since: Option<i64>,
    /// Whether a marker began it.
    marked: bool,
    /// Whether it has been observed.
    seen: bool,
    /// What was observed last, if it is withheld.
    withheld: Option<S>,
}

// Derived, it would ask for a default state.
impl<S> Default for Since<S> {
    fn default() -> Self {
        Self { since: None, marked: false, seen: false, withheld: None }
    }
}

impl<K, E: Observation, G: Graces<K, E::State>> Stage<K, E> for Grace<G> {
    type State = Since<E::State>;
    type Note = Spared<E>;

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.0.grace(key).map(|_| self.0.expire_after(key))
    }

    fn remembers(&self, since: &Self::State) -> bool {
        since.seen
    }

    /// What a marker began goes on.
    fn forget(&self, since: &mut Self::State) {
        let marked = since.marked;
        *since = Since { since: since.since.filter(|_| marked), marked, ..Since::default() };
    }

    fn mark<'e>(
        &self,
        key: &K,
        since: &mut Self::State,
        marker: &'e E,
        step: &mut impl FnMut(Step<'e, E, Spared<E>>),
    ) {
        let Some(grace) = self.0.grace(key) else { return };
        let at = marker.time();
        (since.since, since.marked) = (Some(at), true);
        let (event, until, by) = (marker.clone(), at.saturating_add(grace), Begun::Marker);
        step(Step::Note(Spared { event, since: at, until, by }));
    }

    fn observe<'e>(
        &self,
        key: &K,
        since: &mut Self::State,
        seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Spared<E>>),
    ) {
        let (Some(event), Some(grace)) = (seen.by, self.0.grace(key)) else {
            since.withheld = None;
            return step(Step::Pass(seen));
        };
        if !since.seen {
            since.seen = true;
            if self.0.begins_at_first(key) {
                (since.since, since.marked) = (Some(seen.time), false);
            }
        }
        let Some(began) = since.since else { return step(Step::Pass(seen)) };
        since.withheld = self.0.is_fault(key, &seen.state).then(|| seen.state.clone());
        match since.withheld {
            Some(_) => {
                let (event, until) = (event.clone(), began.saturating_add(grace));
                let by = if since.marked { Begun::Marked } else { Begun::First };
                step(Step::Note(Spared { event, since: began, until, by }));
            }
            None => step(Step::Pass(seen)),
        }
    }

    fn deadline(&self, key: &K, since: &Self::State) -> Option<i64> {
        since.since?.checked_add(self.0.grace(key)?)
    }

    fn elapse<'e>(
        &self,
        _: &K,
        since: &mut Self::State,
        at: i64,
        step: &mut impl FnMut(Step<'e, E, Spared<E>>),
    ) {
        (since.since, since.marked) = (None, false);
        if let Some(state) = since.withheld.take() {
            step(Step::Pass(Seen::made(at, state)));
        }
    }
}
