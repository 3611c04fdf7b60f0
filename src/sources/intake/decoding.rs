//! A block of lines becomes records with the signals they fit; any number of threads do this.
//!
//! What depends on the records before (arrival that never decreases, jumps of the clock,
//! lateness) is left to the [sequencer](super::sequencer).

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use limbeck_operators::hash::{FixedState, fixed_hash};
use limbeck_operators::hash::{xxh3_64, xxh3_128_with_seed};
use limbeck_operators::in_place;
use smol_str::SmolStr;

use super::judged::{BySlots, Matched};
use super::matcher::Matcher;
use super::sequencer::Traced;
use crate::log::Rows;
use crate::model::entity::Entity;
use crate::model::ledger::{DeadLetter, Unmatched};
use crate::model::sighting::{Matches, Position, Sighting};
use crate::model::silencing::Silencing;
use crate::model::tie::{Tie, TieStart};
use crate::model::{Id, Sequence};
use crate::rules::RecordView;
use crate::sources::InputError;
use crate::sources::blocks::Block;
use crate::sources::decode::{self, Decoded, Lines, Shapes, Unreadable};
use crate::sources::documents::{Placed, placed};
use crate::sources::header::Header;

/// What is known of the lines of a source from those before them. It changes nothing of what is made
/// of them, only how soon.
#[derive(Debug, Default)]
pub(super) struct Habits {
    shapes: Shapes,
    judged: BySlots,
}

/// A block on its way to a decoder: of which partition, the how manieth of it, and what the
/// columns of the partition are called, if it has any.
pub(super) struct Raw {
    pub(super) partition: usize,
    pub(super) number: u64,
    pub(super) header: Option<Header>,
    pub(super) block: Block,
}

/// A record that fits some signal, by entity, with logical time and difference.
pub(super) type Row = ((Entity, Sighting), i64, isize);

/// A readable record: what the sequencer judges.
pub(super) struct Head {
    pub(super) line: u64,
    /// As it is said, or else the event time.
    pub(super) arrival_ns: i64,
    pub(super) event_time_ns: i64,
    /// One more than the source's own number of it, if it has one below 2^64 - 1.
    pub(super) sequence: Option<NonZeroU64>,
    /// Which of the block's sources it is of.
    pub(super) source: u32,
    /// Where its line begins and ends in the block; of rows, the first is its row.
    pub(super) text: (u32, u32),
    /// Whose rows have it; nobody's if it fits no signal, or is not watched.
    pub(super) worker: Option<u16>,
    /// Whether it fits a signal.
    pub(super) matched: bool,
    /// Whether it says when it arrived.
    pub(super) dated: bool,
    /// How many conditions could not be judged.
    pub(super) condition_errors: u32,
}

/// What the readable records of a block are together, as if none came before them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together {
    pub(super) records: u64,
    pub(super) unmatched: u64,
    pub(super) condition_errors: u64,
    pub(super) first_arrival_ns: i64,
    /// The largest.
    pub(super) arrival_ns: i64,
    /// How far an arrival is ahead of the largest before it, at most.
    pub(super) advance_ns: i64,
}

/// The sources of a block's records, numbered as they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    known: Vec<KnownSource>,
    numbers: HashMap<SmolStr, usize, FixedState>,
    /// That of the last record: neighbours mostly share it.
    last: usize,
}

/// What is the same for all records of a source.
#[derive(Clone, Debug)]
struct KnownSource {
    hash: u64,
    ties: TieStart,
}

impl Sources {
    /// What they are called, by number.
    pub(super) fn names(&self) -> impl Iterator<Item = &SmolStr> {
        self.known.iter().map(|known| known.ties.source())
    }

    /// The number of a source.
    #[inline]
    fn number(&mut self, source: &str) -> usize {
        if self.known.get(self.last).is_none_or(|known| known.ties.source() != source) {
            self.find(source);
        }
        self.last
    }

