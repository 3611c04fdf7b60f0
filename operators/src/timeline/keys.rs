//! All keys of one worker: the pure structure beneath the operator.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::chunks::Chunks;
use super::history::{History, Moment, Revised, Saved, Scratch};
use super::journal::Journal;
use super::wheel::Wheel;
use super::{Rejected, Timing};
use crate::hash::fixed_hash;
use crate::in_place;
use crate::machine::{Event, Machine};
use crate::snapshots::Snapshot;

/// Receives what a timeline says: key, output, logical time, difference.
pub(super) trait Tell<M: Machine> {
    fn output(&mut self, key: &M::Key, output: Revised<M::Output>, logical: i64, diff: isize);
    fn rejected(&mut self, rejected: Rejected<M::Key, M::Event>, logical: i64, diff: isize);
}

/// Small and aligned: most events touch little else.
#[repr(C, align(64))]
struct Slot<M: Machine> {
    key: M::Key,
    history: History<M>,
    /// When an evaluation is due, within a tick or at its end; `i64::MAX` if none is.
    due: i64,
    /// The earliest timer on the wheel, not after the tick of `due`, and one more behind it, both
    /// `i64::MAX` if there is none. A later `due` waits for the earlier timer; others on the wheel
    /// are void.
    armed: i64,
    armed_next: i64,
}

impl<M: Machine> Slot<M> {
    /// Brings the key's fold up to a moment and tells what changed. Its timer is the caller's to
    /// set.
    #[inline]
    fn evaluate(
        &mut self,
        machine: &M,
        timing: Timing,
        moment: Moment,
        buffers: (&Journal<M>, &mut Scratch<M>),
        tell: &mut impl Tell<M>,
    ) {
        let Self { key, history, .. } = self;
        history.evaluate(machine, key, moment, buffers, &mut |output, diff| {
            tell.output(key, output, moment.logical, diff);
        });
        self.due = history.next_due(machine, key, timing.lateness).unwrap_or(i64::MAX);
    }

    /// Folds the only event that came, if that is [all there is to do](History::follow).
    #[inline]
    fn follow(
        &mut self,
        machine: &M,
        event: &M::Event,
        moment: Moment,
        buffers: (&mut Journal<M>, &mut Scratch<M>),
        tell: &mut impl Tell<M>,
    ) -> bool {
        let Self { key, history, .. } = self;
        let mut tell = |output, diff| tell.output(key, output, moment.logical, diff);
        let followed = history.follow(machine, key, event, moment, buffers, &mut tell);
        if let Some(deadline) = followed {
            self.due = deadline.unwrap_or(i64::MAX);
        }
        followed.is_some()
    }

    /// Has the key be looked at when all that it remembers is final, if nothing else will by then.
    #[inline]
    fn age(&self, timing: Timing, logical: i64, index: u32, aging: &mut VecDeque<(i64, u32)>) {
        if self.history.has_unfinal() && self.due > logical.saturating_add(timing.lateness) {
            aging.push_back((logical, index));
        }
    }

    /// Sets a timer if the key is due before the one it has.
    #[inline]
    fn arm(&mut self, timing: Timing, index: u32, wheel: &mut Wheel) {
        if self.due >= self.armed {
            return;
        }
        let due = timing.ceil(self.due);
        if due < self.armed {
            if self.armed_next == i64::MAX {
                self.armed_next = self.armed;
            }
            self.armed = due;
            wheel.insert(due, index);
        }
    }
}

/// A slot's number beneath half the hash of its key: few looks at slots are in vain, and none is
/// needed when the table grows.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    half: u32,
    index: u32,
}

