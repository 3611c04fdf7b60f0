//! One key of a timeline: its unfinal events, the states between them, and what they said.
//!
//! ```text
//!     base ──e0──▶ after0 ──e1──▶ after1 ··deadlines··▶ head        e2 (in the future)
//!      │◀────────────── recent, folded ──────────────▶│             │◀─ not folded ─▶│
//! ```
//!
//! `base` holds everything that no event can precede any more; without recent events it equals
//! `head` and is not stored. An event behind all others is folded onto `head`; one that comes
//! earlier is folded from the state before it, onward until a state agrees with the one stored.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::machine::{Event, Machine};

/// An output and the number of logical times at which it has changed, itself included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revised<O> {
    /// The output.
    pub value: O,
    /// 1 when first told; one more with each change, also after having been withdrawn.
    pub revision: u32,
}

/// A recent event and the fold at it.
struct Entry<M: Machine> {
    event: M::Event,
    /// How often it was inserted less how often it was retracted; folded once if positive.
    count: i32,
    /// The state after it; none until it is folded, nor where it was final at once.
    after: Option<M::State>,
    /// How many of `History::emitted` had been emitted when it was folded, from base on.
    emitted: u32,
}

/// What a key remembers. See the module's documentation.
pub(super) struct History<M: Machine> {
    base: Option<M::State>,
    recent: Vec<Entry<M>>,
    folded: usize,
    head: M::State,
    /// The last deadline that passed on `head` since the last folded event; `i64::MIN` if none.
    tail: i64,
    /// What was emitted since base, in the order of the fold: may yet be amended.
    emitted: Vec<Revised<M::Output>>,
    current: SmallVec<[Revised<M::Output>; 1]>,
    /// What was withdrawn, and when, for as long as it might come back.
    withdrawn: Vec<(i64, Revised<M::Output>)>,
    /// Entries that changed since the last evaluation, below `folded`: from, until.
    stale: Option<(usize, usize)>,
}

impl<M: Machine> Default for History<M> {
    fn default() -> Self {
        Self {
            base: None,
            recent: Vec::new(),
            folded: 0,
            head: M::State::default(),
            tail: i64::MIN,
            emitted: Vec::new(),
            current: SmallVec::new(),
            withdrawn: Vec::new(),
            stale: None,
        }
    }
}

/// Buffers reused by every evaluation of a worker.
pub(super) struct Scratch<M: Machine> {
    fresh: Vec<M::Output>,
    old: Vec<Revised<M::Output>>,
    new: Vec<Revised<M::Output>>,
}

impl<M: Machine> Default for Scratch<M> {
    fn default() -> Self {
        Self { fresh: Vec::new(), old: Vec::new(), new: Vec::new() }
    }
}

/// When an evaluation takes place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The logical time its changes are told at.
    pub(super) logical: i64,
    /// Deadlines and events up to here, inclusive, have come.
    pub(super) clock: i64,
    /// No event before this will come any more.
    pub(super) horizon: i64,
}

impl<M: Machine> History<M> {
    /// Reads what an insertion will read first.
    pub(super) fn touch(&self) -> usize {
        self.folded ^ self.recent.first().map_or(0, |entry| entry.count as usize)
    }

    /// Adds `diff` copies of an event, without evaluating it yet. No event before the horizon will
    /// come any more.
    pub(super) fn insert(&mut self, event: M::Event, diff: i32, horizon: i64) {
        if self.stale.is_none() {
            self.compact(horizon);
        }
        let at = match self.recent.last() {
            Some(last) if last.event >= event => {
                self.recent.binary_search_by(|entry| entry.event.cmp(&event))
            }
            _ => Err(self.recent.len()),
        };
        match at {
            Ok(at) => self.recount(at, diff),
            Err(at) => {
                if self.recent.capacity() == 0 {
                    self.recent.reserve_exact(1);
                }
                self.recent.insert(at, Entry { event, count: diff, after: None, emitted: 0 });
                if at < self.folded {
                    self.folded += 1;
                    let (from, until) = self.stale.unwrap_or((at, at));
                    self.stale = Some((from.min(at), (until + 1).max(at + 1)));
                }
            }
        }
    }

