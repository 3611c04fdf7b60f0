//! What became of records.

use limbeck_operators::machines::hold_down::Decision;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::account::{Account, SourceKey};
use super::sighting::{Position, Tie};

/// How much of a record a dead letter keeps.
pub const DEAD_LETTER_BYTES_MAX: usize = 1024;

/// An entry of the ledger; together with the episodes they account for every record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Entry {
    /// A record that could not be read or accepted.
    DeadLetter(DeadLetter),
    /// Something that is only counted.
    Count(Count),
    /// What became of one record, or a part of why; only where somebody asked.
    Trace(Box<Trace>),
    /// What the records of a source were together, in some of the partitions.
    Source(Box<(SourceKey, Account)>),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Count {
    /// A line that is not blank, or an element of an array that is exploded.
    Record,
    /// A record that fits no signal.
    Unmatched,
    /// A record whose arrival is later than its event time by more than the lateness.
    Late,
    /// A record that was there before.
    Duplicate,
    /// A duplicate that says something else.
    Conflict,
    /// A condition that could not be judged.
    ConditionError,
    /// A log that could not be read to its end.
    Damaged,
    /// A value of a label beyond those that are told apart.
    LabelOverflow,
    /// An observation that a rule, by its rank, made.
    Observed(u16),
    /// An observation that repeats another to a rule.
    Repeated(u16),
    /// An observation in a run that a rule held down.
    HeldDown(u16),
    /// An observation in a run that had not lasted when observations ceased.
    Expired(u16),
    /// An observation that a rule had not decided on at the end.
    Pending(u16),
}

/// A trace of a record on its way. Rules are numbered by the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Trace {
    /// What became of a record as a whole.
    Record {
        /// Where it stands.
        position: Position,
        /// What it says, where that is of use.
        known: Option<Known>,
        /// What became of it.
        disposition: Disposition,
    },
    /// The event time of a record that fits a signal was corrected.
    Corrected {
        /// Where it stands.
        position: Position,
        /// Whom it is about.
        entity: SmolStr,
        /// What tells it apart from others of its line.
        fingerprint: (u64, u64),
        /// The event time as it was said.
        raw_time_ns: i64,
    },
    /// A rule observed a record.
    Observed {
        /// To whom.
        lane: TracedLane,
        /// What orders it.
        place: Place,
        /// Which state, by its number.
        state: u16,
        /// Where the record stands.
        position: Position,
        /// What it says.
        known: Known,
    },
    /// An observation repeats another to a rule.
    Repeated {
        /// To whom.
        lane: TracedLane,
        /// Which.
        place: Place,
    },
    /// What a rule made of its observations.
    Decided {
        /// To whom.
        lane: TracedLane,
        /// The decision; states by their numbers.
        decision: Decision<u16>,
    },
}

/// A rule, by its number in the rule file, and an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TracedLane {
    /// The rule.
    pub rule: u16,
    /// The entity.
    pub entity: SmolStr,
}

/// Where an observation stands among those of its lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Event time.
    pub event_time_ns: i64,
    /// Its place among others of that.
    pub tie: Tie,
}

/// What a record says that fits a signal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Known {
    /// When it happened.
    pub event_time_ns: i64,
    /// When it arrived.
    pub arrival_ns: i64,
    /// Whom it is about.
    pub entity: SmolStr,
    /// What tells it apart from others of its line.
    pub fingerprint: (u64, u64),
}

/// What becomes of a readable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Disposition {
    /// It fits no signal, or has no subject.
    Unmatched,
    /// Its arrival is later than its event time by more than the lateness.
    Late,
    /// It was there before; it may say something else.
    Duplicate {
        /// Whether it does.
        conflict: bool,
    },
    /// Rules observe it.
    Used,
}

/// A record that could not be read or accepted: where it is, why, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which partition, by its place on the command line.
    pub partition: u32,
    /// The line, from 1.
    pub line: u64,
    /// The column, in bytes from 1.
    pub column: u64,
    /// What is wrong.
    pub reason: String,
    /// The record, or its beginning.
    pub record: String,
}

impl DeadLetter {
    /// A dead letter that keeps the beginning of the record.
    pub fn new(partition: u32, line: u64, column: usize, reason: String, record: &[u8]) -> Self {
        let cut = &record[..record.len().min(DEAD_LETTER_BYTES_MAX)];
        let record = String::from_utf8_lossy(cut).into_owned();
        Self { partition, line, column: column as u64, reason, record }
    }

    /// Bytes it owns on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.reason.capacity() + self.record.capacity()
    }
}
