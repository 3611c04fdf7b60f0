//! A key's history as bytes, and back.

use serde::{Deserialize, Serialize, Serializer};

use super::{Entry, History, Moment, Rare, Revised, Scratch, Unfinal};
use crate::machine::Machine;
use crate::timeline::journal::Journal;

/// A key's history as it is read from a snapshot.
#[derive(Deserialize)]
#[serde(bound = "")]
pub(in crate::timeline) struct Saved<M: Machine> {
    base: M::State,
    recent: Vec<(M::Event, i32)>,
    emitted: Vec<Revised<M::Output>>,
    /// Of the first output that holds, as a [`History`] has it, and of those behind it.
    revision: u32,
    revisions: Vec<u32>,
    withdrawn: Vec<(i64, Revised<M::Output>)>,
}

/// The same as it is written.
#[derive(Serialize)]
#[serde(bound = "")]
pub(in crate::timeline) struct Saving<'h, M: Machine> {
    base: &'h M::State,
    recent: Recent<'h, M>,
    emitted: &'h [Revised<M::Output>],
    revision: u32,
    revisions: &'h [u32],
    withdrawn: &'h [(i64, Revised<M::Output>)],
}

/// Events with their counts.
struct Recent<'h, M: Machine>(&'h [Entry<M>]);

impl<M: Machine> Serialize for Recent<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|entry| (&entry.event, entry.count)))
    }
}

impl<M: Machine> History<M> {
    /// Has what a restore needs written; the fold itself is repeated. No event before the horizon
    /// will come any more.
    pub(in crate::timeline) fn save<R>(
        &self,
        horizon: i64,
        journal: &Journal<M>,
        write: impl FnOnce(&Saving<'_, M>) -> R,
    ) -> R {
        let noted;
        let unfinal = match &self.unfinal {
            Some(unfinal) => Some(&**unfinal),
            None if self.noted == 0 => None,
            None => {
                noted = Unfinal::of(self.noted, &self.head, horizon, journal);
                Some(&*noted)
            }
        };
        let rare = self.unfinal.as_ref().and_then(|unfinal| unfinal.rare.as_ref());
        write(&Saving {
            base: unfinal.and_then(|unfinal| unfinal.base.as_ref()).unwrap_or(&self.head),
            recent: Recent(unfinal.map_or(&[], |unfinal| &unfinal.recent)),
            emitted: unfinal.map_or(&[], |unfinal| &unfinal.emitted),
            revision: self.revision,
            revisions: rare.map_or(&[], |rare| &rare.revisions),
            withdrawn: rare.map_or(&[], |rare| &rare.withdrawn),
        })
    }

    /// Rebuilds what was saved at a moment and folds up to it. Nothing may have changed by that.
    pub(in crate::timeline) fn restored(
        saved: Saved<M>,
        machine: &M,
        key: &M::Key,
        moment: Moment,
        scratch: &mut Scratch<M>,
    ) -> Self {
        let Saved { base, recent, emitted, revision, revisions, withdrawn } = saved;
        let due = machine.deadline(key, &base);
        let is_folded = recent.is_empty() && due.is_none_or(|due| due > moment.clock);
        if is_folded && emitted.is_empty() && revisions.is_empty() && withdrawn.is_empty() {
            let restored = Self { head: base, revision, touched: 0, noted: 0, unfinal: None };
            restored.check(0, machine, key, scratch);
            return restored;
        }
        let mut head = base.clone();
        let mut unfinal = Unfinal { base: Some(base), ..Unfinal::default() };
        for (event, count) in recent {
            unfinal.insert(event, count, i64::MIN);
        }
        scratch.fresh.clear();
        unfinal.extend(machine, key, &mut head, moment, 0, &mut scratch.fresh);
        assert!(
            emitted.iter().map(|told| &told.value).eq(&scratch.fresh),
            "a snapshot of {key:?} said {emitted:?} and folds to {:?}",
            scratch.fresh
        );
        unfinal.emitted = emitted;
        let more = revisions.len();
        let rare = Rare { withdrawn, revisions };
        unfinal.rare = (!rare.is_empty()).then(|| Box::new(rare));
        unfinal.compact(moment.horizon);
        let unfinal = (!unfinal.is_blank()).then(|| Box::new(unfinal));
        let restored = Self { head, revision, touched: 0, noted: 0, unfinal };
        restored.check(more, machine, key, scratch);
        restored
    }

    /// What holds has been told: as much as there are revisions.
    fn check(&self, more: usize, machine: &M, key: &M::Key, scratch: &mut Scratch<M>) {
        scratch.fresh.clear();
        machine.current(key, &self.head, &mut scratch.fresh);
        let told = usize::from(self.revision > 0) + more;
        assert_eq!(scratch.fresh.len(), told, "what holds of {key:?}: {:?}", scratch.fresh);
    }
}
