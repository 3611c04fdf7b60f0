//! `fates.ndjson`: what became of every record, a line each, in the order of the logs.
//!
//! The traces of a replay come in any order. Sorted by rule and entity, the observations are told
//! off against the runs they are in; sorted by place, what rules made of a record comes together.
//! State: what fits in memory of two external sorts, and what was decided of one lane.

use std::collections::BTreeSet;

use limbeck_operators::machines::hold_down::Decision;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{AtomicFile, OutputDir, OutputError, Sorter};
use crate::model::duration::format_duration;
use crate::model::episode::Catalog;
use crate::model::lane::{LaneStory, Run, RunOutcome};
use crate::model::ledger::{DeadLetter, Disposition, Known, Place, Trace, TracedLane};
use crate::model::sighting::Position;
use crate::model::time::format_rfc3339;
use crate::rules::Rules;

/// The name of the file.
pub(super) const FATES: &str = "fates.ndjson";
const SORT_BYTES_MAX: usize = 32 << 20;

/// Collects traces, and writes the fates.
pub(super) struct Fates {
    rules: Rules,
    catalog: Catalog,
    lanes: Sorter<(TracedLane, OfLane)>,
    records: Sorter<(RecordKey, OfRecord)>,
    file: AtomicFile,
}

/// In this order: what was decided is known before the observations come.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum OfLane {
    Decided(Decision<u16>),
    Repeated(Place),
    Observed { place: Place, state: u16, position: Position, known: Known },
}

/// What tells records apart: a line may have several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct RecordKey {
    position: Position,
    entity: SmolStr,
    fingerprint: (u64, u64),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum OfRecord {
    DeadLetter { column: u64, reason: String },
    Corrected { raw_time_ns: i64 },
    Whole { known: Option<Known>, disposition: Disposition },
    Fate { rule: u16, state: u16, fate: Fate },
}

/// What a rule made of an observation.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Fate {
    /// It repeats another to the rule, which did not look at it.
    Repeated,
    /// It is of a run, as the first or a later one, which began an episode, or lies within one.
    InRun {
        first: bool,
        since_ns: i64,
        until_ns: Option<i64>,
        outcome: RunOutcome,
        episode: Option<u128>,
        begins: bool,
    },
    /// Its instant had not come.
    Waiting,
}

impl Fates {
    pub(super) fn new(dir: &OutputDir, rules: &Rules) -> Result<Self, OutputError> {
        Ok(Self {
            rules: rules.clone(),
            catalog: Catalog::new(rules),
            lanes: Sorter::new(dir.path(), SORT_BYTES_MAX, |(lane, what)| {
                let entity =
                    |entity: &SmolStr| if entity.is_heap_allocated() { entity.len() } else { 0 };
                let more = match what {
                    OfLane::Observed { known, .. } => entity(&known.entity),
                    _ => 0,
                };
                entity(&lane.entity) + more
            }),
            records: Sorter::new(dir.path(), SORT_BYTES_MAX, |(key, what)| {
                let more = match what {
                    OfRecord::DeadLetter { reason, .. } => reason.capacity(),
                    _ => 0,
                };
                more + if key.entity.is_heap_allocated() { 2 * key.entity.len() } else { 0 }
            }),
            file: dir.file(FATES)?,
        })
    }

    pub(super) fn dead_letter(
        &mut self,
        letter: &DeadLetter,
        diff: i64,
    ) -> Result<(), OutputError> {
        let position = Position::new(letter.partition as usize, letter.line);
        let key = RecordKey { position, entity: SmolStr::default(), fingerprint: (0, 0) };
        let (column, reason) = (letter.column, letter.reason.clone());
        self.records.push((key, OfRecord::DeadLetter { column, reason }), diff)
    }

    pub(super) fn trace(&mut self, trace: Trace, diff: i64) -> Result<(), OutputError> {
        match trace {
            Trace::Record { position, known, disposition } => {
                let key = RecordKey::new(position, known.as_ref());
                self.records.push((key, OfRecord::Whole { known, disposition }), diff)
            }
            Trace::Corrected { position, entity, fingerprint, raw_time_ns } => {
                let key = RecordKey { position, entity, fingerprint };
                self.records.push((key, OfRecord::Corrected { raw_time_ns }), diff)
            }
            Trace::Observed { lane, place, state, position, known } => {
                self.lanes.push((lane, OfLane::Observed { place, state, position, known }), diff)
            }
            Trace::Repeated { lane, place } => {
                self.lanes.push((lane, OfLane::Repeated(place)), diff)
            }
            Trace::Decided { lane, decision } => {
                self.lanes.push((lane, OfLane::Decided(decision)), diff)
            }
        }
    }

