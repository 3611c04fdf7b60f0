//! What a timeline folds: events, and the machine that gives them meaning.

use std::fmt::Debug;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What travels between workers and into snapshots.
pub trait Data: Clone + Debug + Ord + Serialize + DeserializeOwned + Send + 'static {}
impl<T: Clone + Debug + Ord + Serialize + DeserializeOwned + Send + 'static> Data for T {}

/// What events are grouped by.
pub trait Key: Data + Hash {}
impl<T: Data + Hash> Key for T {}

/// Something that happened at an instant.
///
/// `Ord` is the canonical order in which a key's events are folded. It must order by
/// [`Event::time`] first; the rest of it decides ties, and must do so by the event's content
/// alone, never by when or where it was received.
pub trait Event: Data {
    /// The event's own time, in the unit of the dataflow's logical time.
    fn time(&self) -> i64;
}

/// A pure state machine over one key's events. See the [timeline](crate::timeline) for the order
/// in which its functions are called, and the [crate documentation](crate#write-your-own-machine)
/// for an example.
///
/// All functions must depend on their arguments alone: the same fold is repeated whenever an
/// event arrives out of order, and once more after a restore.
pub trait Machine: 'static {
    /// What events are grouped by.
    type Key: Key;
    /// What is folded.
    type Event: Event;
    /// What a key remembers. `Default` is a key that nothing is known of; a key whose state
    /// returns to it is forgotten, so reach it when all deadlines have passed.
    type State: Clone + Debug + Default + Eq + Serialize + DeserializeOwned + 'static;
    /// What is told about a key.
    type Output: Data;

    /// Folds one event. What is pushed to `out` stands from then on.
    fn event(
        &self,
        key: &Self::Key,
        state: &mut Self::State,
        event: &Self::Event,
        out: &mut Vec<Self::Output>,
    );

    /// When [`elapse`](Self::elapse) is wanted next, if no event comes before.
    fn deadline(&self, key: &Self::Key, state: &Self::State) -> Option<i64>;

    /// The deadline `at` has passed. Must move the deadline to a later time or remove it, within
    /// finitely many calls.
    fn elapse(
        &self,
        key: &Self::Key,
        state: &mut Self::State,
        at: i64,
        out: &mut Vec<Self::Output>,
    );

    /// What holds in this state for now, beyond what was pushed while folding.
    fn current(&self, key: &Self::Key, state: &Self::State, out: &mut Vec<Self::Output>) {
        let _ = (key, state, out);
    }

    /// Whether the same [holds](Self::current) in a state and in one that was folded from it. Where
    /// this is said of states that differ, an event in order costs less.
    fn holds_on(&self, before: &Self::State, after: &Self::State) -> bool {
        before == after
    }

    /// What is left to say of a key when [time has ended](crate::timeline::Timeline::ending_at),
    /// beyond what holds; `waiting` of its events were of a later instant.
    fn ended(
        &self,
        key: &Self::Key,
        state: &Self::State,
        waiting: u32,
        out: &mut Vec<Self::Output>,
    ) {
        let _ = (key, state, waiting, out);
    }

    /// Whether two outputs of one key are versions of the same thing. If so, one replaces the
    /// other with the next revision; otherwise one is withdrawn and the other is new.
    fn same(&self, one: &Self::Output, other: &Self::Output) -> bool {
        one == other
    }
}