    #[inline(never)]
    fn find(&mut self, source: &str) {
        self.last = self.numbers.get(source).copied().unwrap_or_else(|| {
            let number = self.known.len();
            let ties = TieStart::new(source);
            self.numbers.insert(ties.source().clone(), number);
            self.known.push(KnownSource { hash: xxh3_64(source.as_bytes()), ties });
            number
        });
    }
}

/// A decoded block.
pub(super) struct DecodedBlock {
    pub(super) partition: usize,
    pub(super) number: u64,
    pub(super) heads: Vec<Head>,
    /// Of the heads.
    pub(super) sources: Sources,
    /// Of the heads; none without any.
    pub(super) together: Option<Together>,
    /// By worker, in the order of the heads. Arrival is the largest in the block so far; logical time is yet to be set.
    pub(super) rows: Vec<Vec<Row>>,
    pub(super) dead: Vec<DeadLetter>,
    /// A line of which so many records have been taken out before these.
    pub(super) taken: (u64, u64),
    /// Behind how many heads and marks each of these is; only where a line may be of several
    /// blocks.
    pub(super) dead_before: Option<Vec<(usize, usize)>>,
    /// In their order.
    pub(super) marks: Vec<Mark>,
    /// What traces tell of some of the heads beyond these, in their order.
    pub(super) notes: Vec<Note>,
    /// What some of the heads say of silences, in their order, with their places.
    pub(super) heard: Vec<(usize, Silencing)>,
    /// The block itself, for what the sequencer rejects, and to be used again.
    pub(super) text: Text,
    /// Why the partition cannot be read from here on, if so.
    pub(super) damage: Option<InputError>,
}

/// What the records of a block were made of.
pub(super) enum Text {
    Lines(Vec<u8>),
    Rows(Arc<Rows>),
}

impl Text {
    /// The line of a record.
    pub(super) fn of(&self, head: &Head) -> Cow<'_, [u8]> {
        let (start, end) = (head.text.0 as usize, head.text.1 as usize);
        match self {
            Self::Lines(bytes) => Cow::Borrowed(&bytes[start..end]),
            Self::Rows(rows) => Cow::Owned(rows.text(start).unwrap_or_default().into_bytes()),
        }
    }
}

/// Time that passed without records.
pub(super) struct Mark {
    /// Before which head, by its place.
    pub(super) head: usize,
    /// The line before it.
    pub(super) line: u64,
    /// Its row.
    pub(super) row: usize,
    /// Until when.
    pub(super) until_ns: i64,
}

/// What a trace tells of a head.
pub(super) struct Note {
    /// Which, by its place.
    pub(super) head: usize,
    /// Which element of its line's array it is, from 1.
    pub(super) element: Option<u32>,
    /// The entity, and why it fits no signal, if it does not.
    pub(super) unmatched: Option<(SmolStr, Unmatched)>,
}

/// A line is seldom shorter: room for as many records as there may be is made at once.
const LINE_BYTES_USUAL: usize = 160;

