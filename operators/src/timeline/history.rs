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
//!
//! Where all came in order, and no deadline has passed since, a key keeps `head` alone: the rest
//! stands in the [journal](super::journal) of all keys, and is taken out of it when it is needed.

mod saved;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

pub(super) use self::saved::Saved;
use super::journal::Journal;
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
    /// How many of `Unfinal::emitted` had been emitted when it was folded, from base on.
    emitted: u32,
    /// The state after it; none until it is folded, nor where it was final at once.
    after: Option<M::State>,
}

/// What a key remembers. See the module's documentation.
pub(super) struct History<M: Machine> {
    head: M::State,
    /// The revision of the first output that holds at head; 0 if none does.
    revision: u32,
    /// For who keeps it, since there is room here: its place among those that are touched, from 1;
    /// 0 if it is not.
    pub(super) touched: u32,
    /// The number of its last note in the journal; 0 if it has none, or has taken them out.
    noted: u64,
    unfinal: Option<Box<Unfinal<M>>>,
}

/// What a key remembers of what may yet be amended.
struct Unfinal<M: Machine> {
    base: Option<M::State>,
    recent: SmallVec<[Entry<M>; 1]>,
    folded: usize,
    /// The last deadline that passed on `head` since the last folded event; `i64::MIN` if none.
    tail: i64,
    /// Entries that changed since the last evaluation, below `folded`: from, until.
    stale: Option<(u32, u32)>,
    /// What was emitted since base, in the order of the fold: may yet be amended.
    emitted: Vec<Revised<M::Output>>,
    rare: Option<Box<Rare<M>>>,
}

/// What few keys remember.
struct Rare<M: Machine> {
    /// What was withdrawn, and when, for as long as it might come back.
    withdrawn: Vec<(i64, Revised<M::Output>)>,
    /// The revisions of the outputs that hold at head behind the first.
    revisions: Vec<u32>,
}

impl<M: Machine> Default for History<M> {
    fn default() -> Self {
        Self { head: M::State::default(), revision: 0, touched: 0, noted: 0, unfinal: None }
    }
}

impl<M: Machine> Default for Unfinal<M> {
    fn default() -> Self {
        Self {
            base: None,
            recent: SmallVec::new(),
            folded: 0,
            tail: i64::MIN,
            stale: None,
            emitted: Vec::new(),
            rare: None,
        }
    }
}

impl<M: Machine> Default for Rare<M> {
    fn default() -> Self {
        Self { withdrawn: Vec::new(), revisions: Vec::new() }
    }
}

impl<M: Machine> Rare<M> {
    fn is_empty(&self) -> bool {
        self.withdrawn.is_empty() && self.revisions.is_empty()
    }
}

/// Buffers reused by every evaluation of a worker.
pub(super) struct Scratch<M: Machine> {
    /// What holds at head before an evaluation.
    held: Vec<M::Output>,
    fresh: Vec<M::Output>,
    old: Vec<Revised<M::Output>>,
    new: Vec<Revised<M::Output>>,
}

