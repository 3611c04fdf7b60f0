//! Rows of a replay log become records with the signals they fit, as lines do.

use std::borrow::Cow;
use std::sync::Arc;

use super::decoding::{DecodedBlock, Mark, Place, Text};
use super::judged::ByCode;
use super::matcher::Matcher;
use super::sequencer::Traced;
use crate::log::{Group, Rows};
use crate::model::ledger::DeadLetter;

/// Rows of a block: as many records as a block of lines has. A group of rows is read at once, and
/// is several blocks.
const BLOCK_ROWS: usize = 2048;

/// A group of rows on its way to a decoder: of which partition, and the how manieth of its blocks
/// begins with it.
pub(super) struct RawRows {
    pub(super) partition: usize,
    pub(super) number: u64,
    pub(super) group: Group,
}

impl RawRows {
    /// How many blocks it is.
    pub(super) fn blocks(&self) -> usize {
        self.group.rows().div_ceil(BLOCK_ROWS).max(1)
    }
}

impl Matcher {
    /// Decodes a group of rows of a source for so many workers, block by block.
    pub(super) fn decode_rows(
        &self,
        source: usize,
        raw: RawRows,
        workers: usize,
    ) -> impl Iterator<Item = DecodedBlock> {
        let blocks = raw.blocks();
        let RawRows { partition, number, group } = raw;
        let read = Rows::read(group, &self.rules().paths).map(Arc::new);
        let mut judged = ByCode::new(read.as_ref().map_or(0, |rows| rows.codes()));
        (0..blocks).map(move |block| {
            let first = block * BLOCK_ROWS;
            let number = number + block as u64;
            let failed = |error| DecodedBlock {
                damage: Some(error),
                ..DecodedBlock::new(partition, number, workers, 0)
            };
            let rows = match &read {
                Ok(rows) => rows,
                Err(error) => return failed(error.clone()),
            };
            let of_block = first..rows.len().min(first + BLOCK_ROWS);
            let mut decoded = DecodedBlock::new(partition, number, workers, of_block.len());
            let traced = self.traces() != Traced::Nothing;
            let element = |row| rows.element(row).filter(|_| traced);
            let mut view = rows.view();
            let (have_marks, hears) = (rows.have_marks(), self.hears(source));
            if self.decoder(source).reads_documents() {
                decoded.dead_before = Some(Vec::new());
            }
            for row in of_block {
                let line = rows.line(row);
                if have_marks && let Some((_, until_ns)) = rows.mark(row) {
                    let head = decoded.heads.len();
                    decoded.marks.push(Mark { head, line, row, until_ns });
                    continue;
                }
                if let Some((column, reason, record)) = rows.dead_letter(row) {
                    let (reason, record) = (reason.to_owned(), record.to_owned());
                    let (partition, element) = (partition as u32, element(row));
                    let letter = DeadLetter { partition, line, column, reason, record, element };
                    decoded.dead.push(letter);
                    if let Some(before) = &mut decoded.dead_before {
                        before.push((decoded.heads.len(), decoded.marks.len()));
                    }
                    continue;
                }
                let head = decoded.heads.len();
                let place = Place { source, line, skipped: 0, text: (row as u32, row as u32) };
                let record = rows.record(row);
                if self.traces() == Traced::Everything || record.subject.is_none() || hears {
                    view.at(row);
                    let matched = || self.matched(source, &view);
                    let text = || Cow::Owned(rows.text(row).unwrap_or_default().into_bytes());
                    decoded.add_judged(self, &place, text, &view, &Ok(record), matched);
                    if let Some(before) = &mut decoded.dead_before {
                        before.resize(decoded.dead.len(), (head, decoded.marks.len()));
                    }
                } else {
                    let (matches, errors) = judged.matches(rows.code(row), || {
                        view.at(row);
                        (self.matched(source, &view), view.was_judged_by_slots())
                    });
                    decoded.add_matched(self, &place, &record, matches, errors);
                }
                if let Some(number) = element(row) {
                    decoded.note_element(head, number);
                }
            }
            match rows.failure() {
                Some(error) => failed(error),
                None => DecodedBlock { text: Text::Rows(Arc::clone(rows)), ..decoded },
            }
        })
    }
}
