//! Log files become batches for the workers, in the order of arrival and no faster than they flow.
//!
//! ```text
//!     partitions ──▶ reader ──▶ decoding threads ──▶ reader: sequencer per partition ──▶ workers
//!     (files)        blocks     records, by worker   arrival, jumps                      each its own
//! ```
//!
//! The reader always takes the next block from the partition whose clock is furthest behind, and
//! only a few blocks are on their way at once: a partition that is ahead waits, and memory does not
//! depend on how far apart partitions are. Everything handed to a worker says how far the clock of
//! all partitions has come.

mod accounts;
mod decoding;
mod hearing;
mod judged;
mod labels;
mod lane;
mod matcher;
mod records;
mod rows;
mod saved;
mod sequencer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use limbeck_operators::intake::{Feed, Message};

use self::decoding::{DecodedBlock, Habits, Raw, Text};
use self::lane::{Lane, lanes};
use self::rows::RawRows;
use self::saved::SavedLane;
use self::sequencer::Sequenced;
use super::header::{Header, header};
use super::{Blocks, InputError, Interrupt, Opened};
use crate::log::{Groups, Stored};
use crate::metrics::{Metrics, Stage};
use crate::model::account::{Account, SourceKey};
use crate::model::entity::Entity;
use crate::model::ledger::{Count, Entry};
use crate::model::sighting::Sighting;
use crate::rules::{Format, Rules};

pub use self::matcher::{Asked, Fit, Matcher, Witness};
pub(crate) use self::records::of_block;
pub use self::records::{Arrivals, Seen, View, records};
pub(crate) use self::saved::Start;
pub use self::saved::{SavedIntake, Saver};
pub use self::sequencer::{Clockwork, Judgement, Traced};

/// The longest record; a longer one is a dead letter.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
const BLOCK_BYTES_MAX: usize = 512 << 10;
const BLOCK_BYTES_MIN: usize = 16 << 10;
/// As many threads can keep one worker busy.
const DECODERS_MAX: usize = 2;
/// What can be saved goes no further ahead than so many blocks of the partition that is behind.
const BLOCKS_AHEAD_MAX: i64 = 4;
/// All partitions' unread rests together stay below this.
const PARTITIONS_BYTES_MAX: usize = 32 << 20;

/// What a worker is given at once, still [to be judged](Batch::judge).
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records that fit a signal, by entity, with their logical times.
    pub sightings: Vec<((Entity, Sighting), i64, isize)>,
    /// What became of others.
    pub ledger: Vec<(Entry, i64, isize)>,
    /// No record arrived before this.
    since_ns: i64,
    /// The largest logical time.
    last: i64,
}

/// A log file of the replay.
pub struct Partition {
    number: usize,
    source: usize,
    /// None at its end.
    unread: Option<Unread>,
    /// What is remembered of what has been read before.
    restored: Option<SavedLane>,
    /// A logical time that it must come to, as it did before, and how the block began that did.
    leads_to: Option<(i64, Start)>,
}

/// What is yet to be read of a partition.
enum Unread {
    /// Lines, under a header if they are rows.
    Lines(Box<Blocks>, Option<Header>),
    /// Records that were read before.
    Groups(Box<Groups>),
}

impl Partition {
    /// The log `number` of the command line, from 0, which a source of the rule file reads.
    ///
    /// # Errors
    /// [`InputError::Header`] or [`InputError::Misfit`], if the source needs a header and the log
    /// has no good one.
    pub fn new(
        number: usize,
        source: usize,
        input: Opened,
        rules: &Rules,
    ) -> Result<Self, InputError> {
        let name = input.name().to_owned();
        let input = match rules.sources[source].format.document() {
            Some(documents) => input.holding(documents),
            None => input,
        };
        let mut blocks = Blocks::new(input, BLOCK_BYTES_MIN, RECORD_BYTES_MAX);
        let header = match &rules.sources[source].format {
            Format::Csv(csv) => header(&name, csv, &mut blocks, RECORD_BYTES_MAX)?,
            _ => None,
        };
        let unread = Some(Unread::Lines(Box::new(blocks), header));
        Ok(Self { number, source, unread, restored: None, leads_to: None })
    }

    /// A partition of a replay log in the place of a log.
    pub fn stored(number: usize, source: usize, stored: Stored, interrupt: &Interrupt) -> Self {
        let unread = Some(Unread::Groups(Box::new(Groups::new(stored, interrupt))));
        Self { number, source, unread, restored: None, leads_to: None }
    }

