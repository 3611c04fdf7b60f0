//! What became of records.

use limbeck_operators::finite::Finite;
use limbeck_operators::machines::hold_down::Decision;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::account::{Account, SourceKey};
use super::detail::{Ballot, Changes};
use super::sighting::Position;
use super::silencing::Silencing;
use super::tie::Tie;

/// How much of a record a dead letter keeps.
pub const DEAD_LETTER_BYTES_MAX: usize = 1024;

/// An entry of the ledger; together with the episodes they account for every record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Entry {
    /// A record that could not be read or accepted.
    DeadLetter(DeadLetter),
    /// Something that is only counted.
    Count(Count),
    /// What became of one record, or a part of why; only where somebody asked.
    Trace(Box<Trace>),
    /// What the records of a source were together, in some of the partitions.
    Source(Box<(SourceKey, Account)>),
    /// What a record says of a silence; it goes to those who decide what is told.
    Silencing(Box<Silencing>),
}

/// What keeps observations from becoming episodes, as outputs call it.
pub mod by {
    /// It repeats another.
    pub const DEDUP: &str = "dedup";
    /// Its reading has no rate yet.
    pub const RATE: &str = "rate";
    /// Too few votes are for its fault.
    pub const QUORUM: &str = "quorum";
    /// Its entity changes too often.
    pub const FLAP_DAMPING: &str = "flap_damping";
    /// Its entity is new, or was marked.
    pub const GRACE: &str = "grace";
    /// It did not last.
    pub const HOLD: &str = "hold";
    /// The state before was kept.
    pub const KEEP: &str = "keep";
    /// Observations ceased.
    pub const EXPIRED: &str = "expired";
    /// All of these.
    pub const ALL: [&str; 8] = [DEDUP, RATE, QUORUM, FLAP_DAMPING, GRACE, HOLD, KEEP, EXPIRED];
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Count {
    /// A line that is not blank, an element of an array that is exploded, a record of a document.
    Record,
    /// A record that fits no signal.
    Unmatched,
    /// A record whose arrival is later than its event time by more than the lateness.
    Late,
    /// A record that was there before.
    Duplicate,
    /// A duplicate that says something else.
    Conflict,
    /// A condition that could not be judged.
    ConditionError,
    /// A log that could not be read to its end.
    Damaged,
    /// A value of a label beyond those that are told apart.
    LabelOverflow,
    /// An observation that a rule, by its rank, made.
    Observed(u16),
    /// An observation that repeats another to a rule.
    Repeated(u16),
    /// An observation in a run that a rule held down.
    HeldDown(u16),
    /// An observation in a run that had lasted while a rule kept the state before.
    Kept(u16),
    /// An observation in a run that had not lasted when observations ceased.
    Expired(u16),
    /// An observation that a rule withheld since its reading has no rate yet.
    Unrated(u16),
    /// An observation that a rule withheld since its fault had no quorum, and nobody said otherwise.
    Outvoted(u16),
    /// An observation that a rule's flap damping withheld.
    Damped(u16),
    /// An observation that it would have withheld, but for its test mode.
    WouldDamp(u16),
    /// An observation that a rule withheld in the grace of its entity.
    Spared(u16),
    /// What marked its entity to a rule, and showed no state.
    Marked(u16),
    /// An observation that a rule had not decided on at the end.
    Pending(u16),
}

impl Count {
    /// The same of the rule that another rank stands for; `None` if it is of no rule.
    pub fn reranked(self, rank: impl FnOnce(u16) -> Option<u16>) -> Option<Self> {
        match self {
            Self::Observed(rule) => rank(rule).map(Self::Observed),
            Self::Repeated(rule) => rank(rule).map(Self::Repeated),
            Self::HeldDown(rule) => rank(rule).map(Self::HeldDown),
            Self::Kept(rule) => rank(rule).map(Self::Kept),
            Self::Expired(rule) => rank(rule).map(Self::Expired),
            Self::Unrated(rule) => rank(rule).map(Self::Unrated),
            Self::Outvoted(rule) => rank(rule).map(Self::Outvoted),
            Self::Damped(rule) => rank(rule).map(Self::Damped),
            Self::WouldDamp(rule) => rank(rule).map(Self::WouldDamp),
            Self::Spared(rule) => rank(rule).map(Self::Spared),
            Self::Marked(rule) => rank(rule).map(Self::Marked),
            Self::Pending(rule) => rank(rule).map(Self::Pending),
            _ => None,
        }
    }
}

/// A trace of a record on its way. Rules are numbered by the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Trace {
    /// What became of a record as a whole.
    Record {
        /// Where it stands.
        position: Position,
        /// What it says.
        known: Known,
        /// What became of it.
        disposition: Disposition,
    },
    /// A record is one of several of its line, or its event time was corrected.
    Read {
        /// Where it stands.
        position: Position,
        /// Whom it is about.
        entity: SmolStr,
        /// What tells it apart from others of its line.
        mark: Mark,
        /// Which element of the line's array it is of, from 1.
        element: Option<u32>,
        /// The event time as it was said, if another counts.
        raw_time_ns: Option<i64>,
    },
    /// A rule observed a record.
    Observed {
        /// To whom.
        lane: TracedLane,
        /// What orders it.
        place: Place,
        /// Which state, by its number.
        state: u16,
        /// Equal for what repeats it to a rule with dedup.
        key: u64,
        /// Whether it counts at once.
        urgent: bool,
        /// Where the record stands.
        position: Position,
        /// What it says.
        known: Known,
    },
    /// An observation repeats another to a rule.
    Repeated {
        /// To whom.
        lane: TracedLane,
        /// Which.
        place: Place,
    },
    /// What a rule did with an observation before it was held.
    Staged {
        /// To whom.
        lane: TracedLane,
        /// Which.
        place: Place,
        /// What.
        what: Staged,
    },
    /// What a rule made of its observations.
    Decided {
        /// To whom.
        lane: TracedLane,
        /// The decision; states by their numbers.
        decision: Decision<u16>,
    },
}