impl Numbered {
    /// The half as the table wants it: spread over 64 bits.
    fn spread(half: u32) -> u64 {
        u64::from(half).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Where a key may be, as it was looked up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    half: u32,
    index: Option<u32>,
}

/// A key that is to be evaluated.
struct Touched<M: Machine> {
    index: u32,
    /// The only event that came, if it may be [folded onto head](History::follow).
    event: Option<M::Event>,
}

/// So many slots are made at once.
const SLOTS: usize = 512;

/// Room for so many keys that age is kept.
const AGING_KEPT: usize = 1 << 14;

/// The timelines of the keys of one worker.
pub(super) struct Keys<M: Machine> {
    machine: M,
    timing: Timing,
    table: HashTable<Numbered>,
    slots: Chunks<Option<Slot<M>>, SLOTS>,
    free: Vec<u32>,
    wheel: Wheel,
    journal: Journal<M>,
    /// Keys with what was not final at that logical time; nearly in order of that.
    aging: VecDeque<(i64, u32)>,
    touched: Vec<Touched<M>>,
    /// The logical time at which those are to be settled.
    touched_at: i64,
    spare: Vec<Touched<M>>,
    expired: Vec<(i64, u32)>,
    scratch: Scratch<M>,
    /// Where the clock stops.
    end: i64,
}

impl<M: Machine> Keys<M> {
    pub(super) fn new(machine: M, timing: Timing) -> Self {
        Self {
            machine,
            timing,
            table: HashTable::new(),
            slots: Chunks::new(),
            free: Vec::new(),
            wheel: Wheel::new(),
            journal: Journal::new(),
            aging: VecDeque::new(),
            touched: Vec::new(),
            touched_at: i64::MIN,
            spare: Vec::new(),
            expired: Vec::new(),
            scratch: Scratch::default(),
            end: i64::MAX,
        }
    }

    /// From now on the clock goes no further than this, also within the tick.
    pub(super) fn end_at(&mut self, end: i64) {
        self.end = end;
    }

    /// Adds an event that arrived at the logical time `at`. Times never decrease.
    pub(super) fn insert(
        &mut self,
        at: i64,
        (key, event): (&M::Key, &M::Event),
        diff: isize,
        place: Place,
        tell: &mut impl Tell<M>,
    ) {
        if at > self.touched_at {
            self.settle(at, tell);
            self.touched_at = at;
        }
        let horizon = at.saturating_sub(self.timing.lateness);
        if event.time() < horizon {
            let rejected = Rejected { key: key.clone(), event: event.clone() };
            tell.rejected(rejected, at, diff);
            return;
        }
        let index = self.place(key, place);
        let mut slot = self.slots[index as usize].as_mut().expect("found above");
        if slot.due < at {
            self.catch_up(index, at, tell);
            slot = self.slots[index as usize].as_mut().expect("found above");
        }
        let history = &mut slot.history;
        if history.touched == 0 {
            let alone = diff == 1 && history.is_straight(horizon);
            history.touched = self.touched.len() as u32 + 1;
            let touched = || Touched { index, event: alone.then(|| event.clone()) };
            in_place::push(&mut self.touched, touched);
            if alone {
                return;
            }
        } else if let Some(alone) = self.touched[history.touched as usize - 1].event.take() {
            history.insert(alone, 1, horizon, &self.journal);
        }
        let count = i32::try_from(diff).expect("a count fits in 32 bits");
        history.insert(event.clone(), count, horizon, &self.journal);
    }

    /// Evaluates the keys that events came for, at every logical time before `until`.
    pub(super) fn settle(&mut self, until: i64, tell: &mut impl Tell<M>) {
        while self.touched_at < until && !self.touched.is_empty() {
            let at = self.touched_at;
            let next = at.saturating_add(self.timing.tick);
            let spare = std::mem::take(&mut self.spare);
            let mut touched = std::mem::replace(&mut self.touched, spare);
            for touched in &touched {
                self.settle_one(at, next, touched, tell);
            }
            touched.clear();
            self.spare = touched;
            self.touched_at = next;
        }
    }

