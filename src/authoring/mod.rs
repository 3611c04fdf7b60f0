//! What helps people to write rules: a first draft guessed from the
//! beginning of a log, and a trial of rules on it; those of other tools, converted.

pub mod draft;
pub mod import;
pub mod sample;

use std::path::Path;

use crate::sources::decode::trimmed;
use crate::sources::intake::RECORD_BYTES_MAX;
use crate::sources::{Blocks, InputError, open};

const BLOCK_BYTES: usize = 256 << 10;
/// So much of a log is looked at, if its lines are long.
const BYTES_MAX: usize = 64 << 20;

/// How the reading of the beginning of a log ended.
struct Beginning {
    /// Whether there is more that was not looked at.
    more: bool,
    /// Why it could not be read further.
    damaged: Option<InputError>,
}

/// Gives the first `max` lines that are not blank, or fewer long ones; none for a line that is too
/// long to be a record.
fn first_lines(
    path: &Path,
    max: usize,
    mut each: impl FnMut(Option<&[u8]>),
) -> Result<Beginning, InputError> {
    let mut blocks = Blocks::new(open(path)?, BLOCK_BYTES, RECORD_BYTES_MAX);
    let (mut left, mut bytes_left) = (max, BYTES_MAX);
    while let Some(block) = blocks.next_block(Vec::new()) {
        let block = match block {
            Ok(block) => block,
            Err(error) => return Ok(Beginning { more: false, damaged: Some(error) }),
        };
        let mut oversized = block.oversized.iter().peekable();
        let mut lines =
            block.lines().filter(|(_, bytes, _)| !trimmed(bytes).1.is_empty()).peekable();
        loop {
            let next = lines.peek().map_or(u64::MAX, |(number, ..)| *number);
            let skipped = oversized.next_if(|line| line.line < next);
            if left == 0 && (skipped.is_some() || next < u64::MAX) {
                return Ok(Beginning { more: true, damaged: None });
            }
            if skipped.is_some() {
                each(None);
            } else if let Some((_, line, _)) = lines.next() {
                each(Some(line.strip_suffix(b"\r").unwrap_or(line)));
                bytes_left = bytes_left.saturating_sub(line.len());
            } else {
                break;
            }
            left = if bytes_left == 0 { 0 } else { left - 1 };
        }
    }
    Ok(Beginning { more: false, damaged: None })
}

/// The middle of some values, the lower of two; none of none.
fn median(mut values: Vec<i64>) -> Option<i64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

/// What is usual between the event times of one entity; equal ones count once.
fn usual_interval(entities: impl IntoIterator<Item = Vec<i64>>) -> Option<i64> {
    let intervals = entities.into_iter().flat_map(|mut times| {
        times.sort_unstable();
        times.dedup();
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect::<Vec<_>>()
    });
    // Finer than that is not what people think in.
    median(intervals.collect()).map(|interval| match interval {
        60_000_000_000.. => interval / 1_000_000_000 * 1_000_000_000,
        1_000_000_000.. => interval / 100_000_000 * 100_000_000,
        1_000_000.. => interval / 1_000_000 * 1_000_000,
        _ => interval,
    })
}

/// A count with its digits in groups of three.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
