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
    /// Whether nobody observed it: a deadline made it.
    pub(crate) made: bool,
    /// Whether it counts at once.
    pub(crate) urgent: bool,
    /// Whether it marks the entity.
    pub(crate) marks: bool,
    /// Whether it shows a state; what marks may show none.
    pub(crate) shows: bool,
    /// Of one that flaps or is in a session, its changes so far: how many, the first and the last.
    pub(crate) changes: Option<Changes>,
    /// The votes against it, if it was counted.
    pub(crate) minority: Vec<Ballot>,
    /// The bits of its reading, if it has one.
    pub(crate) reading: u64,
    /// Whether a stage has not handed it on: it was observed, all the same.
    pub(crate) withheld: bool,
}

impl Observation {
    /// Where its record stands among others.
    pub(crate) fn place(&self) -> (i128, &str, &Order, &str, Option<i64>) {
        (self.time, &self.source, &self.sequence, &self.id, self.raw)
    }
}

pub(crate) type Changes = (u32, i128, i128);
/// Who says which state, and when.
pub(crate) type Ballot = (String, usize, i128);

/// An episode without its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) state: usize,
    pub(crate) since: i128,
    pub(crate) until: Option<i128>,
    pub(crate) decided: i128,
    pub(crate) expired: bool,
    /// The source of the observation it began with, and its reading.
    pub(crate) source: String,
    pub(crate) reading: u64,
    /// As of the last observation of it.
    pub(crate) changes: Option<Changes>,
    /// As of the first.
    pub(crate) minority: Vec<Ballot>,
}

/// Observations of runs that have ended without being established. An observation that the clock
/// has not reached yet ends nothing, and is pending itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suppressed {
    /// In runs that another state cut short, or that have no length.
    pub(crate) hold: usize,
    /// In runs that had lasted while the state before was kept.
    pub(crate) keep: usize,
    /// In runs that were still waiting when the history expired.
    pub(crate) expired: usize,
    /// Repeats of others.
    pub(crate) dedup: usize,
    /// Withheld since a reading had no rate.
    pub(crate) unrated: usize,
    /// Withheld since a fault had no quorum.
    pub(crate) outvoted: usize,
    /// Withheld for changing too often.
    pub(crate) damped: usize,
    /// Withheld since their entity had just been seen for the first time.
    pub(crate) spared: usize,
}

impl Add for Suppressed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hold: self.hold + other.hold,
            keep: self.keep + other.keep,
            expired: self.expired + other.expired,
            dedup: self.dedup + other.dedup,
            unrated: self.unrated + other.unrated,
            outvoted: self.outvoted + other.outvoted,
            damped: self.damped + other.damped,
            spared: self.spared + other.spared,
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
    /// Where deadlines made something: what starts there counts when that instant is over.
    made: Vec<i128>,
}

/// How long states are held, kept, and remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits<'a> {
    /// By state.
    pub(crate) hold_ns: &'a [i64],
    /// By state.
    pub(crate) keep_ns: &'a [i64],
    pub(crate) expire_after_ns: i64,
    /// Of states that are made.
    pub(crate) hold_made_ns: i64,
}

impl Waits<'_> {
    pub(crate) fn hold_ns(&self, state: usize) -> i64 {
        self.hold_ns.get(state).copied().unwrap_or(self.hold_made_ns)
    }
}

/// When a run takes the place of what was before it.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// As soon as it has lasted.
    Held(i128),
    /// When the keep of the state before is over, its last instant included.
    Kept(i128),
    /// Since it is urgent; when that instant is over, if a deadline made something there.
    Urgent(i128, bool),
}

impl Takes {
    fn decided(self) -> i128 {
        match self {
            Self::Held(at) | Self::Kept(at) | Self::Urgent(at, _) => at,
        }
    }

    /// Whether it has come when something happens at `time`.
    fn is_before(self, time: i128) -> bool {
        match self {
            Self::Held(at) | Self::Urgent(at, false) => at <= time,
            Self::Kept(at) | Self::Urgent(at, true) => at < time,
        }
    }
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

    fn is_cut_short(&self, takes: Takes) -> bool {
        let contrary = self.contrary().is_some_and(|contrary| contrary < self.deadline());
        contrary && !matches!(takes, Takes::Urgent(..))
    }

    /// The first observation of another state after it.
    fn contrary(&self) -> Option<i128> {
        self.later.iter().find(|later| later.state != self.state()).map(|later| later.time)
    }

