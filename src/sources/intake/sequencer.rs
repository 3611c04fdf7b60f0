//! A partition's records in order: arrival that never decreases, jumps of the clock, lateness.
//!
//! Everything here is decided by the partition and the rule file alone, by no schedule. State: the
//! largest arrival so far, and the [accounts](super::accounts) of its sources. A block without jumps
//! is accepted as a whole; each record is entered in the account of its source, and what is left to
//! do for it is done by the worker that keeps its entity.

use std::collections::BTreeSet;
use std::ops::Range;

use limbeck_operators::timeline::Timing;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Batch;
use super::accounts::{Accounts, SOURCES_MAX, SavedAccounts};
use super::decoding::{DecodedBlock, Head, Mark, Note, Row, Text, Together};
use super::labels::LabelValues;
use super::saved::Cut;
use crate::model::account::Account;
use crate::model::duration::format_duration;
use crate::model::ledger::{self, Count, DeadLetter, Disposition, Entry, Known, Trace};
use crate::model::sighting::{Position, Sighting};
use crate::model::silencing::Silencing;
use crate::model::tie::Tie;
use crate::model::time::format_rfc3339;
use crate::rules::{Rules, Skew};

/// What the rule file and the command line say about time.
#[derive(Clone, Copy, Debug)]
pub struct Clockwork {
    /// Lateness and tick.
    pub timing: Timing,
    /// A record whose arrival is further than this ahead of the one before is a dead letter.
    pub max_advance_ns: i64,
    /// What comes before the first record that arrives then or later is not part of the replay.
    pub from_ns: Option<i64>,
    /// Records that arrive after this are not part of the replay.
    pub until_ns: Option<i64>,
    /// How much of a partition is read at once, if not as much as is usual.
    pub block_bytes: Option<usize>,
    /// Which records the ledger traces.
    pub traced: Traced,
}

/// Which records the ledger traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traced {
    /// None.
    Nothing,
    /// Those that fit a signal.
    Matched,
    /// Every one.
    Everything,
}

/// Judges the records of one partition.
pub(super) struct Sequencer {
    clockwork: Clockwork,
    arrival_ns: Option<i64>,
    accounts: Accounts,
    labels: Option<LabelValues>,
}

/// What a sequencer remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedSequencer {
    arrival_ns: Option<i64>,
    accounts: SavedAccounts,
    labels: Option<Vec<Vec<BTreeSet<SmolStr>>>>,
}

/// A block whose records are in order behind those before.
pub(super) struct Sequenced {
    /// By worker.
    pub(super) rows: Vec<Vec<Row>>,
    /// No record of the block arrived before this.
    pub(super) since_ns: i64,
    pub(super) ledger: Vec<(Entry, i64, isize)>,
    /// Its largest logical time.
    pub(super) last: i64,
    /// Whether the rest of the partition arrives after `until`.
    pub(super) ended: bool,
}

impl Sequencer {
    /// A sequencer for a partition that a source of this number reads.
    pub(super) fn new(clockwork: Clockwork, rules: &Rules, source: usize) -> Self {
        let corrects = rules.sources[source].skew == Skew::Correct;
        let accounts = Accounts::new(clockwork.timing.lateness, corrects, SOURCES_MAX);
        Self { clockwork, arrival_ns: None, accounts, labels: LabelValues::new(rules) }
    }

    /// What its sources came to.
    pub(super) fn close(&mut self) -> impl Iterator<Item = (Option<SmolStr>, Account)> {
        self.accounts.close()
    }

    /// What is remembered.
    pub(super) fn saved(&self) -> SavedSequencer {
        SavedSequencer {
            arrival_ns: self.arrival_ns,
            accounts: self.accounts.saved(),
            labels: self.labels.as_ref().map(LabelValues::saved),
        }
    }

    /// Goes on with what was remembered.
    pub(super) fn restore(&mut self, saved: SavedSequencer) {
        let SavedSequencer { arrival_ns, accounts, labels } = saved;
        self.arrival_ns = arrival_ns;
        self.accounts.restore(accounts);
        if let (Some(of_log), Some(labels)) = (&mut self.labels, labels) {
            of_log.restore(labels);
        }
    }

