//! A partition's records in order: arrival that never decreases, jumps of the clock, lateness.
//!
//! Everything here is decided by the partition and the rule file alone, by no schedule. State: the
//! largest arrival so far. A block without jumps is judged as a whole, and what is left to do for
//! each of its records is done by the worker that keeps its entity.

use limbeck_operators::timeline::Timing;

use super::Batch;
use super::decoding::{DecodedBlock, Row, Together};
use crate::model::duration::format_duration;
use crate::model::ledger::{Count, DeadLetter, Entry};
use crate::model::sighting::Sighting;
use crate::model::time::format_rfc3339;

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
}

/// Judges the records of one partition.
pub(super) struct Sequencer {
    clockwork: Clockwork,
    arrival_ns: Option<i64>,
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
    pub(super) fn new(clockwork: Clockwork) -> Self {
        Self { clockwork, arrival_ns: None }
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
                Tally {
                    readable: together.records,
                    unmatched: together.unmatched,
                    condition_errors: together.condition_errors,
                }
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
                }
                continue;
            }
            if self.clockwork.until_ns.is_some_and(|until| arrival_ns > until) {
                end_line = Some(head.line);
                break;
            }
            self.arrival_ns = Some(arrival_ns);
            tally.readable += 1;
            tally.unmatched += u64::from(head.worker.is_none());
            tally.condition_errors += u64::from(head.condition_errors);
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

impl Batch {
    /// The arrival of a record among these.
    pub fn arrival_ns(&self, sighting: &Sighting) -> i64 {
        sighting.arrival_ns.max(self.since_ns)
    }

    /// Dates the records by their arrival and takes out those that are late, to the ledger.
    pub fn judge(&mut self, timing: Timing) {
        let before = self.sightings.len();
        // Neighbours mostly share a tick.
        let mut tick = 0..0;
        self.sightings.retain_mut(|((_, sighting), logical, _)| {
            let last_in_time = sighting.event_time_ns.saturating_add(timing.lateness);
            sighting.arrival_ns = sighting.arrival_ns.max(self.since_ns);
            if !tick.contains(&sighting.arrival_ns) {
                let start = timing.floor(sighting.arrival_ns);
                tick = start..start.saturating_add(timing.tick);
            }
            *logical = tick.start;
            sighting.arrival_ns <= last_in_time
        });
        let late = before - self.sightings.len();
        if late > 0 {
            self.ledger.push((Entry::Count(Count::Late), self.last, late as isize));
        }
    }
}

/// Counts of one block.
#[derive(Default)]
struct Tally {
    readable: u64,
    unmatched: u64,
    condition_errors: u64,
}

impl Tally {
    fn entries(&self, dead: Vec<DeadLetter>, at: i64) -> Vec<(Entry, i64, isize)> {
        let counts = [
            (Count::Record, self.readable + dead.len() as u64),
            (Count::Unmatched, self.unmatched),
            (Count::ConditionError, self.condition_errors),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let counts = counts.map(|(what, count)| (Entry::Count(what), at, count as isize));
        let dead = dead.into_iter().map(|letter| (Entry::DeadLetter(letter), at, 1));
        counts.chain(dead).collect()
    }
}
