//! The oracle: what a replay must give, computed from scratch in the plainest way.
//!
//! It reads the same bytes as the engine and shares nothing with it but the reading of RFC 3339.
//! Each part follows one paragraph of the contract:
//!
//! - [`decode`]: one line to a record, or why it is a dead letter;
//! - [`intake`]: arrival, the clock, and one disposition for each record;
//! - [`accounts`]: what is told of each source, and what its clock makes of event times;
//! - [`stages`]: what rules do with observations before they are held;
//! - [`readings`]: what makes states of numbers;
//! - [`quorum`]: what makes one state of those that several witnesses say;
//! - [`hold`]: the episodes that hold for given observations and a given clock;
//! - this file: the view at every logical time at which anything may change, and the updates as
//!   the differences between consecutive views;
//! - [`logs`]: small adversarial logs by seed; [`silences`]: one of records that tell of silences;
//! - [`persistence`]: what is learned of how long faults last;
//! - [`published`]: what a replay has said, to be compared.
//!
//! Cost does not matter here: every view is computed anew from all the records.

// Several test binaries share this module and none uses all of it.
#![allow(dead_code)]

pub(crate) mod accounts;
pub(crate) mod damage;
pub(crate) mod decode;
pub(crate) mod hold;
pub(crate) mod intake;
pub(crate) mod lines;
pub(crate) mod logs;
pub(crate) mod persistence;
pub(crate) mod published;
pub(crate) mod quorum;
pub(crate) mod readings;
pub(crate) mod silences;
pub(crate) mod stages;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

pub(crate) use accounts::Account;
pub(crate) use hold::{Observation, Suppressed, Waits};
pub(crate) use intake::{Disposition, Used};
pub(crate) use persistence::Persistence;
use stages::{Passed, Stages};

/// One millisecond.
pub(crate) const MS: i64 = 1_000_000;
/// One second.
pub(crate) const S: i64 = 1_000 * MS;
/// One day.
pub(crate) const DAY: i64 = 86_400 * S;

/// The state a record shows, as an index into the signal's states; `None` if it shows none.
pub(crate) type Matches = Box<dyn Fn(&Value) -> Option<usize>>;

/// What a rule file says, without its syntax.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) lateness_ns: i64,
    pub(crate) expire_after_ns: i64,
    pub(crate) max_advance_ns: i64,
    pub(crate) tick_ns: i64,
    /// Whether the signals have a label: the source.
    pub(crate) labelled: bool,
    pub(crate) until: Option<i64>,
    /// Whether event times are corrected.
    pub(crate) corrects: bool,
    pub(crate) signals: Vec<SignalSpec>,
    pub(crate) rules: Vec<RuleSpec>,
}

pub(crate) struct SignalSpec {
    pub(crate) name: String,
    pub(crate) states: Vec<String>,
    /// `where` and `states` together.
    pub(crate) matches: Matches,
}

impl fmt::Debug for SignalSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.name, self.states)
    }
}

#[derive(Debug, Default)]
pub(crate) struct RuleSpec {
    pub(crate) name: String,
    /// Index into [`Spec::signals`].
    pub(crate) signal: usize,
    /// One for each state of the signal.
    pub(crate) hold_ns: Vec<i64>,
    /// Likewise.
    pub(crate) keep_ns: Vec<i64>,
    pub(crate) stages: Stages,
    /// The only source it observes: `where` on the label that has it.
    pub(crate) source: Option<String>,
    /// Whether what has the load [`EXCEPT`] counts at once.
    pub(crate) except: bool,
    /// For how long an observation of equal state and source is a repeat.
    pub(crate) dedup_ns: Option<i64>,
    pub(crate) persistence: Option<Persistence>,
    /// The lateness, if none.
    pub(crate) amend_within_ns: Option<i64>,
    /// That of the file, if none.
    pub(crate) expire_after_ns: Option<i64>,
}

/// See [`RuleSpec::except`].
pub(crate) const EXCEPT: &str = "max";

impl RuleSpec {
    fn amend_within_ns(&self, spec: &Spec) -> i64 {
        self.amend_within_ns.unwrap_or(spec.lateness_ns)
    }

    fn expire_after_ns(&self, spec: &Spec) -> i64 {
        self.expire_after_ns.unwrap_or(spec.expire_after_ns)
    }

