//! Dedup: of events that repeat each other within a window, the first passes.
//!
//! # Meaning
//!
//! Two events of a key repeat each other if their fingerprints are equal. An event passes unless
//! one with its fingerprint has passed before it, in canonical order, whose window still lasts at
//! its time: the window of an event that passed lasts from its time until, not including,
//! [`Windowed::repeats_until`]. A repeat does not prolong the window.
//!
//! Repeats are told too, as such, with whether they say the same as the one that passed.
//!
//! # Cost
//!
//! 40 bytes per fingerprint whose window lasts; time linear in their number per key.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::machine::{Event, Key, Machine};

/// An event that can be recognised again.
pub trait Fingerprinted: Event {
    /// Equal for events that repeat each other. Of 128 bits, so that a hash will do.
    fn fingerprint(&self) -> u128;

    /// Equal for repeats that say the same.
    fn content(&self) -> u64;
}

/// An event that opens a window, if it passes.
pub trait Windowed: Fingerprinted {
    /// When the window ends; after its own time.
    fn repeats_until(&self) -> i64;
}

/// What dedup says of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict<E> {
    /// It is the first.
    Passed(E),
    /// It repeats one that passed.
    Repeat {
        /// The fingerprint of both.
        fingerprint: u128,
        /// When it came.
        time: i64,
        /// Whether it says something else than the one that passed.
        conflict: bool,
    },
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Dedup<K, E> {
    events: PhantomData<fn(K, E)>,
}

impl<K, E> Dedup<K, E> {
    /// A dedup; the windows are the events' own.
    pub fn new() -> Self {
        Self { events: PhantomData }
    }
}

impl<K, E> Default for Dedup<K, E> {
    fn default() -> Self {
        Self::new()
    }
}

/// What dedup remembers of a key: what passed and may yet be repeated, in the order it passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    windows: SmallVec<[Window; 1]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    fingerprint: u128,
    content: u64,
    until: i64,
}

impl<K: Key, E: Windowed> Machine for Dedup<K, E> {
    type Key = K;
    type Event = E;
    type State = Seen;
    type Output = Verdict<E>;

    fn event(&self, _: &K, seen: &mut Seen, event: &E, out: &mut Vec<Verdict<E>>) {
        let (time, fingerprint) = (event.time(), event.fingerprint());
        seen.windows.retain(|window| window.until > time);
        match seen.windows.iter().find(|window| window.fingerprint == fingerprint) {
            Some(first) => {
                let conflict = first.content != event.content();
                out.push(Verdict::Repeat { fingerprint, time, conflict });
            }
            None => {
                let (content, until) = (event.content(), event.repeats_until());
                seen.windows.push(Window { fingerprint, content, until });
                out.push(Verdict::Passed(event.clone()));
            }
        }
    }

    fn deadline(&self, _: &K, seen: &Seen) -> Option<i64> {
        // Windows that have ended are dropped by the next event; alone, all at once by the last.
        seen.windows.iter().map(|window| window.until).max()
    }

    fn elapse(&self, _: &K, seen: &mut Seen, at: i64, _: &mut Vec<Verdict<E>>) {
        seen.windows.retain(|window| window.until > at);
    }
}