    /// The first of a block that is accepted and arrives then or later.
    pub(super) fn first_since(&self, block: &DecodedBlock, since_ns: i64) -> Option<Cut> {
        let last_ns = block.together.map_or(i64::MIN, |together| together.arrival_ns);
        if block.marks.is_empty() && last_ns < since_ns {
            return None;
        }
        let mut comes_to = self.accepting();
        let mut reaches = |arrival_ns: i64| comes_to(arrival_ns).is_some_and(|at| at >= since_ns);
        let mut marks = 0;
        for heads in 0..=block.heads.len() {
            while let Some(mark) = block.marks.get(marks).filter(|mark| mark.head <= heads) {
                if reaches(mark.until_ns) {
                    return Some(Cut { heads, marks, at_mark: true });
                }
                marks += 1;
            }
            if block.heads.get(heads).is_some_and(|head| reaches(head.arrival_ns)) {
                return Some(Cut { heads, marks, at_mark: false });
            }
        }
        None
    }

    /// How much time a block takes, by those of its records that would be accepted next.
    pub(super) fn span_ns(&self, block: &DecodedBlock) -> i64 {
        let Some(together) = block.together else { return 0 };
        if self.admits(&together) {
            return together.arrival_ns.saturating_sub(together.first_arrival_ns);
        }
        let mut comes_to = self.accepting();
        let mut accepted = block.heads.iter().filter_map(|head| comes_to(head.arrival_ns));
        let first = accepted.next();
        let last = accepted.last().or(first);
        last.zip(first).map_or(0, |(last, first)| last.saturating_sub(first))
    }

    /// What accepts one arrival after another, and says to when the clock comes; not of one before the
    /// replay, or that is a jump.
    fn accepting(&self) -> impl FnMut(i64) -> Option<i64> + use<> {
        let Clockwork { from_ns, max_advance_ns, .. } = self.clockwork;
        let mut clock_ns = self.arrival_ns;
        move |arrival_ns| {
            if clock_ns.is_none() && from_ns.is_some_and(|from| arrival_ns < from) {
                return None;
            }
            let at = clock_ns.map_or(arrival_ns, |at| at.max(arrival_ns));
            if at.saturating_sub(clock_ns.unwrap_or(at)) > max_advance_ns {
                return None;
            }
            clock_ns = Some(at);
            clock_ns
        }
    }

    /// The largest arrival so far: the clock of this partition.
    pub(super) fn arrival_ns(&self) -> Option<i64> {
        self.arrival_ns
    }

    /// The logical time of an arrival.
    pub(super) fn floor(&self, arrival_ns: i64) -> i64 {
        self.clockwork.timing.floor(arrival_ns)
    }

    /// The first logical time behind an arrival.
    pub(super) fn next_tick(&self, arrival_ns: i64) -> i64 {
        self.floor(arrival_ns).saturating_add(self.clockwork.timing.tick)
    }

    /// Judges the next block; gives back what its records were made of.
    pub(super) fn judge(&mut self, mut block: DecodedBlock) -> (Sequenced, Text) {
        let since_ns = self.arrival_ns.unwrap_or(i64::MIN);
        let mut ended = false;
        let mut taking = Taking {
            partition: block.partition,
            sources: block.sources.names().map(|name| self.accounts.number(name)).collect(),
            cursors: vec![0; block.rows.len()],
            notes: std::mem::take(&mut block.notes).into_iter().peekable(),
            hears: !block.heard.is_empty(),
            heard: std::mem::take(&mut block.heard).into_iter().peekable(),
            tally: Tally::default(),
        };
        match block.together {
            None if block.marks.is_empty() && self.has_begun() => {}
            Some(together) if block.marks.is_empty() && self.admits(&together) => {
                for (number, head) in block.heads.iter().enumerate() {
                    self.take(number, head, &mut block.rows, &mut taking);
                }
                let Together { records, unmatched, condition_errors, .. } = together;
                taking.tally.add(records, unmatched, condition_errors);
            }
            _ => {
                let part = self.judge_each(&mut block, &mut taking);
                ended = part.ended();
                let mut before = block.dead_before.take().map(Vec::into_iter);
                block.dead.retain(|letter| match &mut before {
                    None => part.lines.contains(&letter.line),
                    // Those of jumps come behind all others, and are part of it.
                    Some(before) => before.next().is_none_or(|at| part.places.contains(&at)),
                });
            }
        }
        let last = self.arrival_ns.map_or(i64::MIN, |at| self.clockwork.timing.floor(at));
        let ledger = taking.tally.entries(block.dead, last);
        (Sequenced { rows: block.rows, since_ns, ledger, last, ended }, block.text)
    }

    /// Whether what comes is part of the replay.
    fn has_begun(&self) -> bool {
        self.clockwork.from_ns.is_none() || self.arrival_ns.is_some()
    }

