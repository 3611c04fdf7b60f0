//! `fates.ndjson`: what became of every record, a line each, in the order of the logs.
//!
//! The traces of a replay come in any order. Sorted by rule and entity, the observations are told
//! off against the runs they are in; sorted by place, what rules made of a record comes together.
//! State: what fits in memory of two external sorts, and what was decided of one lane.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use limbeck_operators::machines::hold_down::Decision;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub(crate) use self::row::{BallotRow, FATE_NAMES, Fate, FateRow, Row};
use super::report::KEPT;
use super::sort::{SavedSort, Unsaved};
use super::{AtomicFile, OutputDir, OutputError, Sorter};
use crate::durable::Disk;
use crate::model::episode::Catalog;
use crate::model::lane::LaneStory;
use crate::model::ledger::{
    DeadLetter, Disposition, Known, Mark, Place, Staged, Trace, TracedLane,
};
use crate::model::sighting::Position;
use crate::rules::{MARKER, Rules};

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

/// Where what was saved is found again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedFates {
    lanes: SavedSort,
    records: SavedSort,
}

/// What is yet to be saved.
pub(super) struct UnsavedFates {
    lanes: Unsaved<(TracedLane, OfLane)>,
    records: Unsaved<(RecordKey, OfRecord)>,
}

impl UnsavedFates {
    /// Brings all to the disk.
    pub(super) fn write(self) -> Result<SavedFates, OutputError> {
        Ok(SavedFates { lanes: self.lanes.write()?, records: self.records.write()? })
    }
}

impl SavedFates {
    pub(super) fn sorts(&self) -> [&SavedSort; 2] {
        [&self.lanes, &self.records]
    }
}

/// In this order: what was decided is known before the observations come.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum OfLane {
    Decided(Decision<u16>),
    Repeated(Place),
    Staged(Place, Staged),
    Observed { place: Place, state: u16, urgent: bool, position: Position, known: Known },
}

/// What tells records apart: a line may have several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct RecordKey {
    position: Position,
    entity: SmolStr,
    mark: Mark,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum OfRecord {
    DeadLetter { element: Option<u32>, column: u64, reason: String },
    Read { element: Option<u32>, raw_time_ns: Option<i64> },
    Whole { known: Known, disposition: Disposition },
    Fate { rule: u16, state: u16, urgent: bool, fate: Fate },
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
                    OfLane::Staged(_, what) => what.heap_bytes(),
                    _ => 0,
                };
                entity(&lane.entity) + more
            }),
            records: Sorter::new(dir.path(), SORT_BYTES_MAX, |(key, what)| {
                let more = match what {
                    OfRecord::DeadLetter { reason, .. } => reason.capacity(),
                    OfRecord::Fate { fate: Fate::Withheld(what), .. } => what.heap_bytes(),
                    OfRecord::Fate { fate: Fate::InRun { noted, .. }, .. } => {
                        let noted = noted.iter();
                        noted.map(|what| size_of::<Staged>() + what.heap_bytes()).sum()
                    }
                    _ => 0,
                };
                more + if key.entity.is_heap_allocated() { 2 * key.entity.len() } else { 0 }
            }),
            file: dir.file(FATES)?,
        })
    }

    /// Hands over what has been collected, to be saved.
    pub(super) fn save(&mut self, disk: &Disk, dir: &Path) -> Result<UnsavedFates, OutputError> {
        let lanes = self.lanes.save(disk, dir, &format!("{KEPT}lanes"))?;
        let records = self.records.save(disk, dir, &format!("{KEPT}records"))?;
        Ok(UnsavedFates { lanes, records })
    }

    /// Goes on with what was saved.
    pub(super) fn restore(&mut self, dir: &Path, saved: SavedFates) -> Result<(), OutputError> {
        self.lanes.restore(dir, saved.lanes)?;
        self.records.restore(dir, saved.records)
    }

    pub(super) fn dead_letter(
        &mut self,
        letter: &DeadLetter,
        diff: i64,
    ) -> Result<(), OutputError> {
        let position = Position::new(letter.partition as usize, letter.line);
        let mark = Mark { fingerprint: (0, 0), content: 0 };
        let key = RecordKey { position, entity: SmolStr::default(), mark };
        let (element, column, reason) = (letter.element, letter.column, letter.reason.clone());
        self.records.push((key, OfRecord::DeadLetter { element, column, reason }), diff)
    }

    pub(super) fn trace(&mut self, trace: Trace, diff: i64) -> Result<(), OutputError> {
        match trace {
            Trace::Record { position, known, disposition } => {
                let key = RecordKey::new(position, &known);
                self.records.push((key, OfRecord::Whole { known, disposition }), diff)
            }
            Trace::Read { position, entity, mark, element, raw_time_ns } => {
                let key = RecordKey { position, entity, mark };
                self.records.push((key, OfRecord::Read { element, raw_time_ns }), diff)
            }
            Trace::Observed { lane, place, state, urgent, position, known, .. } => {
                let observed = OfLane::Observed { place, state, urgent, position, known };
                self.lanes.push((lane, observed), diff)
            }
            Trace::Repeated { lane, place } => {
                self.lanes.push((lane, OfLane::Repeated(place)), diff)
            }
            Trace::Staged { lane, place, what } => {
                self.lanes.push((lane, OfLane::Staged(place, what)), diff)
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
        let mut records = self.records.finish()?.peekable();
        let mut of_line = OfLine::default();
        while let Some(row) = records.next() {
            let ((key, first), copies) = row?;
            if of_line.position != Some(key.position) {
                of_line.write(&mut self.file)?;
                of_line.position = Some(key.position);
            }
            let mut of_record = vec![(first, copies)];
            let same = |row: &Result<((RecordKey, OfRecord), i64), OutputError>| match row {
                Ok(((other, _), _)) => *other == key,
                Err(_) => true,
            };
            while let Some(row) = records.next_if(same) {
                let ((_, what), copies) = row?;
                of_record.push((what, copies));
            }
            of_line.add(&self.rules, &files[key.position.partition()], of_record);
        }
        of_line.write(&mut self.file)?;
        Ok(self.file)
    }
}

/// The rows of one line: by element they are known to be in order only when all are there.
#[derive(Default)]
struct OfLine {
    position: Option<Position>,
    rows: Vec<(Option<u32>, Vec<u8>)>,
}

impl OfLine {
    /// Adds the rows of what is told of one key: of one record, or of some that are equal. These are
    /// told by element, and the first is the one that counts.
    fn add(&mut self, rules: &Rules, file: &str, of_record: Vec<(OfRecord, i64)>) {
        let Some(position) = self.position else { return };
        let (mut reads, mut wholes, mut fates) = (Vec::new(), Vec::new(), Vec::new());
        for (what, copies) in of_record {
            let copies = usize::try_from(copies).expect("nothing is told less than never");
            match what {
                OfRecord::Read { element, raw_time_ns } => {
                    reads.extend(std::iter::repeat_n((element, raw_time_ns), copies));
                }
                OfRecord::Fate { rule, state, urgent, fate } => {
                    fates.push(FateRow::new(rules, rule, (state, urgent), &fate));
                }
                whole => wholes.push((whole, copies)),
            }
        }
        let mut reads = reads.into_iter();
        for (whole, copies) in &wholes {
            for _ in 0..*copies {
                let mut row = Row::new(file, position.line());
                match whole {
                    OfRecord::Whole { known, disposition } => {
                        let (element, raw_time_ns) = reads.next().unwrap_or_default();
                        row.record(known, *disposition, raw_time_ns);
                        row.element = element;
                        if matches!(disposition, Disposition::Used | Disposition::Late) {
                            row.fates = std::mem::take(&mut fates);
                        }
                    }
                    OfRecord::DeadLetter { element, column, reason } => {
                        row.element = *element;
                        row.dead_letter(*column, reason);
                    }
                    OfRecord::Read { .. } | OfRecord::Fate { .. } => continue,
                }
                let mut line = serde_json::to_vec(&row).expect("a Vec takes every write");
                line.push(b'\n');
                self.rows.push((row.element, line));
            }
        }
    }

    fn write(&mut self, file: &mut AtomicFile) -> Result<(), OutputError> {
        self.rows.sort_by_key(|(element, _)| *element);
        self.rows.drain(..).try_for_each(|(_, line)| file.put(&line))
    }
}

impl RecordKey {
    fn new(position: Position, known: &Known) -> Self {
        Self { position, entity: known.entity.clone(), mark: known.mark }
    }
}

/// Tells the observations of a lane off against its runs.
struct Teller<'c> {
    catalog: &'c Catalog,
    lane: TracedLane,
    decisions: Vec<Decision<u16>>,
    repeated: BTreeSet<Place>,
    staged: BTreeMap<Place, Vec<Staged>>,
    /// Made when the first observation comes.
    story: Option<LaneStory>,
    /// The run that is next, and how many of its observations have been.
    at: (usize, u32),
}

