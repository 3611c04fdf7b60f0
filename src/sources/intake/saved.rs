//! What the intake remembers, as it is saved at a logical time and gone on with.
//!
//! Every partition is cut at the same logical time: exactly before its first record that arrived
//! then or later. What it remembers is saved there, and where the next record stands. A partition
//! that is gone on with is read from the block on in which that record stands; what is before it in
//! that block is passed over.

use serde::{Deserialize, Serialize};

use super::decoding::{DecodedBlock, Head, Text, Together};
use super::sequencer::SavedSequencer;
use crate::model::ledger::DeadLetter;

/// Saves a replay on the way.
pub trait Saver: Sync {
    /// More is about to be judged: waits as long as a cut is being agreed on, and gives the logical
    /// time of one that has been, once. All that has been judged is before it.
    fn judging(&self) -> Option<i64>;
    /// That has been judged: where the clock stands, if it has begun, and a logical time that is
    /// behind all so far.
    fn judged(&self, clock: Option<(i64, i64)>);
    /// Whether it cannot save any more: then nothing goes on.
    fn has_failed(&self) -> bool;
    /// Something is missing, and would be for good: there are no more cuts.
    fn refuse(&self);
    /// Nothing more is saved, and what is still to come is not so: reading ends before the logs do.
    /// Whether the flow shall end all the same; where others take part in it, they must not believe
    /// that it has.
    fn give_up(&self) -> bool;
    /// Takes what the intake remembers at a cut.
    fn save(&self, at: i64, intake: SavedIntake);
    /// Takes what the intake remembers at the end of its logs, for all cuts that are still to come.
    fn ended(&self, intake: SavedIntake);
}

/// What the intake remembers at a logical time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedIntake {
    /// Of every partition, in the order of the command line.
    pub(super) lanes: Vec<SavedLane>,
}

impl SavedIntake {
    /// The share of one of several processes.
    pub fn share(&self, process: usize, processes: usize) -> Self {
        let lanes = self.lanes.iter().skip(process).step_by(processes.max(1));
        Self { lanes: lanes.cloned().collect() }
    }

    /// What the shares of all processes are together.
    pub fn together(shares: Vec<Self>) -> Self {
        let mut shares: Vec<_> = shares.into_iter().map(|share| share.lanes.into_iter()).collect();
        let mut lanes = Vec::new();
        loop {
            let row: Vec<_> = shares.iter_mut().filter_map(Iterator::next).collect();
            match row.is_empty() {
                true => return Self { lanes },
                false => lanes.extend(row),
            }
        }
    }
}

/// What is remembered of a partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedLane {
    /// Where it is to be read from; none at its end.
    pub(super) next: Option<Next>,
    /// How many bytes the file of lines had when it had been read to its end, if it was.
    pub(super) ended_bytes: Option<u64>,
    pub(super) sequencer: SavedSequencer,
}

/// Where the next record of a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Next {
    /// Where its block begins.
    pub(super) start: Start,
    /// The line of the record, and how many records of that line are before it in the text from
    /// there on; in a log, how many rows of the partition are.
    pub(super) line: u64,
    pub(super) records: u64,
}

/// Where a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Start {
    /// Behind so many bytes of the text, where this line begins. The first of these bytes have
    /// this hash.
    Line { offset: u64, line: u64, head: u64 },
    /// With what a replay log has of the time of the cut, or later.
    Log,
}

/// A place in a block: behind so many records and marks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) heads: usize,
    pub(super) marks: usize,
    /// Whether a mark is next, and not a record.
    pub(super) at_mark: bool,
}

impl Cut {
    /// Whether nothing is before it.
    pub(super) fn is_start(&self) -> bool {
        (self.heads, self.marks) == (0, 0)
    }
}

impl DecodedBlock {
    /// The line that begins at a cut, or goes on there.
    pub(super) fn line(&self, cut: Cut) -> u64 {
        let mark = self.marks.get(cut.marks).filter(|_| cut.at_mark);
        // A mark stands behind its line.
        mark.map_or_else(|| self.heads[cut.heads].line, |mark| mark.line + 1)
    }

    /// When its first record arrives, or until when time passes before that.
    pub(super) fn first_arrival_ns(&self) -> Option<i64> {
        let mark = self.marks.first().filter(|mark| mark.head == 0);
        let head = || self.heads.first().map(|head| head.arrival_ns);
        mark.map(|mark| mark.until_ns).or_else(head)
    }