    #[inline]
    fn settle_one(
        &mut self,
        at: i64,
        next: i64,
        Touched { index, event }: &Touched<M>,
        tell: &mut impl Tell<M>,
    ) {
        let index = *index;
        let moment = self.moment(at, at);
        let Self { machine, timing, journal, scratch, wheel, aging, .. } = self;
        let Some(slot) = &mut self.slots[index as usize] else { return };
        slot.history.touched = 0;
        if let Some(event) = event {
            let alone = slot.due > moment.clock;
            if alone && at < event.time() && event.time() <= next {
                // Its instant comes with the next logical time.
                self.touched.push(Touched { index, event: Some(event.clone()) });
                slot.history.touched = self.touched.len() as u32;
                return;
            }
            let buffers = (&mut *journal, &mut *scratch);
            if alone && slot.follow(machine, event, moment, buffers, tell) {
                return slot.arm(*timing, index, wheel);
            }
            let horizon = at.saturating_sub(timing.lateness);
            slot.history.insert(event.clone(), 1, horizon, journal);
        }
        slot.evaluate(machine, *timing, moment, (journal, scratch), tell);
        slot.age(*timing, moment.logical, index, aging);
        slot.arm(*timing, index, wheel);
        if slot.history.is_blank() {
            self.forget(index);
        }
    }

    /// Hands on the events whose instants are still to come.
    fn set_aside(&mut self) {
        let horizon = self.touched_at.saturating_sub(self.timing.lateness);
        for Touched { index, event } in self.touched.drain(..) {
            let Some(slot) = &mut self.slots[index as usize] else { continue };
            slot.history.touched = 0;
            let Slot { key, history, due, .. } = slot;
            if let Some(event) = event {
                history.insert(event, 1, horizon, &self.journal);
                let next_due = history.next_due(&self.machine, key, self.timing.lateness);
                *due = next_due.unwrap_or(i64::MAX);
                slot.arm(self.timing, index, &mut self.wheel);
            }
        }
    }

    /// Lets time pass up to the frontier: every change is told whose logical time is before it.
    pub(super) fn advance(&mut self, frontier: i64, tell: &mut impl Tell<M>) {
        self.settle(frontier, tell);
        self.wake(frontier, |keys, index| keys.catch_up(index, frontier, tell));
        let horizon = frontier.saturating_sub(self.timing.lateness);
        self.journal.forget(horizon);
        self.forget_final(horizon);
    }

    /// Forgets what was not final of keys that have been silent since.
    fn forget_final(&mut self, horizon: i64) {
        while let Some((_, index)) = self.aging.pop_front_if(|(logical, _)| *logical < horizon) {
            if let Some(slot) = &mut self.slots[index as usize] {
                slot.history.forget_final(horizon);
            }
        }
        if self.aging.capacity() > AGING_KEPT && self.aging.len() < self.aging.capacity() / 8 {
            self.aging.shrink_to(AGING_KEPT);
        }
    }

    /// Lets time pass to its end: every deadline until then passes, also in the tick it lies in.
    pub(super) fn finish(&mut self, end: i64, tell: &mut impl Tell<M>) {
        let last = self.timing.ceil(end);
        self.settle(last.saturating_add(1), tell);
        self.set_aside();
        self.wake(last.saturating_add(1), |keys, index| {
            keys.catch_up(index, end.saturating_add(1), tell);
            let due = keys.slots[index as usize].as_ref().map(|slot| keys.timing.ceil(slot.due));
            if due == Some(last) {
                keys.evaluate(index, keys.moment(last, end), tell);
            }
        });
        let mut left = Vec::new();
        for Slot { key, history, .. } in self.slots.iter().flatten() {
            history.ended(&self.machine, key, &mut left);
            let left = left.drain(..).map(|value| Revised { value, revision: 1 });
            left.for_each(|output| tell.output(key, output, last, 1));
        }
    }

    /// Calls `each` for every key that has a timer before `until`, and sets its next.
    fn wake(&mut self, until: i64, mut each: impl FnMut(&mut Self, u32)) {
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.advance(until, &mut expired);
        for (time, index) in expired.drain(..) {
            let Some(slot) = &mut self.slots[index as usize] else { continue };
            if time == slot.armed {
                slot.armed = std::mem::replace(&mut slot.armed_next, i64::MAX);
            } else if time == slot.armed_next {
                slot.armed_next = i64::MAX;
            } else {
                continue;
            }
            each(self, index);
            let Some(slot) = &mut self.slots[index as usize] else { continue };
            slot.arm(self.timing, index, &mut self.wheel);
            if slot.history.touched == 0 && slot.history.is_blank() {
                self.forget(index);
            }
        }
        self.expired = expired;
    }

