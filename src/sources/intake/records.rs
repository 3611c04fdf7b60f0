//! A log record by record, on this thread and no further: for whoever looks at records alone.

use std::ops::ControlFlow;

use limbeck_operators::timeline::Timing;
use serde_json::Value;
use smol_str::SmolStr;

use super::decoding::Head;
use super::sequencer::Sequencer;
use super::{Clockwork, Matcher, Partition, Traced, Unread};
use crate::log::{Groups, Row, Rows};
use crate::model::Scalar;
use crate::rules::{RecordView, Rules};
use crate::sources::InputError;
use crate::sources::blocks::{Block, Blocks};
use crate::sources::decode::{Decoded, Decoder, Lines, Shapes, Unreadable};
use crate::sources::documents::{Placed, placed};
use crate::sources::header::Header;

/// A record, or what should be one.
pub struct Seen<'s, 'a> {
    /// The line that it is from.
    pub line: u64,
    /// Which element of the line's array, from 1, if it has one.
    pub element: Option<u32>,
    /// How the conditions see it, if it is readable.
    pub view: View<'s, 'a>,
    /// What it says, or why it cannot be read: columns count from the start of the line.
    pub record: Result<Decoded<'a>, Unreadable>,
    /// What it was read from: a line, the element of one, or the beginning of one that is too long.
    pub text: &'a [u8],
    /// All of the line; nothing of one that is too long, or was read before.
    pub whole_line: &'a [u8],
}

/// How the conditions see a record of a log.
pub enum View<'s, 'a> {
    /// A line.
    Line(&'s Lines<'a>),
    /// A row of a replay log.
    Row(&'s Row<'a>),
}

impl RecordView for View<'_, '_> {
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        match self {
            Self::Line(line) => line.slot(slot),
            Self::Row(row) => row.slot(slot),
        }
    }

    fn data(&self) -> Value {
        match self {
            Self::Line(line) => line.data(),
            Self::Row(row) => row.data(),
        }
    }
}

/// The arrivals of a log's records, judged as in a replay.
pub struct Arrivals(Sequencer);

impl Arrivals {
    /// Of a log that the source of this number reads.
    pub fn new(rules: &Rules, source: usize) -> Self {
        let clockwork = Clockwork {
            timing: Timing { lateness: rules.lateness_ns, tick: 1 },
            max_advance_ns: rules.max_advance_ns,
            from_ns: None,
            until_ns: None,
            block_bytes: None,
            traced: Traced::Nothing,
        };
        Self(Sequencer::new(clockwork, rules, source))
    }

    /// How long after it happened the next record arrived, its clock corrected where the rule file
    /// says so.
    ///
    /// # Errors
    /// Why it is a dead letter.
    pub fn age_ns(&mut self, line: u64, record: &Decoded<'_>) -> Result<i64, String> {
        let head = Head {
            line,
            arrival_ns: record.arrival_ns.unwrap_or(record.event_time_ns),
            event_time_ns: record.event_time_ns,
            sequence: None,
            source: 0,
            text: (0, 0),
            worker: None,
            matched: true,
            dated: record.arrival_ns.is_some(),
            condition_errors: 0,
        };
        self.0.age_ns(&SmolStr::new(&record.source), &head)
    }
}

/// Gives every record of a log, in order, until it is told to break.
///
/// # Errors
/// [`InputError`], if the log cannot be read to its end: behind the last whole record.
pub fn records(
    partition: Partition,
    matcher: &Matcher,
    each: impl FnMut(Seen<'_, '_>) -> ControlFlow<()>,
) -> Result<(), InputError> {
    let Partition { source, unread, .. } = partition;
    match unread {
        Some(Unread::Lines(blocks, header)) => {
            of_lines(*blocks, header.as_ref(), source, matcher, each)
        }
        Some(Unread::Groups(groups)) => of_groups(*groups, matcher, each),
        None => Ok(()),
    }
}

fn of_lines(
    mut blocks: Blocks,
    header: Option<&Header>,
    source: usize,
    matcher: &Matcher,
    mut each: impl FnMut(Seen<'_, '_>) -> ControlFlow<()>,
) -> Result<(), InputError> {
    let decoder = matcher.decoder(source);
    let mut shapes = Shapes::default();
    while let Some(block) = blocks.next_block(Vec::new()) {
        if of_block(&block?, header, decoder, &mut shapes, &mut each).is_break() {
            break;
        }
    }
    Ok(())
}

