//! What became of records that are not in an episode.

use serde::{Deserialize, Serialize};

/// How much of a record a dead letter keeps.
pub const DEAD_LETTER_BYTES_MAX: usize = 1024;

/// An entry of the ledger; together they account for every record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Entry {
    /// A record that could not be read or accepted.
    DeadLetter(DeadLetter),
    /// Something that is only counted.
    Count(Count),
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
    /// An observation in a run that a rule, by its rank, held down.
    HeldDown(u16),
    /// An observation in a run that had not lasted when observations ceased.
    Expired(u16),
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