    /// Evaluates a key at every logical time before `until` at which it is due. Its timer is the
    /// caller's to set.
    fn catch_up(&mut self, index: u32, until: i64, tell: &mut impl Tell<M>) {
        while let Some(slot) = &self.slots[index as usize]
            && slot.due < until
        {
            let due = self.timing.ceil(slot.due);
            if due >= until {
                break;
            }
            self.evaluate(index, self.moment(due, due), tell);
        }
    }

    fn moment(&self, logical: i64, clock: i64) -> Moment {
        // What comes later has a later logical time, thus an event time from there on.
        let horizon = logical.saturating_add(1).saturating_sub(self.timing.lateness);
        Moment { logical, clock: clock.min(self.end), horizon }
    }

    fn evaluate(&mut self, index: u32, moment: Moment, tell: &mut impl Tell<M>) {
        let Some(slot) = &mut self.slots[index as usize] else { return };
        let buffers = (&self.journal, &mut self.scratch);
        slot.evaluate(&self.machine, self.timing, moment, buffers, tell);
        slot.age(self.timing, moment.logical, index, &mut self.aging);
    }

    /// Looks a key up, ahead of its insertion.
    pub(super) fn look_up(&self, key: &M::Key) -> Place {
        let half = (fixed_hash(key) >> 32) as u32;
        let found = self.table.find(Numbered::spread(half), |numbered| numbered.half == half);
        Place { half, index: found.map(|numbered| numbered.index) }
    }

    /// Reads the memory that insertions at these places will read, so that it is on its way for
    /// all of them at once.
    pub(super) fn touch(&self, places: &[Place]) {
        let slots = places.iter().filter_map(|place| self.slots.get(place.index? as usize));
        let read = slots.flatten().fold(0, |read, slot| read ^ slot.due ^ slot.history.touch());
        std::hint::black_box(read);
    }

    /// The slot of a key that was looked up, made if there was none.
    fn place(&mut self, key: &M::Key, Place { half, index }: Place) -> u32 {
        let slots = &mut self.slots;
        let stands = |index: u32| {
            let slot = slots.get(index as usize).and_then(Option::as_ref);
            slot.is_some_and(|slot| slot.key == *key)
        };
        // It may have been forgotten, or made, since it was looked up.
        if let Some(index) = index.filter(|index| stands(*index)) {
            return index;
        }
        let found = self.table.find(Numbered::spread(half), |numbered| {
            numbered.half == half && stands(numbered.index)
        });
        if let Some(numbered) = found {
            return numbered.index;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            slots.push(None);
            u32::try_from(slots.len() - 1).expect("fewer than 2^32 keys a worker")
        });
        slots[index as usize] = Some(Slot {
            key: key.clone(),
            history: History::default(),
            due: i64::MAX,
            armed: i64::MAX,
            armed_next: i64::MAX,
        });
        let numbered = Numbered { half, index };
        self.table.insert_unique(Numbered::spread(half), numbered, |numbered| {
            Numbered::spread(numbered.half)
        });
        index
    }

    /// Forgets a key of which nothing is remembered.
    #[cold]
    fn forget(&mut self, index: u32) {
        let Some(blank) = self.slots[index as usize].take() else { return };
        let half = self.look_up(&blank.key).half;
        let of_slot = |numbered: &Numbered| numbered.index == index;
        if let Ok(entry) = self.table.find_entry(Numbered::spread(half), of_slot) {
            entry.remove();
        }
        self.free.push(index);
    }

    /// Every key's history, when time has passed up to `at`.
    pub(super) fn snapshot(&mut self, at: i64) -> Snapshot<M::Key> {
        self.set_aside();
        let horizon = at.saturating_sub(self.timing.lateness);
        let mut snapshot = Snapshot::new(at);
        snapshot.reserve(self.table.len());
        for Slot { key, history, .. } in self.slots.iter().flatten() {
            history.save(horizon, &self.journal, |saving| snapshot.push(key, saving));
        }
        snapshot
    }