    /// Goes on with what is remembered of it at a logical time.
    fn go_on(&mut self, at: i64, saved: SavedLane) -> Result<(), InputError> {
        self.check_end(&saved)?;
        match (&mut self.unread, saved.next.map(|next| next.start)) {
            (unread, None) => *unread = None,
            (Some(Unread::Lines(blocks, _)), Some(Start::Line { offset, line, head })) => {
                blocks.go_on_at(offset, line, head)?;
            }
            (Some(Unread::Groups(groups)), Some(Start::Log)) => groups.seek(Some(at)),
            (Some(Unread::Lines(blocks, _)), Some(Start::Log)) => {
                return Err(another(blocks.input().name(), "that was a replay log"));
            }
            (Some(Unread::Groups(groups)), Some(Start::Line { .. })) => {
                return Err(another(&groups.name(), "that was no replay log"));
            }
            (None, Some(_)) => {}
        }
        self.restored = Some(saved);
        Ok(())
    }

    /// Finds out whether a log that had ended is as long as it was.
    fn check_end(&self, saved: &SavedLane) -> Result<(), InputError> {
        let (Some(Unread::Lines(blocks, _)), Some(ended)) = (&self.unread, saved.ended_bytes)
        else {
            return Ok(());
        };
        let input = blocks.input();
        match input.size_bytes() {
            Some(now) if now != ended => {
                let detail = format!("it ended behind {ended} bytes, and has {now} now");
                Err(another(input.name(), &detail))
            }
            _ => Ok(()),
        }
    }

    /// Which source of the rule file reads it.
    pub(crate) fn source(&self) -> usize {
        self.source
    }

    /// What its columns are called, if it has any.
    pub(crate) fn header(&self) -> Option<Header> {
        match &self.unread {
            Some(Unread::Lines(_, header)) => header.clone(),
            Some(Unread::Groups(_)) | None => None,
        }
    }

    /// Its lines, if it is a log of lines.
    pub(crate) fn into_blocks(self) -> Option<Blocks> {
        match self.unread? {
            Unread::Lines(blocks, _) => Some(*blocks),
            Unread::Groups(_) => None,
        }
    }

    /// How long the log is as it is stored, if that is known.
    pub fn size_bytes(&self) -> Option<u64> {
        match &self.unread {
            Some(Unread::Lines(blocks, _)) => blocks.input().size_bytes(),
            Some(Unread::Groups(groups)) => Some(groups.size_bytes()),
            None => Some(0),
        }
    }
}

/// Has partitions, all there are, go on with what is remembered of them at a logical time.
///
/// # Errors
/// [`InputError::Another`], if they are not those that it is of.
pub fn go_on(partitions: &mut [Partition], at: i64, saved: SavedIntake) -> Result<(), InputError> {
    for (partition, saved) in partitions.iter_mut().zip(saved.lanes) {
        partition.go_on(at, saved)?;
    }
    Ok(())
}

/// Has partitions be read from their starts where what is remembered of them at a logical time is of
/// use to others; if they do not come to that time, they are not those that it is of.
///
/// # Errors
/// [`InputError::Another`], if one is seen at once not to be.
pub fn lead_to(
    partitions: &mut [Partition],
    at: i64,
    saved: &SavedIntake,
) -> Result<(), InputError> {
    for (partition, saved) in partitions.iter_mut().zip(&saved.lanes) {
        partition.check_end(saved)?;
        partition.leads_to = saved.next.map(|next| (at, next.start));
    }
    Ok(())
}

fn another(input: &str, detail: &str) -> InputError {
    InputError::Another { input: input.to_owned(), detail: detail.to_owned() }
}

/// What is on its way to a decoder.
enum ToDecode {
    Lines(Raw),
    Rows(RawRows),
}

/// What the intake found at its end.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Inputs that could not be read to their end.
    pub damaged: Vec<InputError>,
    /// Whether it was asked to stop before the end.
    pub stopped: bool,
    /// Where the clock stands at the end; none if nothing arrived.
    pub clock: Option<i64>,
    /// Whether it has left others that go on: the workers are not told that there is no more.
    pub left: bool,
    /// An input that is not the one of which something is remembered: there are no outputs then.
    pub another: Option<InputError>,
}

