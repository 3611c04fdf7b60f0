//! What a replay found, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::account::{Account, SourceKey};
use crate::model::episode::Catalog;
use crate::model::ledger::{Count, by};

/// What a replay found, as `summary.json` says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Lines that are not blank. Each is exactly one of the next five.
    pub records: u64,
    /// Observations of some signal.
    pub used: u64,
    /// Too late.
    pub late: u64,
    /// There before.
    pub duplicates: u64,
    /// Unreadable, or impossible.
    pub dead_letters: u64,
    /// Of no signal, or no state.
    pub unmatched: u64,
    /// Duplicates that say something else.
    pub conflicts: u64,
    /// Conditions that could not be judged.
    pub condition_errors: u64,
    /// Episodes at the end.
    pub episodes: u64,
    /// Changes of episodes on the way.
    pub updates: u64,
    /// Observations in no episode, by rule and reason.
    pub suppressed: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// Observations that stages in test mode would have suppressed, likewise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub would_suppress: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// What became of the observations of each rule; together they are all.
    pub fates: BTreeMap<String, RuleFates>,
    /// Values of labels beyond those that are told apart.
    pub label_overflows: u64,
    /// What the routes want to be told of; `None` without routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<u64>,
    /// What they are not told, by what withholds it (as `window`), and its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub withheld: BTreeMap<String, BTreeMap<String, u64>>,
    /// By name.
    pub sources: Vec<SourceSummary>,
    /// Of all updates.
    pub digest: String,
    /// Whether the whole of every log was read.
    pub complete: bool,
    /// Records per second of wall time, start to end.
    pub events_per_second: f64,
    /// The most memory that the process had.
    pub peak_rss_bytes: u64,
}

impl Summary {
    /// What the counts of a replay say; beside them there were so many dead letters.
    pub(crate) fn counted(
        counts: &BTreeMap<Count, u64>,
        catalog: &Catalog,
        dead_letters: u64,
    ) -> Self {
        let count = |what| counts.get(&what).copied().unwrap_or_default();
        let (records, unmatched) = (count(Count::Record), count(Count::Unmatched));
        let (late, duplicates) = (count(Count::Late), count(Count::Duplicate));
        let mut suppressed: BTreeMap<String, BTreeMap<&'static str, u64>> = BTreeMap::new();
        let mut fates: BTreeMap<String, RuleFates> = BTreeMap::new();
        for (what, count) in counts.iter().filter(|(_, count)| **count > 0) {
            let (rule, reason) = match what {
                Count::HeldDown(rule) => (*rule, Some(by::HOLD)),
                Count::Kept(rule) => (*rule, Some(by::KEEP)),
                Count::Unrated(rule) => (*rule, Some(by::RATE)),
                Count::Outvoted(rule) => (*rule, Some(by::QUORUM)),
                Count::Damped(rule) => (*rule, Some(by::FLAP_DAMPING)),
                Count::Spared(rule) => (*rule, Some(by::GRACE)),
                Count::Expired(rule) => (*rule, Some(by::EXPIRED)),
                Count::Repeated(rule) => (*rule, Some(by::DEDUP)),
                Count::Observed(rule) | Count::Pending(rule) | Count::Marked(rule) => (*rule, None),
                _ => continue,
            };
            let rule = catalog.rule_name(rule);
            let of_rule = fates.entry(rule.to_owned()).or_default();
            match (what, reason) {
                (_, Some(reason)) => {
                    of_rule.suppressed += count;
                    let reasons = suppressed.entry(rule.to_owned()).or_default();
                    reasons.insert(reason, *count);
                }
                (Count::Pending(_), _) => of_rule.pending = *count,
                (Count::Marked(_), _) => of_rule.markers = *count,
                _ => of_rule.observed = *count,
            }
        }
        let would_suppress = counts.iter().filter_map(|(what, count)| match what {
            Count::WouldDamp(rule) if *count > 0 => {
                let reasons = BTreeMap::from([(by::FLAP_DAMPING, *count)]);
                Some((catalog.rule_name(*rule).to_owned(), reasons))
            }
            _ => None,
        });
        let would_suppress = would_suppress.collect();
        for of_rule in fates.values_mut() {
            let others = of_rule.suppressed + of_rule.pending + of_rule.markers;
            of_rule.in_episodes = of_rule.observed - others;
        }
        Self {
            records,
            used: records - unmatched - late - duplicates - dead_letters,
            late,
            duplicates,
            dead_letters,
            unmatched,
            conflicts: count(Count::Conflict),
            condition_errors: count(Count::ConditionError),
            label_overflows: count(Count::LabelOverflow),
            suppressed,
            would_suppress,
            fates,
            complete: count(Count::Damaged) == 0,
            ..Self::default()
        }
    }
}

/// What became of the observations of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleFates {
    /// All of them.
    pub observed: u64,
    /// Those of runs that lasted, and so of an episode.
    pub in_episodes: u64,
    /// Those that were suppressed, for whatever reason.
    pub suppressed: u64,
    /// Those that were not decided on at the end.
    pub pending: u64,
    /// Those that marked their entity, and showed no state.
    #[serde(skip_serializing_if = "is_none")]
    pub markers: u64,
}

impl RuleFates {
    /// What it says, by name.
    pub(crate) fn names() -> Vec<String> {
        let all = Self { markers: 1, ..Self::default() };
        let all = serde_json::to_value(all).expect("plain values encode");
        all.as_object().into_iter().flat_map(serde_json::Map::keys).cloned().collect()
    }
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What the records of a source were together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceSummary {
    /// The source of the rule file that reads it.
    pub from: String,
    /// What its records say; `None` is all that are not kept apart.
    pub source: Option<String>,
    /// Its readable records.
    pub records: u64,
    /// Too late.
    pub late: u64,
    /// Those that happened before one ahead of them in the log.
    pub out_of_order: u64,
    /// Those that say that they arrived before one ahead of them in the log.
    pub arrival_regressions: u64,
    /// Numbers missing in its sequence; `None` where the numbers are no sequence of the source.
    pub sequence_gaps: Option<u64>,
    /// How often its sequence began anew.
    pub sequence_restarts: Option<u64>,
    /// Arrival less event time at its smallest, over some minutes at a time: the least of these ...
    pub offset_min_ns: Option<i64>,
    /// ... and the most.
    pub offset_max_ns: Option<i64>,
    /// Whether it was added to the event times.
    pub corrected: bool,
}

impl SourceSummary {
    pub(super) fn new(key: SourceKey, account: &Account, sources: &[(String, bool)]) -> Self {
        let (from, corrects) = &sources[key.from as usize];
        let Account { records, late, out_of_order, arrival_regressions, .. } = *account;
        let numbers = Some(&account.numbers).filter(|numbers| numbers.are_one_sequence());
        Self {
            from: from.clone(),
            corrected: *corrects && key.name.is_some(),
            source: key.name.map(String::from),
            records,
            late,
            out_of_order,
            arrival_regressions,
            sequence_gaps: numbers.map(|numbers| numbers.missing),
            sequence_restarts: numbers.map(|numbers| numbers.restarts),
            offset_min_ns: account.offset_ns.map(|(least, _)| least),
            offset_max_ns: account.offset_ns.map(|(_, most)| most),
        }
    }

    /// In this order they are told: what is not kept apart comes last.
    pub(super) fn rank(&self) -> (&str, bool, Option<&str>) {
        (&self.from, self.source.is_none(), self.source.as_deref())
    }
}
