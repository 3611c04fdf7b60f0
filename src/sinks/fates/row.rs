//! Rows of `fates.ndjson`.

use limbeck_operators::machines::hold_down::Sustained;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::model::detail::Ballot;
use crate::model::duration::format_duration;
use crate::model::lane::{LaneStory, Run, RunOutcome};
use crate::model::ledger::{Counted, Disposition, Known, Staged, Unmatched, by};
use crate::model::time::format_rfc3339;
use crate::rules::{Rule, Rules, weight_of};

const FIRST: &str = "first";
const REPEAT: &str = "repeat";
const BLIP: &str = "blip";
const SUPPRESSED: &str = "suppressed";
const PENDING: &str = "pending";
const MARKER: &str = "marker";
/// All that a row says of what a rule made of an observation.
pub(crate) const FATE_NAMES: [&str; 6] = [FIRST, REPEAT, BLIP, SUPPRESSED, PENDING, MARKER];

/// What a rule made of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// It repeats another to the rule, which did not look at it.
    Repeated,
    /// It was withheld before it was held.
    Withheld(Staged),
    /// It is of a run, as the first or a later one, which began an episode, or lies within one.
    InRun {
        first: bool,
        /// Which state it counts as.
        state: u16,
        /// What was said of it before.
        noted: Vec<Staged>,
        since_ns: i64,
        until_ns: Option<i64>,
        outcome: RunOutcome,
        /// The state that was kept meanwhile, and since when it was missed.
        kept: Option<(u16, i64)>,
        episode: Option<u128>,
        begins: bool,
    },
    /// It marked its entity, whose grace lasts until then, and showed no state.
    Marker(i64),
    /// Its instant had not come.
    Waiting,
}

impl Fate {
    /// That of the first observation of a run, or of a later one.
    pub(crate) fn in_run(
        story: &LaneStory,
        run: &Run,
        first: bool,
        noted: Vec<Staged>,
        id_of: impl Fn(&Sustained<u16>) -> u128,
    ) -> Self {
        let Run { state, since_ns, until_ns, outcome, missed_ns, .. } = *run;
        let episode = story.episode_of(run);
        let kept = episode.and_then(|episode| Some((episode.state, missed_ns?)));
        let begins = episode.is_some_and(|episode| run.begins(episode.since));
        let episode = episode.map(id_of);
        Self::InRun { first, state, noted, since_ns, until_ns, outcome, kept, episode, begins }
    }
}

/// A row as it is written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row<'r> {
    pub(crate) file: &'r str,
    pub(crate) line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) element: Option<u32>,
    pub(crate) disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conflict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entity: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arrival: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fates: Vec<FateRow<'r>>,
}

impl<'r> Row<'r> {
    /// The row of a line, as if it were no record.
    pub(crate) fn new(file: &'r str, line: u64) -> Self {
        Self {
            file,
            line,
            element: None,
            disposition: "dead-letter",
            column: None,
            reason: None,
            conflict: None,
            entity: None,
            time: None,
            raw_time: None,
            arrival: None,
            fates: Vec::new(),
        }
    }

    /// Says why it is a dead letter.
    pub(crate) fn dead_letter(&mut self, column: u64, reason: &'r str) {
        (self.column, self.reason) = (Some(column), Some(reason));
    }

    /// Says what became of a readable record.
    pub(crate) fn record(
        &mut self,
        known: &'r Known,
        disposition: Disposition,
        raw_time_ns: Option<i64>,
    ) {
        self.disposition = disposition.name();
        match disposition {
            Disposition::Unmatched(why) => self.reason = Some(why.reason()),
            Disposition::Duplicate { conflict } => self.conflict = Some(conflict),
            Disposition::Late | Disposition::Used => {}
        }
        let has_entity = disposition != Disposition::Unmatched(Unmatched::NoSubject);
        self.entity = has_entity.then_some(known.entity.as_str());
        self.time = Some(format_rfc3339(known.event_time_ns));
        self.raw_time = raw_time_ns.map(format_rfc3339);
        self.arrival = Some(format_rfc3339(known.arrival_ns));
    }
}

/// A fate as it is written.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct FateRow<'r> {
    rule: &'r str,
    state: &'r str,
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    /// Whether it counts at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    except: bool,
    /// The state that it counts as, if that is another.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    counts_as: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    episode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lasted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<String>,
    /// Its reading, and what was judged in its place, if that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smoothed: Option<f64>,
    /// What the votes weigh for the fault that it counts as, or says, or is next to one, and what all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    votes: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    all_votes: Option<f64>,
    /// The votes against what it counts as.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    minority: Vec<BallotRow>,
    /// Of flap damping, that it would have withheld it.
    #[serde(skip_serializing_if = "Option::is_none")]
    would: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed_until: Option<String>,
    /// Of flap detection, the share of changes in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    /// Of a session, its changes so far, and when the first was.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_change: Option<String>,
    /// Of a grace, when its entity was first seen or marked, and when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_until: Option<String>,
}

