//! Why there is an episode, or none: the replay once more, for one entity, with all that it saw.
//!
//! Guarantees: what is explained is what the dataflow of the replay says, of the same logs, until the
//! same instant; nothing is decided here. Everything that was known later is left out by leaving the
//! records out that arrived later. State: the records of one entity.

mod draw;
mod faults;
mod locate;
mod records;
mod told;
mod traces;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

pub use draw::draw;
pub(crate) use draw::lanes;
pub use faults::{AtAge, Expected, Lasts};
pub use locate::{Found, Located, Which, locate};
pub(crate) use locate::{NotJudged, not_judged};
pub(crate) use records::fate_rows;
pub use records::{Records, explain_records};
pub use told::{Kept as NotTold, Tidings};
pub(crate) use traces::{Retraced, Seen};

use self::traces::{Wanted, retrace};
use crate::model::lane::RunOutcome;
use crate::model::ledger::Staged;
use crate::model::printable::printable;
use crate::model::time::format_rfc3339;
use crate::replay::{Failure, Log};
use crate::rules::{Announce, Rules, Stages, weight_of};
use crate::sinks::fates::BallotRow;
use crate::sources::InputError;
use crate::sources::intake::Traced;

/// Everything about one entity, as it was known at an instant.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The entity.
    pub entity: String,
    /// The last arrival, or the instant that was asked for.
    #[serde(serialize_with = "maybe_instant")]
    pub known_at: Option<i64>,
    /// How late a record may be.
    pub lateness_ns: i64,
    /// One for each rule that observed it, in the order of the rule file.
    pub rules: Vec<Explained>,
    /// Records of some signal that were not used.
    pub not_used: Vec<NotUsed>,
    /// Records that were late, and used by rules that amend for longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amending: Vec<Amending>,
    /// Who is told of its episodes, and what keeps others from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Tidings>,
    /// The logs that could not be read to their end; as JSON, whether there are any.
    #[serde(serialize_with = "whether_any")]
    pub damaged: Vec<InputError>,
}

impl Explanation {
    /// Adds who is told of its episodes, if there are routes. What that is depends on other entities,
    /// too: the logs are read once more, for all.
    ///
    /// # Errors
    ///
    /// [`Failure`], if a log cannot be opened or the replay fails.
    pub fn add_told(
        &mut self,
        rules: &Rules,
        logs: &[Log],
        until_ns: Option<i64>,
    ) -> Result<(), Failure> {
        self.told = told::tidings(rules, logs, &self.entity, (traces::TICK_NS, until_ns))?;
        Ok(())
    }

    /// Whether nothing of the entity fits a signal.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.not_used.is_empty() && self.amending.is_empty()
    }
}

/// What a rule made of an entity.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The rule.
    pub rule: String,
    /// Its number in the rule file.
    #[serde(skip)]
    pub number: usize,
    /// What it is on.
    pub signal: String,
    /// How long each state must last.
    pub hold_ns: BTreeMap<String, i64>,
    /// How long each state lasts after it was missed, of those that are kept.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keep_ns: BTreeMap<String, i64>,
    /// How long the entity may be silent.
    pub expire_after_ns: i64,
    /// What counts at once to it, as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
    /// What it does before it holds.
    #[serde(skip)]
    pub stages: Stages,
    /// Within which time an observation of equal state and values is a repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedup_within_ns: Option<i64>,
    /// In the order in which they count.
    pub runs: Vec<Run>,
    /// What was announced.
    pub episodes: Vec<Announced>,
    /// Observations that repeat others to the rule, which does not look at them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repeated: Vec<Repeated>,
    /// Observations that were withheld before they were held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// Records that marked the entity, and showed no state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub markers: Vec<Observed>,
    /// Observations from the future, which wait for their time.
    pub waiting: Vec<Waiting>,
    /// What was expected of its faults, if the rule asks for that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Expected>,
    /// When they are announced early.
    #[serde(skip)]
    pub announce: Option<Announce>,
}

