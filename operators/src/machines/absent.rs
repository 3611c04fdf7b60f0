//! Absence: a key that is not observed for too long is in a state of its own (a dead man's switch).
//!
//! # Meaning
//!
//! A key that is observed at an instant and not again for `after` is *absent* from the end of that
//! time on, until it is observed again. The state of an absent key is handed on when that instant is
//! over: an observation in it comes in time. A key that was never observed, or is forgotten, is
//! not absent. All observations pass.
//!
//! # Cost
//!
//! 24 bytes a key, one deadline; constant time per observation.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::machines::hold_down::Observation;
use crate::stage::{Seen, Stage, Step};

/// Which keys must be observed, and how often.
pub trait Misses<K, S>: 'static {
    /// Without observations for how long a key is absent, if it ever is; positive.
    fn absent_after(&self, key: &K) -> Option<i64>;

    /// The state of a key that is absent.
    fn absent(&self, key: &K) -> S;

    /// How long a key may be silent until it is forgotten.
    fn expire_after(&self, key: &K) -> i64;
}

/// The stage. See the [module documentation](self).
#[derive(Debug)]
pub struct Absent<A>(A);

impl<A> Absent<A> {
    /// A stage that takes keys for absent so.
    pub fn new(misses: A) -> Self {
        Self(misses)
    }
}

/// What is remembered of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// When it was observed last.
    last: Option<i64>,
    absent: bool,
}

/// There is nothing to say of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Nothing {}

impl<K, E: Observation, A: Misses<K, E::State>> Stage<K, E> for Absent<A> {
    type State = Presence;
    type Note = Nothing;

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.0.absent_after(key).map(|_| self.0.expire_after(key))
    }

    fn observe<'e>(
        &self,
        _: &K,
        presence: &mut Presence,
        seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Nothing>),
    ) {
        if seen.by.is_some() {
            *presence = Presence { last: Some(seen.time), absent: false };
        }
        step(Step::Pass(seen));
    }

    fn waits_out(&self) -> bool {
        true
    }

    fn deadline(&self, key: &K, presence: &Presence) -> Option<i64> {
        let last = presence.last.filter(|_| !presence.absent)?;
        last.checked_add(self.0.absent_after(key)?)
    }

    fn elapse<'e>(
        &self,
        key: &K,
        presence: &mut Presence,
        at: i64,
        step: &mut impl FnMut(Step<'e, E, Nothing>),
    ) {
        presence.absent = true;
        step(Step::Pass(Seen::made(at, self.0.absent(key))));
    }
}
