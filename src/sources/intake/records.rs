//! A log record by record, on this thread and no further: for whoever looks at records alone.

use std::ops::ControlFlow;

use limbeck_operators::timeline::Timing;
use smol_str::SmolStr;

use super::decoding::Head;
use super::sequencer::Sequencer;
use super::{Clockwork, Matcher, Partition, Traced};
use crate::rules::Rules;
use crate::sources::InputError;
use crate::sources::decode::{Decoded, Lines, Shapes, Unreadable};

/// A record, or what should be one.
pub struct Seen<'s, 'a> {
    /// The line that it is from.
    pub line: u64,
    /// Which element of the line's array, from 1, if it has one.
    pub element: Option<u32>,
    /// How the conditions see it, if it is readable.
    pub view: &'s Lines<'a>,
    /// What it says, or why it cannot be read: columns count from the start of the line.
    pub record: Result<Decoded<'a>, Unreadable>,
}

/// The arrivals of a log's records, judged as in a replay.
pub struct Arrivals(Sequencer);

impl Arrivals {
    /// Of a log that the source of this number reads.
    pub fn new(rules: &Rules, source: usize) -> Self {
        let clockwork = Clockwork {
            timing: Timing { lateness: rules.lateness_ns, tick: 1 },
            max_advance_ns: rules.max_advance_ns,
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
    mut each: impl FnMut(Seen<'_, '_>) -> ControlFlow<()>,
) -> Result<(), InputError> {
    let Partition { source, mut blocks, header, .. } = partition;
    let decoder = matcher.decoder(source);
    let mut shapes = Shapes::default();
    while let Some(block) = blocks.next_block(Vec::new()) {
        let block = block?;
        let mut lines = Lines::new(&mut shapes);
        if let Some(header) = &header {
            lines = lines.under(header, decoder);
        }
        let mut oversized = block.oversized.iter().peekable();
        let mut whole = block.lines().peekable();
        loop {
            let next = whole.peek().map_or(u64::MAX, |(number, ..)| *number);
            let mut flow = ControlFlow::Continue(());
            if let Some(skipped) = oversized.next_if(|skipped| skipped.line < next) {
                let record = Err(Unreadable { column: 1, reason: skipped.reason() });
                flow = each(Seen { line: skipped.line, element: None, view: &lines, record });
            } else if let Some((line, bytes, _)) = whole.next() {
                let (before, bytes) = decoder.trim(bytes);
                let mut give = |element, view: &Lines<'_>, record: Result<Decoded<'_>, _>| {
                    let record = record.map_err(|error: Unreadable| Unreadable {
                        column: error.column + before,
                        ..error
                    });
                    if flow.is_continue() {
                        flow = each(Seen { line, element, view, record });
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
                            give(number, view, record);
                        });
                    }
                    _ => {
                        let record = decoder.decode(bytes, &mut lines);
                        give(None, &lines, record);
                    }
                }
            } else {
                break;
            }
            if flow.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