impl Explained {
    /// All that it looked at.
    pub fn observations(&self) -> impl Iterator<Item = &Observed> {
        self.runs
            .iter()
            .flat_map(|run| &run.observations)
            .chain(self.waiting.iter().map(|of| &of.record))
    }
}

/// A longest stretch of equal states.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Which state.
    pub state: String,
    /// Its first observation.
    #[serde(serialize_with = "instant")]
    pub since: i64,
    /// The first contrary observation, or the last of its own if it expired; none yet.
    #[serde(serialize_with = "maybe_instant")]
    pub until: Option<i64>,
    /// How long it had to last.
    pub hold_ns: i64,
    /// How it ended, or stands.
    pub outcome: RunOutcome,
    /// When it was established, or may be; none of what is cut.
    #[serde(serialize_with = "maybe_instant", skip_serializing_if = "Option::is_none")]
    pub decided: Option<i64>,
    /// Of what was kept down, the state that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Whether observations ceased before anything contrary came.
    pub expired: bool,
    /// The beginning of the episode that it began, continued or lies within.
    #[serde(serialize_with = "maybe_instant")]
    pub episode: Option<i64>,
    /// What it was observed by, in the order in which they count.
    pub observations: Vec<Observed>,
}

/// A state that was kept, in the place of one that had lasted.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// Which.
    pub state: String,
    /// Since when it was missed.
    #[serde(serialize_with = "instant")]
    pub missed: i64,
}

/// An observation, and the record it was made of.
#[derive(Clone, Debug, Serialize)]
pub struct Observed {
    /// When it happened.
    #[serde(serialize_with = "instant")]
    pub time: i64,
    /// What its source said instead, if that was corrected.
    #[serde(serialize_with = "maybe_instant", skip_serializing_if = "Option::is_none")]
    pub raw_time: Option<i64>,
    /// When it arrived.
    #[serde(serialize_with = "instant")]
    pub arrival: i64,
    /// The record.
    #[serde(flatten)]
    pub origin: Origin,
    /// Which state it shows to a rule, by its number.
    #[serde(skip)]
    pub shows: u16,
    /// Whether it counts at once.
    #[serde(rename = "except", skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
    /// What stages said of it.
    #[serde(serialize_with = "stages", skip_serializing_if = "Vec::is_empty")]
    pub noted: Vec<Staged>,
}

/// Where a record stands in the logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Origin {
    /// Which of the logs, from 0.
    #[serde(skip)]
    pub partition: usize,
    /// The log.
    pub file: String,
    /// The line in it.
    pub line: u64,
    /// Which element of the line's array, from 1, if that is exploded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<u32>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", printable(&self.file), self.line)?;
        self.element.map_or(Ok(()), |element| write!(f, ", element {element}"))
    }
}

/// An observation that a stage withheld; what it says of it stands with the record.
#[derive(Clone, Debug, Serialize)]
pub struct Withheld {
    /// Which state.
    pub state: String,
    /// The observation.
    #[serde(flatten)]
    pub record: Observed,
}

/// An observation whose instant has not come.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// Which state.
    pub state: String,
    /// The observation.
    #[serde(flatten)]
    pub record: Observed,
}

/// An observation that repeats another to a rule with dedup.
#[derive(Clone, Debug, Serialize)]
pub struct Repeated {
    /// Which state.
    pub state: String,
    /// The observation.
    #[serde(flatten)]
    pub record: Observed,
    /// What it repeats: the one that counts.
    pub repeats: Origin,
    /// How long that was before.
    pub after_ns: i64,
    /// How long the last one of equal state and values was before, whether it counts or not.
    pub after_last_ns: i64,
}

/// An episode.
#[derive(Clone, Debug, Serialize)]
pub struct Announced {
    /// Which state.
    pub state: String,
    /// From when.
    #[serde(serialize_with = "instant")]
    pub since: i64,
    /// Until when; none while it holds.
    #[serde(serialize_with = "maybe_instant")]
    pub until: Option<i64>,
    /// When it was decided.
    #[serde(serialize_with = "instant")]
    pub decided: i64,
    /// Whether observations ceased.
    pub expired: bool,
}

