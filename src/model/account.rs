//! What the records of a source were together: how they came, and how its clock stands.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A source of records, as a source of the rule file reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceKey {
    /// Which source of the rule file, by its number.
    pub from: u32,
    /// What the records say; `None` is all sources that are not kept apart.
    pub name: Option<SmolStr>,
}

/// The account of a source. Accounts of partitions and processes add up, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Account {
    /// Its readable records.
    pub records: u64,
    /// Of them, those that fit a signal and are late.
    pub late: u64,
    /// Those that happened before one ahead of them.
    pub out_of_order: u64,
    /// Those that say that they arrived before the record ahead of them in the log, of any source.
    pub arrival_regressions: u64,
    /// What its sequence tells.
    pub numbers: Numbers,
    /// The smallest and the largest that its clock was estimated to be behind the collector's.
    pub offset_ns: Option<(i64, i64)>,
}

/// What the sequence numbers of a source tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Numbers {
    /// Records that have one.
    pub numbered: u64,
    /// Those that had come before, or are too far from the others to say.
    pub strays: u64,
    /// Numbers between others that never came.
    pub missing: u64,
    /// How often counting began anew.
    pub restarts: u64,
}

impl Account {
    /// Adds the account of the same source elsewhere.
    pub fn add(&mut self, other: &Self) {
        let Self { records, late, out_of_order, arrival_regressions, numbers, offset_ns } = other;
        self.records += records;
        self.late += late;
        self.out_of_order += out_of_order;
        self.arrival_regressions += arrival_regressions;
        self.numbers.add(numbers);
        self.offset_ns = match (self.offset_ns, *offset_ns) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
    }
}

impl Numbers {
    fn add(&mut self, other: &Self) {
        let Self { numbered, strays, missing, restarts } = other;
        self.numbered += numbered;
        self.strays += strays;
        self.missing = self.missing.saturating_add(*missing);
        self.restarts += restarts;
    }

    /// Whether these count the records of the source, up to copies of them. Where each of its
    /// entities counts for itself, most numbers come again and again.
    pub fn are_one_sequence(&self) -> bool {
        4 * (self.strays + self.restarts) < 3 * self.numbered
    }
}
