//! All keys of one worker: the pure structure beneath the operator.

use hashbrown::HashTable;

use super::history::{History, Moment, Revised, Saved, Scratch};
use super::wheel::Wheel;
use super::{Rejected, Timing};
use crate::hash::fixed_hash;
use crate::machine::{Event, Machine};

/// Receives what a timeline says: key, output, logical time, difference.
pub(super) trait Tell<M: Machine> {
    fn output(&mut self, key: &M::Key, output: Revised<M::Output>, logical: i64, diff: isize);
    fn rejected(&mut self, rejected: Rejected<M::Key, M::Event>, logical: i64, diff: isize);
}

struct Slot<M: Machine> {
    hash: u64,
    key: M::Key,
    history: History<M>,
    /// The logical time of the next evaluation; `i64::MAX` if none is due.
    due: i64,
    /// The earliest timer on the wheel, not after `due`, and one more behind it, both `i64::MAX`
    /// if there is none. A later `due` waits for the earlier timer; others on the wheel are void.
    armed: i64,
    armed_next: i64,
    /// The last logical time at which an event came.
    touched: i64,
}

/// The timelines of the keys of one worker.
pub(super) struct Keys<M: Machine> {
    machine: M,
    timing: Timing,
    table: HashTable<u32>,
    slots: Vec<Option<Slot<M>>>,
    free: Vec<u32>,
    wheel: Wheel,
    touched: Vec<u32>,
    expired: Vec<(i64, u32)>,
    scratch: Scratch<M>,
}

impl<M: Machine> Keys<M> {
    pub(super) fn new(machine: M, timing: Timing) -> Self {
        Self {
            machine,
            timing,
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(),
            touched: Vec::new(),
            expired: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Adds an event that arrived at the logical time `at`. Times never decrease; [`Self::settle`]
    /// ends each.
    pub(super) fn insert(
        &mut self,
        at: i64,
        key: M::Key,
        event: M::Event,
        diff: isize,
        tell: &mut impl Tell<M>,
    ) {
        if event.time() < at.saturating_sub(self.timing.lateness) {
            tell.rejected(Rejected { key, event }, at, diff);
            return;
        }
        let index = self.find_or_add(key);
        self.catch_up(index, at, tell);
        let slot = self.slots[index as usize].as_mut().expect("found above");
        if slot.touched != at {
            slot.touched = at;
            self.touched.push(index);
        }
        slot.history.insert(event, i32::try_from(diff).expect("a count fits in 32 bits"));
    }

    /// Evaluates the keys that events came for at the logical time `at`.
    pub(super) fn settle(&mut self, at: i64, tell: &mut impl Tell<M>) {
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            self.evaluate(index, self.moment(at, at), tell);
            self.arm(index);
            self.forget_if_blank(index);
        }
        self.touched = touched;
    }

    /// Lets time pass up to the frontier: every deadline is told whose logical time is before it.
    /// At a frontier off the grid, where time ends, also those before it of the tick it lies in.
    pub(super) fn advance(&mut self, frontier: i64, tell: &mut impl Tell<M>) {
        let last = self.timing.ceil(frontier);
        let ends = last != frontier;
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.advance(if ends { last.saturating_add(1) } else { frontier }, &mut expired);
        for (time, index) in expired.drain(..) {
            let Some(slot) = &mut self.slots[index as usize] else { continue };
            if time == slot.armed {
                slot.armed = std::mem::replace(&mut slot.armed_next, i64::MAX);
            } else if time == slot.armed_next {
                slot.armed_next = i64::MAX;
            } else {
                continue;
            }
            self.catch_up(index, frontier, tell);
            let Some(slot) = &mut self.slots[index as usize] else { continue };
            if ends && slot.due == last {
                self.evaluate(index, self.moment(last, frontier - 1), tell);
            }
            self.arm(index);
            self.forget_if_blank(index);
        }
        self.expired = expired;
    }

    /// Evaluates a key at every logical time before `until` at which it is due. Its timer is the
    /// caller's to set.
    fn catch_up(&mut self, index: u32, until: i64, tell: &mut impl Tell<M>) {
        while let Some(slot) = &self.slots[index as usize]
            && slot.due < until
        {
            let due = slot.due;
            self.evaluate(index, self.moment(due, due), tell);
        }
    }

    fn moment(&self, logical: i64, clock: i64) -> Moment {
        // What comes later has a later logical time, thus an event time from there on.
        let horizon = logical.saturating_add(1).saturating_sub(self.timing.lateness);
        Moment { logical, clock, horizon }
    }

    fn evaluate(&mut self, index: u32, moment: Moment, tell: &mut impl Tell<M>) {
        let Some(slot) = &mut self.slots[index as usize] else { return };
        let Slot { key, history, .. } = slot;
        history.evaluate(&self.machine, key, moment, &mut self.scratch, &mut |output, diff| {
            tell.output(key, output, moment.logical, diff);
        });
        let due = slot.history.next_due(&self.machine, &slot.key, self.timing.lateness);
        slot.due = due.map_or(i64::MAX, |due| self.timing.ceil(due));
    }

    /// Sets a timer if the key is due before the one it has.
    fn arm(&mut self, index: u32) {
        let Some(slot) = &mut self.slots[index as usize] else { return };
        if slot.due < slot.armed {
            if slot.armed_next == i64::MAX {
                slot.armed_next = slot.armed;
            }
            slot.armed = slot.due;
            self.wheel.insert(slot.due, index);
        }
    }

    fn find_or_add(&mut self, key: M::Key) -> u32 {
        let hash = fixed_hash(&key);
        let slots = &mut self.slots;
        let found = self.table.find(hash, |index| {
            slots[*index as usize].as_ref().is_some_and(|slot| slot.hash == hash && slot.key == key)
        });
        if let Some(index) = found {
            return *index;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            slots.push(None);
            u32::try_from(slots.len() - 1).expect("fewer than 2^32 keys a worker")
        });
        slots[index as usize] = Some(Slot {
            hash,
            key,
            history: History::default(),
            due: i64::MAX,
            armed: i64::MAX,
            armed_next: i64::MAX,
            // No event comes at the last instant: no frontier is behind it.
            touched: i64::MAX,
        });
        self.table.insert_unique(hash, index, |index| {
            slots[*index as usize].as_ref().map_or(0, |slot| slot.hash)
        });
        index
    }

