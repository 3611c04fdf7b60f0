//! What flows: a record that fits some signal, and the observations that rules make of it.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use limbeck_operators::machines::dedup::Fingerprinted;
use limbeck_operators::machines::hold_down;
use limbeck_operators::{Data, Event};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::detail::{Ballot, Changes, Detail, SharedDetail};
use super::entity::Entity;
use super::ledger::{Disposition, Known, Mark, Trace};
use super::record::{Id, Sequence};

/// A state as a rule observes it, by their numbers in the rule file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Which rule.
    pub rule: u16,
    /// Which state of its signal.
    pub state: u16,
}

/// The number of what is observed where a record marks the entity to a rule, and shows it no state.
pub const MARKER: u16 = u16::MAX - 1;

/// A record that fits at least one signal and is in time.
///
/// Ordered as duplicates are told apart: the first of equal ones by (arrival, partition, position)
/// counts. Small, since every one of them travels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// When it was recorded; never before the record ahead of it in its partition.
    pub arrival_ns: i64,
    /// Where it stands in the log.
    pub position: Position,
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// A hash of source, id and event time, in two words: with the entity, what makes it the same
    /// record.
    pub fingerprint: (u64, u64),
    /// A hash of all it says.
    pub content: u64,
    /// Its place among others of its event time.
    pub tie: Tie,
    /// What rules observe in it.
    pub matches: Matches,
}

impl Sighting {
    /// How long after it happened it arrived.
    pub fn age_ns(&self) -> i64 {
        self.arrival_ns.saturating_sub(self.event_time_ns)
    }

    /// What a trace says of it.
    pub fn known(&self, entity: &Entity) -> Known {
        Known {
            event_time_ns: self.event_time_ns,
            arrival_ns: self.arrival_ns,
            entity: entity.name(),
            mark: self.mark(),
        }
    }

    /// What tells it apart from others of its line.
    pub fn mark(&self) -> Mark {
        Mark { fingerprint: self.fingerprint, content: self.content }
    }

    /// A trace of what became of it.
    pub fn trace(&self, entity: &Entity, disposition: Disposition) -> Trace {
        Trace::Record { position: self.position, known: self.known(entity), disposition }
    }
}

const _: () = assert!(size_of::<((Entity, Sighting), i64, isize)>() == 128, "two cache lines");

/// A partition, and a line of it from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position(u64);

impl Position {
    const LINE_BITS: u32 = 40;

    /// A line of a partition: one of 16 million, and with a million million lines.
    pub fn new(partition: usize, line: u64) -> Self {
        Self((partition as u64) << Self::LINE_BITS | line)
    }

    /// The partition.
    pub fn partition(self) -> usize {
        (self.0 >> Self::LINE_BITS) as usize
    }

    /// The line.
    pub fn line(self) -> u64 {
        self.0 & ((1 << Self::LINE_BITS) - 1)
    }
}

/// What rules observe in a record, each once; nothing if none looks at the signals it fits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Matches(Found);

/// A word in each case, so that it is handed on in registers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Found {
    /// The usual: a match, as a word.
    One(u64),
    /// Two rules, without anything to allocate: the first lowest.
    Two(u64),
    /// Any number of rules, with what is carried beside the state.
    #[expect(clippy::box_collection, reason = "one word, as the others")]
    Many(Box<Vec<Detailed>>),
}

impl Match {
    const BITS: u32 = 32;

    fn word(self) -> u64 {
        u64::from(self.rule) << 16 | u64::from(self.state)
    }

    /// Of the lowest bits of a word.
    fn of(word: u64) -> Self {
        Self { rule: (word >> 16) as u16, state: word as u16 }
    }
}

/// A match, and what is carried beside the state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Detailed {
    /// The match.
    pub found: Match,
    /// Whether nothing holds it up.
    pub urgent: bool,
    /// Whether it marks the entity to the rule, which it may show a state beside.
    pub marks: bool,
    /// Equal for records that repeat each other to the rule; 0 to a rule without dedup.
    pub key: u64,
    /// Labels and reading.
    pub detail: SharedDetail,
}

impl Detailed {
    /// What a rule observes that asks for nothing but the state.
    pub fn plain(found: Match) -> Self {
        Self { found, urgent: false, marks: false, key: 0, detail: None }
    }
}