    /// Writes all fates; the file is yet to be put in place.
    pub(super) fn finish(mut self, files: &[String]) -> Result<AtomicFile, OutputError> {
        let mut lanes = self.lanes.finish()?.peekable();
        while let Some(row) = lanes.next() {
            let ((lane, first), _) = row?;
            let mut teller = Teller::new(&self.catalog, lane.clone());
            let mut next = Some(first);
            while let Some(of_lane) = next.take() {
                if let Some((key, fate)) = teller.take(of_lane) {
                    self.records.push((key, fate), 1)?;
                }
                let same = |row: &Result<((TracedLane, OfLane), i64), OutputError>| match row {
                    Ok(((other, _), _)) => *other == lane,
                    Err(_) => true,
                };
                if let Some(row) = lanes.next_if(same) {
                    let ((_, of_lane), _) = row?;
                    next = Some(of_lane);
                }
            }
        }
        let printer = Printer { rules: &self.rules, files };
        let mut line = Vec::new();
        let mut records = self.records.finish()?.peekable();
        // The event time that a record said, where another counts.
        let mut said: Option<(RecordKey, i64)> = None;
        while let Some(row) = records.next() {
            let ((key, whole), copies) = row?;
            if let OfRecord::Corrected { raw_time_ns } = whole {
                said = Some((key, raw_time_ns));
                continue;
            }
            let mut fates = Vec::new();
            while let Some(Ok(((_, OfRecord::Fate { rule, state, fate }), _))) =
                records.next_if(|row| match row {
                    Ok(((other, what), _)) => {
                        *other == key && matches!(what, OfRecord::Fate { .. })
                    }
                    Err(_) => false,
                })
            {
                fates.push(printer.fate(rule, state, &fate));
            }
            line.clear();
            let mut row = printer.row(&key, &whole, fates);
            let of_it = said.as_ref().filter(|(of, _)| *of == key);
            row.raw_time = of_it.map(|(_, raw_time_ns)| format_rfc3339(*raw_time_ns));
            serde_json::to_writer(&mut line, &row).expect("a Vec takes every write");
            line.push(b'\n');
            // Equal records of one line are as many rows.
            for _ in 0..copies {
                self.file.put(&line)?;
            }
        }
        Ok(self.file)
    }
}

impl RecordKey {
    fn new(position: Position, known: Option<&Known>) -> Self {
        let entity = known.map_or_else(SmolStr::default, |known| known.entity.clone());
        let fingerprint = known.map_or((0, 0), |known| known.fingerprint);
        Self { position, entity, fingerprint }
    }
}

/// Tells the observations of a lane off against its runs.
struct Teller<'c> {
    catalog: &'c Catalog,
    lane: TracedLane,
    decisions: Vec<Decision<u16>>,
    repeated: BTreeSet<Place>,
    /// Made when the first observation comes.
    story: Option<LaneStory>,
    /// The run that is next, and how many of its observations have been.
    at: (usize, u32),
}

impl<'c> Teller<'c> {
    fn new(catalog: &'c Catalog, lane: TracedLane) -> Self {
        let (decisions, repeated) = (Vec::new(), BTreeSet::new());
        Self { catalog, lane, decisions, repeated, story: None, at: (0, 0) }
    }

    fn take(&mut self, of_lane: OfLane) -> Option<(RecordKey, OfRecord)> {
        match of_lane {
            OfLane::Decided(decision) => self.decisions.push(decision),
            OfLane::Repeated(place) => {
                self.repeated.insert(place);
            }
            OfLane::Observed { place, state, position, known } => {
                let fate = match self.repeated.remove(&place) {
                    true => Fate::Repeated,
                    false => self.next(),
                };
                let key = RecordKey::new(position, Some(&known));
                return Some((key, OfRecord::Fate { rule: self.lane.rule, state, fate }));
            }
        }
        None
    }

