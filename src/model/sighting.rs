//! What flows: a record that fits some signal, and the observation a rule makes of it.

use limbeck_operators::Event;
use limbeck_operators::machines::dedup::Fingerprinted;
use limbeck_operators::machines::hold_down;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::record::{Id, Sequence};

/// A state of a signal, by their numbers in the rule file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Which signal.
    pub signal: u16,
    /// Which of its states.
    pub state: u16,
}

/// A record that fits at least one signal and is in time.
///
/// Ordered as duplicates are told apart: the first of equal ones by (arrival, partition, position)
/// counts. To the timeline that finds them, its time is its logical time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// Arrival rounded down to the tick.
    pub logical_ns: i64,
    /// When it was recorded; never before the record ahead of it in its partition.
    pub arrival_ns: i64,
    /// Which partition it is from.
    pub partition: u32,
    /// Its line there, from 1.
    pub line: u64,
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// The logical time from which on no duplicate of it can be in time.
    pub repeats_until_ns: i64,
    /// A hash of source, id and event time: with the entity, what makes it the same record.
    pub fingerprint: u128,
    /// A hash of all it says.
    pub content: u64,
    /// Who says it.
    pub source: SmolStr,
    /// The source's own number of it.
    pub sequence: Sequence,
    /// What tells it apart.
    pub id: Id,
    /// The signals it fits, with the state of each.
    pub matches: SmallVec<[Match; 1]>,
}

impl Event for Sighting {
    fn time(&self) -> i64 {
        self.logical_ns
    }
}

impl Fingerprinted for Sighting {
    fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    fn content(&self) -> u64 {
        self.content
    }

    fn repeats_until(&self) -> i64 {
        self.repeats_until_ns
    }
}

/// An observation of one signal of one entity, in the contract's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// Who says it.
    pub source: SmolStr,
    /// The source's own number of it.
    pub sequence: Sequence,
    /// What tells it apart.
    pub id: Id,
    /// The state observed.
    pub state: u16,
}

impl Event for Observation {
    fn time(&self) -> i64 {
        self.event_time_ns
    }
}

impl hold_down::Observation for Observation {
    type State = u16;

    fn state(&self) -> u16 {
        self.state
    }
}
