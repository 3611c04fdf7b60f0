//! A block of lines becomes records with the signals they fit; any number of threads do this.
//!
//! What depends on the records before (arrival that never decreases, jumps of the clock,
//! lateness) is left to the [sequencer](super::sequencer).

use limbeck_operators::hash::fixed_hash;
use smallvec::SmallVec;
use smol_str::SmolStr;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::model::Id;
use crate::model::ledger::DeadLetter;
use crate::model::sighting::{Match, Matches, Position, Sighting, Tie};
use crate::rules::{RecordView, Rules, Verdict};
use crate::sources::blocks::Block;
use crate::sources::decode::{Decoded, Decoder, Lines, Shapes};

/// A block on its way to a decoder: of which partition, and the how manieth of it.
pub(super) struct Raw {
    pub(super) partition: usize,
    pub(super) number: u64,
    pub(super) block: Block,
}

/// A record that fits some signal, by entity, with logical time and difference.
pub(super) type Row = ((SmolStr, Sighting), i64, isize);

/// A readable line: what the sequencer judges.
pub(super) struct Head {
    pub(super) line: u64,
    pub(super) arrival_ns: i64,
    /// Where its text begins and ends in the block.
    pub(super) text: (u32, u32),
    /// Whether it fits a signal.
    pub(super) matched: bool,
    /// How many conditions could not be judged.
    pub(super) condition_errors: u32,
}

/// What the readable lines of a block are together, as if none came before them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together {
    pub(super) lines: u64,
    pub(super) unmatched: u64,
    pub(super) condition_errors: u64,
    pub(super) first_arrival_ns: i64,
    /// The largest.
    pub(super) arrival_ns: i64,
    /// How far an arrival is ahead of the largest before it, at most.
    pub(super) advance_ns: i64,
}

/// A decoded block.
pub(super) struct DecodedBlock {
    pub(super) partition: usize,
    pub(super) number: u64,
    pub(super) heads: Vec<Head>,
    /// Of the heads; none without any.
    pub(super) together: Option<Together>,
    /// By worker. Arrival is the largest in the block so far; logical time is yet to be set.
    pub(super) rows: Vec<Vec<Row>>,
    pub(super) dead: Vec<DeadLetter>,
    /// The block itself, for what the sequencer rejects, and to be used again.
    pub(super) bytes: Vec<u8>,
}

/// A line is seldom shorter: room for as many records as there may be is made at once.
const LINE_BYTES_USUAL: usize = 160;

/// Decodes and matches the lines of every source.
#[derive(Clone)]
pub struct Matcher {
    decoders: Vec<Decoder>,
    rules: Rules,
    watched: Option<SmolStr>,
}

impl Matcher {
    /// A matcher for all sources of a rule file.
    pub fn new(rules: &Rules) -> Self {
        let decoders =
            rules.sources.iter().map(|source| Decoder::new(source, &rules.paths)).collect();
        Self { decoders, rules: rules.clone(), watched: None }
    }