/// How a log is read, beside what its rules say.
#[derive(Clone, Copy)]
pub struct ReadTo<'r> {
    /// Where the workers take it over.
    pub feeds: &'r [Feed<Batch>],
    /// What ends it early.
    pub stop: &'r AtomicBool,
    /// Is told how many bytes have been read.
    pub progress: &'r (dyn Fn(u64) + Sync),
    /// What saves it on the way.
    pub saver: Option<&'r dyn Saver>,
    /// Is told how long it takes.
    pub metrics: &'r Metrics,
}

/// Reads all partitions into the workers' feeds; returns when the last batch has been taken over.
pub fn read(
    partitions: Vec<Partition>,
    matcher: &Matcher,
    clockwork: Clockwork,
    to: ReadTo<'_>,
) -> Outcome {
    let ReadTo { feeds, stop, progress, saver, metrics } = to;
    let lanes = lanes(partitions, clockwork, matcher.rules());
    let clock = lanes.iter().filter_map(|lane| lane.sequencer.arrival_ns()).max();
    let workers = feeds.len();
    // Decoding is about half of the work of one worker: where a core is free, it is shared.
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let decoders = workers.max(cores.min(DECODERS_MAX));
    let in_flight_max = 2 * decoders + 2;
    let sources: Vec<usize> = lanes.iter().map(|lane| lane.source).collect();
    let (raw_sender, raw_receiver) = bounded::<(usize, ToDecode)>(in_flight_max);
    let (done_sender, done_receiver) = bounded::<(usize, DecodedBlock)>(in_flight_max);
    thread::scope(|scope| {
        for _ in 0..decoders {
            let (raws, done) = (raw_receiver.clone(), done_sender.clone());
            let (matcher, sources) = (matcher.clone().tracing(clockwork.traced), &sources);
            scope.spawn(move || {
                let mut habits: BTreeMap<usize, Habits> = BTreeMap::new();
                for (index, raw) in raws {
                    let source = sources[index];
                    let habits = habits.entry(source).or_default();
                    let give = |block| done.send((index, block)).map_err(|_| ());
                    let given = match raw {
                        ToDecode::Lines(raw) => {
                            let decode = || matcher.decode(source, raw, workers, habits);
                            give(metrics.time(Stage::Decode, decode))
                        }
                        ToDecode::Rows(raw) => {
                            let mut blocks = matcher.decode_rows(source, raw, workers);
                            let mut decode = || metrics.time(Stage::Decode, || blocks.next());
                            std::iter::from_fn(&mut decode).try_for_each(give)
                        }
                    };
                    if given.is_err() {
                        break;
                    }
                }
            });
        }
        drop((raw_receiver, done_sender));
        let mut reader = Reader {
            lanes,
            in_flight: 0,
            in_flight_max,
            buffers: Vec::new(),
            raws: raw_sender,
            done: done_receiver,
            feeds,
            clock,
            saver,
            metrics,
            cut: None,
            come_to_ns: i64::MIN,
            outcome: Outcome::default(),
        };
        reader.run(stop, progress);
        reader.have_led();
        if !reader.save_end() {
            reader.outcome.left = true;
            return reader.outcome;
        }
        reader.close();
        let clock = clockwork.until_ns.filter(|_| reader.clock.is_some()).or(reader.clock);
        for feed in feeds {
            // A worker that is gone has reported why.
            let _ = feed.send(Message::End { clock });
        }
        reader.outcome.clock = clock;
        reader.outcome
    })
}

struct Reader<'f> {
    lanes: Vec<Lane>,
    in_flight: usize,
    in_flight_max: usize,
    buffers: Vec<Vec<u8>>,
    raws: Sender<(usize, ToDecode)>,
    done: Receiver<(usize, DecodedBlock)>,
    feeds: &'f [Feed<Batch>],
    /// The last arrival of any partition.
    clock: Option<i64>,
    saver: Option<&'f dyn Saver>,
    metrics: &'f Metrics,
    /// The logical time at which all is saved next, if that has been decided.
    cut: Option<i64>,
    /// The last one to which time has come.
    come_to_ns: i64,
    outcome: Outcome,
}

