//! "Hold-down, exactly": the episodes of one entity under one rule, from scratch.
//!
//! All times are wide enough that no sum of a time and a duration overflows.

use std::ops::Add;

use super::decode::Order;

/// What one record shows of one signal. The derived order is the contract's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Observation {
    pub(crate) time: i128,
    pub(crate) source: String,
    pub(crate) sequence: Order,
    pub(crate) id: String,
    /// What the record said, if its time is corrected.
    pub(crate) raw: Option<i64>,
    pub(crate) state: usize,
    /// The logical time of its arrival.
    pub(crate) known_at: i128,
}

/// An episode without its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) state: usize,
    pub(crate) since: i128,
    pub(crate) until: Option<i128>,
    pub(crate) decided: i128,
    pub(crate) expired: bool,
    /// The source of the observation it began with.
    pub(crate) source: String,
}

/// Observations of runs that have ended without being established. An observation that the clock
/// has not reached yet ends nothing, and is pending itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suppressed {
    /// In runs that another state cut short, or that have no length.
    pub(crate) hold: usize,
    /// In runs that were still waiting when the history expired.
    pub(crate) expired: usize,
    /// Repeats of others.
    pub(crate) dedup: usize,
}

impl Add for Suppressed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hold: self.hold + other.hold,
            expired: self.expired + other.expired,
            dedup: self.dedup + other.dedup,
        }
    }
}

/// A longest stretch of equal state.
struct Run<'a> {
    observations: &'a [Observation],
    /// What comes after it in the same history.
    later: &'a [Observation],
    /// Where its history expires.
    expires: i128,
    hold: i128,
}

impl Run<'_> {
    fn state(&self) -> usize {
        self.observations[0].state
    }

    fn start(&self) -> i128 {
        self.observations[0].time
    }

    fn deadline(&self) -> i128 {
        self.start() + self.hold
    }

    fn has_length(&self) -> bool {
        self.later.first().is_none_or(|next| next.time > self.start())
    }

    fn is_cut_short(&self) -> bool {
        let contrary =
            |later: &Observation| later.state != self.state() && later.time < self.deadline();
        self.later.iter().any(contrary)
    }

    fn is_established(&self, clock: i128) -> bool {
        self.has_length()
            && !self.is_cut_short()
            && self.deadline() <= self.expires
            && self.deadline() <= clock
    }
}

/// Observations (in order) without those that repeat one, of equal state and source, that passed
/// less than `within` before; and the others.
pub(crate) fn without_repeats(
    observations: Vec<Observation>,
    within: Option<i64>,
) -> (Vec<Observation>, Vec<Observation>) {
    let Some(within) = within else { return (observations, Vec::new()) };
    let (mut passed, mut repeats): (Vec<Observation>, _) = (Vec::new(), Vec::new());
    for observation in observations {
        let first = passed.iter().find(|first| {
            (first.state, &first.source) == (observation.state, &observation.source)
                && observation.time < first.time + i128::from(within)
        });
        match first {
            Some(_) => repeats.push(observation),
            None => passed.push(observation),
        }
    }
    (passed, repeats)
}

/// Splits observations where none came for as long as `expire_after`.
fn between_gaps(observations: &[Observation], expire_after: i64) -> Vec<&[Observation]> {
    let gap = |a: &Observation, b: &Observation| b.time >= a.time + i128::from(expire_after);
    observations.chunk_by(|a, b| !gap(a, b)).collect()
}

fn runs<'a>(history: &'a [Observation], hold_ns: &[i64], expire_after: i64) -> Vec<Run<'a>> {
    let last = history.last().expect("a history has observations");
    let mut runs = Vec::new();
    let mut end = 0;
    for observations in history.chunk_by(|a, b| a.state == b.state) {
        end += observations.len();
        runs.push(Run {
            observations,
            later: &history[end..],
            expires: last.time + i128::from(expire_after),
            hold: i128::from(hold_ns[observations[0].state]),
        });
    }
    runs
}

/// The episodes of these observations (in order, all known) when the clock stands at `clock`.
pub(crate) fn spans(
    observations: &[Observation],
    hold_ns: &[i64],
    expire_after: i64,
    clock: i128,
) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for history in between_gaps(observations, expire_after) {
        let mut open: Option<Span> = None;
        for run in runs(history, hold_ns, expire_after) {
            if !run.is_established(clock) {
                continue;
            }
            if open.as_ref().is_some_and(|span| span.state == run.state()) {
                continue;
            }
            if let Some(span) = open.take() {
                spans.push(Span { until: Some(run.start()), ..span });
            }
            open = Some(Span {
                state: run.state(),
                since: run.start(),
                until: None,
                decided: run.deadline(),
                expired: false,
                source: run.observations[0].source.clone(),
            });
        }
        let last = history.last().expect("a history has observations").time;
        let expired = last + i128::from(expire_after) <= clock;
        spans.extend(open.map(|span| match expired {
            true => Span { until: Some(last), expired, ..span },
            false => span,
        }));
    }
    spans
}

/// How many of these observations are suppressed when the clock stands at `end`.
pub(crate) fn suppressed(
    observations: &[Observation],
    hold_ns: &[i64],
    expire_after: i64,
    end: Option<i64>,
) -> Suppressed {
    let mut suppressed = Suppressed::default();
    let Some(end) = end.map(i128::from) else { return suppressed };
    let reached = observations.partition_point(|observation| observation.time <= end);
    for history in between_gaps(&observations[..reached], expire_after) {
        for run in runs(history, hold_ns, expire_after) {
            if !run.has_length() || run.is_cut_short() {
                suppressed.hold += run.observations.len();
            } else if run.deadline() > run.expires && run.expires <= end {
                suppressed.expired += run.observations.len();
            }
        }
    }
    suppressed
}
