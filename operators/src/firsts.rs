//! Of records that are received more than once, the first passes: a door for what follows.
//!
//! # Meaning
//!
//! Two events of a key are the same record if their fingerprints are equal. Of those, the first by
//! (logical time, `Ord`) passes; every further one that is received until the window of the first
//! ends is a repeat, told on the second output with whether it says something else. When an event's
//! window ends is the caller's to say: the first logical time outside of it. What has passed is never taken back: unlike
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
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::hash::fixed_hash;
use crate::machine::{Data, Event, Key};
use crate::machines::dedup::Fingerprinted;
use crate::pending::{Pending, Update};

/// A record that was received before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Repeat {
    /// The fingerprint of both.
    pub fingerprint: u128,
    /// Whether it says something else than the first.
    pub conflict: bool,
}

/// What the door says.
pub struct Received<'scope, K: Key, D: Data> {
    /// What was made of every record, once.
    pub firsts: VecCollection<'scope, i64, D, isize>,
    /// The other records.
    pub repeats: VecCollection<'scope, i64, (K, Repeat), isize>,
}

/// Makes of a record that passes what is handed on, so that it need not travel as it is.
pub trait Pass<K, E>: 'static {
    /// What is handed on.
    type Out: Data;

    /// Gives what a record becomes: any number of things.
    fn pass(&mut self, key: K, event: E, give: &mut impl FnMut(Self::Out));
}

/// Hands records on as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole;

impl<K: Key, E: Event> Pass<K, E> for Whole {
    type Out = (K, E);

    fn pass(&mut self, key: K, event: E, give: &mut impl FnMut((K, E))) {
        give((key, event));
    }
}

/// Brings events to the worker of their key; in its place goes
/// [`Pipeline`](timely::dataflow::channels::pact::Pipeline), where all events of a
/// key come from one worker already.
pub fn by_key<K: Key, E: Event>() -> impl ParallelizationContract<i64, Vec<Update<(K, E)>>> {
    Exchange::new(|((key, _), _, _): &Update<(K, E)>| fixed_hash(key))
}

/// Lets the first of each record pass. See the [module documentation](self).
pub fn firsts<'scope, K, E, P, T>(
    events: VecCollection<'scope, i64, (K, E), isize>,
    name: &str,
    pact: P,
    repeats_until: impl Fn(&E) -> i64 + 'static,
    mut pass: T,
) -> Received<'scope, K, T::Out>
where
    K: Key,
    E: Fingerprinted,
    P: ParallelizationContract<i64, Vec<Update<(K, E)>>>,
    T: Pass<K, E>,
{
    let mut builder = OperatorBuilder::new(name.to_owned(), events.inner.scope());
    let mut input = builder.new_input(events.inner, pact);
    let (passed, passed_stream) = builder.new_output();
    let (repeats, repeat_stream) = builder.new_output();
    let mut passed = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(passed);
    let mut repeats = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(repeats);
    builder.build(move |capabilities| {
        let mut held = Some(capabilities);
        let mut pending: Pending<(K, E)> = Pending::new();
        let mut windows = Windows::default();
        move |frontiers| {
            input.for_each(|_, batch| pending.receive(batch));
            let Some(caps) = &mut held else { return };
            let frontier = frontiers[0].frontier().first().copied();
            if frontier.is_some_and(|frontier| frontier <= *caps[0].time()) {
                return;
            }
            let (mut passed, mut repeats) = (passed.activate(), repeats.activate());
            let (mut passed, mut repeats) = (passed.session(&caps[0]), repeats.session(&caps[1]));
            let complete = pending
                .complete(frontier, |((_, one), at, _), ((_, other), then, _)| {
                    (at, one) <= (then, other)
                });
            for ((key, event), at, diff) in complete.into_iter().flatten() {
                assert!(diff > 0, "a record that was received cannot be taken back: {event:?}");
                let mut copies = diff;
                let mut conflict = false;
                if let Some(content) = windows.receive(&key, &event, at, &repeats_until) {
                    conflict = content != event.content();
                } else {
                    copies -= 1;
                }
                if copies > 0 {
                    let fingerprint = event.fingerprint();
                    repeats.give(((key.clone(), Repeat { fingerprint, conflict }), at, copies));
                }
                if copies < diff {
                    pass.pass(key, event, &mut |made| passed.give((made, at, 1)));
                }
            }
            windows.sweep(frontier.unwrap_or(i64::MAX));
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
    fn receive<K: Key, E: Fingerprinted>(
        &mut self,
        key: &K,
        event: &E,
        at: i64,
        repeats_until: impl Fn(&E) -> i64,
    ) -> Option<u64> {
        // Keys with equal fingerprints are told apart by the key's own hash.
        let fingerprint = event.fingerprint() ^ u128::from(fixed_hash(key)) << 64;
        let hash = (fingerprint ^ fingerprint >> 64) as u64;
        let found = self.table.find_mut(hash, |window| window.fingerprint == fingerprint);
        let content = event.content();
        match found {
            Some(window) if window.until > at => Some(window.content),
            Some(window) => {
                (window.content, window.until) = (content, repeats_until(event));
                None
            }
            None => {
                let window = Window { fingerprint, content, until: repeats_until(event) };
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