    /// Where the cut is.
    pub(super) fn next(&self, cut: Cut, start: Start) -> Next {
        let mark = self.marks.get(cut.marks).filter(|_| cut.at_mark);
        let line = self.line(cut);
        let records = match &self.text {
            Text::Rows(rows) => {
                let row = mark.map_or_else(|| self.heads[cut.heads].text.0 as usize, |m| m.row);
                rows.first() + row as u64
            }
            Text::Lines(_) => {
                let before = self.heads[..cut.heads].iter().rev();
                let of_line = before.take_while(|head| head.line == line).count();
                let (taken_line, taken) = self.taken;
                let goes_on = of_line == cut.heads && taken_line == line;
                of_line as u64 + if goes_on { taken } else { 0 }
            }
        };
        Next { start, line, records }
    }

    /// What of it is before a record, and whether that one, or a later line, is there; then fewer
    /// records of its line are before it.
    pub(super) fn passed(&self, next: &mut Next) -> (Cut, bool) {
        if let Text::Rows(rows) = &self.text {
            let is_before = |row: usize| rows.first() + (row as u64) < next.records;
            let heads = self.heads.partition_point(|head| is_before(head.text.0 as usize));
            let marks = self.marks.partition_point(|mark| is_before(mark.row));
            let reached = heads < self.heads.len() || marks < self.marks.len();
            return (Cut { heads, marks, at_mark: false }, reached);
        }
        let lines_before = self.heads.partition_point(|head| head.line < next.line);
        let of_line = self.heads[lines_before..].iter().take_while(|head| head.line == next.line);
        let of_line = (of_line.count() as u64).min(next.records);
        // What is left of them is in the next block.
        next.records -= of_line;
        let heads = lines_before + of_line as usize;
        let is_later = |letter: &DeadLetter| letter.line > next.line;
        let reached = heads < self.heads.len() || self.dead.iter().any(is_later);
        (Cut { heads, marks: 0, at_mark: false }, reached)
    }

    /// Takes out what is before the cut, and that line.
    pub(super) fn take_first(&mut self, cut: Cut, line: u64) -> Self {
        let count = cut.heads;
        let mut first = Self::new(self.partition, self.number, self.rows.len(), 0);
        let rest = self.heads.split_off(count);
        first.heads = std::mem::replace(&mut self.heads, rest);
        for (worker, rows) in self.rows.iter_mut().enumerate() {
            let is_of = |head: &&Head| head.worker == Some(worker as u16);
            let rest = rows.split_off(first.heads.iter().filter(is_of).count());
            first.rows[worker] = std::mem::replace(rows, rest);
        }
        let mut before = self.dead_before.take().map(Vec::into_iter);
        if before.is_some() {
            (first.dead_before, self.dead_before) = (Some(Vec::new()), Some(Vec::new()));
        }
        for letter in std::mem::take(&mut self.dead) {
            let place = before.as_mut().and_then(Iterator::next);
            let is_first = place.map_or(letter.line < line, |place| place <= (count, cut.marks));
            let into = if is_first { &mut first } else { &mut *self };
            into.dead.push(letter);
            if let (Some(before), Some((heads, marks))) = (&mut into.dead_before, place) {
                before.push(match is_first {
                    true => (heads, marks),
                    false => (heads - count, marks - cut.marks),
                });
            }
        }
        (first.notes, self.notes) = self.notes.drain(..).partition(|note| note.head < count);
        self.notes.iter_mut().for_each(|note| note.head -= count);
        (first.heard, self.heard) = self.heard.drain(..).partition(|(head, _)| *head < count);
        self.heard.iter_mut().for_each(|(head, _)| *head -= count);
        first.marks = self.marks.drain(..cut.marks).collect();
        self.marks.iter_mut().for_each(|mark| mark.head -= count);
        first.sources = self.sources.clone();
        if let Some(last) = first.heads.last() {
            let of_line = first.heads.iter().rev().take_while(|head| head.line == last.line);
            let (of_line, goes_on) = (of_line.count(), self.taken.0 == last.line);
            let before = if goes_on && of_line == count { self.taken.1 } else { 0 };
            self.taken = (last.line, of_line as u64 + before);
        }
        first.together = Together::of(&first.heads);
        self.together = Together::of(&self.heads);
        first.text = std::mem::replace(&mut self.text, Text::Lines(Vec::new()));
        self.date_again();
        first
    }

    /// Dates the rows by the records that are left: one that was taken out may have been a jump.
    fn date_again(&mut self) {
        let mut rows: Vec<_> = self.rows.iter_mut().map(|rows| rows.iter_mut()).collect();
        let mut arrival_ns = i64::MIN;
        for head in &self.heads {
            arrival_ns = arrival_ns.max(head.arrival_ns);
            let row = head.worker.and_then(|worker| rows[usize::from(worker)].next());
            if let Some(((_, sighting), ..)) = row {
                sighting.arrival_ns = arrival_ns;
            }
        }
    }
}
