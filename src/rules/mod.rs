//! The rule file: parsed and checked as a whole before anything runs.
//!
//! Either everything is right, or every mistake is reported at once, each with its line, its
//! column and what would be right. Nothing is guessed: an unknown field is a mistake. What comes
//! out holds indices instead of names, and conditions that are compiled.

mod canary;
mod compatible;
mod condition;
mod diagnostics;
mod expression;
pub(crate) mod fields;
mod interpreted;
mod interval;
mod known;
mod lint;
mod native;
mod persistence;
mod read;
mod remarks;
mod route;
pub(crate) mod schema;
mod silence;
mod source;
mod stages;
mod template;
mod written;
pub(crate) mod yaml;

use std::fmt;
use std::io;
use std::ops::Range;

use smol_str::SmolStr;

pub use crate::model::sighting::MARKER;
pub use canary::{Canary, Shares, Unit};
pub(crate) use condition::Fault;
pub use condition::{Attribute, Condition, Expression, NoValue, Paths, RecordView, Verdict};
pub use diagnostics::{Diagnostic, Diagnostics};
pub(crate) use diagnostics::{Problems, suggestion};
pub use interval::TimeInterval;
pub use persistence::{Announce, Persistence};
pub(crate) use read::{check_url, is_header_value, tree};
pub use route::{Kind, Matcher, Pattern, Route, Setting, Sink, SinkKind, Subject};
pub use schema::schema;
pub use silence::{Hearing, Silence, When};
pub use source::{
    Csv, Document, FieldPath, Format, Mapping, Regex, Skew, Source, TemplatePart, Text, TimeField,
    TimeForm, TimeFormat, TimeFormatError, TimeUnit,
};
pub use stages::{
    ABOVE, BELOW, FLAPPING, Grace, Machinery, Marker, NORMAL, Quorum, SESSION, Stages, UNKNOWN,
    WEIGHT_ONE, WITNESSES_MAX, weight_of,
};
pub use template::{Piece, Template};
pub use written::{Unchanged, Written, WrittenRule};

/// The mode of a rule of which nobody is told.
pub const OBSERVE: &str = "observe";
/// Parsing recurses as deep as the input is nested, before that can be measured.
const STACK_BYTES: usize = 256 << 20;

/// A rule file in which nothing is wrong.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The version of the language.
    pub version: u32,
    /// A record is late if arrival - event time is more than this.
    pub lateness_ns: i64,
    /// The bytes of the rule file in which lateness and `max_advance` are written, or the first.
    pub time_spans: [Range<usize>; 2],
    /// A record whose arrival is further than this ahead of the clock is a dead letter.
    pub max_advance_ns: i64,
    /// So many values of a label are told apart in a partition; what comes then is
    /// [`OVERFLOW`](crate::model::detail::OVERFLOW).
    pub label_values_max: usize,
    /// At least one.
    pub sources: Vec<Source>,
    /// At least one.
    pub signals: Vec<Signal>,
    /// At least one.
    pub rules: Vec<Rule>,
    /// Where notifications can go.
    pub sinks: Vec<Sink>,
    /// Which of them go where.
    pub routes: Vec<Route>,
    /// What is not told for a time: silences, then windows, each in the order of the file.
    pub silences: Vec<Silence>,
    /// What the conditions ask of a record.
    pub paths: Paths,
    /// What it says, as hashes.
    pub written: Written,
    /// What is surely unwanted in the conditions and values.
    remarks: Vec<Diagnostic>,
}

/// What makes an observation of a record: a canonical state, or a reading that rules make one of.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Its name.
    pub name: SmolStr,
    /// The bytes of the rule file its name is written in.
    pub span: Range<usize>,
    /// The index of the only source it observes; without it, all.
    pub from: Option<usize>,
    /// What must hold of a record to be of this signal.
    pub filter: Option<Condition>,
    /// What its states are called elsewhere, and in which version.
    pub schema: Option<Schema>,
    /// What is carried of a record to its episodes, in the order of the file.
    pub labels: Vec<Label>,
    /// The reading of a record.
    pub value: Option<Expression>,
    /// The first state that fits a record is observed; none where its reading is.
    pub states: Vec<State>,
    /// The names of the states that rules on it make, numbered behind these.
    pub made: Vec<SmolStr>,
    /// Whether each change of state is told, and not counted only.
    pub keeps_transitions: bool,
}

impl Signal {
    /// The names of all states, those that rules make behind the others.
    pub fn state_names(&self) -> impl Iterator<Item = &SmolStr> {
        self.states.iter().map(|state| &state.name).chain(&self.made)
    }

    /// Whether its readings are what it observes.
    pub fn is_measured(&self) -> bool {
        self.states.is_empty()
    }

    /// The name of a state, by its number.
    pub fn state_name(&self, state: u16) -> &SmolStr {
        if state == READING {
            const NAME: &SmolStr = &SmolStr::new_static("reading");
            return NAME;
        }
        if state == MARKER {
            const NAME: &SmolStr = &SmolStr::new_static("marker");
            return NAME;
        }
        let (state, own) = (usize::from(state), self.states.len());
        self.states.get(state).map_or_else(|| &self.made[state - own], |state| &state.name)
    }

    /// Whether it carries more of a record than its state.
    pub fn has_detail(&self) -> bool {
        !self.labels.is_empty() || self.value.is_some()
    }
}