    fn forget_if_blank(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if let Some(blank) = slot.take_if(|slot| slot.history.is_blank()) {
            if let Ok(entry) = self.table.find_entry(blank.hash, |other| *other == index) {
                entry.remove();
            }
            self.free.push(index);
        }
    }

    /// Every key's history as bytes, sorted by key. Call it between logical times.
    pub(super) fn snapshot(&self) -> Vec<(M::Key, Vec<u8>)> {
        let slots = self.slots.iter().flatten();
        let mut saved: Vec<_> = slots
            .map(|slot| {
                let bytes = postcard::to_allocvec(&slot.history.saved());
                (slot.key.clone(), bytes.expect("plain values encode"))
            })
            .collect();
        saved.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        saved
    }

    /// Takes in a key's history as [`Self::snapshot`] gave it at `frontier`.
    pub(super) fn restore(
        &mut self,
        frontier: i64,
        key: M::Key,
        bytes: &[u8],
    ) -> Result<(), postcard::Error> {
        let saved: Saved<M> = postcard::from_bytes(bytes)?;
        let last = self.timing.floor(frontier.saturating_sub(1));
        let moment = self.moment(last, last);
        let history = History::restored(saved, &self.machine, &key, moment, &mut self.scratch);
        let due = history.next_due(&self.machine, &key, self.timing.lateness);
        let index = self.find_or_add(key);
        let slot = self.slots[index as usize].as_mut().expect("added above");
        slot.history = history;
        slot.due = due.map_or(i64::MAX, |due| self.timing.ceil(due));
        self.arm(index);
        Ok(())
    }
}
