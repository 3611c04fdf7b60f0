//! `transitions.ndjson`: every change of state that rules counted, a line each, of the signals that
//! keep them.
//!
//! A transition is where a run begins: the state counts that was observed then, after the stages
//! before hold-down. Rows are in the order of the rules in the file, the entities, and the time; each
//! says what became of its run, as `fates.ndjson` does of records. State: what fits in memory of an
//! external sort; of one lane a run and a few episodes, however often it changed.

use std::path::Path;

use limbeck_operators::machines::hold_down::Decision;
use serde::Serialize;

use super::fates::{Fate, FateRow};
use super::sort::{SavedSort, Unsaved};
use super::{AtomicFile, OutputDir, OutputError, Sorter};
use crate::durable::Disk;
use crate::model::episode::Catalog;
use crate::model::lane::{LaneStory, Run};
use crate::model::ledger::TracedLane;
use crate::model::time::format_rfc3339;
use crate::rules::Rules;

/// The name of the file.
pub(super) const TRANSITIONS: &str = "transitions.ndjson";
const SORT_BYTES_MAX: usize = 16 << 20;
/// A run belongs to the last that began before its end, or to one before that.
const EPISODES_MAX: usize = 3;

/// When it began, whether it is a run (episodes come first), and the how manieth of that instant.
type Key = (TracedLane, i64, bool, u32);

/// Collects what was decided of lanes, and writes the transitions.
pub(super) struct Transitions {
    rules: Rules,
    catalog: Catalog,
    decided: Sorter<(Key, Decision<u16>)>,
    file: AtomicFile,
}

impl Transitions {
    pub(super) fn new(dir: &OutputDir, rules: &Rules) -> Result<Self, OutputError> {
        let bytes = |((lane, ..), _): &(Key, _)| match lane.entity.is_heap_allocated() {
            true => lane.entity.len(),
            false => 0,
        };
        Ok(Self {
            rules: rules.clone(),
            catalog: Catalog::new(rules),
            decided: Sorter::new(dir.path(), SORT_BYTES_MAX, bytes),
            file: dir.file(TRANSITIONS)?,
        })
    }

    /// Hands over what has been collected, to be saved.
    pub(super) fn save(
        &mut self,
        disk: &Disk,
        dir: &Path,
        name: &str,
    ) -> Result<Unsaved<(Key, Decision<u16>)>, OutputError> {
        self.decided.save(disk, dir, name)
    }

    /// Goes on with what was saved.
    pub(super) fn restore(&mut self, dir: &Path, saved: SavedSort) -> Result<(), OutputError> {
        self.decided.restore(dir, saved)
    }

    /// Takes in what was decided of a lane, if that is of a signal that keeps it.
    pub(super) fn decided(
        &mut self,
        lane: &TracedLane,
        decision: &Decision<u16>,
        diff: i64,
    ) -> Result<(), OutputError> {
        let rule = &self.rules.rules[usize::from(lane.rule)];
        let (since, is_run, nth) = match decision {
            Decision::Sustained(episode) => (episode.since, false, 0),
            Decision::Absorbed(run) => (run.since, true, run.nth),
            Decision::Run(run) => (run.since, true, run.nth),
            Decision::Candidate(_) | Decision::Undecided(_) => return Ok(()),
        };
        if !self.rules.signals[rule.signal].keeps_transitions {
            return Ok(());
        }
        let key = (lane.clone(), since, is_run, nth);
        self.decided.push((key, decision.clone()), diff)
    }

    /// Writes all transitions; the file is yet to be put in place.
    pub(super) fn finish(mut self) -> Result<AtomicFile, OutputError> {
        let mut of: Option<OfLane> = None;
        for row in self.decided.finish()? {
            let (((lane, ..), decision), _) = row?;
            if let Some(before) = of.take_if(|of| of.lane != lane) {
                before.write(&self.rules, &self.catalog, &mut self.file)?;
            }
            let of = of.get_or_insert_with(|| OfLane::new(lane));
            let Decision::Sustained(episode) = decision else {
                of.write(&self.rules, &self.catalog, &mut self.file)?;
                of.next(&decision);
                continue;
            };
            of.story.episodes.push(episode);
            let beyond = of.story.episodes.len().saturating_sub(EPISODES_MAX);
            of.story.episodes.drain(..beyond);
        }
        if let Some(last) = of {
            last.write(&self.rules, &self.catalog, &mut self.file)?;
        }
        Ok(self.file)
    }
}

/// What is known of a lane where one of its runs begins.
struct OfLane {
    lane: TracedLane,
    /// The last episodes, without runs.
    story: LaneStory,
    /// The last run, which is told when it is known which episodes began before its end, and the state
    /// before it.
    run: Option<(Option<u16>, Run)>,
}

#[derive(Serialize)]
struct Row<'r> {
    entity: &'r str,
    time: String,
    from: Option<&'r str>,
    observations: u32,
    #[serde(flatten)]
    became: FateRow<'r>,
}

impl OfLane {
    fn new(lane: TracedLane) -> Self {
        Self { lane, story: LaneStory::default(), run: None }
    }

    /// Takes in the next run.
    fn next(&mut self, decision: &Decision<u16>) {
        let mut runs = LaneStory::new([decision]).runs;
        let before = self.run.take().map(|(_, run)| run);
        self.run = runs.pop().map(|run| {
            // An entity that was forgotten was in no state.
            let from = before.filter(|before| before.until_ns == Some(run.since_ns));
            (from.map(|before| before.state), run)
        });
    }

    /// Writes the last run, if there is one.
    fn write(
        &self,
        rules: &Rules,
        catalog: &Catalog,
        file: &mut AtomicFile,
    ) -> Result<(), OutputError> {
        let Some((from, run)) = &self.run else { return Ok(()) };
        let TracedLane { rule, entity } = &self.lane;
        let signal = &rules.signals[rules.rules[usize::from(*rule)].signal];
        let fate = Fate::in_run(&self.story, run, true, Vec::new(), |episode| {
            let ranks = catalog.ranks(usize::from(*rule), episode.state);
            catalog.id_of(ranks, entity, episode.since)
        });
        let row = Row {
            entity,
            time: format_rfc3339(run.since_ns),
            from: from.map(|state| signal.state_name(state).as_str()),
            observations: run.observations,
            became: FateRow::new(rules, *rule, (run.state, false), &fate),
        };
        let mut line = serde_json::to_vec(&row).expect("a Vec takes every write");
        line.push(b'\n');
        file.put(&line)
    }
}
