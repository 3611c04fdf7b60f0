//! Rows of `fates.ndjson`.

use limbeck_operators::machines::hold_down::Sustained;
use serde::{Deserialize, Serialize};

use crate::model::duration::format_duration;
use crate::model::lane::{LaneStory, Run, RunOutcome};
use crate::model::ledger::{Disposition, Known, Unmatched};
use crate::model::time::format_rfc3339;
use crate::rules::Rules;

/// What a rule made of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// It repeats another to the rule, which did not look at it.
    Repeated,
    /// It is of a run, as the first or a later one, which began an episode, or lies within one.
    InRun {
        first: bool,
        since_ns: i64,
        until_ns: Option<i64>,
        outcome: RunOutcome,
        /// The state that was kept meanwhile, and since when it was missed.
        kept: Option<(u16, i64)>,
        episode: Option<u128>,
        begins: bool,
    },
    /// Its instant had not come.
    Waiting,
}

impl Fate {
    /// That of the first observation of a run, or of a later one.
    pub(crate) fn in_run(
        story: &LaneStory,
        run: &Run,
        first: bool,
        id_of: impl Fn(&Sustained<u16>) -> u128,
    ) -> Self {
        let Run { since_ns, until_ns, outcome, missed_ns, .. } = *run;
        let episode = story.episode_of(run);
        let kept = episode.and_then(|episode| Some((episode.state, missed_ns?)));
        let begins = episode.is_some_and(|episode| run.begins(episode.since));
        let episode = episode.map(id_of);
        Self::InRun { first, since_ns, until_ns, outcome, kept, episode, begins }
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
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FateRow<'r> {
    rule: &'r str,
    state: &'r str,
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
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
}

impl<'r> FateRow<'r> {
    /// Of a state to a rule, by their numbers in the rule file.
    pub(crate) fn new(rules: &'r Rules, rule: u16, state: u16, fate: &Fate) -> Self {
        let rule = &rules.rules[usize::from(rule)];
        let signal = &rules.signals[rule.signal];
        let mut row = FateRow {
            rule: &rule.name,
            state: &signal.states[usize::from(state)].name,
            fate: "suppressed",
            by: None,
            episode: None,
            since: None,
            until: None,
            lasted: None,
            hold: None,
            keep: None,
            missed: None,
            within: None,
        };
        let (first, since_ns, until_ns, outcome, kept, episode, begins) = match fate {
            Fate::Repeated => {
                row.by = Some("dedup");
                row.within = rule.dedup.as_ref().map(|dedup| format_duration(dedup.within_ns));
                return row;
            }
            Fate::Waiting => {
                row.fate = "pending";
                return row;
            }
            Fate::InRun { first, since_ns, until_ns, outcome, kept, episode, begins } => {
                (*first, *since_ns, *until_ns, *outcome, *kept, *episode, *begins)
            }
        };
        let hold = format_duration(rule.hold_ns[usize::from(state)]);
        row.episode = episode.map(|id| format!("{id:032x}"));
        match outcome {
            RunOutcome::Established => {
                row.fate = if first && begins { "first" } else { "repeat" };
                return row;
            }
            RunOutcome::Pending => (row.fate, row.episode) = ("pending", None),
            RunOutcome::HeldDown => {
                row.fate = if episode.is_some() { "blip" } else { "suppressed" };
                row.by = Some("hold");
            }
            RunOutcome::KeptDown => {
                row.fate = "blip";
                row.by = Some("keep");
                row.missed = kept.map(|(_, missed_ns)| format_rfc3339(missed_ns));
                row.keep = kept.map(|(of, _)| format_duration(rule.keep_ns[usize::from(of)]));
            }
            RunOutcome::Expired => (row.by, row.episode) = (Some("expired"), None),
        }
        row.since = Some(format_rfc3339(since_ns));
        row.until = until_ns.map(format_rfc3339);
        row.lasted = until_ns.map(|until| format_duration(until - since_ns));
        row.hold = Some(hold);
        row
    }
}
