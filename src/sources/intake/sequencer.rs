//! A partition's records in order: arrival that never decreases, jumps of the clock, lateness.
//!
//! Everything here is decided by the partition and the rule file alone, by no schedule. State: the
//! largest arrival so far. A block without jumps is judged as a whole, and what is left to do for
//! each of its records is done by the worker that keeps its entity.

use limbeck_operators::timeline::Timing;

use super::Batch;
use super::decoding::{DecodedBlock, Head, Row, Together};
use super::labels::LabelValues;
use crate::model::duration::format_duration;
use crate::model::ledger::{Count, DeadLetter, Disposition, Entry, Trace};
use crate::model::sighting::{Position, Sighting};
use crate::model::time::format_rfc3339;
use crate::rules::Rules;

/// What the rule file and the command line say about time.
#[derive(Clone, Copy, Debug)]
pub struct Clockwork {
    /// Lateness and tick.
    pub timing: Timing,
    /// A record whose arrival is further than this ahead of the one before is a dead letter.
    pub max_advance_ns: i64,
    /// Records that arrive after this are not part of the replay.
    pub until_ns: Option<i64>,
    /// How much of a partition is read at once, if not as much as is usual.
    pub block_bytes: Option<usize>,
    /// Whether the ledger traces every record.
    pub traced: bool,
}

/// Judges the records of one partition.
pub(super) struct Sequencer {
    clockwork: Clockwork,
    arrival_ns: Option<i64>,
    labels: Option<LabelValues>,
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
    pub(super) fn new(clockwork: Clockwork, rules: &Rules) -> Self {
        Self { clockwork, arrival_ns: None, labels: LabelValues::new(rules) }
    }

    /// The largest arrival so far: the clock of this partition.
    pub(super) fn arrival_ns(&self) -> Option<i64> {
        self.arrival_ns
    }

    /// The logical time of an arrival.
    pub(super) fn floor(&self, arrival_ns: i64) -> i64 {
        self.clockwork.timing.floor(arrival_ns)
    }

    /// Judges the next block; gives its buffer back.
    pub(super) fn judge(&mut self, mut block: DecodedBlock) -> (Sequenced, Vec<u8>) {
        let since_ns = self.arrival_ns.unwrap_or(i64::MIN);
        let mut ended = false;
        let tally = match block.together {
            None => Tally::default(),
            Some(together) if self.admits(&together) => {
                self.arrival_ns = Some(together.arrival_ns.max(since_ns));
                let Together { records, unmatched, condition_errors, .. } = together;
                let mut tally =
                    Tally { readable: records, unmatched, condition_errors, ..Tally::default() };
                if self.labels.is_some() || self.clockwork.traced {
                    let mut cursors = vec![0; block.rows.len()];
                    for head in &block.heads {
                        self.accept(
                            head,
                            block.partition,
                            &mut block.rows,
                            &mut cursors,
                            &mut tally,
                        );
                    }
                }
                tally
            }
            Some(_) => {
                let (tally, end_line) = self.judge_each(&mut block);
                ended = end_line.is_some();
                block.dead.retain(|letter| end_line.is_none_or(|end| letter.line < end));
                tally
            }
        };
        let last = self.arrival_ns.map_or(i64::MIN, |at| self.clockwork.timing.floor(at));
        let ledger = tally.entries(block.dead, last);
        (Sequenced { rows: block.rows, since_ns, ledger, last, ended }, block.bytes)
    }

    /// Whether every record of a block can be accepted.
    fn admits(&self, together: &Together) -> bool {
        let Clockwork { max_advance_ns, until_ns, .. } = self.clockwork;
        let first = self.arrival_ns.unwrap_or(together.first_arrival_ns);
        together.advance_ns <= max_advance_ns
            && together.first_arrival_ns.saturating_sub(first) <= max_advance_ns
            && until_ns.is_none_or(|until| together.arrival_ns.max(first) <= until)
    }

    /// Judges a block record by record, and drops the rows of those that are not accepted; also
    /// the line that arrives after `until`.
    fn judge_each(&mut self, block: &mut DecodedBlock) -> (Tally, Option<u64>) {
        let mut tally = Tally::default();
        let mut cursors = vec![0; block.rows.len()];
        // What becomes of each row, by worker: its arrival if it is accepted.
        let mut verdicts: Vec<Vec<Option<i64>>> = vec![Vec::new(); block.rows.len()];
        let mut end_line = None;
        for head in &block.heads {
            let arrival_ns = self.arrival_ns.map_or(head.arrival_ns, |at| at.max(head.arrival_ns));
            if let Some(reason) = self.jump(arrival_ns) {
                let (start, end) = (head.text.0 as usize, head.text.1 as usize);
                let text = &block.bytes[start..end];
                let partition = block.partition as u32;
                block.dead.push(DeadLetter::new(partition, head.line, 1, reason, text));
                if let Some(worker) = head.worker {
                    verdicts[usize::from(worker)].push(None);
                    cursors[usize::from(worker)] += 1;
                }
                continue;
            }
            if self.clockwork.until_ns.is_some_and(|until| arrival_ns > until) {
                end_line = Some(head.line);
                break;
            }
            self.arrival_ns = Some(arrival_ns);
            tally.readable += 1;
            tally.unmatched += u64::from(!head.matched);
            tally.condition_errors += u64::from(head.condition_errors);
            self.accept(head, block.partition, &mut block.rows, &mut cursors, &mut tally);
            if let Some(worker) = head.worker {
                verdicts[usize::from(worker)].push(Some(arrival_ns));
            }
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
        (tally, end_line)
    }

    /// Takes in a record in its turn: `cursors` say which row of each worker is next.
    fn accept(
        &mut self,
        head: &Head,
        partition: usize,
        rows: &mut [Vec<Row>],
        cursors: &mut [usize],
        tally: &mut Tally,
    ) {
        let Some(worker) = head.worker.map(usize::from) else {
            if self.clockwork.traced && !head.matched {
                let position = Position::new(partition, head.line);
                let disposition = Disposition::Unmatched;
                tally.traces.push(Trace::Record { position, known: None, disposition });
            }
            return;
        };
        let ((_, sighting), ..) = &mut rows[worker][cursors[worker]];
        cursors[worker] += 1;
        if let Some(labels) = &mut self.labels {
            tally.label_overflow += labels.admit(sighting);
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

/// What a worker must know to judge the records it is given.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// Lateness and tick.
    pub timing: Timing,
    /// How late a record may be to be of use to some rule; at least the lateness.
    pub amend_within_ns: i64,
    /// Whether the ledger traces every record.
    pub traced: bool,
}

impl Judgement {
    /// From which logical time on a duplicate of a record cannot be of use.
    pub fn repeats_until(&self, sighting: &Sighting) -> i64 {
        sighting.event_time_ns.saturating_add(self.amend_within_ns).saturating_add(1)
    }
}

impl Batch {
    /// Dates the records by their arrival and counts those that are late, in the ledger; those that
    /// no rule has a use for go there too.
    pub fn judge(&mut self, judgement: Judgement) {
        let Judgement { timing, amend_within_ns, traced } = judgement;
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
}

impl Tally {
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
        counts.chain(dead).chain(traces).collect()
    }
}