/// Gives every record of a block of lines, in order, until it is told to break.
pub(crate) fn of_block(
    block: &Block,
    header: Option<&Header>,
    decoder: &Decoder,
    shapes: &mut Shapes,
    mut each: impl FnMut(Seen<'_, '_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut lines = Lines::new(shapes);
    if decoder.reads_documents() {
        for Placed { line, column, element, record } in placed(block) {
            let (record, text, whole_line) = match &record {
                Err((error, text)) => (Err(error.clone()), text.as_bytes(), &[][..]),
                Ok(range) => {
                    let bytes = &block.bytes[range.clone()];
                    let record = decoder.decode(bytes, &mut lines);
                    (record.map_err(|error| Unreadable { column, ..error }), bytes, bytes)
                }
            };
            let view = View::Line(&lines);
            if each(Seen { line, element, view, record, text, whole_line }).is_break() {
                return ControlFlow::Break(());
            }
        }
        return ControlFlow::Continue(());
    }
    if let Some(header) = header {
        lines = lines.under(header, decoder);
    }
    let mut oversized = block.oversized.iter().peekable();
    let mut whole = block.lines().peekable();
    loop {
        let next = whole.peek().map_or(u64::MAX, |(number, ..)| *number);
        let mut flow = ControlFlow::Continue(());
        if let Some(skipped) = oversized.next_if(|skipped| skipped.line < next) {
            let record = Err(Unreadable { column: 1, reason: skipped.reason() });
            let (line, view, text) = (skipped.line, View::Line(&lines), &*skipped.head);
            flow = each(Seen { line, element: None, view, record, text, whole_line: &[] });
        } else if let Some((line, whole_line, _)) = whole.next() {
            let (before, bytes) = decoder.trim(whole_line);
            let mut give = |element, view: &Lines<'_>, text, record: Result<Decoded<'_>, _>| {
                let record = record.map_err(|error: Unreadable| Unreadable {
                    column: error.column + before,
                    ..error
                });
                if flow.is_continue() {
                    let view = View::Line(view);
                    flow = each(Seen { line, element, view, record, text, whole_line });
                }
            };
            if bytes.is_empty() {
                continue;
            }
            match std::str::from_utf8(bytes) {
                Ok(text) if decoder.explodes() => {
                    let mut number = 0;
                    decoder.explode(text, &mut lines, &mut |view, element, record| {
                        number += 1;
                        // What is no array comes as the line itself.
                        let number = (element.len() < text.len()).then_some(number);
                        give(number, view, element.as_bytes(), record);
                    });
                }
                _ => {
                    let record = decoder.decode(bytes, &mut lines);
                    give(None, &lines, bytes, record);
                }
            }
        } else {
            break;
        }
        if flow.is_break() {
            return flow;
        }
    }
    ControlFlow::Continue(())
}

fn of_groups(
    mut groups: Groups,
    matcher: &Matcher,
    mut each: impl FnMut(Seen<'_, '_>) -> ControlFlow<()>,
) -> Result<(), InputError> {
    let mut damage = None;
    while let Some(group) = groups.next_group() {
        let group = match group {
            Ok(group) => group,
            // Segments that are skipped may be followed by others.
            Err(error) => {
                damage = damage.or(Some(error));
                continue;
            }
        };
        let rows = Rows::read(group, &matcher.rules().paths)?;
        let mut view = rows.view();
        for row in 0..rows.len() {
            let line = rows.line(row);
            if rows.mark(row).is_some() {
                continue;
            }
            let (record, text) = match rows.dead_letter(row) {
                Some((column, reason, text)) => {
                    let (column, reason) = (column as usize, reason.to_owned());
                    (Err(Unreadable { column, reason }), text.as_bytes())
                }
                None => {
                    view.at(row);
                    (Ok(rows.record(row)), &[][..])
                }
            };
            let view = View::Row(&view);
            let element = rows.element(row);
            if each(Seen { line, element, view, record, text, whole_line: &[] }).is_break() {
                return Ok(());
            }
        }
        drop(view);
        if let Some(error) = rows.failure() {
            return Err(error);
        }
    }
    damage.map_or(Ok(()), Err)
}