    fn waits(&self, spec: &Spec) -> Waits<'_> {
        let expire_after_ns = self.expire_after_ns(spec);
        let hold_made_ns = self.stages.hold_made_ns;
        Waits { hold_ns: &self.hold_ns, keep_ns: &self.keep_ns, expire_after_ns, hold_made_ns }
    }

    /// What passes of what is known, when the clock stands at `clock`.
    fn pass(&self, spec: &Spec, known: Vec<Observation>, clock: i128) -> Passed {
        if !self.stages.are_any() {
            return Passed { observations: known, ..Passed::default() };
        }
        let come = known.into_iter().filter(|o| o.time <= clock).collect();
        self.stages.pass(come, self.expire_after_ns(spec), clock)
    }
}

/// An episode as published, without id and revision. The order is that of `episodes.ndjson`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Episode {
    pub(crate) since: i64,
    pub(crate) entity: String,
    pub(crate) signal: String,
    pub(crate) rule: String,
    pub(crate) state: String,
    pub(crate) until: Option<i64>,
    pub(crate) decided: i64,
    /// Whether it ended because observations ceased.
    pub(crate) expired: bool,
    /// The label, where there is one.
    pub(crate) label: Option<String>,
    /// The bits of the reading it began with, if it is of readings.
    pub(crate) value: Option<u64>,
    /// Of a session, how many changes it has, the first and the last.
    pub(crate) changes: Option<(u32, i64, i64)>,
    /// The votes against it: who says which state, and when.
    pub(crate) minority: Vec<(String, String, i64)>,
}

/// What a replay must give.
#[derive(Debug, PartialEq)]
pub(crate) struct Expected {
    /// What holds at the end, sorted.
    pub(crate) episodes: Vec<Episode>,
    /// By logical time: what changed, sorted, without zeros; logical times without change absent.
    pub(crate) updates: BTreeMap<i64, Vec<(Episode, i64)>>,
    pub(crate) counts: Counts,
    /// Partition and line, both of `dispositions` where it is a dead letter.
    pub(crate) dead_letters: Vec<(usize, usize)>,
    /// By partition (from 0) and line (from 1, blank lines counted).
    pub(crate) dispositions: BTreeMap<(usize, usize), Disposition>,
    /// By rule, also where nothing is suppressed.
    pub(crate) suppressed: BTreeMap<String, Suppressed>,
    pub(crate) accounts: BTreeMap<String, Account>,
}

/// `records` is the sum of `used`, `late`, `duplicates`, `unmatched` and `dead_letters`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: usize,
    pub(crate) used: usize,
    pub(crate) late: usize,
    /// With the conflicts among them.
    pub(crate) duplicates: usize,
    pub(crate) conflicts: usize,
    pub(crate) unmatched: usize,
    pub(crate) dead_letters: usize,
}

/// Observations of one rule of one entity, ordered.
pub(crate) type Histories = BTreeMap<(usize, String), Vec<Observation>>;

/// What a replay of these logs, one for each partition, must give.
pub(crate) fn expected(spec: &Spec, partitions: &[Vec<u8>]) -> Expected {
    let intake = intake::intake(spec, partitions);
    let histories = histories(spec, &intake.used);
    let counts = counts(&intake.dispositions);
    let dead_letters = (intake.dispositions.iter())
        .filter(|(_, disposition)| matches!(disposition, Disposition::DeadLetter(_)))
        .map(|(at, _)| *at)
        .collect();
    let suppressed = spec.rules.iter().enumerate().map(|(number, rule)| {
        let all = histories.iter().filter(|((of, _), _)| *of == number);
        let total = all.fold(Suppressed::default(), |sum, (_, history)| {
            let (passed, repeats) = hold::without_repeats(history.clone(), rule.dedup_ns);
            let come = |o: &&Observation| intake.end.is_some_and(|end| o.time <= i128::from(end));
            let dedup = repeats.iter().filter(come).count();
            let clock = intake.end.map_or(i128::MIN, i128::from);
            let Passed { observations, unrated, outvoted, damped, spared, .. } =
                rule.pass(spec, passed, clock);
            let held = hold::suppressed(&observations, rule.waits(spec), intake.end);
            let rest = Suppressed { unrated, outvoted, damped, spared, ..Suppressed::default() };
            sum + held + Suppressed { dedup, ..rest }
        });
        (rule.name.clone(), total)
    });
    Expected {
        episodes: view(spec, &histories, i128::MAX, intake.end),
        updates: updates(spec, &histories, intake.end),
        counts,
        dead_letters,
        suppressed: suppressed.collect(),
        dispositions: intake.dispositions,
        accounts: intake.accounts,
    }
}