impl<'c> Teller<'c> {
    fn new(catalog: &'c Catalog, lane: TracedLane) -> Self {
        let (decisions, repeated, staged) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Self { catalog, lane, decisions, repeated, staged, story: None, at: (0, 0) }
    }

    fn take(&mut self, of_lane: OfLane) -> Option<(RecordKey, OfRecord)> {
        match of_lane {
            OfLane::Decided(decision) => self.decisions.push(decision),
            OfLane::Repeated(place) => {
                self.repeated.insert(place);
            }
            OfLane::Staged(place, what) => self.staged.entry(place).or_default().push(what),
            OfLane::Observed { place, state, urgent, position, known } => {
                let noted = self.staged.remove(&place).unwrap_or_default();
                let marked = noted.iter().find_map(|what| match what {
                    Staged::Marked { until_ns } if state == MARKER => Some(*until_ns),
                    _ => None,
                });
                let fate = match self.repeated.remove(&place) {
                    _ if state == MARKER => marked.map_or(Fate::Waiting, Fate::Marker),
                    true => Fate::Repeated,
                    false => match noted.iter().find(|what| what.is_withheld()) {
                        Some(what) => Fate::Withheld(what.clone()),
                        None => self.next(noted),
                    },
                };
                let key = RecordKey::new(position, &known);
                return Some((key, OfRecord::Fate { rule: self.lane.rule, state, urgent, fate }));
            }
        }
        None
    }

    /// The fate of the next observation that is in a run.
    fn next(&mut self, noted: Vec<Staged>) -> Fate {
        let Self { decisions, story, at, catalog, lane, .. } = self;
        let story = story.get_or_insert_with(|| LaneStory::new(&*decisions));
        while story.runs.get(at.0).is_some_and(|run| run.observations == at.1) {
            *at = (at.0 + 1, 0);
        }
        let Some(run) = story.runs.get(at.0) else { return Fate::Waiting };
        at.1 += 1;
        Fate::in_run(story, run, at.1 == 1, noted, |episode| {
            let ranks = catalog.ranks(usize::from(lane.rule), episode.state);
            catalog.id_of(ranks, &lane.entity, episode.since)
        })
    }
}