impl Matcher {
    /// Decodes a block of a source for so many workers, with what is known from its blocks before, on
    /// this thread.
    pub(super) fn decode(
        &self,
        source: usize,
        raw: Raw,
        workers: usize,
        Habits { shapes, judged }: &mut Habits,
    ) -> DecodedBlock {
        let Raw { partition, number, header, block } = raw;
        let lines_max = block.bytes.len() / LINE_BYTES_USUAL;
        let mut decoded = DecodedBlock::new(partition, number, workers, lines_max);
        for oversized in &block.oversized {
            let reason = oversized.reason();
            decoded.bury(oversized.line, Unreadable { column: 1, reason }, &oversized.head);
        }
        let decoder = self.decoder(source);
        if decoder.reads_documents() {
            return decoded.add_documents(self, source, block, (shapes, judged));
        }
        let text = simdutf8::basic::from_utf8(&block.bytes).ok();
        let mut lines = Lines::new(shapes);
        if let Some(header) = &header {
            lines = lines.under(header, decoder);
        }
        let quick = text.is_some_and(|text| decoder.look_at(text, &mut lines));
        let mut rest = block.lines();
        loop {
            let place = |(line, range): (u64, Range<usize>), skipped| Place {
                source,
                line,
                skipped,
                text: (range.start as u32, range.end as u32),
            };
            if let Some(text) = text.filter(|_| quick)
                && let Some(known) = decoder.known_line(text, rest.start(), &mut lines)
            {
                let skipped = known.start - rest.start();
                let (line, _, range) = rest.next_until(known.newline);
                let place = place((line, range), skipped);
                let record = decoder.whole(known.line, &mut lines);
                decoded.add(self, &place, known.line.as_bytes(), (&lines, judged), &record);
                continue;
            }
            let Some((line, bytes, range)) = rest.next() else { break };
            let (skipped, bytes) = decoder.trim(bytes);
            if !bytes.is_empty() {
                let start = range.start + skipped;
                let text = text.and_then(|text| text.get(start..start + bytes.len()));
                let place = place((line, range), skipped);
                decoded.add_line(self, &place, bytes, text, quick, (&mut lines, judged));
            }
        }
        drop(lines);
        DecodedBlock { text: Text::Lines(block.bytes), ..decoded }
    }
}

/// Where a record comes from.
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) line: u64,
    /// How much of the line was skipped before its text.
    pub(super) skipped: usize,
    /// As [`Head::text`].
    pub(super) text: (u32, u32),
}

impl DecodedBlock {
    /// A block of no records yet, of about so many.
    pub(super) fn new(partition: usize, number: u64, workers: usize, records: usize) -> Self {
        Self {
            partition,
            number,
            heads: Vec::with_capacity(records),
            sources: Sources::default(),
            together: None,
            rows: (0..workers).map(|_| Vec::with_capacity(records / workers)).collect(),
            dead: Vec::new(),
            taken: (0, 0),
            dead_before: None,
            marks: Vec::new(),
            notes: Vec::new(),
            heard: Vec::new(),
            text: Text::Lines(Vec::new()),
            damage: None,
        }
    }

    pub(super) fn bury(&mut self, line: u64, error: Unreadable, record: &[u8]) {
        let Unreadable { column, reason } = error;
        self.dead.push(DeadLetter::new(self.partition as u32, line, column, reason, record));
    }

    /// Adds the records of documents.
    #[inline(never)]
    fn add_documents(
        mut self,
        matcher: &Matcher,
        source: usize,
        block: Block,
        (shapes, judged): (&mut Shapes, &mut BySlots),
    ) -> Self {
        let decoder = matcher.decoder(source);
        let mut lines = Lines::new(shapes);
        let mut before = Vec::new();
        for Placed { line, column, element, record } in placed(&block) {
            let heads = self.heads.len();
            match record {
                Err((error, text)) => self.bury(line, error, text.as_bytes()),
                Ok(range) => {
                    let bytes = &block.bytes[range.clone()];
                    let text = (range.start as u32, range.end as u32);
                    let place = Place { source, line, skipped: 0, text };
                    let record = decoder.decode(bytes, &mut lines);
                    let record = record.map_err(|error| Unreadable { column, ..error });
                    self.add(matcher, &place, bytes, (&lines, judged), &record);
                }
            }
            if let Some(number) = element.filter(|_| matcher.traces() != Traced::Nothing) {
                self.note_element(heads, number);
            }
            before.resize(self.dead.len(), (heads, 0));
        }
        self.dead_before = Some(before);
        drop(lines);
        Self { text: Text::Lines(block.bytes), ..self }
    }

