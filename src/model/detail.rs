//! What is carried of a record beside its state: labels, and a reading.

use std::sync::Arc;

pub use limbeck_operators::finite::Finite as Reading;
pub use limbeck_operators::machines::changes::Changes;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::survival::{Odds, SharedSurvival, Survival};

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
    /// The changes so far, of an entity that flaps or is in a session.
    pub changes: Option<Changes>,
    /// What some witnesses of the entity said otherwise; none if nobody did.
    pub minority: Option<Arc<Vec<Ballot>>>,
    /// What was expected of a fault, where its rule asks for it.
    pub survival: SharedSurvival,
}

/// What a witness says of an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Who.
    pub witness: SmolStr,
    /// Which state, by its name.
    pub state: SmolStr,
    /// When.
    pub time_ns: i64,
}

/// A detail that many hold; none where the signal asks for none.
pub type SharedDetail = Option<Arc<Detail>>;

impl Detail {
    /// Bytes it owns on the heap, itself included.
    pub fn heap_bytes(&self) -> usize {
        let text = |label: &SmolStr| if label.is_heap_allocated() { label.len() } else { 0 };
        let labels = self.labels.iter().map(|label| size_of::<SmolStr>() + text(label));
        let minority = self.minority.iter().flat_map(|minority| minority.iter());
        let ballot = |of: &Ballot| size_of::<Ballot>() + text(&of.witness) + text(&of.state);
        let survival = self
            .survival
            .as_ref()
            .map_or(0, |survival| size_of::<Survival>() + survival.odds.len() * size_of::<Odds>());
        let carried = labels.sum::<usize>() + minority.map(ballot).sum::<usize>() + survival;
        size_of::<Self>() + carried
    }
}