    /// Whether every record of a block can be accepted.
    fn admits(&self, together: &Together) -> bool {
        let Clockwork { max_advance_ns, until_ns, .. } = self.clockwork;
        let first = self.arrival_ns.unwrap_or(together.first_arrival_ns);
        self.has_begun()
            && together.advance_ns <= max_advance_ns
            && together.first_arrival_ns.saturating_sub(first) <= max_advance_ns
            && until_ns.is_none_or(|until| together.arrival_ns.max(first) <= until)
    }

    /// Judges a block record by record, and drops the rows of those that are not accepted; what of
    /// it is part of the replay.
    fn judge_each(&mut self, block: &mut DecodedBlock, taking: &mut Taking) -> Part {
        // What becomes of each row, by worker: its arrival if it is accepted.
        let mut verdicts: Vec<Vec<Option<i64>>> = vec![Vec::new(); block.rows.len()];
        let mut part = Part::new(self.has_begun());
        let mut marks = std::mem::take(&mut block.marks).into_iter().enumerate().peekable();
        for (number, head) in block.heads.iter().enumerate() {
            while let Some((at, mark)) = marks.next_if(|(_, mark)| mark.head <= number) {
                self.pass(at, &mark, &mut part);
            }
            if part.ended() {
                break;
            }
            if !self.has_begun() {
                if self.clockwork.from_ns.is_some_and(|from| head.arrival_ns < from) {
                    if let Some(worker) = head.worker {
                        verdicts[usize::from(worker)].push(None);
                        taking.cursors[usize::from(worker)] += 1;
                    }
                    continue;
                }
                part.lines.start = head.line;
                part.places.start = (number + 1, 0);
            }
            let arrival_ns = self.arrival_ns.map_or(head.arrival_ns, |at| at.max(head.arrival_ns));
            if let Some(reason) = self.jump(arrival_ns) {
                let text = block.text.of(head);
                let partition = block.partition as u32;
                let mut letter = DeadLetter::new(partition, head.line, 1, reason, &text);
                letter.element = taking.note(number).and_then(|note| note.element);
                block.dead.push(letter);
                if let Some(worker) = head.worker {
                    verdicts[usize::from(worker)].push(None);
                    taking.cursors[usize::from(worker)] += 1;
                }
                continue;
            }
            if self.clockwork.until_ns.is_some_and(|until| arrival_ns > until) {
                part.lines.end = head.line;
                part.places.end = (number + 1, 0);
                break;
            }
            self.take(number, head, &mut block.rows, taking);
            let errors = u64::from(head.condition_errors);
            taking.tally.add(1, u64::from(!head.matched), errors);
            if let Some(worker) = head.worker {
                verdicts[usize::from(worker)].push(Some(arrival_ns));
            }
        }
        for (at, mark) in marks {
            self.pass(at, &mark, &mut part);
        }
        for (rows, verdicts) in block.rows.iter_mut().zip(verdicts) {
            // Rows behind the end have no verdict.
            let mut verdicts = verdicts.into_iter();
            rows.retain_mut(|((_, sighting), ..)| {
                let arrival = verdicts.next().flatten();
                sighting.arrival_ns = arrival.unwrap_or_default();
                arrival.is_some()
            });
        }
        part
    }

    /// Lets time pass to a mark of the block, unless that is before the replay or a jump; the end of the replay
    /// comes where it is after it.
    fn pass(&mut self, at: usize, mark: &Mark, part: &mut Part) {
        let Clockwork { from_ns, until_ns, .. } = self.clockwork;
        let is_before = !self.has_begun() && from_ns.is_some_and(|from| mark.until_ns < from);
        if part.ended() || is_before || self.jump(mark.until_ns).is_some() {
            return;
        }
        if until_ns.is_some_and(|until| mark.until_ns > until) {
            part.lines.end = mark.line + 1;
            part.places.end = (mark.head, at + 1);
            return;
        }
        if !self.has_begun() {
            part.lines.start = mark.line + 1;
            part.places.start = (mark.head, at + 1);
        }
        self.arrival_ns = self.arrival_ns.max(Some(mark.until_ns));
    }

    /// Takes in the next record.
    #[inline(always)]
    fn take(&mut self, number: usize, head: &Head, rows: &mut [Vec<Row>], taking: &mut Taking) {
        let arrival_ns = self.arrival_ns.map_or(head.arrival_ns, |at| at.max(head.arrival_ns));
        self.arrival_ns = Some(arrival_ns);
        let source = taking.sources[head.source as usize];
        let correction_ns = self.accounts.enter(source, head, arrival_ns);
        let traced = self.clockwork.traced != Traced::Nothing;
        if traced || self.labels.is_some() || self.accounts.correct() || taking.hears {
            self.look((number, head), (arrival_ns, correction_ns), rows, taking);
        }
    }