fn counts(dispositions: &BTreeMap<(usize, usize), Disposition>) -> Counts {
    let mut counts = Counts { records: dispositions.len(), ..Counts::default() };
    for disposition in dispositions.values() {
        match disposition {
            Disposition::DeadLetter(_) => counts.dead_letters += 1,
            Disposition::Unmatched => counts.unmatched += 1,
            Disposition::Late => counts.late += 1,
            Disposition::Duplicate { conflict } => {
                counts.duplicates += 1;
                counts.conflicts += usize::from(*conflict);
            }
            Disposition::Used => counts.used += 1,
        }
    }
    counts
}

/// Where runs begin, as [`hold::transitions`] has it: by the number of the rule, and the entity.
pub(crate) fn transitions(
    spec: &Spec,
    partitions: &[Vec<u8>],
) -> Vec<((usize, String), Vec<hold::Transition>)> {
    let intake = intake::intake(spec, partitions);
    let Some(end) = intake.end else { return Vec::new() };
    let of_lane = |((number, entity), history): ((usize, String), Vec<Observation>)| {
        let rule = &spec.rules[number];
        let (passed, _) = hold::without_repeats(history, rule.dedup_ns);
        let observations = rule.pass(spec, passed, i128::from(end)).observations;
        let transitions = hold::transitions(&observations, rule.waits(spec), end);
        ((number, entity), transitions)
    };
    histories(spec, &intake.used).into_iter().map(of_lane).collect()
}

/// Every observation there is, by rule and entity, each history in order.
pub(crate) fn histories(spec: &Spec, used: &[Used]) -> Histories {
    let mut histories = Histories::new();
    for Used { arrival, subject, record, raw, states } in used {
        let age = i128::from(*arrival) - i128::from(record.event_time);
        for (number, rule) in spec.rules.iter().enumerate() {
            let elsewhere = rule.source.as_ref().is_some_and(|source| *source != record.source);
            let state = states[rule.signal].filter(|_| !elsewhere);
            let marks = rule.stages.grace.as_ref().is_some_and(|grace| grace.is_marker(states));
            if state.is_none() && !marks || age > i128::from(rule.amend_within_ns(spec)) {
                continue;
            }
            histories.entry((number, subject.clone())).or_default().push(Observation {
                time: i128::from(record.event_time),
                source: record.source.clone(),
                sequence: record.sequence.clone(),
                id: record.id.clone(),
                raw: *raw,
                made: false,
                withheld: false,
                changes: None,
                minority: Vec::new(),
                marks,
                shows: state.is_some(),
                urgent: rule.except && record.json["data"]["load"] == EXCEPT,
                reading: readings::reading(&record.json).map_or(0, f64::to_bits),
                state: state.unwrap_or(stages::MARKER),
                known_at: floor_to_tick(*arrival, spec.tick_ns),
            });
        }
    }
    histories.values_mut().for_each(|history| history.sort());
    histories
}

/// The episodes at a logical time: from what is known by then, with the clock standing there, but
/// never beyond the end of the log.
pub(crate) fn view(spec: &Spec, histories: &Histories, at: i128, end: Option<i64>) -> Vec<Episode> {
    let Some(end) = end else { return Vec::new() };
    let clock = at.min(i128::from(end));
    let mut episodes = Vec::new();
    for (number, rule) in spec.rules.iter().enumerate() {
        let signal = &spec.signals[rule.signal];
        for ((of, entity), history) in histories {
            if *of != number {
                continue;
            }
            let known: Vec<_> = history.iter().filter(|o| o.known_at <= at).cloned().collect();
            let (known, _) = hold::without_repeats(known, rule.dedup_ns);
            let known = rule.pass(spec, known, clock).observations;
            let spans = hold::spans(&known, rule.waits(spec), clock);
            episodes.extend(spans.into_iter().map(|span| {
                Episode {
                    since: nanos(span.since),
                    entity: entity.clone(),
                    signal: signal.name.clone(),
                    rule: rule.name.clone(),
                    state: stages::name(&signal.states, span.state),
                    until: span.until.map(nanos),
                    decided: nanos(span.decided),
                    expired: span.expired,
                    changes: span
                        .changes
                        .map(|(count, first, last)| (count, nanos(first), nanos(last))),
                    minority: (span.minority.into_iter())
                        .map(|(who, state, time)| {
                            (who, stages::name(&signal.states, state), nanos(time))
                        })
                        .collect(),
                    value: Some(span.reading)
                        .filter(|reading| signal.states.is_empty() && *reading != 0),
                    label: Some(span.source).filter(|source| spec.labelled && !source.is_empty()),
                }
            }));
        }
    }
    episodes.sort();
    episodes
}

