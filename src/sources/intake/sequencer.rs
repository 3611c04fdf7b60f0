//! A partition's records in order: arrival that never decreases, jumps of the clock, lateness.
//!
//! Everything here is decided by the partition and the rule file alone, by no schedule. State: the
//! largest arrival so far.

use limbeck_operators::timeline::Timing;

use super::Batch;
use super::decoding::DecodedBlock;
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

/// How a partition stands after a block.
pub(super) struct Sequenced {
    pub(super) batch: Batch,
    /// The largest logical time in the batch.
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
        let mut tally = Tally::default();
        let mut dead = std::mem::take(&mut block.dead);
        let mut arrivals = Vec::with_capacity(block.sightings.len());
        let mut end_line = None;
        for head in &block.heads {
            let arrival_ns = self.arrival_ns.map_or(head.arrival_ns, |at| at.max(head.arrival_ns));
            if let Some(reason) = self.jump(arrival_ns) {
                let (start, end) = (head.text.0 as usize, head.text.1 as usize);
                let text = &block.bytes[start..end];
                let partition = block.partition as u32;
                dead.push(DeadLetter::new(partition, head.line, 1, reason, text));
                arrivals.extend(head.matched.then_some(None));
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
            arrivals.extend(head.matched.then_some(Some(arrival_ns)));
        }
        let mut last = i64::MIN;
        let mut arrivals = arrivals.into_iter();
        block.sightings.retain_mut(|((_, sighting), logical, _)| {
            let Some(Some(arrival_ns)) = arrivals.next() else { return false };
            let in_time = self.clockwork.admit(sighting, arrival_ns);
            tally.late += u64::from(!in_time);
            *logical = sighting.logical_ns;
            last = last.max(sighting.logical_ns);
            in_time
        });
        if let Some(end) = end_line {
            dead.retain(|letter| letter.line < end);
        }
        let at = self.arrival_ns.map_or(i64::MIN, |at| self.clockwork.timing.floor(at));
        let batch = Batch { sightings: block.sightings, ledger: tally.entries(dead, at) };
        (Sequenced { batch, last, ended: end_line.is_some() }, block.bytes)
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

impl Clockwork {
    /// Dates a sighting by its arrival; false if it is late.
    fn admit(&self, sighting: &mut Sighting, arrival_ns: i64) -> bool {
        let Timing { lateness, .. } = self.timing;
        let last_in_time = sighting.event_time_ns.saturating_add(lateness);
        sighting.arrival_ns = arrival_ns;
        sighting.logical_ns = self.timing.floor(arrival_ns);
        sighting.repeats_until_ns = self.timing.floor(last_in_time).saturating_add(1);
        arrival_ns <= last_in_time
    }
}

/// Counts of one block.
#[derive(Default)]
struct Tally {
    readable: u64,
    unmatched: u64,
    late: u64,
    condition_errors: u64,
}

impl Tally {
    fn entries(&self, dead: Vec<DeadLetter>, at: i64) -> Vec<(Entry, i64, isize)> {
        let counts = [
            (Count::Record, self.readable + dead.len() as u64),
            (Count::Unmatched, self.unmatched),
            (Count::Late, self.late),
            (Count::ConditionError, self.condition_errors),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let counts = counts.map(|(what, count)| (Entry::Count(what), at, count as isize));
        let dead = dead.into_iter().map(|letter| (Entry::DeadLetter(letter), at, 1));
        counts.chain(dead).collect()
    }
}