impl From<Match> for Matches {
    fn from(one: Match) -> Self {
        Self(Found::One(one.word()))
    }
}

impl From<Vec<Detailed>> for Matches {
    fn from(many: Vec<Detailed>) -> Self {
        Self(Found::Many(Box::new(many)))
    }
}

impl From<&[Match]> for Matches {
    fn from(matches: &[Match]) -> Self {
        match matches {
            [one] => (*one).into(),
            [one, two] => Self(Found::Two(one.word() | two.word() << Match::BITS)),
            many => many.iter().copied().map(Detailed::plain).collect::<Vec<_>>().into(),
        }
    }
}

impl Matches {
    /// One after the other, without what is carried.
    #[inline]
    fn found(&self, place: usize) -> Option<Match> {
        match &self.0 {
            Found::One(one) => (place == 0).then(|| Match::of(*one)),
            Found::Two(two) => (place < 2).then(|| Match::of(*two >> (Match::BITS * place as u32))),
            Found::Many(many) => many.get(place).map(|detailed| detailed.found),
        }
    }

    /// Those that may carry something.
    fn detailed(&self) -> &[Detailed] {
        match &self.0 {
            Found::Many(many) => many,
            _ => &[],
        }
    }

    /// Those that may carry something.
    pub fn detailed_mut(&mut self) -> &mut [Detailed] {
        match &mut self.0 {
            Found::Many(many) => many,
            _ => &mut [],
        }
    }
}

/// What is observed of a state: it alone, or also what is carried beside it.
pub trait Shown: Data {
    /// Whether it may be more than a state: what only that needs is not built for the other.
    const DETAILED: bool;

    /// What hold-down keeps of it.
    type State: hold_down::State;

    /// What hold-down keeps of it.
    fn state(&self) -> Self::State;

    /// Equal for what repeats it to a rule with dedup.
    fn key(&self) -> u64;

    /// Whether nothing holds it up.
    fn is_urgent(&self) -> bool {
        false
    }

    /// Whether it marks the entity.
    fn is_marker(&self) -> bool;

    /// Whether it shows a state: what marks the entity may not.
    fn is_observed(&self) -> bool {
        !self.is_marker() || Self::number(&self.state()) != MARKER
    }

    /// Gives what each rule observes, by the rule's number.
    fn each(matches: &Matches, give: impl FnMut(usize, Self));

    /// The number of a state.
    fn number(state: &Self::State) -> u16;

    /// What is carried beside a state.
    fn detail(state: &Self::State) -> SharedDetail;

    /// A state, with what is carried beside it, if that is observed.
    fn of(state: u16, detail: &SharedDetail) -> Self::State;

    /// A state that tells changes beside that.
    fn with_changes(state: u16, detail: &SharedDetail, changes: Changes) -> Self::State {
        let _ = changes;
        Self::of(state, detail)
    }

    /// A state that tells what some said otherwise beside that.
    fn with_minority(state: u16, detail: &SharedDetail, minority: &[Ballot]) -> Self::State {
        let _ = minority;
        Self::of(state, detail)
    }
}

/// What an observation that is a state alone has beside it, if it marks the entity.
const MARKS: u64 = 1 << 16;

/// The state alone, in a whole word, so that an observation moves in words.
impl Shown for u64 {
    const DETAILED: bool = false;
    type State = u16;

    fn state(&self) -> u16 {
        *self as u16
    }

    fn key(&self) -> u64 {
        0
    }

    fn is_marker(&self) -> bool {
        self & MARKS != 0
    }

    // It is called in one place, to become part of this loop.
    #[inline]
    fn each(matches: &Matches, mut give: impl FnMut(usize, Self)) {
        let mut place = 0;
        while let Some(Match { rule, state }) = matches.found(place) {
            let marks = matches.detailed().get(place).is_some_and(|detailed| detailed.marks);
            give(usize::from(rule), u64::from(state) | if marks { MARKS } else { 0 });
            place += 1;
        }
    }

    fn number(state: &u16) -> u16 {
        *state
    }

    fn detail(_: &u16) -> SharedDetail {
        None
    }

    fn of(state: u16, _: &SharedDetail) -> u16 {
        state
    }
}