/// The logical times at which a view may differ from the one before: where an observation becomes
/// known, where a run may become established, where a history may expire.
pub(crate) fn logical_times(spec: &Spec, histories: &Histories, end: i64) -> BTreeSet<i128> {
    let mut times = BTreeSet::new();
    for ((number, _), history) in histories {
        let rule = &spec.rules[*number];
        // What is missed may be kept from any observation on; the last instant of that is part of it.
        let keeps: Vec<_> = rule.keep_ns.iter().filter(|keep| **keep > 0).map(|k| k + 1).collect();
        for observation in history {
            // One from the future counts, to dedup, when its instant comes.
            let waits =
                [rule.waits(spec).hold_ns(observation.state), rule.expire_after_ns(spec), 0];
            let deadlines = waits
                .into_iter()
                .chain(keeps.iter().copied())
                .map(|wait| observation.time + i128::from(wait))
                .filter(|deadline| *deadline <= i128::from(end));
            times.extend(deadlines.map(|deadline| ceil_to_tick(deadline, spec.tick_ns)));
            times.insert(observation.known_at);
        }
        times.extend(made_times(spec, rule, history, end));
    }
    times
}

/// The logical times at which something may change because of what a deadline makes: whatever is
/// known, then or later.
fn made_times(spec: &Spec, rule: &RuleSpec, history: &[Observation], end: i64) -> BTreeSet<i128> {
    let mut times = BTreeSet::new();
    if !rule.stages.are_any() {
        return times;
    }
    let end = i128::from(end);
    let learnt: BTreeSet<_> = history.iter().map(|observation| observation.known_at).collect();
    for at in learnt {
        let known: Vec<_> = history.iter().filter(|o| o.known_at <= at).cloned().collect();
        let (known, _) = hold::without_repeats(known, rule.dedup_ns);
        for observation in rule.pass(spec, known, end).observations {
            let waits = rule.hold_ns.iter().chain(&rule.keep_ns).chain([&rule.stages.hold_made_ns]);
            let waits = waits.copied().chain([rule.expire_after_ns(spec)]);
            // The last instant of a keep, and that at which something is made, are over one later.
            let each = waits.flat_map(|wait| [wait, wait + 1]).chain([0, 1]);
            let deadlines = each.map(|wait| observation.time + i128::from(wait));
            let deadlines = deadlines.filter(|deadline| *deadline <= end);
            times.extend(deadlines.map(|deadline| ceil_to_tick(deadline, spec.tick_ns)));
        }
    }
    times
}

fn updates(
    spec: &Spec,
    histories: &Histories,
    end: Option<i64>,
) -> BTreeMap<i64, Vec<(Episode, i64)>> {
    let Some(end) = end else { return BTreeMap::new() };
    let mut updates = BTreeMap::new();
    let mut before = Vec::new();
    for at in logical_times(spec, histories, end) {
        let now = view(spec, histories, at, Some(end));
        let changes = difference(&before, &now);
        if !changes.is_empty() {
            updates.insert(nanos(at), changes);
        }
        before = now;
    }
    assert_eq!(before, view(spec, histories, i128::MAX, Some(end)), "the last view is the final");
    updates
}

/// What must be added to `before` to have `now`, sorted and without zeros.
pub(crate) fn difference(before: &[Episode], now: &[Episode]) -> Vec<(Episode, i64)> {
    let mut changes: BTreeMap<Episode, i64> = BTreeMap::new();
    for (episodes, diff) in [(before, -1), (now, 1)] {
        for episode in episodes {
            *changes.entry(episode.clone()).or_default() += diff;
        }
    }
    changes.into_iter().filter(|(_, diff)| *diff != 0).collect()
}

/// The largest multiple of the tick that is not above the time.
pub(crate) fn floor_to_tick(time: i64, tick: i64) -> i128 {
    i128::from(time).div_euclid(i128::from(tick)) * i128::from(tick)
}

/// The smallest multiple of the tick that is not below the time.
pub(crate) fn ceil_to_tick(time: i128, tick: i64) -> i128 {
    -(-time).div_euclid(i128::from(tick)) * i128::from(tick)
}

fn nanos(time: i128) -> i64 {
    i64::try_from(time).expect("what the clock has reached fits in 64 bits")
}
