//! How long past faults lasted: of each entity, and of each group.
//!
//! # Cost
//!
//! A name and a number for each age and horizon, for each entity and group that had a fault in the time for which its rule
//! remembers them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::model::survival::Past;

/// Whose faults are counted: an entity's or a group's, of one rule and state, by their ranks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) rule: u16,
    pub(super) state: u16,
    pub(super) of: Of,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Of {
    Entity(SmolStr),
    Group(SmolStr),
}

/// A logical time, and for how long what was counted before it is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) at_ns: i64,
    pub(super) remember_ns: i64,
}

impl Known {
    fn has(self, row: &Row) -> bool {
        row.last_ns.saturating_add(self.remember_ns) > self.at_ns
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    /// When the first was counted since it was forgotten.
    from_ns: i64,
    /// When something was counted last.
    last_ns: i64,
    /// How many lasted to each edge; where there are no more, none did.
    survivors: Vec<u32>,
    /// Until when it is remembered, whoever asks.
    until_ns: i64,
}

/// The counts of a rule file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    rows: BTreeMap<Unit, Row>,
    /// How many there were when the forgotten were removed last.
    lasting: usize,
}

impl Counts {
    /// Of those that lasted to one edge, how many lasted to another.
    pub(super) fn past(&self, unit: &Unit, known: Known, edges: [usize; 2]) -> Past {
        let Some(row) = self.rows.get(unit).filter(|row| known.has(row)) else {
            return Past::default();
        };
        let [faults, lasted] = edges.map(|edge| row.survivors.get(edge).copied().unwrap_or(0));
        Past { faults, lasted: lasted.min(faults) }
    }

    /// Counts a fault that lasted to an edge.
    pub(super) fn add(&mut self, unit: Unit, known: Known, edge: usize) {
        let Known { at_ns, remember_ns } = known;
        let until_ns = at_ns.saturating_add(remember_ns);
        let new = Row { from_ns: at_ns, last_ns: at_ns, survivors: Vec::new(), until_ns };
        let row = self.rows.entry(unit).or_insert_with(|| new.clone());
        if !known.has(row) {
            *row = new;
        }
        (row.last_ns, row.until_ns) = (at_ns, until_ns);
        if row.survivors.len() <= edge {
            row.survivors.resize(edge + 1, 0);
        }
        row.survivors[..=edge].iter_mut().for_each(|count| *count = count.saturating_add(1));
        if self.rows.len() > 2 * self.lasting + 1024 {
            self.rows.retain(|_, row| row.until_ns > at_ns);
            self.lasting = self.rows.len();
        }
    }

    /// Takes back what was counted at a logical time, if that is remembered.
    pub(super) fn remove(&mut self, unit: &Unit, known: Known, edge: usize, counted_ns: i64) {
        let Some(row) = self.rows.get_mut(unit).filter(|row| known.has(row)) else { return };
        if row.from_ns <= counted_ns {
            let counts = row.survivors.iter_mut().take(edge + 1);
            counts.for_each(|count| *count = count.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Unit {
        Unit { rule: 0, state: 0, of: Of::Entity("a".into()) }
    }

    fn known(at_ns: i64) -> Known {
        Known { at_ns, remember_ns: 100 }
    }

    #[test]
    fn those_that_lasted_are_counted_at_each_edge() {
        let mut counts = Counts::default();
        for edge in [0, 2, 2, 3] {
            counts.add(unit(), known(1), edge);
        }
        let past = |counts: &Counts, edges| {
            let Past { faults, lasted } = counts.past(&unit(), known(2), edges);
            (lasted, faults)
        };
        assert_eq!(past(&counts, [0, 2]), (3, 4));
        assert_eq!(past(&counts, [1, 3]), (1, 3));
        assert_eq!(past(&counts, [3, 4]), (0, 1));
        assert_eq!(past(&counts, [4, 5]), (0, 0));
        counts.remove(&unit(), known(2), 2, 1);
        assert_eq!(past(&counts, [0, 2]), (2, 3));
        let other = Unit { of: Of::Group("a".into()), ..unit() };
        assert_eq!(counts.past(&other, known(2), [0, 1]), Past::default());
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut counts = Counts::default();
        counts.add(unit(), known(0), 1);
        counts.add(unit(), known(50), 1);
        let faults = |counts: &Counts, at_ns| counts.past(&unit(), known(at_ns), [0, 1]).faults;
        assert_eq!((faults(&counts, 149), faults(&counts, 150)), (2, 0));
        // What was forgotten is not taken back from what came after.
        counts.add(unit(), known(150), 1);
        counts.remove(&unit(), known(151), 1, 50);
        assert_eq!(faults(&counts, 151), 1);
        counts.remove(&unit(), known(151), 1, 150);
        assert_eq!(faults(&counts, 151), 0);
    }

    #[test]
    fn rows_of_what_is_forgotten_are_removed() {
        let mut counts = Counts::default();
        for entity in 0..20_000 {
            let of = Of::Entity(entity.to_string().into());
            counts.add(Unit { of, ..unit() }, known(entity), 0);
        }
        assert!(counts.rows.len() < 2_000, "{}", counts.rows.len());
    }
}