    /// The fate of the next observation that is in a run.
    fn next(&mut self) -> Fate {
        let Self { decisions, story, at, catalog, lane, .. } = self;
        let story = story.get_or_insert_with(|| LaneStory::new(&*decisions));
        while story.runs.get(at.0).is_some_and(|run| run.observations == at.1) {
            *at = (at.0 + 1, 0);
        }
        let Some(run) = story.runs.get(at.0) else { return Fate::Waiting };
        at.1 += 1;
        let Run { since_ns, until_ns, outcome, .. } = *run;
        let episode = story.episode_of(run);
        let id = episode.map(|episode| {
            let ranks = catalog.ranks(usize::from(lane.rule), episode.state);
            catalog.id_of(ranks, &lane.entity, episode.since)
        });
        let begins = episode.is_some_and(|episode| episode.since == since_ns);
        Fate::InRun { first: at.1 == 1, since_ns, until_ns, outcome, episode: id, begins }
    }
}

/// A row as it is written.
#[derive(Serialize)]
struct Row<'r> {
    file: &'r str,
    line: u64,
    disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fates: Vec<FateRow<'r>>,
}

/// A fate as it is written.
#[derive(Serialize)]
struct FateRow<'r> {
    rule: &'r str,
    state: &'r str,
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    episode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lasted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<String>,
}

/// Puts rows in words.
struct Printer<'r> {
    rules: &'r Rules,
    files: &'r [String],
}

impl<'r> Printer<'r> {
    fn row(&self, key: &RecordKey, whole: &'r OfRecord, fates: Vec<FateRow<'r>>) -> Row<'r> {
        let mut row = Row {
            file: &self.files[key.position.partition()],
            line: key.position.line(),
            disposition: "dead-letter",
            column: None,
            reason: None,
            conflict: None,
            entity: None,
            time: None,
            raw_time: None,
            arrival: None,
            fates,
        };
        match whole {
            OfRecord::DeadLetter { column, reason } => {
                row.column = Some(*column);
                row.reason = Some(reason);
            }
            OfRecord::Whole { known, disposition } => {
                if let Some(known) = known {
                    row.entity = Some(&known.entity);
                    row.time = Some(format_rfc3339(known.event_time_ns));
                    row.arrival = Some(format_rfc3339(known.arrival_ns));
                }
                row.disposition = match disposition {
                    Disposition::Unmatched => "unmatched",
                    Disposition::Late => "late",
                    Disposition::Duplicate { .. } => "duplicate",
                    Disposition::Used => "used",
                };
                if let Disposition::Duplicate { conflict } = disposition {
                    row.conflict = Some(*conflict);
                }
            }
            OfRecord::Corrected { .. } | OfRecord::Fate { .. } => {
                unreachable!("a record is known before its fates")
            }
        }
        row
    }

    fn fate(&self, rule: u16, state: u16, fate: &Fate) -> FateRow<'r> {
        let rule = &self.rules.rules[usize::from(rule)];
        let signal = &self.rules.signals[rule.signal];
        let mut row = FateRow {
            rule: &rule.name,
            state: &signal.states[usize::from(state)].name,
            fate: "suppressed",
            by: None,
            episode: None,
            since: None,
            until: None,
            lasted: None,
            hold: None,
            within: None,
        };
        let (first, since_ns, until_ns, outcome, episode, begins) = match fate {
            Fate::Repeated => {
                row.by = Some("dedup");
                row.within = rule.dedup.as_ref().map(|dedup| format_duration(dedup.within_ns));
                return row;
            }
            Fate::Waiting => {
                row.fate = "pending";
                return row;
            }
            Fate::InRun { first, since_ns, until_ns, outcome, episode, begins } => {
                (*first, *since_ns, *until_ns, *outcome, *episode, *begins)
            }
        };
        let hold = format_duration(rule.hold_ns[usize::from(state)]);
        row.episode = episode.map(|id| format!("{id:032x}"));
        match outcome {
            RunOutcome::Established => {
                row.fate = if first && begins { "first" } else { "repeat" };
                return row;
            }
            RunOutcome::Pending => (row.fate, row.episode) = ("pending", None),
            RunOutcome::HeldDown => {
                row.fate = if episode.is_some() { "blip" } else { "suppressed" };
                row.by = Some("hold");
            }
            RunOutcome::Expired => (row.by, row.episode) = (Some("expired"), None),
        }
        row.since = Some(format_rfc3339(since_ns));
        row.until = until_ns.map(format_rfc3339);
        row.lasted = until_ns.map(|until| format_duration(until - since_ns));
        row.hold = Some(hold);
        row
    }
}
