//! Of records that are received more than once, the first passes: a door for what follows.
//!
//! # Meaning
//!
//! Two events of a key are the same record if their fingerprints are equal. Of those, the first by
//! (logical time, [order](Pass::order)) passes; every further one that is received until the window of the first
//! ends is a repeat, and may say something else. When an event's window ends is the caller's to say:
//! the first instant outside of it. An event's [time](Event::time) is when it was received, exactly,
//! and its logical time is no later: how finely logical time goes decides nothing. What becomes of
//! both is the [`Pass`]'s to say. What has passed is never taken back: unlike
//! [dedup](crate::machines::dedup), which follows event time and amends, this follows reception. The
//! outputs have the logical times of their inputs.
//!
//! The input is insertions only: a record cannot be un-received. A retraction is a broken promise
//! of the caller, and stops the worker.
//!
//! # Cost
//!
//! One table look-up per event, whatever the number of keys; 48 bytes per fingerprint whose window
//! lasts. Windows that have ended are swept out when the table has doubled, so it holds at most
//! twice what lasts. [Snapshots](crate::snapshots) hold what lasts.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::footprint::Telling;
use crate::hash::fixed_hash;
use crate::in_place;
use crate::machine::{Data, Event, Key};
use crate::machines::dedup::Fingerprinted;
use crate::pending::{Pending, Update};
use crate::snapshots::{Snapshot, Snapshots};

/// A record that was received before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Repeat {
    /// The fingerprint of both.
    pub fingerprint: u128,
    /// Whether it says something else than the first.
    pub conflict: bool,
}

/// What the door gives.
pub struct Received<'scope, T: Pass> {
    /// What was made of every record, once.
    pub firsts: VecCollection<'scope, i64, T::Out, isize>,
    /// What was noted, of the other records and of these.
    pub notes: VecCollection<'scope, i64, T::Note, isize>,
}

/// What becomes of the records: of the first of each, and of the others.
pub trait Pass: 'static {
    /// What records are grouped by.
    type Key: Key;
    /// A record.
    type Event: Fingerprinted;
    /// What is handed on of a first, so that it need not travel as it is.
    type Out: Data;
    /// What is written down.
    type Note: Data;

    /// The order in which events of one logical time are received. Those that are equal in it must
    /// come from one worker: they stay in the order in which they come.
    fn order(one: &Self::Event, other: &Self::Event) -> Ordering {
        one.cmp(other)
    }

    /// A first: gives what is handed on, any number of things. `hash` is the
    /// [hash](fixed_hash) of the key, which need not be made again.
    fn first(
        &mut self,
        key: &Self::Key,
        hash: u64,
        event: &Self::Event,
        passed: &mut Passed<Self::Out>,
    );

    /// So many copies of a record that was there before, in conflict with the first or not.
    fn repeat(&mut self, key: &Self::Key, event: &Self::Event, conflict: bool, copies: isize);

    /// Everything of one logical time has been seen: gives what is to be noted at that time. What
    /// need not be exact in time, as a sum of counts, may wait until it is the `last` for now.
    fn settle(&mut self, last: bool, note: &mut impl FnMut(Self::Note, isize));
}

/// What is handed on of a batch.
#[derive(Debug)]
pub struct Passed<D> {
    made: Vec<Update<D>>,
    /// The logical time of the record that passes.
    at: i64,
}

impl<D> Passed<D> {
    /// Hands on what is made, in its place.
    #[inline(always)]
    pub fn give(&mut self, make: impl FnOnce() -> D) {
        let Self { made, at } = self;
        in_place::push(made, || (make(), *at, 1));
    }
}

/// Hands records on as they are, and notes the repeats.
#[derive(Clone, Debug)]
pub struct Whole<K, E> {
    repeats: Vec<((K, Repeat), isize)>,
    events: PhantomData<fn(E)>,
}

impl<K, E> Default for Whole<K, E> {
    fn default() -> Self {
        Self { repeats: Vec::new(), events: PhantomData }
    }
}

impl<K: Key, E: Fingerprinted> Pass for Whole<K, E> {
    type Key = K;
    type Event = E;
    type Out = (K, E);
    type Note = (K, Repeat);