    /// Adds to the count of the event at `at`; removes it at zero.
    fn recount(&mut self, at: usize, diff: i32) {
        let before = self.recent[at].count;
        let after = before + diff;
        self.recent[at].count = after;
        let (from, until) = self.stale.unwrap_or((at, at));
        if after == 0 {
            self.recent.remove(at);
            if at < self.folded {
                self.folded -= 1;
                let until = if until > at { until - 1 } else { at };
                self.stale = Some((from.min(at), until));
            }
        } else if (before > 0) != (after > 0) && at < self.folded {
            self.stale = Some((from.min(at), until.max(at + 1)));
        }
    }

    /// Brings the fold up to the moment and tells what changed.
    pub(super) fn evaluate(
        &mut self,
        machine: &M,
        key: &M::Key,
        moment: Moment,
        scratch: &mut Scratch<M>,
        tell: &mut impl FnMut(Revised<M::Output>, isize),
    ) {
        scratch.fresh.clear();
        let replaced = match self.take_stale(moment.clock) {
            Some(stale) => self.refold(machine, key, stale, &mut scratch.fresh),
            None => self.emitted.len()..self.emitted.len(),
        };
        let refolded = scratch.fresh.len();
        self.extend(machine, key, moment, self.emitted.len() - replaced.len(), &mut scratch.fresh);
        let folded = scratch.fresh.len();
        machine.current(key, &self.head, &mut scratch.fresh);

        let settled = self.current.is_empty() && self.withdrawn.is_empty();
        if self.base.is_none() && folded == scratch.fresh.len() && settled {
            // All that is said is final and new: nothing of it is kept.
            for value in scratch.fresh.drain(..) {
                tell(Revised { value, revision: 1 }, 1);
            }
        } else if folded > 0 || !replaced.is_empty() || !self.still_holds(&scratch.fresh) {
            scratch.old.extend(self.emitted[replaced.clone()].iter().cloned());
            scratch.old.extend(self.current.drain(..));
            reconcile(machine, moment.logical, scratch, &mut self.withdrawn, tell);
            self.current.extend(scratch.new.drain(folded..));
            let appended = scratch.new.drain(refolded..);
            self.emitted.extend(appended);
            self.emitted.splice(replaced, scratch.new.drain(..));
        }
        self.compact(moment.horizon);
    }

    fn still_holds(&self, outputs: &[M::Output]) -> bool {
        self.current.iter().map(|held| &held.value).eq(outputs)
    }

    /// The entries that must be folded again, which are forgotten here: from, and until at least.
    fn take_stale(&mut self, clock: i64) -> Option<(usize, usize)> {
        let undo_tail = self.next_precedes_tail(clock);
        match self.stale.take() {
            Some((from, until)) => Some((from, if undo_tail { self.folded } else { until })),
            None => undo_tail.then_some((self.folded, self.folded)),
        }
    }

    /// Whether the next event to fold comes before a deadline that has passed already. Deadlines
    /// pass before the events of their instant, but not between events of one instant.
    fn next_precedes_tail(&self, clock: i64) -> bool {
        let Some(next) = self.recent.get(self.folded) else { return false };
        let time = next.event.time();
        time <= clock
            && self.tail > i64::MIN
            && (time < self.tail || time == self.time_before(self.folded))
    }

    /// The instant of the last event that counts before an entry.
    fn time_before(&self, at: usize) -> i64 {
        let before = self.recent[..at].iter().rev().find(|entry| entry.count > 0);
        before.map_or(i64::MIN, |entry| entry.event.time())
    }

