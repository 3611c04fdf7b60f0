//! What the operators of the flow remember at a logical time, and how it is asked for.

use std::sync::Arc;

use limbeck_operators::Machine;
use limbeck_operators::firsts::{Firsts, Pass};
use limbeck_operators::hash::fixed_hash;
use limbeck_operators::snapshots::{Snapshot, Snapshots};
use limbeck_operators::timeline::Timeline;

use super::Lane;
use super::lanes::{Group, Groups};
use crate::rules::{Rules, Unchanged};

/// What the operators of one worker remember.
#[derive(Clone, Debug)]
pub struct SavedFlow {
    /// Of the records that have passed.
    pub door: Snapshot<u128>,
    /// Of the timelines, in the order in which they are built.
    pub timelines: Vec<Snapshot<Lane>>,
}

impl SavedFlow {
    /// The bytes of each part.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.door.bytes()).chain(self.timelines.iter().map(Snapshot::bytes))
    }

    /// The same, without a copy.
    pub fn into_parts(self) -> Vec<Vec<u8>> {
        let timelines = self.timelines.into_iter().map(Snapshot::into_bytes);
        std::iter::once(self.door.into_bytes()).chain(timelines).collect()
    }

    /// What was saved at a logical time, from the bytes of each part; `None` if there are none.
    pub fn from_parts(at: i64, parts: Vec<Vec<u8>>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let door = Snapshot::from_bytes(at, parts.next()?);
        Some(Self { door, timelines: parts.map(|part| Snapshot::from_bytes(at, part)).collect() })
    }
}

/// What the operators of all workers remembered.
#[derive(Clone, Debug)]
pub struct RestoredFlow {
    /// The logical time it is of.
    pub at: i64,
    /// Where only some rules are restored, and the log is read from its start: by rule, whether it
    /// is. What such a rule would observe before that time is remembered already.
    kept: Option<Arc<[bool]>>,
    door: Arc<[Snapshot<u128>]>,
    timelines: Vec<Arc<[Snapshot<Lane>]>>,
}

impl RestoredFlow {
    /// Puts together what each worker saved at a logical time.
    pub fn new(at: i64, workers: Vec<SavedFlow>) -> Self {
        let count = workers.iter().map(|saved| saved.timelines.len()).max().unwrap_or_default();
        let (mut door, mut timelines) = (Vec::new(), vec![Vec::new(); count]);
        for saved in workers {
            door.push(saved.door);
            for (parts, part) in timelines.iter_mut().zip(saved.timelines) {
                parts.push(part);
            }
        }
        let timelines = timelines.into_iter().map(Arc::from).collect();
        Self { at, kept: None, door: door.into(), timelines }
    }

    /// What of it is of rules that are unchanged; the others start from nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_rules(self, unchanged: &Unchanged, rules: &Rules) -> Result<Self, String> {
        let before = unchanged.before().iter();
        let before = before.map(|rule| {
            let (amend_within_ns, machinery) = (rule.amend_within_ns, rule.machinery);
            Group { amend_within_ns, machinery, tells_runs: rule.keeps_transitions }
        });
        let groups_before = Groups::of(before);
        let groups = Groups::new(rules);
        // The same for both: it is part of what all rules depend on.
        let timelines_each = self.timelines.len() / groups_before.count().max(1);
        let rekeyed = |lane: Lane| {
            let rule = unchanged.now(lane.rule())?;
            let hash = fixed_hash(&lane.entity);
            Some(Lane::new(lane.entity, hash, rule))
        };
        let of_group = |group: Group, each: usize| -> Result<Arc<[_]>, String> {
            let Some(group) = groups_before.position(group) else { return Ok([].into()) };
            let parts = self.timelines[group * timelines_each + each].iter();
            let parts = parts.map(|part| part.rekeyed(rekeyed)).collect::<Result<Vec<_>, _>>();
            Ok(parts.map_err(|error| error.to_string())?.into())
        };
        let mut timelines = Vec::new();
        for group in groups.each() {
            for each in 0..timelines_each {
                timelines.push(of_group(group, each)?);
            }
        }
        let mut kept = vec![false; rules.rules.len()];
        unchanged.numbers().for_each(|rule| kept[rule] = true);
        Ok(Self { at: self.at, kept: Some(kept.into()), door: [].into(), timelines })
    }

    /// The rules that have observed all before a logical time, if not all have.
    pub(super) fn kept(&self) -> Option<(i64, Arc<[bool]>)> {
        Some((self.at, Arc::clone(self.kept.as_ref()?)))
    }
}

/// Asks the operators of one worker for what they remember.
#[derive(Default)]
pub(super) struct Saving {
    door: Snapshots<u128>,
    timelines: Vec<Snapshots<Lane>>,
    restored: Option<RestoredFlow>,
}

impl Saving {
    pub(super) fn new(restored: Option<RestoredFlow>) -> Self {
        Self { restored, ..Self::default() }
    }

    /// The door, to be asked, and started from what it remembered.
    pub(super) fn door<R, T>(&self, door: Firsts<R, T>) -> Firsts<R, T>
    where
        R: Fn(&T::Event) -> i64 + 'static,
        T: Pass,
    {
        let door = door.with_snapshots(&self.door);
        match &self.restored {
            Some(restored) => door.restore_from(Arc::clone(&restored.door)),
            None => door,
        }
    }

    /// The next timeline, to be asked, and started from what it remembered.
    pub(super) fn timeline<'scope, M: Machine<Key = Lane>>(
        &mut self,
        timeline: Timeline<'scope, M>,
    ) -> Timeline<'scope, M> {
        let number = self.timelines.len();
        self.timelines.push(Snapshots::new());
        // As the intake brings entities to workers.
        let timeline = timeline
            .with_snapshots(&self.timelines[number])
            .routed_by(|lane| fixed_hash(&lane.entity));
        match self.restored.as_ref().and_then(|restored| restored.timelines.get(number)) {
            Some(parts) => timeline.restore_from(Arc::clone(parts)),
            None => timeline,
        }
    }

    /// The logical time that the flow starts from, if it is restored.
    pub(super) fn start(&self) -> Option<i64> {
        let restored = self.restored.as_ref().filter(|restored| restored.kept.is_none());
        restored.map(|restored| restored.at)
    }

    pub(super) fn request(&self, at: i64) {
        self.door.request(at);
        self.timelines.iter().for_each(|timeline| timeline.request(at));
    }

    /// What was requested, once the flow has come that far.
    pub(super) fn take(&self) -> Option<SavedFlow> {
        let timelines = self.timelines.iter().map(Snapshots::take).collect::<Option<_>>()?;
        Some(SavedFlow { door: self.door.take()?, timelines })
    }
}