impl<M: Machine> Default for Scratch<M> {
    fn default() -> Self {
        Self { held: Vec::new(), fresh: Vec::new(), old: Vec::new(), new: Vec::new() }
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
    /// Reads what an insertion will read.
    pub(super) fn touch(&self) -> i64 {
        let Some(unfinal) = &self.unfinal else { return 0 };
        let first = unfinal.recent.first().map_or(0, |first| i64::from(first.emitted));
        let last = unfinal.recent.last().map_or(0, |last| last.event.time());
        let lens = (unfinal.folded ^ unfinal.emitted.len()) as i64;
        first
            ^ last
            ^ lens
            ^ unfinal.tail
            ^ i64::from(unfinal.rare.is_some())
            ^ i64::from(unfinal.base.is_some())
    }

    /// Adds `diff` copies of an event, without evaluating it yet. No event before the horizon will
    /// come any more.
    pub(super) fn insert(
        &mut self,
        event: M::Event,
        diff: i32,
        horizon: i64,
        journal: &Journal<M>,
    ) {
        self.unfinal(horizon, journal).insert(event, diff, horizon);
    }

    /// Whether something is remembered that may be amended, beside the journal.
    pub(super) fn has_unfinal(&self) -> bool {
        self.unfinal.is_some()
    }

    /// Forgets what is final. No event before the horizon will come any more.
    pub(super) fn forget_final(&mut self, horizon: i64) {
        let Some(unfinal) = &mut self.unfinal else { return };
        if unfinal.stale.is_none() {
            unfinal.compact(horizon);
        }
        if unfinal.is_blank() {
            self.unfinal = None;
        }
    }

    /// Whether what may be amended stands in the journal, all of it. No event before the horizon
    /// will come any more.
    pub(super) fn is_straight(&mut self, horizon: i64) -> bool {
        self.forget_final(horizon);
        self.unfinal.is_none()
    }

    /// Folds an event onto the head of a straight key and tells what it says, if that is all there
    /// is to do: if it comes behind all others, no deadline passes, and nothing is taken back.
    /// Gives the key's next deadline; nothing, when nothing has been done.
    pub(super) fn follow(
        &mut self,
        machine: &M,
        key: &M::Key,
        event: &M::Event,
        moment: Moment,
        (journal, scratch): (&mut Journal<M>, &mut Scratch<M>),
        tell: &mut impl FnMut(Revised<M::Output>, isize),
    ) -> Option<Option<i64>> {
        let time = event.time();
        // What comes at this logical time may still be of the instant before the horizon.
        let last = journal.event(self.noted, moment.horizon.saturating_sub(1));
        if time > moment.clock || last.is_some_and(|last| last >= event) {
            return None;
        }
        let Scratch { held, fresh, .. } = scratch;
        fresh.clear();
        // Copied from where it stands to where it stays.
        let noted = journal.note(event, &self.head, self.noted);
        machine.event(key, &mut self.head, event, fresh);
        let deadline = machine.deadline(key, &self.head);
        let goes_on = match deadline {
            Some(deadline) => deadline > moment.clock,
            None => self.head != M::State::default(),
        };
        let straight = goes_on
            && journal.before().is_some_and(|before| {
                let mut is_new = |value: &M::Output| {
                    held.clear();
                    machine.current(key, before, held);
                    !held.iter().any(|held| held == value || machine.same(held, value))
                };
                machine.holds_on(before, &self.head) && fresh.iter().all(&mut is_new)
            });
        let is_final = time < moment.horizon;
        if !straight || is_final {
            let before = journal.take_back();
            if !straight {
                self.head = before.unwrap_or_default();
                return None;
            }
        } else {
            self.noted = noted;
        }
        for value in fresh.drain(..) {
            let told = Revised { value, revision: 1 };
            if !is_final {
                journal.tell(told.clone());
            }
            tell(told, 1);
        }
        Some(deadline)
    }

    /// What may be amended, taken out of the journal if it stands there.
    fn unfinal(&mut self, horizon: i64, journal: &Journal<M>) -> &mut Unfinal<M> {
        let noted = std::mem::take(&mut self.noted);
        self.unfinal.get_or_insert_with(|| Unfinal::of(noted, &self.head, horizon, journal))
    }

    /// Brings the fold up to the moment and tells what changed.
    pub(super) fn evaluate(
        &mut self,
        machine: &M,
        key: &M::Key,
        moment: Moment,
        (journal, scratch): (&Journal<M>, &mut Scratch<M>),
        tell: &mut impl FnMut(Revised<M::Output>, isize),
    ) {
        scratch.fresh.clear();
        scratch.held.clear();
        machine.current(key, &self.head, &mut scratch.held);
        self.unfinal(moment.horizon, journal);
        let head = &mut self.head;
        let Some(unfinal) = &mut self.unfinal else { return };
        let replaced = match unfinal.take_stale(moment.clock) {
            Some(stale) => unfinal.refold(machine, key, head, stale, &mut scratch.fresh),
            None => unfinal.emitted.len()..unfinal.emitted.len(),
        };
        let refolded = scratch.fresh.len();
        let kept = unfinal.emitted.len() - replaced.len();
        let final_at_once = unfinal.extend(machine, key, head, moment, kept, &mut scratch.fresh);
        let folded = scratch.fresh.len();
        machine.current(key, head, &mut scratch.fresh);

        let settled = scratch.held.is_empty() && unfinal.withdrawn().is_empty();
        if unfinal.base.is_none() && folded == scratch.fresh.len() && settled {
            // All that is said is final and new: nothing of it is kept.
            for value in scratch.fresh.drain(..) {
                tell(Revised { value, revision: 1 }, 1);
            }
        } else if folded > 0 || !replaced.is_empty() || scratch.held != scratch.fresh {
            let mut rare = unfinal.rare.take().map_or_else(Rare::default, |rare| *rare);
            scratch.old.extend(unfinal.emitted[replaced.clone()].iter().cloned());
            let revisions = [self.revision].into_iter().chain(rare.revisions.drain(..));
            let held = scratch.held.drain(..).zip(revisions);
            scratch.old.extend(held.map(|(value, revision)| Revised { value, revision }));
            reconcile(machine, moment.logical, scratch, &mut rare.withdrawn, tell);
            let mut revisions = scratch.new.drain(folded..).map(|told| told.revision);
            self.revision = revisions.next().unwrap_or(0);
            rare.revisions.extend(revisions);
            unfinal.emitted.extend(scratch.new.drain(refolded..).skip(final_at_once));
            if !replaced.is_empty() || !scratch.new.is_empty() {
                unfinal.emitted.splice(replaced, scratch.new.drain(..));
            }
            unfinal.rare = (!rare.is_empty()).then(|| Box::new(rare));
        }
        unfinal.compact(moment.horizon);
        if unfinal.is_blank() {
            self.unfinal = None;
        }
    }

    /// The next instant at which an evaluation is due, if nothing arrives before.
    pub(super) fn next_due(&self, machine: &M, key: &M::Key, lateness: i64) -> Option<i64> {
        let deadline = machine.deadline(key, &self.head);
        let Some(unfinal) = &self.unfinal else { return deadline };
        let future = unfinal.recent.get(unfinal.folded).map(|entry| entry.event.time());
        let due = deadline.into_iter().chain(future).min();
        // A key that nothing is known of any more is looked at once more, when it is final.
        due.or_else(|| {
            if self.head != M::State::default() {
                return None;
            }
            let last = unfinal.recent.last().map(|entry| entry.event.time());
            let withdrawn = unfinal.withdrawn().iter().map(|(at, _)| *at).max();
            let unsettled = unfinal.base.is_some().then_some(unfinal.tail);
            let last = last.into_iter().chain(withdrawn).chain(unsettled).max()?;
            Some(last.saturating_add(lateness))
        })
    }

    /// What is left to say when time has ended.
    pub(super) fn ended(&self, machine: &M, key: &M::Key, out: &mut Vec<M::Output>) {
        let waiting = self.unfinal.iter().flat_map(|unfinal| &unfinal.recent[unfinal.folded..]);
        let waiting = waiting.filter(|entry| entry.count > 0).count() as u32;
        machine.ended(key, &self.head, waiting, out);
    }

    /// Whether nothing is remembered.
    pub(super) fn is_blank(&self) -> bool {
        self.unfinal.is_none() && self.revision == 0 && self.head == M::State::default()
    }
}

impl<M: Machine> Unfinal<M> {
    /// What the journal says of a key, from its last note back.
    fn of(noted: u64, head: &M::State, horizon: i64, journal: &Journal<M>) -> Box<Self> {
        let notes: SmallVec<[_; 8]> = journal.notes(noted, horizon).collect();
        let mut unfinal = Box::<Self>::default();
        let Unfinal { base, recent, folded, emitted, .. } = &mut *unfinal;
        for (note, told) in notes.into_iter().rev() {
            let before =
                recent.last_mut().map_or(&mut *base, |last: &mut Entry<M>| &mut last.after);
            *before = Some(note.before.clone());
            emitted.extend(told.cloned());
            let (event, emitted) = (note.event.clone(), emitted.len() as u32);
            recent.push(Entry { event, count: 1, emitted, after: None });
        }
        if let Some(last) = recent.last_mut() {
            last.after = Some(head.clone());
        }
        *folded = recent.len();
        unfinal
    }