    /// Folds again from the first stale entry until the states agree, else to the last entry that
    /// had been folded, undoing the deadlines after it. Gives the part of `emitted` that `fresh`
    /// replaces.
    fn refold(
        &mut self,
        machine: &M,
        key: &M::Key,
        (from, until): (usize, usize),
        fresh: &mut Vec<M::Output>,
    ) -> Range<usize> {
        let (kept, mut state) = match from.checked_sub(1) {
            None => (0, self.base.clone()),
            Some(before) => {
                (self.recent[before].emitted as usize, self.recent[before].after.clone())
            }
        };
        let state = state.as_mut().expect("what is not final has a state before it");
        let mut previous = self.time_before(from);
        for at in from..self.folded {
            let entry = &mut self.recent[at];
            if entry.count > 0 {
                step(machine, key, state, &entry.event, previous, fresh);
                previous = entry.event.time();
            }
            let emitted = kept + fresh.len();
            let replaced = kept..entry.emitted as usize;
            entry.emitted = emitted as u32;
            if at >= until && entry.after.as_ref() == Some(state) {
                for later in &mut self.recent[at + 1..self.folded] {
                    later.emitted = (later.emitted as usize - replaced.end + emitted) as u32;
                }
                return replaced;
            }
            entry.after = Some(state.clone());
        }
        self.head = state.clone();
        self.tail = i64::MIN;
        kept..self.emitted.len()
    }

    /// Folds onto head the events that have come and the deadlines that have passed.
    fn extend(
        &mut self,
        machine: &M,
        key: &M::Key,
        moment: Moment,
        emitted: usize,
        fresh: &mut Vec<M::Output>,
    ) {
        let settled = fresh.len();
        let emitted = emitted + settled;
        while let Some(entry) = self.recent.get(self.folded)
            && entry.event.time() <= moment.clock
        {
            let previous = self.time_before(self.folded);
            if self.base.is_none() && entry.event.time() >= moment.horizon {
                self.base = Some(self.head.clone());
            }
            let entry = &mut self.recent[self.folded];
            if entry.count > 0 {
                step(machine, key, &mut self.head, &entry.event, previous, fresh);
                self.tail = i64::MIN;
            }
            entry.after = self.base.is_some().then(|| self.head.clone());
            entry.emitted = (emitted + fresh.len() - settled) as u32;
            self.folded += 1;
        }
        while let Some(deadline) = machine.deadline(key, &self.head)
            && deadline <= moment.clock
        {
            if self.base.is_none() && deadline >= moment.horizon {
                self.base = Some(self.head.clone());
            }
            machine.elapse(key, &mut self.head, deadline, fresh);
            self.tail = deadline;
        }
    }

    /// Forgets what nothing can precede any more.
    fn compact(&mut self, horizon: i64) {
        let folded = &self.recent[..self.folded];
        let last = folded.iter().take_while(|entry| entry.event.time() < horizon).count();
        if last > 0 {
            let emitted = self.recent[last - 1].emitted;
            if let Some(after) = self.recent[last - 1].after.take() {
                self.base = Some(after);
            }
            self.recent.drain(..last);
            self.folded -= last;
            // Nothing is kept of what was final at once.
            self.emitted.drain(..(emitted as usize).min(self.emitted.len()));
            for entry in &mut self.recent[..self.folded] {
                entry.emitted -= emitted;
            }
        }
        if self.folded == 0 && self.tail < horizon {
            self.base = None;
            self.emitted.clear();
        }
        self.withdrawn.retain(|(at, _)| *at >= horizon);
        release_if_idle(&mut self.recent);
        release_if_idle(&mut self.emitted);
    }

    /// The next instant at which an evaluation is due, if nothing arrives before.
    pub(super) fn next_due(&self, machine: &M, key: &M::Key, lateness: i64) -> Option<i64> {
        let deadline = machine.deadline(key, &self.head);
        let future = self.recent.get(self.folded).map(|entry| entry.event.time());
        let due = deadline.into_iter().chain(future).min();
        // A key that nothing is known of any more is looked at once more, when it is final.
        due.or_else(|| {
            if self.head != M::State::default() {
                return None;
            }
            let last = self.recent.last().map(|entry| entry.event.time());
            let withdrawn = self.withdrawn.iter().map(|(at, _)| *at).max();
            let unfinal = self.base.is_some().then_some(self.tail);
            let last = last.into_iter().chain(withdrawn).chain(unfinal).max()?;
            Some(last.saturating_add(lateness))
        })
    }

    /// Whether nothing is remembered.
    pub(super) fn is_blank(&self) -> bool {
        self.base.is_none()
            && self.recent.is_empty()
            && self.withdrawn.is_empty()
            && self.current.is_empty()
            && self.head == M::State::default()
    }