/// What is done with an observation before it is held, with the numbers that decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Staged {
    /// It has a reading, which was judged.
    Measured {
        /// The reading.
        reading: Finite,
        /// What was judged in its place; none if it was withheld.
        number: Option<Finite>,
        /// When the reading before it was taken, if that is known.
        before_ns: Option<i64>,
    },
    /// It was counted as a vote.
    Counted(Box<Counted>),
    /// It changed too often.
    Damped {
        /// The penalty at its instant.
        penalty: Finite,
        /// The largest since the entity is suppressed.
        peak: Finite,
        /// Until when it is, unless it changes again.
        until_ns: i64,
        /// Whether it passed all the same.
        passed: bool,
    },
    /// Its entity had just been seen for the first time, or marked.
    Spared {
        /// When.
        since_ns: i64,
        /// Whether it was marked.
        marked: bool,
        /// When its grace ends.
        until_ns: i64,
    },
    /// It marks its entity.
    Marked {
        /// When the grace ends that it begins.
        until_ns: i64,
    },
    /// It passed as one of an entity that is in a session.
    Grouped {
        /// Its changes so far.
        changes: Changes,
    },
    /// It passed as one of an entity that flaps.
    Flapped {
        /// The share of changes, in percent.
        share: Finite,
    },
}

impl Staged {
    /// Whether it was kept from what follows.
    pub fn is_withheld(&self) -> bool {
        match self {
            Self::Measured { number, .. } => number.is_none(),
            Self::Counted(counted) => !counted.passed,
            Self::Damped { passed, .. } => !passed,
            Self::Spared { .. } => true,
            Self::Marked { .. } | Self::Grouped { .. } | Self::Flapped { .. } => false,
        }
    }
}

impl Staged {
    /// How many bytes it has beyond its own.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Counted(counted) => {
                size_of::<Counted>() + counted.minority.len() * size_of::<Ballot>()
            }
            _ => 0,
        }
    }
}

/// How the votes stood with an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Counted {
    /// Whether it passed.
    pub passed: bool,
    /// The latest vote for the fault that it counts as, or else says, or else weighs most.
    pub fault: Option<Ballot>,
    /// What the votes for that weigh, in millionths.
    pub weight: u64,
    /// Whether these are a quorum.
    pub agreed: bool,
    /// What all votes weigh, in millionths.
    pub all: u64,
    /// The votes against what it counts as.
    pub minority: Vec<Ballot>,
}

/// A rule, by its number in the rule file, and an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TracedLane {
    /// The rule.
    pub rule: u16,
    /// The entity.
    pub entity: SmolStr,
}

/// Where an observation stands among those of its lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Event time.
    pub event_time_ns: i64,
    /// Its place among others of that.
    pub tie: Tie,
}

/// What tells a record apart from others of its line, of the same entity; those that it does not
/// are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Of source, id and event time, as they are said.
    pub fingerprint: (u64, u64),
    /// Of all it says.
    pub content: u64,
}

/// What a readable record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Known {
    /// When it happened.
    pub event_time_ns: i64,
    /// When it arrived.
    pub arrival_ns: i64,
    /// Whom it is about; empty without subject.
    pub entity: SmolStr,
    /// What tells it apart from others of its line.
    pub mark: Mark,
}

/// What becomes of a readable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Disposition {
    /// It fits no signal, or has no subject.
    Unmatched(Unmatched),
    /// Its arrival is later than its event time by more than the lateness.
    Late,
    /// Rules observe it.
    Used,
    /// It was there before; it may say something else.
    Duplicate {
        /// Whether it does.
        conflict: bool,
    },
}

impl Disposition {
    /// In a word, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unmatched(_) => "unmatched",
            Self::Late => "late",
            Self::Used => "used",
            Self::Duplicate { .. } => "duplicate",
        }
    }
}

/// Why a record fits no signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unmatched {
    /// It says of nobody what it says.
    NoSubject,
    /// It is of another source than the signals, or none of their conditions holds.
    NoSignal,
    /// It is of a signal, and none of the states fits.
    NoState,
    /// Some condition could not be judged.
    NotJudged,
    /// It is of no signal, and says when there is silence.
    Silencing,
}

impl Unmatched {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::NoSubject, Self::NoSignal, Self::NoState, Self::NotJudged, Self::Silencing];

    /// In a few words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoSubject => "no subject",
            Self::NoSignal => "no signal's condition holds",
            Self::NoState => "no state of its signal fits",
            Self::NotJudged => "a condition could not be judged",
            Self::Silencing => "it says when there is silence",
        }
    }
}

/// A record that could not be read or accepted: where it is, why, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which partition, by its place on the command line.
    pub partition: u32,
    /// The line, from 1.
    pub line: u64,
    /// The column, in bytes from 1.
    pub column: u64,
    /// What is wrong.
    pub reason: String,
    /// The record, or its beginning.
    pub record: String,
    /// Which element of the line's array it is of, from 1, where that is traced.
    pub element: Option<u32>,
}

impl DeadLetter {
    /// A dead letter that keeps the beginning of the record.
    pub fn new(partition: u32, line: u64, column: usize, reason: String, record: &[u8]) -> Self {
        let cut = &record[..record.len().min(DEAD_LETTER_BYTES_MAX)];
        let record = String::from_utf8_lossy(cut).into_owned();
        Self { partition, line, column: column as u64, reason, record, element: None }
    }

    /// Bytes it owns on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.reason.capacity() + self.record.capacity()
    }
}
