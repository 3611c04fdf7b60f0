//! A block of lines becomes records with the signals they fit; any number of threads do this.
//!
//! What depends on the records before (arrival that never decreases, jumps of the clock,
//! lateness) is left to the [sequencer](super::sequencer).

use smallvec::SmallVec;
use smol_str::SmolStr;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::model::Id;
use crate::model::ledger::DeadLetter;
use crate::model::sighting::{Match, Sighting};
use crate::rules::{RecordView, Rules, Verdict};
use crate::sources::blocks::Block;
use crate::sources::decode::{Decoded, Decoder, Lines};

/// A block on its way to a decoder: of which partition, and the how manieth of it.
pub(super) struct Raw {
    pub(super) partition: usize,
    pub(super) number: u64,
    pub(super) block: Block,
}

/// A readable line: what the sequencer judges.
pub(super) struct Head {
    pub(super) line: u64,
    pub(super) arrival_ns: i64,
    /// Where its text begins and ends in the block.
    pub(super) text: (u32, u32),
    /// Whether it fits a signal: then the next sighting is its.
    pub(super) matched: bool,
    /// Conditions that could not be judged of it.
    pub(super) condition_errors: u32,
}

/// A decoded block.
pub(super) struct DecodedBlock {
    pub(super) partition: usize,
    pub(super) number: u64,
    pub(super) heads: Vec<Head>,
    /// Arrival and logical time are the sequencer's to set.
    pub(super) sightings: Vec<((SmolStr, Sighting), i64, isize)>,
    pub(super) dead: Vec<DeadLetter>,
    /// The block itself, for what the sequencer rejects, and to be used again.
    pub(super) bytes: Vec<u8>,
}

/// Decodes and matches the lines of every source.
#[derive(Clone)]
pub struct Matcher {
    decoders: Vec<Decoder>,
    rules: Rules,
}

impl Matcher {
    /// A matcher for all sources of a rule file.
    pub fn new(rules: &Rules) -> Self {
        let decoders =
            rules.sources.iter().map(|source| Decoder::new(source, &rules.paths)).collect();
        Self { decoders, rules: rules.clone() }
    }

    /// The decoder of a source.
    pub fn decoder(&self, source: usize) -> &Decoder {
        &self.decoders[source]
    }

    /// The signals that a record of a source fits, each with the first of its states that holds.
    pub fn matches(
        &self,
        source: usize,
        record: &impl RecordView,
        errors: &mut u32,
    ) -> SmallVec<[Match; 1]> {
        let mut holds = |verdict: Verdict| {
            *errors += u32::from(verdict == Verdict::Error);
            verdict.holds()
        };
        let mut matches = SmallVec::new();
        for (number, signal) in self.rules.signals.iter().enumerate() {
            let elsewhere = signal.from.is_some_and(|from| from != source);
            if elsewhere || !signal.filter.as_ref().is_none_or(|when| holds(when.eval(record))) {
                continue;
            }
            if let Some(state) = signal.states.iter().position(|s| holds(s.when.eval(record))) {
                matches.push(Match { signal: number as u16, state: state as u16 });
            }
        }
        matches
    }

    /// Decodes a block of a source.
    pub(super) fn decode(&self, source: usize, raw: Raw) -> DecodedBlock {
        let Raw { partition, number, block } = raw;
        let mut out = DecodedBlock {
            partition,
            number,
            heads: Vec::new(),
            sightings: Vec::new(),
            dead: Vec::new(),
            bytes: Vec::new(),
        };
        for oversized in &block.oversized {
            let reason = format!("longer than a record may be: {} bytes", oversized.bytes);
            let (line, head) = (oversized.line, &oversized.head);
            out.dead.push(DeadLetter::new(partition as u32, line, 1, reason, head));
        }
        let mut lines = Lines::default();
        for (line, text, range) in block.lines() {
            let (skipped, text) = trimmed(text);
            if text.is_empty() {
                continue;
            }
            match self.decoders[source].decode(text, &mut lines) {
                Ok(decoded) => {
                    let mut condition_errors = 0;
                    let matches = match decoded.subject {
                        Some(_) => self.matches(source, &lines, &mut condition_errors),
                        None => SmallVec::new(),
                    };
                    out.heads.push(Head {
                        line,
                        arrival_ns: decoded.arrival_ns.unwrap_or(decoded.event_time_ns),
                        text: (range.start as u32, range.end as u32),
                        matched: !matches.is_empty(),
                        condition_errors,
                    });
                    if !matches.is_empty() {
                        let sighting = sighting(decoded, matches, partition, line);
                        out.sightings.push((sighting, 0, 1));
                    }
                }
                Err(error) => {
                    let column = error.column + skipped;
                    let reason = error.reason;
                    let partition = partition as u32;
                    out.dead.push(DeadLetter::new(partition, line, column, reason, text));
                }
            }
        }
        drop(lines);
        out.bytes = block.bytes;
        out
    }
}

/// A line without the white space of JSON around it, and how much stood before. Other white space
/// makes a line that is no record.
fn trimmed(line: &[u8]) -> (usize, &[u8]) {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let Some(start) = line.iter().position(|byte| !is_white(byte)) else {
        return (line.len(), &[]);
    };
    let end = line.iter().rposition(|byte| !is_white(byte)).map_or(start, |last| last + 1);
    (start, &line[start..end])
}

fn sighting(
    decoded: Decoded<'_>,
    matches: SmallVec<[Match; 1]>,
    partition: usize,
    line: u64,
) -> (SmolStr, Sighting) {
    let by_source = xxh3_128(decoded.source.as_bytes()) as u64;
    let by_time = by_source ^ decoded.event_time_ns.cast_unsigned().rotate_left(17);
    let fingerprint = match &decoded.id {
        Id::Content(hash) => *hash ^ u128::from(by_time),
        Id::Text(id) => xxh3_128_with_seed(id.as_bytes(), by_time),
    };
    let entity = SmolStr::new(decoded.subject.unwrap_or_default());
    let sighting = Sighting {
        logical_ns: 0,
        arrival_ns: 0,
        partition: partition as u32,
        line,
        event_time_ns: decoded.event_time_ns,
        repeats_until_ns: 0,
        fingerprint,
        content: decoded.content,
        source: SmolStr::new(decoded.source),
        sequence: decoded.sequence,
        id: decoded.id,
        matches,
    };
    (entity, sighting)
}