    /// Adds the records of the next line, which does not look like one before if those are known.
    #[inline(never)]
    fn add_line<'a>(
        &mut self,
        matcher: &'a Matcher,
        place: &Place,
        bytes: &'a [u8],
        text: Option<&'a str>,
        is_unknown: bool,
        (lines, judged): (&mut Lines<'a>, &mut BySlots),
    ) {
        let decoder = matcher.decoder(place.source);
        let record = match text.map_or_else(|| decode::text(bytes), Ok) {
            Ok(text) if decoder.explodes() => {
                let mut number = 0;
                return decoder.explode(text, lines, &mut |lines, element, record| {
                    let head = self.heads.len();
                    self.add(matcher, place, element.as_bytes(), (lines, judged), &record);
                    number += 1;
                    // What is no array comes as the line itself.
                    if matcher.traces() != Traced::Nothing && element.len() < text.len() {
                        self.note_element(head, number);
                    }
                });
            }
            Ok(text) if is_unknown => decoder.unknown_line(text, lines),
            Ok(text) => decoder.decode_text(text, lines),
            Err(error) => Err(error),
        };
        self.add(matcher, place, bytes, (lines, judged), &record);
    }

    /// Notes which element the last record is of, or what should be one.
    pub(super) fn note_element(&mut self, head: usize, number: u32) {
        let element = Some(number);
        match (self.heads.len() > head, self.notes.last_mut(), self.dead.last_mut()) {
            (true, Some(note), _) if note.head == head => note.element = element,
            (true, ..) => self.notes.push(Note { head, element, unmatched: None }),
            (false, _, Some(letter)) => letter.element = element,
            (false, _, None) => {}
        }
    }

    /// Notes why the next record fits no signal.
    #[inline(never)]
    fn note_unmatched(
        &mut self,
        matcher: &Matcher,
        source: usize,
        view: &impl RecordView,
        record: &Decoded<'_>,
    ) {
        if matcher.watches(record.subject.as_deref()) {
            let unmatched = match &record.subject {
                Some(entity) => (SmolStr::new(entity), matcher.unmatched(source, view)),
                None => (SmolStr::default(), Unmatched::NoSubject),
            };
            let (head, unmatched) = (self.heads.len(), Some(unmatched));
            self.notes.push(Note { head, element: None, unmatched });
        }
    }

