//! Dedup: of events that repeat each other within a window, the first passes.
//!
//! # Meaning
//!
//! Two events of a key repeat each other if their fingerprints are equal. An event passes unless
//! one with its fingerprint has passed before it, in canonical order, whose window still lasts at
//! its time: the window of an event that passed lasts from its time for as long as the machine's
//! [`Windows`] say, the end not included. A repeat does not prolong the window.
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

/// For how long an event can be repeated.
pub trait Windows<K, E>: 'static {
    /// How long the window lasts that an event opens if it passes; positive.
    fn lasts(&self, key: &K, event: &E) -> i64;
}

impl<K, E, F: Fn(&K, &E) -> i64 + 'static> Windows<K, E> for F {
    fn lasts(&self, key: &K, event: &E) -> i64 {
        self(key, event)
    }
}

/// What dedup says of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict<E> {
    /// It is the first.
    Passed(E),
    /// It repeats one that passed.
    Repeat {
        /// The event.
        event: E,
        /// Whether it says something else than the one that passed.
        conflict: bool,
    },
    /// So many events were of a later instant when time ended.
    Undecided(u32),
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Dedup<K, E, W> {
    windows: W,
    events: PhantomData<fn(K, E)>,
}

impl<K, E, W: Windows<K, E>> Dedup<K, E, W> {
    /// A dedup with these windows.
    pub fn new(windows: W) -> Self {
        Self { windows, events: PhantomData }
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

impl<K: Key, E: Fingerprinted, W: Windows<K, E>> Machine for Dedup<K, E, W> {
    type Key = K;
    type Event = E;
    type State = Seen;
    type Output = Verdict<E>;

    fn event(&self, key: &K, seen: &mut Seen, event: &E, out: &mut Vec<Verdict<E>>) {
        let (time, fingerprint) = (event.time(), event.fingerprint());
        seen.windows.retain(|window| window.until > time);
        match seen.windows.iter().find(|window| window.fingerprint == fingerprint) {
            Some(first) => {
                let conflict = first.content != event.content();
                out.push(Verdict::Repeat { event: event.clone(), conflict });
            }
            None => {
                let until = time.saturating_add(self.windows.lasts(key, event));
                let content = event.content();
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

    fn holds_on(&self, _: &Seen, _: &Seen) -> bool {
        true
    }

    fn ended(&self, _: &K, _: &Seen, waiting: u32, out: &mut Vec<Verdict<E>>) {
        out.extend((waiting > 0).then_some(Verdict::Undecided(waiting)));
    }
}