    /// How many keys there are, and the bytes of what is kept of all of them together.
    pub(super) fn footprint(&self) -> (usize, usize) {
        let slots = self.slots.bytes();
        let free = self.free.capacity() * size_of::<u32>();
        let table = self.table.allocation_size();
        let aging = self.aging.capacity() * size_of::<(i64, u32)>();
        let lists = free + table + aging + self.wheel.bytes() + self.journal.bytes();
        (self.table.len(), slots + lists)
    }

    /// Makes room for so many keys more.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.table.reserve(keys, |numbered| Numbered::spread(numbered.half));
    }

    /// Takes in the histories of those keys of a [snapshot](Self::snapshot) that are `mine`.
    pub(super) fn restore(
        &mut self,
        snapshot: &Snapshot<M::Key>,
        mine: impl Fn(&M::Key) -> bool,
    ) -> Result<(), postcard::Error> {
        let last = self.timing.floor(snapshot.at().saturating_sub(1));
        let moment = self.moment(last, last);
        for item in snapshot.items() {
            let (key, bytes) = item?;
            if !mine(&key) {
                continue;
            }
            let saved: Saved<M> = postcard::from_bytes(bytes)?;
            let history = History::restored(saved, &self.machine, &key, moment, &mut self.scratch);
            let due = history.next_due(&self.machine, &key, self.timing.lateness);
            let place = self.look_up(&key);
            let index = self.place(&key, place);
            let slot = self.slots[index as usize].as_mut().expect("added above");
            slot.history = history;
            slot.due = due.unwrap_or(i64::MAX);
            slot.age(self.timing, last, index, &mut self.aging);
            slot.arm(self.timing, index, &mut self.wheel);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::hold_down::{HoldDown, Observation, Uniform};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Seen(i64, u16);

    impl Event for Seen {
        fn time(&self) -> i64 {
            self.0
        }
    }

    impl Observation for Seen {
        type State = u16;

        fn state(&self) -> u16 {
            self.1
        }
    }

    struct Untold;

    impl<M: Machine> Tell<M> for Untold {
        fn output(&mut self, _: &M::Key, _: Revised<M::Output>, _: i64, _: isize) {}
        fn rejected(&mut self, _: Rejected<M::Key, M::Event>, _: i64, _: isize) {}
    }

    #[test]
    fn silent_keys_remember_nothing_but_a_state() {
        const HOLD: i64 = 30;
        let timing = Timing { lateness: 10, tick: 1 };
        let mut keys = Keys::new(HoldDown::uniform(HOLD), timing);
        let insert = |keys: &mut Keys<_>, at, key: u64, event: Seen| {
            let place = keys.look_up(&key);
            keys.insert(at, (&key, &event), 1, place, &mut Untold);
        };
        let unfinal = |keys: &Keys<HoldDown<u64, Seen, Uniform>>| {
            keys.slots.iter().flatten().filter(|slot| slot.history.has_unfinal()).count()
        };
        for key in 0..100 {
            insert(&mut keys, 1, key, Seen(1, 7));
            // Out of order, so that it is not for the journal.
            insert(&mut keys, 4, key, Seen(4, 8));
            insert(&mut keys, 6, key, Seen(3, 9));
        }
        keys.advance(7, &mut Untold);
        assert_eq!(unfinal(&keys), 100);
        // The deadline passes at 34, and may be amended for as long as an event of then may come.
        keys.advance(4 + HOLD + 1, &mut Untold);
        assert_eq!(unfinal(&keys), 100);
        keys.advance(4 + HOLD + 10 + 1, &mut Untold);
        assert_eq!(unfinal(&keys), 0);
        assert_eq!(keys.aging.len(), 0);
    }

    #[test]
    fn a_key_of_four_words_takes_two_cache_lines() {
        type Slots = Option<Slot<HoldDown<[u64; 4], Seen, Uniform>>>;
        assert_eq!(size_of::<Slots>(), 128);
    }
}