    /// Lets only the records of one entity through. The others move the clock as ever.
    #[must_use]
    pub fn watching(mut self, entity: &str) -> Self {
        self.watched = Some(entity.into());
        self
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
    ) -> SmallVec<[Match; 4]> {
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

    /// Decodes a block of a source for so many workers; the shapes are those of its blocks before,
    /// on this thread.
    pub(super) fn decode(
        &self,
        source: usize,
        raw: Raw,
        workers: usize,
        shapes: &mut Shapes,
    ) -> DecodedBlock {
        let Raw { partition, number, block } = raw;
        let mut dead = Vec::new();
        for oversized in &block.oversized {
            let (line, head) = (oversized.line, &oversized.head);
            dead.push(DeadLetter::new(partition as u32, line, 1, oversized.reason(), head));
        }
        let decoder = &self.decoders[source];
        let text = simdutf8::basic::from_utf8(&block.bytes).ok();
        let lines_max = block.bytes.len() / LINE_BYTES_USUAL;
        let mut heads: Vec<Head> = Vec::with_capacity(lines_max);
        let mut rows: Vec<_> =
            (0..workers).map(|_| Vec::with_capacity(lines_max / workers)).collect();
        let mut together: Option<Together> = None;
        let mut lines = Lines::new(shapes);
        for (line, bytes, range) in block.lines() {
            let (skipped, bytes) = trimmed(bytes);
            if bytes.is_empty() {
                continue;
            }
            let start = range.start + skipped;
            let decoded = match text.and_then(|text| text.get(start..start + bytes.len())) {
                Some(text) => decoder.decode_text(text, &mut lines),
                None => decoder.decode(bytes, &mut lines),
            };
            let decoded = match decoded {
                Ok(decoded) => decoded,
                Err(error) => {
                    let (column, reason) = (error.column + skipped, error.reason);
                    dead.push(DeadLetter::new(partition as u32, line, column, reason, bytes));
                    continue;
                }
            };
            let mut condition_errors = 0;
            let matches = match decoded.subject {
                Some(_) => self.matches(source, &lines, &mut condition_errors),
                None => SmallVec::new(),
            };
            let matches = Matches::new(&matches);
            let matched = matches.is_some();
            let arrival_ns = decoded.arrival_ns.unwrap_or(decoded.event_time_ns);
            let text = (range.start as u32, range.end as u32);
            heads.push(Head { line, arrival_ns, text, matched, condition_errors });
            let together = together.get_or_insert_with(|| Together::new(arrival_ns));
            together.add(arrival_ns, matched, condition_errors);
            let watched = self.watched.as_deref();
            if let Some(matches) = matches
                && (watched.is_none() || watched == decoded.subject.as_deref())
            {
                let position = Position::new(partition, line);
                let (entity, mut sighting) = sighting(decoded, matches, position);
                sighting.arrival_ns = together.arrival_ns;
                let worker = match workers {
                    1 => 0,
                    _ => (fixed_hash(&entity) % workers as u64) as usize,
                };
                rows[worker].push(((entity, sighting), 0, 1));
            }
        }
        drop(lines);
        DecodedBlock { partition, number, heads, together, rows, dead, bytes: block.bytes }
    }
}

impl Together {
    fn new(arrival_ns: i64) -> Self {
        Self {
            lines: 0,
            unmatched: 0,
            condition_errors: 0,
            first_arrival_ns: arrival_ns,
            arrival_ns,
            advance_ns: 0,
        }
    }

    fn add(&mut self, arrival_ns: i64, matched: bool, condition_errors: u32) {
        self.lines += 1;
        self.unmatched += u64::from(!matched);
        self.condition_errors += u64::from(condition_errors);
        self.advance_ns = self.advance_ns.max(arrival_ns.saturating_sub(self.arrival_ns));
        self.arrival_ns = self.arrival_ns.max(arrival_ns);
    }
}

/// A line without the white space of JSON around it, and how much stood before. Other white space
/// makes a line that is no record.
pub(crate) fn trimmed(line: &[u8]) -> (usize, &[u8]) {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let Some(start) = line.iter().position(|byte| !is_white(byte)) else {
        return (line.len(), &[]);
    };
    let end = line.iter().rposition(|byte| !is_white(byte)).map_or(start, |last| last + 1);
    (start, &line[start..end])
}

fn sighting(decoded: Decoded<'_>, matches: Matches, position: Position) -> (SmolStr, Sighting) {
    let by_source = xxh3_64(decoded.source.as_bytes());
    let by_time = by_source ^ decoded.event_time_ns.cast_unsigned().rotate_left(17);
    let fingerprint = match &decoded.id {
        Id::Content(hash) => *hash ^ u128::from(by_time),
        Id::Text(id) => xxh3_128_with_seed(id.as_bytes(), by_time),
    };
    let entity = SmolStr::new(decoded.subject.unwrap_or_default());
    let sighting = Sighting {
        arrival_ns: 0,
        position,
        event_time_ns: decoded.event_time_ns,
        fingerprint: ((fingerprint >> 64) as u64, fingerprint as u64),
        content: decoded.content,
        tie: Tie::new(&decoded.source, &decoded.sequence, &decoded.id),
        matches,
    };
    (entity, sighting)
}