/// A state, and what is carried beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Noted {
    /// Which state.
    pub state: u16,
    /// Whether nothing holds it up.
    pub urgent: bool,
    /// Whether it marks the entity.
    pub marks: bool,
    /// Equal for what repeats it to a rule with dedup.
    pub key: u64,
    /// Labels and reading.
    pub detail: SharedDetail,
}

impl hold_down::State for Noted {
    fn is(&self, other: &Self) -> bool {
        self.state == other.state
    }

    /// A session, and a flap, tells all its changes.
    fn renew(&mut self, later: &Self) {
        if let Some(changes) = later.detail.as_ref().and_then(|detail| detail.changes) {
            *self = Self::with_changes(self.state, &self.detail, changes);
        }
    }
}

impl Shown for Noted {
    const DETAILED: bool = true;
    type State = Self;

    /// Without what is of the observation alone: it makes no other state.
    fn state(&self) -> Self {
        Self::of(self.state, &self.detail)
    }

    fn key(&self) -> u64 {
        self.key
    }

    fn is_urgent(&self) -> bool {
        self.urgent
    }

    fn is_marker(&self) -> bool {
        self.marks
    }

    fn each(matches: &Matches, mut give: impl FnMut(usize, Self)) {
        let detailed = matches.detailed();
        let mut place = 0;
        while let Some(Match { rule, state }) = matches.found(place) {
            let shown = match detailed.get(place) {
                Some(Detailed { urgent, marks, key, detail, .. }) => {
                    let (urgent, marks, key) = (*urgent, *marks, *key);
                    Self { state, urgent, marks, key, detail: detail.clone() }
                }
                None => Self::of(state, &None),
            };
            give(usize::from(rule), shown);
            place += 1;
        }
    }

    fn number(state: &Self) -> u16 {
        state.state
    }

    fn detail(state: &Self) -> SharedDetail {
        state.detail.clone()
    }

    fn of(state: u16, detail: &SharedDetail) -> Self {
        Self { state, urgent: false, marks: false, key: 0, detail: detail.clone() }
    }

    fn with_changes(state: u16, detail: &SharedDetail, changes: Changes) -> Self {
        let detail = detail.as_deref().cloned().unwrap_or_default();
        let detail = Detail { changes: Some(changes), ..detail };
        Self::of(state, &Some(Arc::new(detail)))
    }

    fn with_minority(state: u16, detail: &SharedDetail, minority: &[Ballot]) -> Self {
        if minority.is_empty() {
            return Self::of(state, detail);
        }
        let detail = detail.as_deref().cloned().unwrap_or_default();
        let detail = Detail { minority: Some(Arc::new(minority.to_vec())), ..detail };
        Self::of(state, &Some(Arc::new(detail)))
    }
}

impl Event for Sighting {
    fn time(&self) -> i64 {
        self.arrival_ns
    }
}

impl Fingerprinted for Sighting {
    fn fingerprint(&self) -> u128 {
        u128::from(self.fingerprint.0) << 64 | u128::from(self.fingerprint.1)
    }

    fn content(&self) -> u64 {
        self.content
    }
}

/// An observation of one rule of one entity, in the contract's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation<S> {
    /// When the source says it happened.
    pub event_time_ns: i64,
    /// Its place among others of its event time.
    pub tie: Tie,
    /// What is observed.
    pub shown: S,
}

impl<S: Shown> Event for Observation<S> {
    fn time(&self) -> i64 {
        self.event_time_ns
    }
}

impl<S: Shown> hold_down::Observation for Observation<S> {
    type State = S::State;

    fn state(&self) -> S::State {
        self.shown.state()
    }

    fn is_urgent(&self) -> bool {
        self.shown.is_urgent()
    }

    fn is_marker(&self) -> bool {
        self.shown.is_marker()
    }

    fn is_observed(&self) -> bool {
        self.shown.is_observed()
    }
}

/// To a rule with dedup.
impl<S: Shown> Fingerprinted for Observation<S> {
    fn fingerprint(&self) -> u128 {
        u128::from(self.shown.key()) << 16 | u128::from(S::number(&self.shown.state()))
    }

    fn content(&self) -> u64 {
        0
    }
}

/// Source, sequence and id of a record as bytes that are ordered as these are: by source, then by
/// sequence, then by id. Most are short, and never compared.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub struct Tie(Bytes);

const SHORT_BYTES_MAX: usize = 23;