    fn insert(&mut self, event: M::Event, diff: i32, horizon: i64) {
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
                self.recent.insert(at, Entry { event, count: diff, emitted: 0, after: None });
                if at < self.folded {
                    self.folded += 1;
                    let at = at as u32;
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
        let place = at as u32;
        let (from, until) = self.stale.unwrap_or((place, place));
        if after == 0 {
            self.recent.remove(at);
            if at < self.folded {
                self.folded -= 1;
                let until = if until > place { until - 1 } else { place };
                self.stale = Some((from.min(place), until));
            }
        } else if (before > 0) != (after > 0) && at < self.folded {
            self.stale = Some((from.min(place), until.max(place + 1)));
        }
    }

    /// The entries that must be folded again, which are forgotten here: from, and until at least.
    fn take_stale(&mut self, clock: i64) -> Option<(usize, usize)> {
        let undo_tail = self.next_precedes_tail(clock);
        match self.stale.take() {
            Some((from, until)) => {
                Some((from as usize, if undo_tail { self.folded } else { until as usize }))
            }
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
        head: &mut M::State,
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
        head.clone_from(state);
        self.tail = i64::MIN;
        kept..self.emitted.len()
    }

    /// Folds onto head the events that have come and the deadlines that have passed. Gives how many
    /// outputs, the first of what it adds to `fresh`, are from before `base`: they are final at once.
    fn extend(
        &mut self,
        machine: &M,
        key: &M::Key,
        head: &mut M::State,
        moment: Moment,
        emitted: usize,
        fresh: &mut Vec<M::Output>,
    ) -> usize {
        let settled = fresh.len();
        let emitted = emitted + settled;
        let mut from = settled;
        while let Some(entry) = self.recent.get(self.folded)
            && entry.event.time() <= moment.clock
        {
            let previous = self.time_before(self.folded);
            if self.base.is_none() && entry.event.time() >= moment.horizon {
                self.base = Some(head.clone());
                from = fresh.len();
            }
            let entry = &mut self.recent[self.folded];
            if entry.count > 0 {
                step(machine, key, head, &entry.event, previous, fresh);
                self.tail = i64::MIN;
            }
            (entry.after, entry.emitted) = match self.base {
                Some(_) => (Some(head.clone()), (emitted + fresh.len() - from) as u32),
                None => (None, 0),
            };
            self.folded += 1;
        }
        while let Some(deadline) = machine.deadline(key, head)
            && deadline <= moment.clock
        {
            if self.base.is_none() && deadline >= moment.horizon {
                self.base = Some(head.clone());
                from = fresh.len();
            }
            machine.elapse(key, head, deadline, fresh);
            self.tail = deadline;
        }
        if self.base.is_none() { fresh.len() - settled } else { from - settled }
    }

    /// Forgets what nothing can precede any more.
    #[inline]
    fn compact(&mut self, horizon: i64) {
        let nothing_is_final = self.folded > 0
            && self.recent.first().is_some_and(|first| first.event.time() >= horizon);
        if !nothing_is_final || !self.withdrawn().is_empty() {
            self.forget(horizon);
        }
    }

    fn forget(&mut self, horizon: i64) {
        let folded = &self.recent[..self.folded];
        let last = folded.iter().take_while(|entry| entry.event.time() < horizon).count();
        if last > 0 {
            let emitted = self.recent[last - 1].emitted;
            if let Some(after) = self.recent[last - 1].after.take() {
                self.base = Some(after);
            }
            self.recent.drain(..last);
            self.folded -= last;
            self.emitted.drain(..emitted as usize);
            for entry in &mut self.recent[..self.folded] {
                entry.emitted -= emitted;
            }
        }
        if self.folded == 0 && self.tail < horizon {
            self.base = None;
            self.emitted.clear();
        }
        if let Some(rare) = &mut self.rare {
            rare.withdrawn.retain(|(at, _)| *at >= horizon);
            if rare.is_empty() {
                self.rare = None;
            }
        }
        if self.recent.is_empty() && self.recent.capacity() > 4 {
            self.recent = SmallVec::new();
        }
    }

    fn withdrawn(&self) -> &[(i64, Revised<M::Output>)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.withdrawn)
    }

    /// Whether nothing is remembered.
    fn is_blank(&self) -> bool {
        self.base.is_none()
            && self.recent.is_empty()
            && self.rare.as_ref().is_none_or(|rare| rare.is_empty())
    }
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
    let Scratch { fresh, old, new, .. } = scratch;
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