/// A vote as it is written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BallotRow {
    witness: SmolStr,
    state: SmolStr,
    time: String,
}

impl From<&Ballot> for BallotRow {
    fn from(Ballot { witness, state, time_ns }: &Ballot) -> Self {
        let (witness, state) = (witness.clone(), state.clone());
        Self { witness, state, time: format_rfc3339(*time_ns) }
    }
}

impl<'r> FateRow<'r> {
    /// Of a state to a rule, by their numbers in the rule file, that may count at once.
    pub(crate) fn new(
        rules: &'r Rules,
        rule: u16,
        (state, urgent): (u16, bool),
        fate: &Fate,
    ) -> Self {
        let rule = &rules.rules[usize::from(rule)];
        let signal = &rules.signals[rule.signal];
        let mut row = FateRow {
            rule: &rule.name,
            state: signal.state_name(state),
            fate: SUPPRESSED,
            except: urgent,
            ..FateRow::default()
        };
        match fate {
            Fate::Repeated => {
                row.by = Some(by::DEDUP);
                row.within = rule.dedup.as_ref().map(|dedup| format_duration(dedup.within_ns));
            }
            Fate::Withheld(what) => row.by = Some(row.note(rule, what)),
            Fate::Marker(until_ns) => {
                (row.fate, row.grace_until) = (MARKER, Some(format_rfc3339(*until_ns)));
            }
            Fate::Waiting => row.fate = PENDING,
            Fate::InRun { state: of, noted, .. } => {
                row.counts_as = (*of != state).then(|| signal.state_name(*of).as_str());
                for what in noted {
                    row.note(rule, what);
                }
                row.in_run(rule, fate);
            }
        }
        row
    }

    fn in_run(&mut self, rule: &Rule, fate: &Fate) {
        let Fate::InRun {
            first, state, since_ns, until_ns, outcome, kept, episode, begins, ..
        } = fate
        else {
            return;
        };
        let (since_ns, until_ns) = (*since_ns, *until_ns);
        self.episode = episode.map(|id| format!("{id:032x}"));
        match outcome {
            RunOutcome::Established => {
                self.fate = if *first && *begins { FIRST } else { REPEAT };
                return;
            }
            RunOutcome::Pending => (self.fate, self.episode) = (PENDING, None),
            RunOutcome::HeldDown => {
                self.fate = if episode.is_some() { BLIP } else { SUPPRESSED };
                self.by = Some(by::HOLD);
            }
            RunOutcome::KeptDown => {
                self.fate = BLIP;
                self.by = Some(by::KEEP);
                self.missed = kept.map(|(_, missed_ns)| format_rfc3339(missed_ns));
                self.keep = kept.map(|(of, _)| format_duration(rule.keep_ns[usize::from(of)]));
            }
            RunOutcome::Expired => (self.by, self.episode) = (Some(by::EXPIRED), None),
        }
        self.since = Some(format_rfc3339(since_ns));
        self.until = until_ns.map(format_rfc3339);
        self.lasted = until_ns.map(|until| format_duration(until - since_ns));
        self.hold = Some(format_duration(rule.hold_ns[usize::from(*state)]));
    }

    /// What was done with it before, and by what.
    fn note(&mut self, rule: &Rule, what: &Staged) -> &'static str {
        match *what {
            Staged::Measured { reading, number, .. } => {
                self.value = Some(reading.get());
                let smoothing = rule.stages.thresholds.and_then(|of| of.smoothing);
                self.smoothed = number.filter(|_| smoothing.is_some()).map(|number| number.get());
                by::RATE
            }
            Staged::Counted(ref counted) => {
                let Counted { weight, all, minority, .. } = &**counted;
                self.votes = Some(weight_of(*weight));
                self.all_votes = Some(weight_of(*all));
                self.minority = minority.iter().map(BallotRow::from).collect();
                by::QUORUM
            }
            Staged::Damped { penalty, until_ns, passed, .. } => {
                self.would = passed.then_some(by::FLAP_DAMPING);
                self.penalty = Some(penalty.get());
                self.suppress = rule.stages.damping.map(|damping| damping.suppress);
                self.suppressed_until = Some(format_rfc3339(until_ns));
                by::FLAP_DAMPING
            }
            Staged::Marked { until_ns } => {
                self.grace_until = Some(format_rfc3339(until_ns));
                "marker"
            }
            Staged::Spared { since_ns, marked, until_ns } => {
                let since = if marked { &mut self.marked } else { &mut self.first_seen };
                *since = Some(format_rfc3339(since_ns));
                self.grace_until = Some(format_rfc3339(until_ns));
                by::GRACE
            }
            Staged::Grouped { changes } => {
                self.changes = Some(changes.count);
                self.first_change = Some(format_rfc3339(changes.first));
                "session"
            }
            Staged::Flapped { share } => {
                self.share = Some(share.get());
                "flap_detection"
            }
        }
    }
}