/// The number of what is observed where it is a reading: a state only when a rule has judged it.
pub const READING: u16 = u16::MAX;

/// A named and versioned set of states.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Its name.
    pub name: SmolStr,
    /// Its version.
    pub version: semver::Version,
    /// The bytes of the rule file its version is written in.
    pub span: Range<usize>,
}

/// As it is published.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// A label of a signal.
#[derive(Clone, Debug)]
pub struct Label {
    /// Its name.
    pub name: SmolStr,
    /// Its value.
    pub from: Expression,
}

/// A canonical state.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name.
    pub name: SmolStr,
    /// When a record shows it.
    pub when: Condition,
}

/// What makes episodes of observations.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: SmolStr,
    /// The bytes of the rule file its name is written in.
    pub span: Range<usize>,
    /// Its version, if it says one.
    pub version: Option<semver::Version>,
    /// Whether nobody is told of what it finds.
    pub observes: bool,
    /// Of what it sees a share alone.
    pub canary: Option<Canary>,
    /// How many of its episodes are told as opened.
    pub limit: Option<Limit>,
    /// Which of them are told as one.
    pub aggregate: Option<Aggregate>,
    /// What it learns of how long its faults last.
    pub persistence: Option<Persistence>,
    /// The index of its signal.
    pub signal: usize,
    /// What must hold of the labels.
    pub filter: Option<Condition>,
    /// What it takes for a repeat.
    pub dedup: Option<Dedup>,
    /// What must hold of a record for it to count at once.
    pub except: Option<Condition>,
    /// How long each state of the signal must last, by the state's number.
    pub hold_ns: Vec<i64>,
    /// The bytes of the rule file each hold is written in; none for a state without.
    pub hold_spans: Vec<Option<Range<usize>>>,
    /// How long each state of the signal lasts after it was missed, likewise.
    pub keep_ns: Vec<i64>,
    /// What is done before that.
    pub stages: Stages,
    /// How late a record may be to amend what was said; at least the lateness.
    pub amend_within_ns: i64,
    /// An entity without observations for this long expires.
    pub expire_after_ns: i64,
    /// Labels of all its episodes, which hide those of the signal.
    pub labels: Vec<(SmolStr, Template)>,
    /// Texts of all its episodes.
    pub annotations: Vec<(SmolStr, Template)>,
}

/// Observations of one state with equal values repeat each other within a time.
#[derive(Clone, Debug)]
pub struct Dedup {
    /// The values; at least one.
    pub by: Vec<Expression>,
    /// For how long.
    pub within_ns: i64,
}

/// A token bucket for each unit: so many episodes are told as opened at once, and one more each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many at once; at least one.
    pub burst: u32,
    /// For how long another one; above zero.
    pub every_ns: i64,
    /// What has a bucket of its own.
    pub by: Unit,
}

/// Of similar episodes, those that begin when so many entities had one within a time are told as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The labels that similar ones agree in, by their numbers in the signal.
    pub by: Vec<usize>,
    /// With how many entities; at least one.
    pub from: u32,
    /// Within which time; above zero.
    pub within_ns: i64,
}

impl Rule {
    /// Whether it takes more than hold-down to say what lasts.
    pub fn is_staged(&self) -> bool {
        self.stages.are_any() || self.except.is_some() || self.keep_ns.iter().any(|keep| *keep > 0)
    }
}

impl Rule {
    /// Whether it asks more of a record of its signal than a state.
    pub fn asks_beyond_states(&self, signal: &Signal) -> bool {
        self.dedup.is_some() || self.except.is_some() || signal.has_detail()
    }

    /// Whether more than a state is carried: that, or the changes that its stages count.
    pub fn has_detail(&self, signal: &Signal) -> bool {
        let counts_changes = self.stages.session.is_some() || self.stages.detection.is_some();
        counts_changes || self.asks_beyond_states(signal)
    }
}

impl Rules {
    /// Whether some rule carries more than a state.
    pub fn has_detail(&self) -> bool {
        self.rules.iter().any(|rule| rule.has_detail(&self.signals[rule.signal]))
    }

    /// Whether the changes of some signal are told, each.
    pub fn keeps_transitions(&self) -> bool {
        self.rules.iter().any(|rule| self.signals[rule.signal].keeps_transitions)
    }

    /// The silences that records of the log tell of, with their numbers.
    pub fn hearings(&self) -> impl Iterator<Item = (usize, &Hearing)> {
        self.silences.iter().enumerate().filter_map(|(number, silence)| match &silence.when {
            When::Heard(hearing) => Some((number, &**hearing)),
            _ => None,
        })
    }

    /// Parses and checks a rule file. `file_name` is what the errors call it.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Diagnostics> {
        let result = with_room(|| read::file(text)).unwrap_or_else(|error| {
            let mut problems = Problems::default();
            problems.error(&(0..0), format!("the file cannot be read: {error}"));
            Err(problems)
        });
        result.map_err(|problems| Diagnostics::errors(file_name, text, problems.0))
    }
}

/// Runs a parser on a thread with room to recurse.
///
/// # Errors
/// If there can be no such thread.
pub(crate) fn with_room<T: Send>(parse: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(STACK_BYTES);
        let parser = parser.spawn_scoped(scope, parse)?;
        Ok(parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