impl Reader<'_> {
    fn run(&mut self, stop: &AtomicBool, progress: &(dyn Fn(u64) + Sync)) {
        loop {
            if stop.load(Ordering::Relaxed) {
                self.outcome.stopped = true;
                return;
            }
            if self.judge_waiting().is_err() {
                return;
            }
            let behind = self.furthest_behind();
            let readable = behind.filter(|lane| self.lanes[*lane].unread.is_some());
            match readable {
                Some(lane)
                    if self.in_flight < self.in_flight_max && self.lanes[lane].is_ready() =>
                {
                    self.read_block(lane);
                }
                _ if self.in_flight > 0 => {
                    let Ok((lane, block)) = self.done.recv() else { return };
                    self.in_flight -= 1;
                    if self.sequence(lane, block).is_err() || self.save().is_err() {
                        return;
                    }
                    let consumed = |lane: &Lane| lane.consumed.load(Ordering::Relaxed);
                    progress(self.lanes.iter().map(consumed).sum());
                }
                Some(lane) => self.lanes[lane].wait(),
                None => return,
            }
        }
    }

    /// The open partition with the smallest clock; one that has none yet is before all.
    fn furthest_behind(&self) -> Option<usize> {
        let open = self.lanes.iter().enumerate().filter(|(_, lane)| lane.is_open());
        open.min_by_key(|(_, lane)| lane.reach_ns()).map(|(index, _)| index)
    }

    fn read_block(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let (partition, number) = (lane.number, lane.sent);
        let metrics = self.metrics;
        let read = match &mut lane.unread {
            None => return,
            Some(Unread::Lines(blocks, header)) => {
                let buffer = self.buffers.pop().unwrap_or_default();
                let block = metrics.time(Stage::Read, || blocks.next_block(buffer));
                block.map(|block| {
                    let block = block?;
                    let (offset, line) = (block.offset, block.first_line);
                    let start = Start::Line { offset, line, head: blocks.head(offset) };
                    if let Some((_, Start::Line { offset, head, .. })) = lane.leads_to
                        && blocks.begins_as(offset, head) == Some(false)
                    {
                        return Err(another(&lane.name, "it begins otherwise"));
                    }
                    let raw = Raw { partition, number, header: header.clone(), block };
                    Ok((ToDecode::Lines(raw), 1, start))
                })
            }
            Some(Unread::Groups(groups)) => {
                metrics.time(Stage::Read, || groups.next_group()).map(|group| {
                    let raw = RawRows { partition, number, group: group? };
                    let blocks = raw.blocks();
                    Ok((ToDecode::Rows(raw), blocks, Start::Log))
                })
            }
        };
        match read {
            Some(Ok((raw, blocks, start))) => {
                lane.sent += blocks as u64;
                lane.starts.extend(std::iter::repeat_n(start, blocks));
                self.in_flight += blocks;
                // Decoders only end when this reader does.
                let _ = self.raws.send((index, raw));
            }
            Some(Err(error)) => {
                self.outcome.damaged.push(error);
                // Behind a segment that is skipped there may be more.
                lane.unread.take_if(|unread| matches!(unread, Unread::Lines(..)));
            }
            None => lane.end(),
        }
    }

    /// Judges a decoded block, and those that waited for it, and hands them on.
    fn sequence(&mut self, index: usize, block: DecodedBlock) -> Result<(), ()> {
        let lane = &mut self.lanes[index];
        if self.saver.is_some() && block.together.is_some() {
            lane.span_ns = lane.sequencer.span_ns(&block);
        }
        lane.early.insert(block.number, block);
        self.judge_ready(index)
    }

    /// Judges what has waited, as far as it need not any more.
    fn judge_waiting(&mut self) -> Result<(), ()> {
        while let Some(index) = self.may_go_on() {
            self.judge_ready(index)?;
            self.save()?;
        }
        Ok(())
    }

    /// A partition that waited, and need not any more: others have come as far, or it is at the cut.
    fn may_go_on(&self) -> Option<usize> {
        (0..self.lanes.len()).find(|index| {
            let lane = &self.lanes[*index];
            lane.next_ns.is_some_and(|next_ns| {
                let is_at_cut = self.cut.is_some_and(|cut| cut <= next_ns) && lane.saved.is_none();
                is_at_cut || self.comes_to_ns(*index).is_none_or(|until| next_ns <= until)
            })
        })
    }

    /// Up to when a partition may be judged, if not all of it: a cut is behind all that has been, and
    /// one block may be of a whole day.
    fn comes_to_ns(&self, index: usize) -> Option<i64> {
        self.saver?;
        let others = self.lanes.iter().enumerate();
        let others = others.filter(|(other, lane)| *other != index && lane.is_open());
        let reach_ns = |lane: &Lane| {
            let ahead_ns = lane.span_ns.saturating_mul(BLOCKS_AHEAD_MAX);
            lane.reach_ns().map_or(i64::MIN, |reach_ns| reach_ns.saturating_add(ahead_ns))
        };
        others.map(|(_, lane)| reach_ns(lane)).min()
    }

    /// Judges what of a partition is decoded and need not wait, and hands it on.
    fn judge_ready(&mut self, index: usize) -> Result<(), ()> {
        loop {
            let lane = &mut self.lanes[index];
            let Some(mut block) = lane.early.remove(&lane.judged) else { return Ok(()) };
            self.about_to_judge();
            let until_ns = self.comes_to_ns(index);
            let lane = &mut self.lanes[index];
            let start = lane.starts.front().copied();
            if let Some(next) = &mut lane.passing {
                let (passed, reached) = block.passed(next);
                let before = block.take_first(passed, next.line);
                block.text = before.text;
                lane.passing = lane.passing.filter(|_| !reached);
            }
            let cut = self.cut.filter(|_| lane.saved.is_none());
            if let (Some(cut), Some(start)) = (cut, start)
                && let Some(at) = lane.sequencer.first_since(&block, cut)
            {
                let next = block.next(at, start);
                let sequenced = lane.judge_first(&mut block, at);
                lane.saved = Some(lane.saved(Some(next)));
                self.have_judged(index);
                self.hand_on(sequenced)?;
                self.about_to_judge();
            }
            let lane = &mut self.lanes[index];
            if let Some(until_ns) = until_ns
                && let Some(at) = lane.sequencer.first_since(&block, until_ns.saturating_add(1))
            {
                // What is no record stands before the first that waits, and does not wait with it.
                let goes_on = lane.next_ns.is_none() || !at.is_start();
                let sequenced = goes_on.then(|| lane.judge_first(&mut block, at));
                lane.wait_with(block);
                self.have_judged(index);
                return sequenced.map_or(Ok(()), |sequenced| self.hand_on(sequenced));
            }
            // Until all of the block is handed on, time must not go beyond it.
            lane.judged += 1;
            lane.next_ns = None;
            lane.starts.pop_front();
            let damage = block.damage.clone();
            let (sequenced, text) = self.metrics.time(Stage::Judge, || lane.sequencer.judge(block));
            if let Text::Lines(bytes) = text {
                self.buffers.push(bytes);
            }
            self.have_judged(index);
            let lane = &mut self.lanes[index];
            if sequenced.ended || damage.is_some() {
                self.outcome.damaged.extend(damage);
                // What was read ahead of it is not part of the replay.
                (lane.unread, lane.ended_bytes) = (None, None);
                lane.judged = lane.sent;
                lane.early.clear();
                lane.starts.clear();
            }
            self.hand_on(sequenced)?;
        }
    }

    /// Finds out whether partitions have come as far as they had to.
    fn have_led(&mut self) {
        let is_interrupt = |error: &InputError| matches!(error, InputError::Interrupted { .. });
        if self.outcome.stopped || self.outcome.damaged.iter().any(is_interrupt) {
            return;
        }
        let short = |lane: &Lane| {
            let (at, _) = lane.leads_to?;
            let is_short = lane.sequencer.arrival_ns().is_none_or(|arrival_ns| arrival_ns < at);
            is_short.then(|| another(&lane.name, "it ends before what is remembered of it"))
        };
        let is_another = |error: &mut InputError| matches!(error, InputError::Another { .. });
        let begins = self.outcome.damaged.extract_if(.., is_another).next();
        self.outcome.another = begins.or_else(|| self.lanes.iter().find_map(short));
    }

    /// Hears of a cut, if one has been agreed on.
    fn about_to_judge(&mut self) {
        let cut = self.saver.and_then(Saver::judging);
        self.cut = self.cut.or(cut);
    }

    /// Nothing is judged any more. What of it is handed on may wait for others.
    fn have_judged(&mut self, lane: usize) {
        let sequencer = &self.lanes[lane].sequencer;
        self.clock = self.clock.max(sequencer.arrival_ns());
        if let Some(saver) = self.saver {
            saver.judged(self.clock.map(|clock_ns| (clock_ns, sequencer.next_tick(clock_ns))));
        }
    }

    /// Saves once every partition has come to the cut.
    fn save(&mut self) -> Result<(), ()> {
        let Some(saver) = self.saver else { return Ok(()) };
        if saver.has_failed() {
            self.outcome.stopped = true;
            return Err(());
        }
        // What was missing would be missing for good.
        if !self.outcome.damaged.is_empty() {
            saver.refuse();
            return Ok(());
        }
        let has_come = |lane: &Lane| !lane.is_open() || lane.saved.is_some();
        let Some(at) = self.cut.filter(|_| self.lanes.iter().all(has_come)) else { return Ok(()) };
        self.cut = None;
        // Time comes to the cut where there is a record of then, which may wait still.
        if self.lanes.iter().any(Lane::is_open) {
            self.come_to_ns = self.come_to_ns.max(at);
        }
        saver.save(at, self.saved());
        // The last to be behind it may have come to its end, and said nothing of time.
        let rows = vec![Vec::new(); self.feeds.len()];
        let (since_ns, ledger, last) = (i64::MIN, Vec::new(), i64::MIN);
        self.hand_on(Sequenced { rows, since_ns, ledger, last, ended: false })
    }

    /// What is remembered of all partitions, at a cut that they have come to.
    fn saved(&mut self) -> SavedIntake {
        let lanes = self.lanes.iter_mut();
        let lanes = lanes.map(|lane| lane.saved.take().unwrap_or_else(|| lane.saved(None)));
        SavedIntake { lanes: lanes.collect() }
    }

    /// Says how it ended: with all logs, or before. Whether the flow shall end, too.
    fn save_end(&mut self) -> bool {
        let Some(saver) = self.saver else { return true };
        let Outcome { damaged, stopped, another, .. } = &self.outcome;
        let is_interrupt = |error: &InputError| matches!(error, InputError::Interrupted { .. });
        if *stopped || another.is_some() || damaged.iter().any(is_interrupt) {
            return saver.give_up();
        }
        if damaged.is_empty() {
            if let Some(at) = self.cut.take() {
                saver.save(at, self.saved());
            }
            saver.ended(self.saved());
        } else {
            saver.refuse();
        }
        true
    }

    /// Tells the flow what is known at the end: of logs that could not be read to theirs, and what
    /// the sources came to. Another process may write the summary.
    fn close(&mut self) {
        let mut accounts: BTreeMap<SourceKey, Account> = BTreeMap::new();
        for lane in &mut self.lanes {
            let from = lane.source as u32;
            for (name, account) in lane.sequencer.close() {
                accounts.entry(SourceKey { from, name }).or_default().add(&account);
            }
        }
        let accounts = accounts.into_iter().map(|account| (Entry::Source(Box::new(account)), 1));
        let damaged = self.outcome.damaged.len() as isize;
        let damaged = (damaged > 0).then_some((Entry::Count(Count::Damaged), damaged));
        let Some(lane) = self.lanes.first() else { return };
        let at = self.clock.map_or(i64::MIN, |clock| lane.sequencer.floor(clock));
        let at = at.max(self.come_to_ns);
        let ledger = accounts.chain(damaged).map(|(entry, diff)| (entry, at, diff));
        let ledger: Vec<_> = ledger.collect();
        if !ledger.is_empty() {
            let rows = vec![Vec::new(); self.feeds.len()];
            let (since_ns, last, ended) = (at, i64::MIN, true);
            // A worker that is gone has reported why.
            let _ = self.hand_on(Sequenced { rows, since_ns, ledger, last, ended });
        }
    }

    /// Gives every worker its rows and all of them the time; the first has the ledger too.
    fn hand_on(&mut self, sequenced: Sequenced) -> Result<(), ()> {
        let open = self.lanes.iter().filter(|lane| lane.is_open());
        let behind = open.map(Lane::reach_ns).min();
        // The next cut is behind all that has been judged, and the last cut: time must not be.
        let last = self.clock.max(Some(self.come_to_ns).filter(|at| *at > i64::MIN));
        let clock_ns = behind.unwrap_or(last).min(last).unwrap_or(i64::MIN);
        let frontier = match self.lanes.first() {
            Some(lane) if clock_ns > i64::MIN => lane.sequencer.floor(clock_ns),
            _ => i64::MIN,
        };
        let Sequenced { rows, since_ns, mut ledger, last, .. } = sequenced;
        for (feed, sightings) in self.feeds.iter().zip(rows) {
            let ledger = std::mem::take(&mut ledger);
            let batch = Batch { sightings, ledger, since_ns, last };
            let message = Message::Batch { batch, last, frontier };
            self.metrics.time(Stage::Wait, || feed.send(message)).map_err(|_| ())?;
        }
        Ok(())
    }
}
