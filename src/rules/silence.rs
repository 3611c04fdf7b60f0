//! Silences and windows: what nobody is told of for a time.

use std::ops::Range;

use smol_str::SmolStr;

use super::condition::{Condition, Expression};
use super::interval::TimeInterval;
use super::route::{Matcher, Subject};

/// For a time, what fits is not told.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Its name.
    pub name: SmolStr,
    /// The bytes of the rule file its name is written in.
    pub span: Range<usize>,
    /// All must hold of an episode; without any, all do.
    pub matchers: Vec<Matcher>,
    /// For which time.
    pub when: When,
    /// What it is for.
    pub comment: Option<String>,
}

/// When a silence is.
#[derive(Clone, Debug)]
pub enum When {
    /// Once.
    Once {
        /// The first instant.
        from_ns: i64,
        /// The first behind it.
        until_ns: i64,
    },
    /// Again and again, in any of these; such silences are called windows.
    Recurring(Vec<TimeInterval>),
    /// While an episode holds, as records of the log say it.
    While {
        /// All must hold of it.
        matchers: Vec<Matcher>,
        /// What it says must be the same of what is silenced.
        equal: Vec<Subject>,
    },
    /// As records of the log say: each tells of a silence of its own, or tells anew of one.
    Heard(Box<Hearing>),
}

/// What makes silences of records.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// The index of the only source it hears; without it, all.
    pub from: Option<usize>,
    /// What must hold of a record to be of a silence.
    pub filter: Option<Condition>,
    /// What tells silences apart.
    pub id: Expression,
    /// What it is of: a list of matchers.
    pub matchers: Expression,
    /// Its first instant.
    pub starts: Expression,
    /// The first behind it.
    pub ends: Expression,
}

impl Silence {
    /// What outputs call the kinds: those that recur are the second.
    pub const KINDS: [&str; 2] = ["silence", "window"];

    /// What outputs call its kind.
    pub fn kind(&self) -> &'static str {
        Self::KINDS[usize::from(matches!(self.when, When::Recurring(_)))]
    }
}

impl When {
    /// If time alone says that it is at an instant, one later until when that is so; it may go on
    /// there.
    pub fn until(&self, at_ns: i64) -> Option<i64> {
        match self {
            Self::Once { from_ns, until_ns } => {
                (*from_ns..*until_ns).contains(&at_ns).then_some(*until_ns)
            }
            Self::Recurring(intervals) => {
                intervals.iter().filter_map(|interval| interval.until(at_ns)).max()
            }
            Self::While { .. } | Self::Heard(_) => None,
        }
    }
}