    /// Takes in a record alone, and gives its age: how long after it happened it arrived. The error
    /// is why it is not accepted.
    pub(super) fn age_ns(&mut self, source: &SmolStr, head: &Head) -> Result<i64, String> {
        let arrival_ns = self.arrival_ns.map_or(head.arrival_ns, |at| at.max(head.arrival_ns));
        if let Some(reason) = self.jump(arrival_ns) {
            return Err(reason);
        }
        self.arrival_ns = Some(arrival_ns);
        let source = self.accounts.number(source);
        let correction_ns = self.accounts.enter(source, head, arrival_ns);
        Ok(arrival_ns.saturating_sub(head.event_time_ns.wrapping_add(correction_ns)))
    }

    /// Looks at a record itself, where it matters in which order they come.
    #[inline(never)]
    fn look(
        &mut self,
        (number, head): (usize, &Head),
        (arrival_ns, correction_ns): (i64, i64),
        rows: &mut [Vec<Row>],
        taking: &mut Taking,
    ) {
        let at = self.floor(arrival_ns);
        taking.hear(number, (arrival_ns, at));
        let traced = self.clockwork.traced != Traced::Nothing;
        let note = if traced { taking.note(number) } else { None };
        let element = note.as_ref().and_then(|note| note.element);
        let raw_time_ns = Some(head.event_time_ns).filter(|_| correction_ns != 0);
        let Taking { partition, cursors, tally, .. } = taking;
        let mut trace_read = |entity: SmolStr, mark: ledger::Mark| {
            if element.is_some() || raw_time_ns.is_some() {
                let position = Position::new(*partition, head.line);
                tally.traces.push(Trace::Read { position, entity, mark, element, raw_time_ns });
            }
        };
        let Some(worker) = head.worker.map(usize::from) else {
            if let Some((entity, why)) = note.and_then(|note| note.unmatched) {
                let fingerprint = (element.unwrap_or_default().into(), 0);
                let mark = ledger::Mark { fingerprint, content: 0 };
                trace_read(entity.clone(), mark);
                let event_time_ns = head.event_time_ns.wrapping_add(correction_ns);
                let known = Known { event_time_ns, arrival_ns, entity, mark };
                let position = Position::new(*partition, head.line);
                let disposition = Disposition::Unmatched(why);
                tally.traces.push(Trace::Record { position, known, disposition });
            }
            return;
        };
        let ((entity, sighting), ..) = &mut rows[worker][cursors[worker]];
        cursors[worker] += 1;
        if let Some(labels) = &mut self.labels {
            tally.label_overflow += labels.admit(sighting);
        }
        if traced {
            trace_read(entity.name(), sighting.mark());
        }
        if correction_ns != 0 {
            // Two records of one source and id may come to one time: what they said comes last.
            let tie = std::mem::replace(&mut sighting.tie, Tie::from(Vec::new()));
            sighting.tie = tie.then(sighting.event_time_ns);
            // A difference of two times that overflowed comes back to the time itself.
            sighting.event_time_ns = sighting.event_time_ns.wrapping_add(correction_ns);
        }
    }

    /// Why a record with this arrival cannot be accepted, if so.
    fn jump(&self, arrival_ns: i64) -> Option<String> {
        let clock_ns = self.arrival_ns?;
        let advance_ns = arrival_ns.saturating_sub(clock_ns);
        (advance_ns > self.clockwork.max_advance_ns).then(|| {
            format!(
                "arrival {} is more than {} (max_advance) ahead of {}, the clock so far",
                format_rfc3339(arrival_ns),
                format_duration(self.clockwork.max_advance_ns),
                format_rfc3339(clock_ns),
            )
        })
    }
}

/// What of a block is part of the replay.
struct Part {
    lines: Range<u64>,
    /// Where lines may be of several blocks: behind how many heads and marks it is.
    places: Range<(usize, usize)>,
}

impl Part {
    /// All of it, or nothing yet.
    fn new(has_begun: bool) -> Self {
        let (lines, places) = (u64::MAX, (usize::MAX, usize::MAX));
        match has_begun {
            true => Self { lines: 0..lines, places: (0, 0)..places },
            false => Self { lines: lines..lines, places: places..places },
        }
    }

    fn ended(&self) -> bool {
        self.lines.end < u64::MAX
    }
}