#[derive(Clone)]
enum Bytes {
    /// Up to so many bytes, in words: these are ordered, and moved, as whole numbers. The last byte
    /// is one more than the number of those before it.
    Short(u64, u64, NonZeroU64),
    Long(Arc<[u8]>),
}

/// How the ties of a source begin.
#[derive(Clone, Debug)]
pub struct TieStart {
    source: SmolStr,
    /// The source and its end, the first byte highest, and how many bytes these are; none if they
    /// leave no room for the rest.
    short: Option<(u128, usize)>,
}

impl TieStart {
    /// Encodes a source.
    pub fn new(source: &str) -> Self {
        let mut bytes = Vec::new();
        push_text(&mut bytes, source);
        let short = (bytes.len() + 1 + CONTENT_BYTES <= SHORT_BYTES_MAX).then(|| {
            let mut first = [0; 16];
            first[..bytes.len()].copy_from_slice(&bytes);
            (u128::from_be_bytes(first), bytes.len())
        });
        Self { source: source.into(), short }
    }

    /// The source.
    pub fn source(&self) -> &SmolStr {
        &self.source
    }

    /// Encodes the rest.
    #[inline(always)]
    pub fn tie(&self, sequence: &Sequence, id: &Id) -> Tie {
        let short = self.short(sequence, id);
        short.unwrap_or_else(|| self.long(sequence, id))
    }

    /// The same, whatever it takes.
    #[inline(never)]
    pub fn long(&self, sequence: &Sequence, id: &Id) -> Tie {
        Tie::long(&self.source, sequence, id).as_slice().into()
    }

    /// The usual: a short source, a number, and an id that is a hash.
    #[inline(always)]
    pub fn short(&self, sequence: &Sequence, id: &Id) -> Option<Tie> {
        let (source, source_len) = self.short?;
        let Id::Content(hash) = id else { return None };
        // As many bytes as it needs, their number before them: more bytes is more.
        let (number, number_len) = match sequence {
            Sequence::Absent => (0, 1),
            Sequence::Number(number) => {
                let len = number_bytes(*number);
                (u128::from(*number) | (1 + len as u128) << (8 * len), 1 + len)
            }
            _ => return None,
        };
        let len = source_len + number_len + CONTENT_BYTES;
        if len > SHORT_BYTES_MAX || number_len > 8 {
            return None;
        }
        // Behind the source, which leaves 16 bytes or less; what does not fit in is the third word.
        let rest = (number << 64 | u128::from(*hash)) << (64 - 8 * number_len);
        let words = source | rest >> (8 * source_len);
        let third = (rest << (128 - 8 * source_len)) >> 64;
        Some(Tie(Bytes::short((words >> 64) as u64, words as u64, third as u64, len)))
    }
}

impl Tie {
    /// Encodes the three.
    pub fn new(source: &str, sequence: &Sequence, id: &Id) -> Self {
        TieStart::new(source).tie(sequence, id)
    }

    /// The same, and behind it a time: tells records apart whose event times have become one.
    #[must_use]
    pub fn then(self, time_ns: i64) -> Self {
        let mut bytes = Vec::from(self);
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&(time_ns.cast_unsigned() ^ 1 << 63).to_be_bytes());
        bytes.into()
    }

    #[inline(never)]
    fn long(source: &str, sequence: &Sequence, id: &Id) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_text(&mut bytes, source);
        match sequence {
            Sequence::Absent => bytes.push(0),
            Sequence::Number(number) => {
                let len = number_bytes(*number);
                bytes.push(1 + len as u8);
                bytes.extend_from_slice(&number.to_be_bytes()[8 - len..]);
            }
            Sequence::Large(digits) => {
                bytes.push(10);
                bytes.extend_from_slice(&(digits.as_str().len() as u64).to_be_bytes());
                bytes.extend_from_slice(digits.as_str().as_bytes());
            }
            Sequence::Text(text) => {
                bytes.push(11);
                push_text(&mut bytes, text);
            }
        }
        match id {
            Id::Content(hash) => {
                bytes.extend_from_slice(&hash.to_be_bytes());
            }
            Id::Text(id) => bytes.extend_from_slice(id.as_bytes()),
        }
        bytes
    }
}

