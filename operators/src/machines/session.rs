//! Sessions: changes that are close to one another are one state of their key.
//!
//! # Meaning
//!
//! A *change* is an observation of another state than the one before it. Changes of which each is less
//! than `gap` after the one before are a *session*, as soon as there are `least` of them. From the one that
//! makes it a session on, observations pass as the state of a key that is in one, whatever they say, until no
//! change has come for `gap`; then the state that was observed last is handed on, and begins there. A
//! change just then is the first of others. What a deadline made passes as it is, and is no change; if nothing was
//! observed since, it stays when the session is over.
//!
//! What passes as a session tells its changes so far: how many, the first and the last. The state of an
//! episode is [renewed](State::renew) by them, so that it tells them all.
//!
//! # Cost
//!
//! A state and 40 bytes a key, one deadline; constant time per observation.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::machines::changes::Changes;
use crate::machines::hold_down::{Observation, State};
use crate::stage::{Seen, Stage, Step};

/// What makes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// So long after its last change it is over; positive.
    pub gap: i64,
    /// It takes so many changes; positive.
    pub least: u32,
}

/// Which keys have sessions.
pub trait Groups<K, S>: 'static {
    /// What makes a session of a key, if anything does.
    fn grouping(&self, key: &K) -> Option<&Grouping>;

    /// The state of a key that is in a session, in the place of one that was observed.
    fn in_session(&self, key: &K, state: &S, changes: Changes) -> S;

    /// How long a key may be silent until it is forgotten.
    fn expire_after(&self, key: &K) -> i64;
}

/// The stage. See the [module documentation](self).
#[derive(Debug)]
pub struct Session<G> {
    groups: G,
    tells: bool,
}

impl<G> Session<G> {
    /// A stage that groups so.
    pub fn new(groups: G) -> Self {
        Self { groups, tells: false }
    }

    /// Says of every observation that passed as one of a session that it did.
    #[must_use]
    pub fn telling(mut self, tells: bool) -> Self {
        self.tells = tells;
        self
    }
}

/// What is said of an observation that passed as one of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grouped<E> {
    /// The observation.
    pub event: E,
    /// The changes so far, itself included.
    pub changes: Changes,
}

/// What is remembered of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow<S> {
    /// The state that was observed last.
    last: Option<S>,
    /// Whether a deadline has made another state since.
    overtaken: bool,
    /// Changes that are close to one another, if the last is.
    changes: Option<Changes>,
}

// Derived, it would ask for a default state.
impl<S> Default for Flow<S> {
    fn default() -> Self {
        Self { last: None, overtaken: false, changes: None }
    }
}

impl<K, E: Observation, G: Groups<K, E::State>> Stage<K, E> for Session<G> {
    type State = Flow<E::State>;
    type Note = Grouped<E>;

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.groups.grouping(key).map(|_| self.groups.expire_after(key))
    }

    fn observe<'e>(
        &self,
        key: &K,
        flow: &mut Self::State,
        mut seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Grouped<E>>),
    ) {
        let (Some(grouping), Some(event)) = (self.groups.grouping(key), seen.by) else {
            flow.overtaken = flow.last.is_some();
            return step(Step::Pass(seen));
        };
        if flow.last.as_ref().is_some_and(|last| !last.is(&seen.state)) {
            flow.changes.get_or_insert(Changes::none(seen.time)).add(seen.time);
        }
        (flow.last, flow.overtaken) = (Some(seen.state.clone()), false);
        if let Some(changes) = flow.changes.filter(|of| of.count >= grouping.least) {
            seen.state = self.groups.in_session(key, &seen.state, changes);
            if self.tells {
                step(Step::Note(Grouped { event: event.clone(), changes }));
            }
        }
        step(Step::Pass(seen));
    }

    fn deadline(&self, key: &K, flow: &Self::State) -> Option<i64> {
        flow.changes?.last.checked_add(self.groups.grouping(key)?.gap)
    }

    fn elapse<'e>(
        &self,
        key: &K,
        flow: &mut Self::State,
        at: i64,
        step: &mut impl FnMut(Step<'e, E, Grouped<E>>),
    ) {
        let least = self.groups.grouping(key).map_or(0, |grouping| grouping.least);
        let was_session = flow.changes.take().is_some_and(|changes| changes.count >= least);
        if let (Some(last), true) = (&flow.last, was_session && !flow.overtaken) {
            step(Step::Pass(Seen::made(at, last.clone())));
        }
    }
}