    /// What a restore needs; the fold itself is repeated.
    pub(super) fn saved(&self) -> Saved<M> {
        Saved {
            base: self.base.as_ref().unwrap_or(&self.head).clone(),
            recent: self.recent.iter().map(|e| (e.event.clone(), e.count)).collect(),
            emitted: self.emitted.clone(),
            current: self.current.to_vec(),
            withdrawn: self.withdrawn.clone(),
        }
    }

    /// Rebuilds what was saved at a moment and folds up to it. Nothing may have changed by that.
    pub(super) fn restored(
        saved: Saved<M>,
        machine: &M,
        key: &M::Key,
        moment: Moment,
        scratch: &mut Scratch<M>,
    ) -> Self {
        let mut history =
            Self { base: Some(saved.base.clone()), head: saved.base, ..Self::default() };
        for (event, count) in saved.recent {
            history.insert(event, count, i64::MIN);
        }
        scratch.fresh.clear();
        history.extend(machine, key, moment, 0, &mut scratch.fresh);
        let emitted = scratch.fresh.len();
        machine.current(key, &history.head, &mut scratch.fresh);
        let told: Vec<_> =
            saved.emitted.iter().chain(&saved.current).map(|told| &told.value).collect();
        assert!(
            told.iter().copied().eq(&scratch.fresh) && emitted == saved.emitted.len(),
            "a snapshot of {key:?} said {told:?} and folds to {:?}",
            scratch.fresh
        );
        history.emitted = saved.emitted;
        history.current = saved.current.into();
        history.withdrawn = saved.withdrawn;
        history.compact(moment.horizon);
        history
    }
}

/// A key's history as it is written in a snapshot.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Saved<M: Machine> {
    base: M::State,
    recent: Vec<(M::Event, i32)>,
    emitted: Vec<Revised<M::Output>>,
    current: Vec<Revised<M::Output>>,
    withdrawn: Vec<(i64, Revised<M::Output>)>,
}

/// Folds an event after the deadlines that pass before it.
fn step<M: Machine>(
    machine: &M,
    key: &M::Key,
    state: &mut M::State,
    event: &M::Event,
    previous: i64,
    fresh: &mut Vec<M::Output>,
) {
    let time = event.time();
    while time > previous
        && let Some(deadline) = machine.deadline(key, state)
        && deadline <= time
    {
        machine.elapse(key, state, deadline, fresh);
    }
    machine.event(key, state, event, fresh);
}

/// Tells the difference between `scratch.old` and `scratch.fresh`; leaves `old` empty and `new`
/// as `fresh` with revisions.
fn reconcile<M: Machine>(
    machine: &M,
    logical: i64,
    scratch: &mut Scratch<M>,
    withdrawn: &mut Vec<(i64, Revised<M::Output>)>,
    tell: &mut impl FnMut(Revised<M::Output>, isize),
) {
    let Scratch { fresh, old, new } = scratch;
    let unchanged = old.iter().zip(fresh.iter()).take_while(|(o, f)| o.value == **f).count();
    new.clear();
    new.extend(old.drain(..unchanged));
    for value in fresh.drain(unchanged..) {
        let earlier = old
            .iter()
            .position(|o| o.value == value)
            .or_else(|| old.iter().position(|o| machine.same(&o.value, &value)));
        if let Some(at) = earlier {
            let earlier = old.remove(at);
            if earlier.value == value {
                new.push(earlier);
                continue;
            }
            new.push(Revised { value, revision: earlier.revision + 1 });
            tell(earlier, -1);
        } else {
            let gone = withdrawn.iter().position(|(_, gone)| machine.same(&gone.value, &value));
            let revision = gone.map_or(1, |at| withdrawn.swap_remove(at).1.revision + 1);
            new.push(Revised { value, revision });
        }
        tell(new.last().expect("pushed above").clone(), 1);
    }
    for gone in old.drain(..) {
        tell(gone.clone(), -1);
        withdrawn.push((logical, gone));
    }
    fresh.clear();
}

/// Gives the memory of an empty list back unless it is small.
fn release_if_idle<T>(list: &mut Vec<T>) {
    if list.is_empty() && list.capacity() > 4 {
        *list = Vec::new();
    }
}