impl Bytes {
    /// So many bytes, zero behind their end.
    #[inline(always)]
    fn short(first: u64, second: u64, third: u64, len: usize) -> Self {
        // The number makes it another than zero.
        let last = NonZeroU64::new(third | (len as u64 + 1)).unwrap_or(NonZeroU64::MIN);
        Self::Short(first, second, last)
    }

    /// What short bytes are ordered by: they are zero behind their end.
    fn short_rank(&self) -> Option<(u64, u64, NonZeroU64)> {
        match self {
            Self::Short(first, second, last) => Some((*first, *second, *last)),
            Self::Long(_) => None,
        }
    }

    fn with<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Short(first, second, last) => {
                let words = [*first, *second, last.get()].map(u64::to_be_bytes);
                read(&words.as_flattened()[..usize::from(words[2][7]) - 1])
            }
            Self::Long(bytes) => read(bytes),
        }
    }
}

/// Short bytes while they are put together: in words, for what is written by the byte and read by
/// the word has to wait for the memory.
#[derive(Default)]
struct Words {
    words: [u64; 4],
    len: usize,
}

impl Words {
    /// Appends the first bytes of a word; those behind them are zero.
    #[inline]
    fn push(&mut self, word: u64, count: usize) {
        let (at, shift) = (self.len / 8, self.len % 8 * 8);
        self.words[at] |= word >> shift;
        self.words[at + 1] |= word.checked_shl(64 - shift as u32).unwrap_or(0);
        self.len += count;
    }

    #[inline]
    fn push_all(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(8) {
            let word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.push(word << (64 - 8 * bytes.len()), bytes.len());
        }
    }

    #[inline]
    fn bytes(self) -> Bytes {
        let [first, second, third, _] = self.words;
        Bytes::short(first, second, third, self.len)
    }
}

/// The bytes of a hash.
const CONTENT_BYTES: usize = 8;

/// How many bytes a number needs.
fn number_bytes(number: u64) -> usize {
    8 - number.leading_zeros() as usize / 8
}

/// A text and its end: a zero byte in it is followed by a one, at its end by a zero.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(1);
        }
    }
    bytes.extend_from_slice(&[0, 0]);
}

impl From<&[u8]> for Tie {
    fn from(bytes: &[u8]) -> Self {
        if bytes.len() > SHORT_BYTES_MAX {
            return Self(Bytes::Long(bytes.into()));
        }
        let mut words = Words::default();
        words.push_all(bytes);
        Self(words.bytes())
    }
}

impl From<Vec<u8>> for Tie {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Tie> for Vec<u8> {
    fn from(tie: Tie) -> Self {
        tie.0.with(<[u8]>::to_vec)
    }
}

impl Ord for Tie {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0.short_rank(), other.0.short_rank()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => self.0.with(|one| other.0.with(|other| one.cmp(other))),
        }
    }
}

impl PartialOrd for Tie {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Tie {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Tie {}

impl fmt::Debug for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.with(|bytes| write!(f, "Tie({})", bytes.escape_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof!["[\x00\x01ab]{0,4}", "[0-9]{1,3}", "0{0,3}[1-9][0-9]{18,22}", ".{0,3}"]
    }

    fn sequences() -> impl Strategy<Value = Sequence> {
        prop_oneof![Just(Sequence::Absent), texts().prop_map(|text| Sequence::parse(&text))]
    }

    fn ids() -> impl Strategy<Value = Id> {
        prop_oneof![
            texts().prop_map(|text| Id::Text(text.into())),
            any::<u64>().prop_map(Id::Content),
        ]
    }

    proptest! {
        #[test]
        fn ties_are_ordered_as_what_they_encode(
            one in (texts(), sequences(), ids()),
            other in (texts(), sequences(), ids()),
        ) {
            let tie = |(source, sequence, id): &(String, Sequence, Id)| {
                let tie = Tie::new(source, sequence, id);
                prop_assert_eq!(Vec::from(tie.clone()), Tie::long(source, sequence, id));
                Ok(tie)
            };
            let (one_tie, other_tie) = (tie(&one)?, tie(&other)?);
            if let (Id::Text(_), Id::Text(_)) | (Id::Content(_), Id::Content(_)) = (&one.2, &other.2) {
                prop_assert_eq!(one_tie.cmp(&other_tie), one.cmp(&other));
            }
            prop_assert_eq!(&one_tie, &Tie::from(Vec::from(one_tie.clone())));
        }
    }
}