    fn first(&mut self, key: &K, _: u64, event: &E, passed: &mut Passed<(K, E)>) {
        passed.give(|| (key.clone(), event.clone()));
    }

    fn repeat(&mut self, key: &K, event: &E, conflict: bool, copies: isize) {
        let repeat = Repeat { fingerprint: event.fingerprint(), conflict };
        self.repeats.push(((key.clone(), repeat), copies));
    }

    fn settle(&mut self, _: bool, note: &mut impl FnMut((K, Repeat), isize)) {
        self.repeats.drain(..).for_each(|(repeat, copies)| note(repeat, copies));
    }
}

/// Brings events to the worker of their key; in its place goes
/// [`Pipeline`](timely::dataflow::channels::pact::Pipeline), where all events of a
/// key come from one worker already.
pub fn by_key<K: Key, E: Event>() -> impl ParallelizationContract<i64, Vec<Update<(K, E)>>> {
    Exchange::new(|((key, _), _, _): &Update<(K, E)>| fixed_hash(key))
}

/// Lets the first of each record pass. See the [module documentation](self).
pub struct Firsts<R, T> {
    name: String,
    repeats_until: R,
    pass: T,
    snapshots: Snapshots<u128>,
    restored: Option<Arc<[Snapshot<u128>]>>,
}

impl<R, T> Firsts<R, T>
where
    R: Fn(&T::Event) -> i64 + 'static,
    T: Pass,
{
    /// The operator, before it is built into a dataflow, with the name it has in logs and profiles.
    pub fn new(name: &str, repeats_until: R, pass: T) -> Self {
        let (name, snapshots) = (name.to_owned(), Snapshots::new());
        Self { name, repeats_until, pass, snapshots, restored: None }
    }

    /// Serves the requests made through `snapshots`.
    #[must_use]
    pub fn with_snapshots(mut self, snapshots: &Snapshots<u128>) -> Self {
        self.snapshots = snapshots.clone();
        self
    }

    /// Starts from a snapshot: from the parts of all workers that took it, whatever their number
    /// was. The input must start at the snapshot's time. Each worker remembers all of it until it
    /// ends, since what is left of a record does not tell whose it was.
    #[must_use]
    pub fn restore_from(mut self, parts: Arc<[Snapshot<u128>]>) -> Self {
        self.restored = Some(parts);
        self
    }

    /// Builds the operator; `pact` brings the events of a key to one worker.
    pub fn build<'scope, P>(
        self,
        events: VecCollection<'scope, i64, (T::Key, T::Event), isize>,
        pact: P,
    ) -> Received<'scope, T>
    where
        P: ParallelizationContract<i64, Vec<Update<(T::Key, T::Event)>>>,
    {
        let Self { name, repeats_until, mut pass, snapshots, restored } = self;
        let scope = events.inner.scope();
        let mut builder = OperatorBuilder::new(name, scope);
        let mut input = builder.new_input(events.inner, pact);
        let (passed, passed_stream) = builder.new_output();
        let (notes, note_stream) = builder.new_output();
        let mut passed = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(passed);
        let mut notes = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(notes);
        let mut windows = Windows::default();
        for part in restored.iter().flat_map(|parts| parts.iter()) {
            windows.restore(part).expect("a snapshot of this operator");
        }
        let mut telling = Telling::new(&scope, builder.operator_info().global_id);
        builder.build(move |capabilities| {
            let mut held = Some(capabilities);
            let mut pending: Pending<(T::Key, T::Event)> = Pending::new();
            move |frontiers| {
                input.for_each(|_, batch| pending.receive(batch));
                let Some(caps) = &mut held else { return };
                let frontier = frontiers[0].frontier().first().copied();
                if frontier.is_some_and(|frontier| frontier <= *caps[0].time()) {
                    return;
                }
                let (mut passed, mut notes) = (passed.activate(), notes.activate());
                let (mut passed, mut notes) = (passed.session(&caps[0]), notes.session(&caps[1]));
                let mut settle = |pass: &mut T, at: i64, last: bool| {
                    pass.settle(last, &mut |note, diff| notes.give((note, at, diff)));
                };
                let mut take = |until: Option<i64>, windows: &mut Windows| {
                    let complete =
                        pending.complete(until, |((_, one), at, _), ((_, other), then, _)| {
                            at.cmp(then).then_with(|| T::order(one, other)).is_le()
                        });
                    let mut now = None;
                    for batch in complete {
                        // One for one as a rule, so that a batch travels on as a whole.
                        let made = Vec::with_capacity(batch.len());
                        let mut handed_on = Passed { made, at: i64::MIN };
                        for ((key, event), at, diff) in &batch {
                            let (at, diff) = (*at, *diff);
                            assert!(
                                diff > 0,
                                "a record that was received cannot be taken back: {event:?}"
                            );
                            if let Some(before) = now.replace(at).filter(|before| *before != at) {
                                settle(&mut pass, before, false);
                            }
                            let hash = fixed_hash(key);
                            let first = windows.receive(hash, event, &repeats_until);
                            let conflict = first.is_some_and(|content| content != event.content());
                            let copies = diff - isize::from(first.is_none());
                            if copies > 0 {
                                pass.repeat(key, event, conflict, copies);
                            }
                            if first.is_none() {
                                handed_on.at = at;
                                pass.first(key, hash, event, &mut handed_on);
                            }
                        }
                        passed.give_container(&mut handed_on.made);
                    }
                    if let Some(at) = now {
                        settle(&mut pass, at, true);
                    }
                };
                while let Some(at) = frontier.and_then(|frontier| snapshots.next_wanted(frontier)) {
                    take(Some(at), &mut windows);
                    snapshots.give(windows.snapshot(at));
                }
                take(frontier, &mut windows);
                telling.tell(|| (windows.table.len(), windows.table.allocation_size()));
                windows.sweep(frontier.unwrap_or(i64::MAX));
                drop((passed, notes));
                match frontier {
                    Some(frontier) => caps.iter_mut().for_each(|cap| cap.downgrade(&frontier)),
                    None => held = None,
                }
            }
        });
        Received { firsts: passed_stream.as_collection(), notes: note_stream.as_collection() }
    }
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