/// What is kept of a block while its records are taken in.
struct Taking {
    partition: usize,
    /// The numbers of its sources in the accounts.
    sources: Vec<usize>,
    /// Which row of each worker is next.
    cursors: Vec<usize>,
    /// Those of the heads that are next.
    notes: std::iter::Peekable<std::vec::IntoIter<Note>>,
    /// Whether some of the heads say something of silences, and what those do that are next.
    hears: bool,
    heard: std::iter::Peekable<std::vec::IntoIter<(usize, Silencing)>>,
    tally: Tally,
}

impl Taking {
    /// What is noted of a head; in the order of the heads.
    fn note(&mut self, head: usize) -> Option<Note> {
        while self.notes.next_if(|note| note.head < head).is_some() {}
        self.notes.next_if(|note| note.head == head)
    }

    /// Takes in what a head says of silences; in the order of the heads.
    fn hear(&mut self, head: usize, (arrival_ns, at): (i64, i64)) {
        while let Some((of, heard)) = self.heard.next_if(|(of, _)| *of <= head) {
            if of == head {
                self.tally.heard.push((Silencing { arrival_ns, ..heard }, at));
            }
        }
    }
}

/// What a worker must know to judge the records it is given.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// Lateness and tick.
    pub timing: Timing,
    /// How late a record may be to be of use to some rule; at least the lateness.
    pub amend_within_ns: i64,
    /// Whether event times are corrected anywhere.
    pub corrects: bool,
    /// Whether the ledger traces every record.
    pub traced: bool,
}

/// How much longer repeats are known where event times are corrected.
const REPEATS_KEPT_NS: i64 = 60_000_000_000;

impl Judgement {
    /// From when on a record is no repeat of another. Where event times count as they are said, none
    /// of the same event time can be of use any more. Where they are corrected, a repeat that comes
    /// through another partition, or later, may be corrected by something else.
    pub fn repeats_until(&self, sighting: &Sighting) -> i64 {
        let Sighting { event_time_ns, arrival_ns, .. } = sighting;
        let since_ns = match self.corrects {
            true => arrival_ns.saturating_add(REPEATS_KEPT_NS).max(*event_time_ns),
            false => *event_time_ns,
        };
        since_ns.saturating_add(self.amend_within_ns).saturating_add(1)
    }
}

impl Batch {
    /// Dates the records by their arrival and counts those that are late, in the ledger; those that
    /// no rule has a use for go there too.
    pub fn judge(&mut self, judgement: Judgement) {
        let Judgement { timing, amend_within_ns, traced, .. } = judgement;
        let Self { sightings, ledger, since_ns, last } = self;
        // Neighbours mostly share a tick.
        let mut tick = 0..0;
        let mut late = 0;
        sightings.retain_mut(|((entity, sighting), logical, _)| {
            sighting.arrival_ns = sighting.arrival_ns.max(*since_ns);
            if !tick.contains(&sighting.arrival_ns) {
                let start = timing.floor(sighting.arrival_ns);
                tick = start..start.saturating_add(timing.tick);
            }
            *logical = tick.start;
            if sighting.age_ns() <= timing.lateness {
                return true;
            }
            late += 1;
            let kept = sighting.age_ns() <= amend_within_ns;
            if traced && !kept {
                let trace = sighting.trace(entity, Disposition::Late);
                ledger.push((Entry::Trace(Box::new(trace)), *logical, 1));
            }
            kept
        });
        if late > 0 {
            ledger.push((Entry::Count(Count::Late), *last, late));
        }
    }
}

/// Counts of one block.
#[derive(Default)]
struct Tally {
    readable: u64,
    unmatched: u64,
    condition_errors: u64,
    label_overflow: u64,
    traces: Vec<Trace>,
    heard: Vec<(Silencing, i64)>,
}

impl Tally {
    fn add(&mut self, readable: u64, unmatched: u64, condition_errors: u64) {
        self.readable += readable;
        self.unmatched += unmatched;
        self.condition_errors += condition_errors;
    }

    fn entries(self, dead: Vec<DeadLetter>, at: i64) -> Vec<(Entry, i64, isize)> {
        let counts = [
            (Count::Record, self.readable + dead.len() as u64),
            (Count::Unmatched, self.unmatched),
            (Count::ConditionError, self.condition_errors),
            (Count::LabelOverflow, self.label_overflow),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let counts = counts.map(|(what, count)| (Entry::Count(what), at, count as isize));
        let dead = dead.into_iter().map(|letter| (Entry::DeadLetter(letter), at, 1));
        let traces = self.traces.into_iter().map(|trace| (Entry::Trace(Box::new(trace)), at, 1));
        let heard = self.heard.into_iter();
        let heard = heard.map(|(heard, at)| (Entry::Silencing(Box::new(heard)), at, 1));
        counts.chain(dead).chain(traces).chain(heard).collect()
    }
}
