//! What the keys of a worker have folded of late in order, in one line for all of them.
//!
//! An event behind all others of its key is folded onto head at once, and what it would take to
//! amend that is noted here: the event, the state before it, and what it made the key say. Notes
//! are written and forgotten one after the other, wherever the keys are; those of one key are
//! chained. A key that is amended takes its notes out, and keeps what is unfinal itself.

use super::history::Revised;
use super::queue::Queue;
use crate::machine::{Event, Machine};

/// An event that was folded in order.
pub(super) struct Note<M: Machine> {
    pub(super) event: M::Event,
    /// The state it was folded onto.
    pub(super) before: M::State,
    /// The number of the key's note before it; it may be forgotten.
    previous: u64,
    /// The number of the first output that it made the key say, those of the next note behind.
    told: u64,
}

/// So many notes, or outputs, are kept in one place.
const CHUNK: usize = 256;

/// The notes of all keys, numbered from 1.
pub(super) struct Journal<M: Machine> {
    notes: Queue<Note<M>, CHUNK>,
    /// How many notes were forgotten, and how many outputs.
    forgotten: u64,
    forgotten_told: u64,
    told: Queue<Revised<M::Output>, CHUNK>,
}

impl<M: Machine> Journal<M> {
    pub(super) fn new() -> Self {
        Self { notes: Queue::new(), forgotten: 0, forgotten_told: 0, told: Queue::new() }
    }

    /// The number of what will be noted next.
    fn next_told(&self) -> u64 {
        self.forgotten_told + self.told.len() as u64
    }

    fn index(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.forgotten + 1).map(|index| index as usize)
    }

    /// The event of a note, if it is not final yet.
    #[inline]
    pub(super) fn event(&self, number: u64, horizon: i64) -> Option<&M::Event> {
        let note = self.notes.get(self.index(number)?)?;
        (note.event.time() >= horizon).then_some(&note.event)
    }

    /// Notes an event behind the key's note `previous`; gives its number.
    #[inline]
    pub(super) fn note(&mut self, event: &M::Event, before: &M::State, previous: u64) -> u64 {
        let told = self.next_told();
        self.notes.push(|| {
            let (event, before) = (event.clone(), before.clone());
            Note { event, before, previous, told }
        });
        self.forgotten + self.notes.len() as u64
    }

    /// The state before the last event that was noted.
    pub(super) fn before(&self) -> Option<&M::State> {
        self.notes.last().map(|note| &note.before)
    }

    /// Takes the last note back; nothing was told with it. Gives the state before it.
    pub(super) fn take_back(&mut self) -> Option<M::State> {
        self.notes.pop().map(|note| note.before)
    }

    /// Adds to the last note what its event made the key say.
    pub(super) fn tell(&mut self, told: Revised<M::Output>) {
        self.told.push(|| told);
    }

    /// The notes of a key that are not final yet, from the last one back, with what they told.
    pub(super) fn notes(
        &self,
        last: u64,
        horizon: i64,
    ) -> impl Iterator<Item = (&Note<M>, impl Iterator<Item = &Revised<M::Output>>)> {
        let mut at = last;
        std::iter::from_fn(move || {
            let index = self.index(at)?;
            let note = self.notes.get(index).filter(|note| note.event.time() >= horizon)?;
            at = note.previous;
            let until = self.notes.get(index + 1).map_or(self.next_told(), |next| next.told);
            let told = |number: u64| self.told.get((number - self.forgotten_told) as usize);
            Some((note, (note.told..until).map_while(told)))
        })
    }

    /// The bytes of its lists.
    pub(super) fn bytes(&self) -> usize {
        self.notes.bytes() + self.told.bytes()
    }

    /// Forgets what nothing can precede any more, up to the first note of which that is not so.
    pub(super) fn forget(&mut self, horizon: i64) {
        let are_final = self.notes.iter().take_while(|note| note.event.time() < horizon).count();
        if are_final == 0 {
            return;
        }
        self.notes.pass(are_final);
        self.forgotten += are_final as u64;
        let told = self.notes.get(0).map_or(self.next_told(), |first| first.told);
        self.told.pass((told - self.forgotten_told) as usize);
        self.forgotten_told = told;
    }
}
