//! How many values of a label are told apart in a partition: the first so many, in the order of the
//! log. State: these values.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use smol_str::SmolStr;

use crate::model::detail::{Detail, OVERFLOW};
use crate::model::sighting::{Detailed, Sighting};
use crate::rules::Rules;

/// The values of the labels of a partition.
pub(super) struct LabelValues {
    values_max: usize,
    /// The signal of each rule.
    signals: Vec<usize>,
    /// By signal and label.
    seen: Vec<Vec<HashSet<SmolStr>>>,
}

impl LabelValues {
    /// None where no signal has labels.
    pub(super) fn new(rules: &Rules) -> Option<Self> {
        let labels = |signal: &crate::rules::Signal| vec![HashSet::new(); signal.labels.len()];
        let seen: Vec<Vec<_>> = rules.signals.iter().map(labels).collect();
        seen.iter().any(|labels| !labels.is_empty()).then(|| Self {
            values_max: rules.label_values_max,
            signals: rules.rules.iter().map(|rule| rule.signal).collect(),
            seen,
        })
    }

    /// What is told apart so far.
    pub(super) fn saved(&self) -> Vec<Vec<BTreeSet<SmolStr>>> {
        let sorted = |values: &HashSet<SmolStr>| values.iter().cloned().collect();
        self.seen.iter().map(|labels| labels.iter().map(sorted).collect()).collect()
    }

    /// Goes on with what was told apart.
    pub(super) fn restore(&mut self, saved: Vec<Vec<BTreeSet<SmolStr>>>) {
        let values = |values: BTreeSet<SmolStr>| values.into_iter().collect();
        self.seen =
            saved.into_iter().map(|labels| labels.into_iter().map(values).collect()).collect();
    }

    /// Takes in the next record: what is not told apart any more is replaced. Gives how many
    /// values that are.
    pub(super) fn admit(&mut self, sighting: &mut Sighting) -> u64 {
        let mut overflow = 0;
        // The rules on one signal share what it carries.
        let mut before: Option<(Arc<Detail>, Arc<Detail>)> = None;
        for Detailed { found, detail, .. } in sighting.matches.detailed_mut() {
            let Some(detail) = detail else { continue };
            if let Some((was, is)) = &before
                && Arc::ptr_eq(was, detail)
            {
                *detail = Arc::clone(is);
                continue;
            }
            let was = Arc::clone(detail);
            let seen = &mut self.seen[self.signals[usize::from(found.rule)]];
            for (label, seen) in seen.iter_mut().enumerate() {
                let value = &was.labels[label];
                let known = value.is_empty()
                    || (*value != OVERFLOW
                        && (seen.contains(value)
                            || (seen.len() < self.values_max && seen.insert(value.clone()))));
                if !known {
                    Arc::make_mut(detail).labels[label] = OVERFLOW;
                    overflow += 1;
                }
            }
            before = Some((was, Arc::clone(detail)));
        }
        overflow
    }
}
