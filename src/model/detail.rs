//! What is carried of a record beside its state: labels, and a reading.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Stands for the values of a label beyond those that are told apart.
pub const OVERFLOW: SmolStr = SmolStr::new_static("__overflow__");
/// A longer value of a label is not kept.
pub const LABEL_BYTES_MAX: usize = 1024;

/// Labels and reading of a record, as its signal takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Detail {
    /// In the order of the signal's labels; empty where the record has none.
    pub labels: Box<[SmolStr]>,
    /// The reading, if the record has one.
    pub value: Option<Reading>,
}

/// A detail that many hold; none where the signal asks for none.
pub type SharedDetail = Option<Arc<Detail>>;

impl Detail {
    /// Bytes it owns on the heap, itself included.
    pub fn heap_bytes(&self) -> usize {
        let text = |label: &SmolStr| if label.is_heap_allocated() { label.len() } else { 0 };
        let labels = self.labels.iter().map(|label| size_of::<SmolStr>() + text(label));
        size_of::<Self>() + labels.sum::<usize>()
    }
}

/// A finite number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Reading(f64);

impl Reading {
    /// The number, if it is finite; there is one zero.
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(if number == 0.0 { 0.0 } else { number }))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Ord for Reading {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Reading {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Reading {}

impl std::hash::Hash for Reading {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
