//! Changes of the state of a key that are told together.

use serde::{Deserialize, Serialize};

/// Some changes that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Changes {
    /// How many.
    pub count: u32,
    /// When the first was.
    pub first: i64,
    /// When the last was.
    pub last: i64,
}

impl Changes {
    /// None yet; an instant stands for the first and the last.
    pub fn none(at: i64) -> Self {
        Self { count: 0, first: at, last: at }
    }

    /// Adds one, which is not before the others.
    pub fn add(&mut self, at: i64) {
        (self.count, self.last) = (self.count + 1, at);
    }
}
