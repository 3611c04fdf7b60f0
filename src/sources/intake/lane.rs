//! A partition while it is read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::decoding::DecodedBlock;
use super::saved::{Cut, Next, SavedLane, Start};
use super::sequencer::{Clockwork, Sequenced, Sequencer};
use super::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, PARTITIONS_BYTES_MAX, Partition, Unread};
use crate::rules::Rules;

/// The partitions, to be read.
pub(super) fn lanes(partitions: Vec<Partition>, clockwork: Clockwork, rules: &Rules) -> Vec<Lane> {
    let share = PARTITIONS_BYTES_MAX / partitions.len().max(1);
    let usual = share.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
    let block_bytes = clockwork.block_bytes.unwrap_or(usual);
    let lane = |partition: Partition| {
        let Partition { number, source, mut unread, restored, leads_to } = partition;
        let name = match &unread {
            Some(Unread::Lines(blocks, _)) => blocks.input().name().to_owned(),
            Some(Unread::Groups(groups)) => groups.name(),
            None => String::new(),
        };
        let consumed = match &mut unread {
            Some(Unread::Lines(blocks, _)) => {
                blocks.set_block_bytes(block_bytes);
                blocks.input().consumed()
            }
            Some(Unread::Groups(groups)) => {
                if restored.is_none() {
                    groups.seek(clockwork.from_ns);
                }
                groups.consumed()
            }
            None => Arc::default(),
        };
        let mut sequencer = Sequencer::new(clockwork, rules, source);
        let ended_bytes = restored.as_ref().and_then(|saved| saved.ended_bytes);
        let passing = restored.and_then(|saved| {
            sequencer.restore(saved.sequencer);
            saved.next
        });
        Lane {
            unread,
            name,
            leads_to,
            consumed,
            number,
            source,
            sequencer,
            sent: 0,
            judged: 0,
            early: BTreeMap::new(),
            span_ns: 0,
            next_ns: None,
            starts: VecDeque::new(),
            ended_bytes,
            passing,
            saved: None,
        }
    };
    partitions.into_iter().map(lane).collect()
}

/// A partition while it is read.
pub(super) struct Lane {
    /// What is left of it; none at its end.
    pub(super) unread: Option<Unread>,
    /// What it is called.
    pub(super) name: String,
    /// A logical time that it must come to, as it did before, and how the block began that did.
    pub(super) leads_to: Option<(i64, Start)>,
    pub(super) consumed: Arc<AtomicU64>,
    /// The number of the log.
    pub(super) number: usize,
    /// Which source of the rule file reads it.
    pub(super) source: usize,
    pub(super) sequencer: Sequencer,
    /// Blocks sent to be decoded, and judged.
    pub(super) sent: u64,
    pub(super) judged: u64,
    /// Decoded blocks that wait for one before them.
    pub(super) early: BTreeMap<u64, DecodedBlock>,
    /// How much time the last decoded block takes.
    pub(super) span_ns: i64,
    /// When the first record arrives of a block that waits for other partitions.
    pub(super) next_ns: Option<i64>,
    /// Where the blocks begin that were sent and not judged.
    pub(super) starts: VecDeque<Start>,
    /// How many bytes it had, if it was read to its end, and is a file of lines.
    pub(super) ended_bytes: Option<u64>,
    /// What is gone on with, as long as what comes is before it.
    pub(super) passing: Option<Next>,
    /// What was remembered at the cut, once it has been reached.
    pub(super) saved: Option<SavedLane>,
}

impl Lane {
    /// What is remembered, with the next record.
    pub(super) fn saved(&self, next: Option<Next>) -> SavedLane {
        let ended_bytes = self.ended_bytes.filter(|_| next.is_none());
        SavedLane { next, ended_bytes, sequencer: self.sequencer.saved() }
    }

    /// Before this nothing of it arrives any more.
    pub(super) fn reach_ns(&self) -> Option<i64> {
        self.sequencer.arrival_ns().max(self.next_ns)
    }

    /// Judges what of a block is before a cut, and leaves the rest.
    pub(super) fn judge_first(&mut self, block: &mut DecodedBlock, at: Cut) -> Sequenced {
        let before = block.take_first(at, block.line(at));
        let (sequenced, text) = self.sequencer.judge(before);
        block.text = text;
        sequenced
    }

    /// Has a block wait, whose first record or mark would be accepted.
    pub(super) fn wait_with(&mut self, block: DecodedBlock) {
        self.next_ns = self.sequencer.arrival_ns().max(block.first_arrival_ns());
        self.early.insert(block.number, block);
    }

    /// There is no more to be read of it.
    pub(super) fn end(&mut self) {
        if let Some(Unread::Lines(blocks, _)) = self.unread.take() {
            let is_file = blocks.input().size_bytes().is_some();
            self.ended_bytes = is_file.then(|| self.consumed.load(Ordering::Relaxed));
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.unread.is_some() || self.judged < self.sent
    }

    /// Whether the next block is there, or the end.
    pub(super) fn is_ready(&mut self) -> bool {
        match &mut self.unread {
            Some(Unread::Groups(groups)) => groups.is_ready(),
            _ => true,
        }
    }

    /// Waits a little for the next block.
    pub(super) fn wait(&self) {
        if let Some(Unread::Groups(groups)) = &self.unread {
            groups.wait();
        }
    }
}