/// A record of some signal that was not used.
#[derive(Clone, Debug, Serialize)]
pub struct NotUsed {
    /// When and where.
    #[serde(flatten)]
    pub record: Observed,
    /// Why.
    pub reason: Reason,
    /// Of what was there before, where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Origin>,
    /// Of a duplicate, whether it says something else than the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<bool>,
}

/// A late record that some rules used.
#[derive(Clone, Debug, Serialize)]
pub struct Amending {
    /// When and where.
    #[serde(flatten)]
    pub record: Observed,
    /// The rules.
    pub rules: Vec<String>,
}

/// Why a record was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It arrived too long after it happened.
    Late,
    /// It was there before.
    Duplicate,
    /// It fits a signal, but the `where` of no rule on it.
    Unobserved,
}

/// Replays logs for one entity, until an instant if one is given.
///
/// # Errors
///
/// [`Failure`], if a log cannot be opened or the replay fails.
pub fn explain(
    rules: &Rules,
    logs: &[Log],
    entity: &str,
    until_ns: Option<i64>,
) -> Result<Explanation, Failure> {
    let wanted = Wanted { entities: [entity.into()].into(), lines: [].into() };
    let retraced = retrace(rules, logs, wanted, Traced::Matched, until_ns)?;
    Ok(retraced.explanation(rules, entity))
}

/// What a stage says of an observation.
#[derive(Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
enum Said {
    Threshold {
        value: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        judged: Option<f64>,
    },
    FlapDamping {
        penalty: f64,
        peak: f64,
        suppressed_until: String,
        passed: bool,
    },
    Quorum {
        votes: f64,
        all_votes: f64,
        agreed: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        minority: Vec<BallotRow>,
    },
    Grace {
        #[serde(skip_serializing_if = "Option::is_none")]
        first_seen: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        marked: Option<String>,
        grace_until: String,
    },
    Marker {
        grace_until: String,
    },
    FlapDetection {
        share: f64,
    },
    Session {
        changes: u32,
        first_change: String,
    },
}

#[expect(clippy::ptr_arg, reason = "serde hands over a reference to the field")]
fn stages<S: Serializer>(noted: &Vec<Staged>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(noted.iter().map(|what| match *what {
        Staged::Measured { reading, number, .. } => {
            Said::Threshold { value: reading.get(), judged: number.map(|number| number.get()) }
        }
        Staged::Counted(ref counted) => Said::Quorum {
            votes: weight_of(counted.weight),
            all_votes: weight_of(counted.all),
            agreed: counted.agreed,
            minority: counted.minority.iter().map(BallotRow::from).collect(),
        },
        Staged::Damped { penalty, peak, until_ns, passed } => Said::FlapDamping {
            penalty: penalty.get(),
            peak: peak.get(),
            suppressed_until: format_rfc3339(until_ns),
            passed,
        },
        Staged::Spared { since_ns, marked, until_ns } => Said::Grace {
            first_seen: (!marked).then(|| format_rfc3339(since_ns)),
            marked: marked.then(|| format_rfc3339(since_ns)),
            grace_until: format_rfc3339(until_ns),
        },
        Staged::Marked { until_ns } => Said::Marker { grace_until: format_rfc3339(until_ns) },
        Staged::Grouped { changes } => {
            Said::Session { changes: changes.count, first_change: format_rfc3339(changes.first) }
        }
        Staged::Flapped { share } => Said::FlapDetection { share: share.get() },
    }))
}

fn instant<S: Serializer>(nanos: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_rfc3339(*nanos))
}

fn maybe_instant<S: Serializer>(nanos: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    nanos.map(format_rfc3339).serialize(serializer)
}

#[expect(clippy::ptr_arg, reason = "serde hands over a reference to the field")]
fn whether_any<T, S: Serializer>(all: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
    (!all.is_empty()).serialize(serializer)
}
