//! What flows: a record that fits some signal, and the observations that rules make of it.

use std::sync::Arc;

use limbeck_operators::machines::dedup::Fingerprinted;
use limbeck_operators::machines::hold_down;
use limbeck_operators::{Data, Event};
use serde::{Deserialize, Serialize};

use super::detail::{Ballot, Changes, Detail, SharedDetail};
use super::entity::Entity;
use super::ledger::{Disposition, Known, Mark, Trace};
use super::tie::Tie;

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