    /// Adds the next record of a line, with the bytes it is from.
    #[inline(always)]
    fn add(
        &mut self,
        matcher: &Matcher,
        place: &Place,
        bytes: &[u8],
        (line, judged): (&Lines<'_>, &mut BySlots),
        record: &Result<Decoded<'_>, Unreadable>,
    ) {
        let matched = || match matcher.slots_remembered() {
            Some(slots) => judged.matches(slots, line, || matcher.matched(place.source, line)),
            None => matcher.matched(place.source, line),
        };
        self.add_judged(matcher, place, || Cow::Borrowed(bytes), line, record, matched);
    }

    /// Adds the next record, which `view` shows to the conditions, with the bytes it is from;
    /// `matched` says what rules observe in it.
    #[inline(always)]
    pub(super) fn add_judged<'t>(
        &mut self,
        matcher: &Matcher,
        place: &Place,
        bytes: impl FnOnce() -> Cow<'t, [u8]>,
        view: &impl RecordView,
        record: &Result<Decoded<'_>, Unreadable>,
        matched: impl FnOnce() -> Matched,
    ) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let (column, reason) = (error.column + place.skipped, error.reason.clone());
                return self.bury(place.line, Unreadable { column, reason }, &bytes());
            }
        };
        if matcher.hears_any() && !self.hear(matcher, place, view, bytes) {
            return;
        }
        let (matches, errors) = match record.subject {
            Some(_) => matched(),
            None => (None, 0),
        };
        if matches.is_none() && matcher.traces() == Traced::Everything {
            self.note_unmatched(matcher, place.source, view, record);
        }
        self.add_matched(matcher, place, record, matches, errors);
    }

    /// Adds the next record, with what rules observe in it, and how many conditions could not be
    /// judged.
    #[inline(always)]
    pub(super) fn add_matched(
        &mut self,
        matcher: &Matcher,
        place: &Place,
        record: &Decoded<'_>,
        matches: Option<Matches>,
        condition_errors: u32,
    ) {
        let matched = matches.is_some();
        let (event_time_ns, dated) = (record.event_time_ns, record.arrival_ns.is_some());
        let arrival_ns = record.arrival_ns.unwrap_or(event_time_ns);
        let source = self.sources.number(&record.source);
        let sequence = match record.sequence {
            Sequence::Number(number) => NonZeroU64::new(number.wrapping_add(1)),
            _ => None,
        };
        let together = self.together.get_or_insert_with(|| Together::new(arrival_ns));
        together.add(arrival_ns, matched, condition_errors);
        let mut worker = None;
        if let Some(matches) = matches
            && matcher.watches(record.subject.as_deref())
        {
            let position = Position::new(self.partition, place.line);
            let entity = || Entity::new(record.subject.as_deref().unwrap_or_default());
            let of = match self.rows.len() {
                1 => 0,
                workers => (fixed_hash(&entity()) % workers as u64) as usize,
            };
            let (rows, known) = (&mut self.rows[of], &self.sources.known[source]);
            let arrival_ns = together.arrival_ns;
            // In two places, so that the usual tie never has to be looked for in memory.
            match known.ties.short(&record.sequence, &record.id) {
                Some(tie) => in_place::push(rows, || {
                    let sighting = sighting(record, known, tie, matches, position, arrival_ns);
                    ((entity(), sighting), 0, 1)
                }),
                None => in_place::push(rows, || {
                    let tie = known.ties.long(&record.sequence, &record.id);
                    let sighting = sighting(record, known, tie, matches, position, arrival_ns);
                    ((entity(), sighting), 0, 1)
                }),
            }
            worker = Some(of as u16);
        }
        let Place { line, text, .. } = *place;
        self.heads.push(Head {
            line,
            arrival_ns,
            event_time_ns,
            sequence,
            source: source as u32,
            text,
            worker,
            matched,
            dated,
            condition_errors,
        });
    }
}

impl Together {
    /// What these records are together, if there are any.
    pub(super) fn of(heads: &[Head]) -> Option<Self> {
        let mut together = Self::new(heads.first()?.arrival_ns);
        for head in heads {
            together.add(head.arrival_ns, head.matched, head.condition_errors);
        }
        Some(together)
    }

    fn new(arrival_ns: i64) -> Self {
        Self {
            records: 0,
            unmatched: 0,
            condition_errors: 0,
            first_arrival_ns: arrival_ns,
            arrival_ns,
            advance_ns: 0,
        }
    }

    fn add(&mut self, arrival_ns: i64, matched: bool, condition_errors: u32) {
        self.records += 1;
        self.unmatched += u64::from(!matched);
        self.condition_errors += u64::from(condition_errors);
        self.advance_ns = self.advance_ns.max(arrival_ns.saturating_sub(self.arrival_ns));
        self.arrival_ns = self.arrival_ns.max(arrival_ns);
    }
}

#[inline(always)]
fn sighting(
    decoded: &Decoded<'_>,
    source: &KnownSource,
    tie: Tie,
    matches: Matches,
    position: Position,
    arrival_ns: i64,
) -> Sighting {
    let by_time = source.hash ^ decoded.event_time_ns.cast_unsigned().rotate_left(17);
    let fingerprint = match &decoded.id {
        Id::Content(hash) => (by_time, *hash),
        Id::Text(id) => {
            let hash = xxh3_128_with_seed(id.as_bytes(), by_time);
            ((hash >> 64) as u64, hash as u64)
        }
    };
    Sighting {
        arrival_ns,
        position,
        event_time_ns: decoded.event_time_ns,
        fingerprint,
        content: decoded.content,
        tie,
        matches,
    }
}