    /// When it takes the place of a state that is kept until then, if any.
    fn takes(&self, kept_until: Option<i128>) -> Takes {
        let takes = match kept_until {
            Some(kept) if kept >= self.deadline() => Takes::Kept(kept),
            _ => Takes::Held(self.deadline()),
        };
        let urgent = self.observations.iter().find(|observation| observation.urgent);
        match urgent.map(|urgent| urgent.time) {
            Some(at) if self.contrary() != Some(at) && !takes.is_before(at) => {
                Takes::Urgent(at, self.made.contains(&at))
            }
            _ => takes,
        }
    }

    fn is_established(&self, clock: i128, takes: Takes) -> bool {
        self.has_length()
            && !self.is_cut_short(takes)
            && self.contrary().is_none_or(|contrary| takes.is_before(contrary))
            && takes.is_before(self.expires)
            && takes.is_before(clock)
            && !(self.made.contains(&self.start()) && self.start() == clock)
    }

    /// How many observations it has, without those that were made.
    fn observed(&self) -> usize {
        self.observations.iter().filter(|observation| !observation.made).count()
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
        let first = passed.iter().filter(|first| first.shows && observation.shows).find(|first| {
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

/// Splits observations where none came for as long as `expire_after`; each part with its last one. What
/// was made is none, unless a part begins with it, and what is withheld begins no part.
pub(crate) fn lives(
    observations: &[Observation],
    expire_after: i64,
) -> Vec<(&[Observation], i128)> {
    let mut lives = Vec::new();
    let (mut from, mut last): (usize, Option<i128>) = (0, None);
    for (at, observation) in observations.iter().enumerate() {
        let ended = last.filter(|last| observation.time >= last + i128::from(expire_after));
        if let Some(ended) = ended {
            lives.push((&observations[from..at], ended));
            (from, last) = (at, None);
        }
        if observation.withheld && last.is_none() {
            continue;
        }
        if !observation.made || last.is_none() {
            last = Some(observation.time);
        }
    }
    lives.extend(last.map(|last| (&observations[from..], last)));
    lives
}

/// The same, without what is withheld.
fn passed(observations: &[Observation], expire_after: i64) -> Vec<(Vec<Observation>, i128)> {
    let lives = lives(observations, expire_after).into_iter();
    let passed = |life: &[Observation]| life.iter().filter(|one| !one.withheld).cloned().collect();
    lives.map(|(life, last)| (passed(life), last)).collect()
}

fn runs<'a>(history: &'a [Observation], last: i128, waits: Waits<'_>) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    let mut end = 0;
    for observations in history.chunk_by(|a, b| a.state == b.state) {
        end += observations.len();
        runs.push(Run {
            observations,
            later: &history[end..],
            expires: last + i128::from(waits.expire_after_ns),
            hold: i128::from(waits.hold_ns(observations[0].state)),
            made: history.iter().filter(|o| o.made).map(|o| o.time).collect(),
        });
    }
    runs
}

/// Until when the state of an episode is kept, as seen from a run of another state: for its time
/// after the first observation of another, since the last of its own.
fn kept_until(
    span: &Span,
    run: &Run<'_>,
    history: &[Observation],
    keep_ns: &[i64],
) -> Option<i128> {
    let keep = i128::from(keep_ns.get(span.state).copied().unwrap_or(0));
    if keep == 0 || span.state == run.state() {
        return None;
    }
    let before = history.len() - run.later.len() - run.observations.len();
    let own = history[..before].iter().rposition(|o| o.state == span.state);
    let missed = own.map(|own| history[own + 1].time).expect("it has been observed");
    Some(missed + keep)
}

/// Each run of one history with its place among the episodes, which are put into `spans`.
fn judge(
    (history, last): (&[Observation], i128),
    waits: Waits<'_>,
    clock: i128,
    mut each: impl FnMut(&Run<'_>, Option<i128>, Option<&Span>),
) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut open: Option<Span> = None;
    let mut unobserved = false;
    for run in runs(history, last, waits) {
        let last = run.observations[run.observations.len() - 1].changes;
        if let Some(span) = open.as_mut().filter(|span| span.state == run.state()) {
            span.changes = last.or(span.changes);
        }
        let kept = open.as_ref().and_then(|span| kept_until(span, &run, history, waits.keep_ns));
        each(&run, kept, open.as_ref());
        let takes = run.takes(kept);
        unobserved = run.is_established(clock, takes) && run.observed() == 0;
        if !run.is_established(clock, takes) {
            continue;
        }
        if open.as_ref().is_some_and(|span| span.state == run.state()) {
            continue;
        }
        let since = run.start().max(kept.unwrap_or(run.start()).min(takes.decided()));
        if let Some(span) = open.take() {
            spans.push(Span { until: Some(since), ..span });
        }
        open = Some(Span {
            state: run.state(),
            since,
            until: None,
            decided: takes.decided(),
            expired: false,
            source: run.observations[0].source.clone(),
            reading: run.observations[0].reading,
            changes: last,
            minority: run.observations[0].minority.clone(),
        });
    }
    let expires = last + i128::from(waits.expire_after_ns);
    let expired = expires <= clock;
    // What nobody observed ends when it is forgotten.
    let end = if unobserved { expires } else { last };
    spans.extend(open.map(|span| match expired {
        true => Span { until: Some(end.max(span.since)), expired, ..span },
        false => span,
    }));
    spans
}

/// The episodes of these observations (in order, all known) when the clock stands at `clock`.
pub(crate) fn spans(observations: &[Observation], waits: Waits<'_>, clock: i128) -> Vec<Span> {
    let histories = passed(observations, waits.expire_after_ns).into_iter();
    let spans = |(history, last): (Vec<_>, _)| judge((&history, last), waits, clock, |_, _, _| ());
    histories.flat_map(spans).collect()
}

/// The runs that may be established yet, or might have been, of another state than the episode that they are
/// in: as the episodes that they would begin, with what ended them.
pub(crate) fn candidates(observations: &[Observation], waits: Waits<'_>, clock: i128) -> Vec<Span> {
    let mut candidates = Vec::new();
    let reached = observations.partition_point(|observation| observation.time <= clock);
    for (history, last) in passed(&observations[..reached], waits.expire_after_ns) {
        judge((&history, last), waits, clock, |run, kept, open| {
            let takes = run.takes(kept);
            let holds = open.is_some_and(|span| span.state == run.state());
            if holds || run.is_established(clock, takes) {
                return;
            }
            let since = run.start().max(kept.unwrap_or(run.start()).min(takes.decided()));
            let expired = run.contrary().is_none() && run.expires <= clock;
            let until = run.contrary().or(expired.then_some(last.max(since)));
            if until.is_none_or(|until| expired || until > since) {
                candidates.push(Span {
                    state: run.state(),
                    since,
                    until,
                    decided: takes.decided(),
                    expired,
                    source: run.observations[0].source.clone(),
                    reading: run.observations[0].reading,
                    changes: None,
                    minority: run.observations[0].minority.clone(),
                });
            }
        });
    }
    candidates
}

/// How many of these observations are suppressed when the clock stands at `end`.
pub(crate) fn suppressed(
    observations: &[Observation],
    waits: Waits<'_>,
    end: Option<i64>,
) -> Suppressed {
    let mut suppressed = Suppressed::default();
    let Some(end) = end.map(i128::from) else { return suppressed };
    let reached = observations.partition_point(|observation| observation.time <= end);
    for (history, last) in passed(&observations[..reached], waits.expire_after_ns) {
        judge((&history, last), waits, end, |run, kept, _| {
            let takes = run.takes(kept);
            let count = run.observed();
            match run.contrary() {
                _ if !run.has_length() || run.is_cut_short(takes) => suppressed.hold += count,
                Some(contrary) if !takes.is_before(contrary) => suppressed.keep += count,
                Some(_) => {}
                None if !takes.is_before(run.expires) && run.expires <= end => {
                    suppressed.expired += count;
                }
                None => {}
            }
        });
    }
    suppressed
}

/// Where a run begins: when, from which state of the same history, to which, and what became of it.
pub(crate) type Transition = (i128, Option<usize>, usize, &'static str);

/// The runs of these observations when the clock stands at `end`.
pub(crate) fn transitions(
    observations: &[Observation],
    waits: Waits<'_>,
    end: i64,
) -> Vec<Transition> {
    let end = i128::from(end);
    let mut transitions = Vec::new();
    let reached = observations.partition_point(|observation| observation.time <= end);
    for (history, last) in passed(&observations[..reached], waits.expire_after_ns) {
        let mut before = None;
        judge((&history, last), waits, end, |run, kept, _| {
            let takes = run.takes(kept);
            let fate = match run.contrary() {
                _ if run.is_established(end, takes) => "lasted",
                _ if !run.has_length() || run.is_cut_short(takes) => "hold",
                Some(contrary) if !takes.is_before(contrary) => "keep",
                None if !takes.is_before(run.expires) && run.expires <= end => "expired",
                _ => "pending",
            };
            transitions.push((run.start(), before.replace(run.state()), run.state(), fate));
        });
    }
    transitions
}