impl Window {
    fn hash(&self) -> u64 {
        half(self.fingerprint)
    }
}

/// A fingerprint in 64 bits.
fn half(fingerprint: u128) -> u64 {
    (fingerprint ^ fingerprint >> 64) as u64
}

impl Windows {
    /// The content of the first, if the event repeats one; else it is a first now.
    fn receive<E: Fingerprinted>(
        &mut self,
        key_hash: u64,
        event: &E,
        repeats_until: impl Fn(&E) -> i64,
    ) -> Option<u64> {
        // Keys with equal fingerprints are told apart by the key's own hash.
        let fingerprint = event.fingerprint() ^ u128::from(key_hash) << 64;
        let same = |window: &Window| window.fingerprint == fingerprint;
        let content = event.content();
        match self.table.entry(half(fingerprint), same, Window::hash) {
            Entry::Occupied(found) => {
                let window = found.into_mut();
                if window.until > event.time() {
                    return Some(window.content);
                }
                (window.content, window.until) = (content, repeats_until(event));
            }
            Entry::Vacant(free) => {
                free.insert(Window { fingerprint, content, until: repeats_until(event) });
            }
        }
        None
    }

    /// The windows that last at a logical time.
    fn snapshot(&self, at: i64) -> Snapshot<u128> {
        let mut snapshot = Snapshot::new(at);
        snapshot.reserve(self.table.len());
        for Window { fingerprint, content, until } in &self.table {
            if *until > at {
                snapshot.push(fingerprint, &(content, until));
            }
        }
        snapshot
    }

    /// Takes in the windows of a [snapshot](Self::snapshot).
    fn restore(&mut self, snapshot: &Snapshot<u128>) -> Result<(), postcard::Error> {
        for item in snapshot.items() {
            let (fingerprint, state) = item?;
            let (content, until) = postcard::from_bytes(state)?;
            let window = Window { fingerprint, content, until };
            self.table.insert_unique(window.hash(), window, Window::hash);
        }
        Ok(())
    }

    /// Drops windows that have ended, if there may be many.
    fn sweep(&mut self, now: i64) {
        if self.table.len() > 2 * self.lasting + 1024 {
            self.table.retain(|window| window.until > now);
            self.lasting = self.table.len();
        }
    }
}
