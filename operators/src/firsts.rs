//! Of records that are received more than once, the first passes: a door for what follows.
//!
//! # Meaning
//!
//! Two events of a key are the same record if their fingerprints are equal. Of those, the first by
//! (logical time, `Ord`) passes; every further one that is received before the first's
//! [`repeats_until`](Fingerprinted::repeats_until) is a repeat, told on the second output with
//! whether it says something else. What has passed is never taken back: unlike
//! [dedup](crate::machines::dedup), which follows event time and amends, this follows reception.
//! The outputs have the logical times of their inputs.
//!
//! The input is insertions only: a record cannot be un-received. A retraction is a broken promise
//! of the caller, and stops the worker.
//!
//! # Cost
//!
//! One table look-up per event, whatever the number of keys; 48 bytes per fingerprint whose window
//! lasts. Windows that have ended are swept out when the table has doubled, so it holds at most
//! twice what lasts.

use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::hash::fixed_hash;
use crate::machine::Key;
use crate::machines::dedup::Fingerprinted;

/// A record that was received before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Repeat {
    /// The fingerprint of both.
    pub fingerprint: u128,
    /// Whether it says something else than the first.
    pub conflict: bool,
}

/// What the door says.
pub struct Received<'scope, K: Key, E: Fingerprinted> {
    /// Every record once.
    pub firsts: VecCollection<'scope, i64, (K, E), isize>,
    /// The others.
    pub repeats: VecCollection<'scope, i64, (K, Repeat), isize>,
}

/// Lets the first of each record pass. See the [module documentation](self).
pub fn firsts<'scope, K: Key, E: Fingerprinted>(
    events: VecCollection<'scope, i64, (K, E), isize>,
    name: &str,
) -> Received<'scope, K, E> {
    let mut builder = OperatorBuilder::new(name.to_owned(), events.inner.scope());
    let route = |((key, _), _, _): &((K, E), i64, isize)| fixed_hash(key);
    let mut input = builder.new_input(events.inner, Exchange::new(route));
    let (passed, passed_stream) = builder.new_output();
    let (repeats, repeat_stream) = builder.new_output();
    let mut passed = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(passed);
    let mut repeats = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(repeats);
    builder.build(move |capabilities| {
        let mut held = Some(capabilities);
        let mut pending: Vec<((K, E), i64, isize)> = Vec::new();
        let mut windows = Windows::default();
        move |frontiers| {
            input.for_each(|_, batch| pending.append(batch));
            let Some(caps) = &mut held else { return };
            let frontier = frontiers[0].frontier().first().copied();
            if frontier.is_some_and(|frontier| frontier <= *caps[0].time()) {
                return;
            }
            let until = frontier.unwrap_or(i64::MAX);
            let order = |one: &((K, E), i64, isize), other: &((K, E), i64, isize)| {
                (one.1, &one.0.1).cmp(&(other.1, &other.0.1))
            };
            if !pending.is_sorted_by(|one, other| order(one, other).is_le()) {
                pending.sort_by(order);
            }
            let complete = pending.partition_point(|(_, at, _)| *at < until || frontier.is_none());
            let (mut passed, mut repeats) = (passed.activate(), repeats.activate());
            let (mut passed, mut repeats) = (passed.session(&caps[0]), repeats.session(&caps[1]));
            for ((key, event), at, diff) in pending.drain(..complete) {
                assert!(diff > 0, "a record that was received cannot be taken back: {event:?}");
                let mut copies = diff;
                let mut conflict = false;
                if let Some(content) = windows.receive(&key, &event, at) {
                    conflict = content != event.content();
                } else {
                    copies -= 1;
                }
                if copies > 0 {
                    let fingerprint = event.fingerprint();
                    repeats.give(((key.clone(), Repeat { fingerprint, conflict }), at, copies));
                }
                if copies < diff {
                    passed.give(((key, event), at, 1));
                }
            }
            windows.sweep(until);
            drop((passed, repeats));
            match frontier {
                Some(frontier) => caps.iter_mut().for_each(|cap| cap.downgrade(&frontier)),
                None => held = None,
            }
        }
    });
    Received { firsts: passed_stream.as_collection(), repeats: repeat_stream.as_collection() }
}

/// What has passed and may yet be repeated.
#[derive(Debug, Default)]
struct Windows {
    table: HashTable<Window>,
    /// How many windows lasted when it was swept last.
    lasting: usize,
}

#[derive(Debug)]
struct Window {
    fingerprint: u128,
    content: u64,
    until: i64,
}

impl Windows {
    /// The content of the first, if the event repeats one; else it is a first now.
    fn receive<K: Key, E: Fingerprinted>(&mut self, key: &K, event: &E, at: i64) -> Option<u64> {
        // Keys with equal fingerprints are told apart by the key's own hash.
        let fingerprint = event.fingerprint() ^ u128::from(fixed_hash(key)) << 64;
        let hash = (fingerprint ^ fingerprint >> 64) as u64;
        let found = self.table.find_mut(hash, |window| window.fingerprint == fingerprint);
        let (content, until) = (event.content(), event.repeats_until());
        match found {
            Some(window) if window.until > at => Some(window.content),
            Some(window) => {
                (window.content, window.until) = (content, until);
                None
            }
            None => {
                let window = Window { fingerprint, content, until };
                self.table.insert_unique(hash, window, |window| {
                    (window.fingerprint ^ window.fingerprint >> 64) as u64
                });
                None
            }
        }
    }

    /// Drops windows that have ended, if there may be many.
    fn sweep(&mut self, now: i64) {
        if self.table.len() > 2 * self.lasting + 1024 {
            self.table.retain(|window| window.until > now);
            self.lasting = self.table.len();
        }
    }
}
