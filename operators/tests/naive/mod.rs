//! What tests of machines share: readings that crowd, and hold-down by its definition.

// Several test binaries share this module and none uses all of it.
#![allow(dead_code)]

pub(crate) mod quorum;

use std::collections::BTreeMap;

use differential_dataflow::VecCollection;
use limbeck_operators::harness::{History, Subject, TakeSnapshot, check};
use limbeck_operators::machines::hold_down::{
    Absorbed, Cut, Decision, Holds, Observation, Rare, State, Stretch, Sustained,
};
use limbeck_operators::snapshots::{Snapshot, Snapshots};
use limbeck_operators::timeline::{Said, Timeline, Timing};
use limbeck_operators::{Event, Machine};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) time: i64,
    pub(crate) tie: u8,
    pub(crate) state: u8,
    pub(crate) urgent: bool,
    /// Whether it is a marker, and whether it is nothing else.
    pub(crate) marks: (bool, bool),
}

impl Event for Reading {
    fn time(&self) -> i64 {
        self.time
    }
}

impl Observation for Reading {
    type State = Noted;

    fn state(&self) -> Noted {
        Noted { state: self.state, note: self.tie, latest: self.tie }
    }

    fn is_urgent(&self) -> bool {
        self.urgent
    }

    fn is_marker(&self) -> bool {
        self.marks.0
    }

    fn is_observed(&self) -> bool {
        self.marks != (true, true)
    }
}

/// A state, and what is to be kept of the first observation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) state: u8,
    pub(crate) note: u8,
    /// What is to be kept of the last.
    pub(crate) latest: u8,
}

impl State for Noted {
    fn is(&self, other: &Self) -> bool {
        self.state == other.state
    }

    fn renew(&mut self, later: &Self) {
        self.latest = later.latest;
    }
}

/// Builds a machine's timeline for the harness, without and with its revisions.
pub(crate) fn build<'scope, M: Machine>(
    machine: M,
    timing: Timing,
    input: VecCollection<'scope, i64, (M::Key, M::Event), isize>,
    restored: Option<&[Snapshot<M::Key>]>,
    save_at: Option<i64>,
) -> (Said<'scope, M>, TakeSnapshot<Snapshot<M::Key>>) {
    let snapshots = Snapshots::new();
    save_at.iter().for_each(|at| snapshots.request(*at));
    let mut timeline = Timeline::new("under test", machine, timing).with_snapshots(&snapshots);
    if let Some(parts) = restored {
        timeline = timeline.restore_from(parts.into());
    }
    (timeline.build(input).oks, Box::new(move || snapshots.take()))
}

/// The events of each key that are in time and not retracted, by the clock's standing.
pub(crate) fn accepted<K: Clone + Ord, E: Event>(
    known: &[((K, E), i64, isize)],
    timing: Timing,
    at: i64,
) -> BTreeMap<K, Vec<E>> {
    let mut counts: BTreeMap<(K, E), isize> = BTreeMap::new();
    for ((key, event), received, diff) in known {
        if event.time() >= received - timing.lateness {
            *counts.entry((key.clone(), event.clone())).or_default() += diff;
        }
    }
    let mut keys: BTreeMap<K, Vec<E>> = BTreeMap::new();
    for ((key, event), count) in counts {
        if count > 0 && event.time() <= at {
            keys.entry(key).or_default().push(event);
        }
    }
    keys
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PerState {
    pub(crate) holds: [i64; 3],
    pub(crate) keeps: [i64; 3],
    pub(crate) expire_after: i64,
}

impl Holds<u8, Noted> for PerState {
    type Besides = Rare;

    fn keep(&self, _: &u8, state: &Noted) -> i64 {
        self.keeps[usize::from(state.state)]
    }

    fn hold(&self, _: &u8, state: &Noted) -> i64 {
        self.holds[usize::from(state.state)]
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.expire_after
    }

    fn tells_candidates(&self, _: &u8, state: &Noted) -> bool {
        state.state > 0
    }
}

/// A state at an instant: as it was observed, or made by a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) time: i64,
    pub(crate) state: Noted,
    pub(crate) by: Option<Reading>,
    pub(crate) urgent: bool,
    /// Whether it was observed, and is not handed on.
    pub(crate) withheld: bool,
}

impl Item {
    pub(crate) fn of(event: &Reading) -> Self {
        Self {
            time: event.time,
            state: event.state(),
            by: Some(event.clone()),
            urgent: event.urgent,
            withheld: false,
        }
    }

    pub(crate) fn made(time: i64, state: Noted) -> Self {
        Self { time, state, by: None, urgent: false, withheld: false }
    }
}

/// A run, judged by itself: what is before and behind it is given.
struct Judged {
    since: i64,
    decided: i64,
    established: bool,
    cut: Cut,
}

/// `missed` is since when the state before it is missed, and for how long that is kept; `waits` is
/// whether a deadline made something at its start.
fn judge(
    (start, hold, waits): (i64, i64, bool),
    next: Option<i64>,
    missed: Option<(i64, i64)>,
    (expires, clock): (i64, i64),
) -> Judged {
    let held = start + hold;
    let lasted = next.is_none_or(|next| next > start && next >= held);
    let kept = missed.filter(|(_, keep)| *keep > 0).map(|(missed, keep)| missed + keep);
    let since = kept.map_or(start, |kept| kept.max(start));
    match kept.filter(|kept| *kept >= held) {
        None => {
            let come = if waits && hold == 0 { held < clock } else { held <= clock };
            let established = come && lasted && held <= expires;
            Judged { since, decided: held, established, cut: Cut::Contrary }
        }
        // Its last instant is part of a keep.
        Some(kept) => {
            let outlived = kept < clock && next.is_none_or(|next| next > kept);
            let (missed, _) = missed.expect("it is kept");
            let cut = if lasted { Cut::Kept { missed } } else { Cut::Contrary };
            let established = outlived && lasted && kept < expires;
            Judged { since, decided: kept, established, cut }
        }
    }
}

impl Judged {
    /// The same of a run with something urgent at an instant; if a deadline made something there, too, it counts
    /// when that is over.
    fn pressed(self, (urgent, waits): (i64, bool), start: i64, clock: i64) -> Self {
        let come = if waits { urgent < clock } else { urgent <= clock };
        let decided = self.decided.min(urgent);
        let since = start.max(self.since.min(decided));
        Self { since, decided, established: self.established || come, cut: self.cut }
    }
}

/// Splits items where nothing was observed for as long as `expire_after`; each part, from what is not
/// withheld on, with its last observation, or its beginning if it has none.
pub(crate) fn lives(items: &[Item], expire_after: i64) -> Vec<(&[Item], i64)> {
    let mut lives = Vec::new();
    let (mut from, mut last) = (0, None);
    for (at, item) in items.iter().enumerate() {
        if let Some(ended) = last.filter(|last| item.time >= last + expire_after) {
            lives.push((&items[from..at], ended));
            (from, last) = (at, None);
        }
        if item.withheld && last.is_none() {
            continue;
        }
        if item.by.is_some() || last.is_none() {
            last = Some(item.time);
        }
    }
    lives.extend(last.map(|last| (&items[from..], last)));
    lives
}

/// Hold-down by its definition: split at expiries, cut into runs, judge each run by itself.
pub(crate) fn hold_down(
    items: &[Item],
    rule: PerState,
    clock: i64,
    tells_runs: bool,
) -> Vec<Decision<Noted>> {
    let mut told = with_candidates(items, rule, clock, tells_runs);
    told.retain(|told| !matches!(told, Decision::Candidate(_)));
    told
}

/// The same with candidates of all states but the first.
pub(crate) fn with_candidates(
    items: &[Item],
    rule: PerState,
    clock: i64,
    tells_runs: bool,
) -> Vec<Decision<Noted>> {
    let lives = lives(items, rule.expire_after).into_iter();
    lives.flat_map(|(life, last)| of_life(life, last, rule, clock, tells_runs)).collect()
}

fn of_life(
    life: &[Item],
    last: i64,
    rule: PerState,
    clock: i64,
    tells_runs: bool,
) -> Vec<Decision<Noted>> {
    let mut out = Vec::new();
    let life: Vec<Item> = life.iter().filter(|item| !item.withheld).cloned().collect();
    let expires = last + rule.expire_after;
    let runs: Vec<&[Item]> = life.chunk_by(|a, b| a.state.is(&b.state)).collect();
    let mut holding: Option<Sustained<Noted>> = None;
    let mut end = last;
    for (index, run) in runs.iter().enumerate() {
        let (start, mut state) = (run[0].time, run[0].state);
        state.latest = run[run.len() - 1].state.latest;
        if let Some(holding) = &mut holding
            && holding.state.is(&state)
        {
            holding.state.latest = state.latest;
        }
        let next = runs.get(index + 1).map(|run| run[0].time);
        let missed = holding.as_ref().filter(|holding| !holding.state.is(&state));
        let missed = missed.map(|Sustained { state, .. }| {
            let own = runs[..index].iter().rposition(|run| run[0].state.is(state));
            let missed = runs[own.expect("it was observed") + 1][0].time;
            (missed, rule.keeps[usize::from(state.state)])
        });
        let hold = rule.holds[usize::from(state.state)];
        let waits = life.iter().any(|item| item.by.is_none() && item.time == start);
        let mut judged = judge((start, hold, waits), next, missed, (expires, clock));
        let urgent = run.iter().find(|item| item.urgent).map(|item| item.time);
        if let Some(urgent) = urgent.filter(|urgent| next != Some(*urgent)) {
            let waits = life.iter().any(|item| item.by.is_none() && item.time == urgent);
            judged = judged.pressed((urgent, waits), start, clock);
        }
        let Judged { since, decided, established, cut } = judged;
        let observations = run.iter().filter(|item| item.by.is_some()).count() as u32;
        let nth = runs[..index].iter().filter(|before| before[0].time == start).count() as u32;
        if established && observations == 0 && next.is_none() {
            end = expires;
        }
        let ended = next.map(|next| (next, cut));
        let silent = (expires <= clock).then_some((end.max(start), Cut::Silence));
        let ended = ended.or(silent);
        if tells_runs && (established || ended.is_none()) {
            let (since, until) = (start, ended.map(|(until, _)| until));
            let run = Stretch { since, nth, state, until, observations, established, decided };
            out.push(Decision::Run(run));
        }
        if !established && state.state > 0 && missed_or_first(&holding, &state) {
            let decided = urgent.map_or(decided, |urgent| decided.min(urgent));
            let since = start.max(since.min(decided));
            let expired = ended.is_some_and(|(_, cut)| cut == Cut::Silence);
            let until = ended.map(|(until, _)| if expired { until.max(since) } else { until });
            let lasts = expired || until.is_none_or(|until| until > since);
            let candidate = Sustained { since, state, until, decided, expired };
            out.extend(lasts.then_some(Decision::Candidate(candidate)));
        }
        if !established {
            out.extend(ended.map(|(until, by)| {
                let since = start;
                Decision::Absorbed(Absorbed { since, nth, state, until, observations, by })
            }));
        } else if missed_or_first(&holding, &state) {
            let sustained = Sustained { since, state, until: None, decided, expired: false };
            if let Some(ended) = holding.replace(sustained) {
                out.push(Decision::Sustained(Sustained { until: Some(since), ..ended }));
            }
        }
    }
    out.extend(holding.map(|holding| {
        let expired = expires <= clock;
        let until = expired.then_some(end.max(holding.since));
        Decision::Sustained(Sustained { until, expired, ..holding })
    }));
    out
}

/// An observation, with its place.
pub(crate) type Seen = (usize, Item, Reading);

/// The observations among items that are not withheld, with their places, by the lives of what remembers
/// observations alone; each life with its last, withheld or not.
pub(crate) fn observed(items: &[Item], expire_after: i64) -> Vec<(Vec<Seen>, i64)> {
    let seen = items.iter().enumerate().filter_map(|(at, item)| {
        let by = item.by.clone()?;
        Some((at, item.clone(), by))
    });
    let seen: Vec<_> = seen.collect();
    let only: Vec<Item> = seen.iter().map(|(_, item, _)| item.clone()).collect();
    let mut rest = seen.into_iter();
    let lives = lives(&only, expire_after);
    let life = |(life, last): (&[Item], i64)| {
        let life = rest.by_ref().take(life.len());
        (life.filter(|(_, item, _)| !item.withheld).collect(), last)
    };
    lives.into_iter().map(life).collect()
}

/// Whether a deadline made something behind an item and before an instant.
pub(crate) fn overtaken(items: &[Item], place: usize, before: i64) -> bool {
    items[place + 1..].iter().any(|item| item.by.is_none() && item.time < before)
}

/// Puts what a deadline makes before all that comes then or later.
pub(crate) fn insert(items: &mut Vec<Item>, made: Item) {
    let at = items.partition_point(|item| item.time < made.time);
    items.insert(at, made);
}

/// Withholds some items, by their places, and puts in what deadlines made.
pub(crate) fn without(items: &[Item], withheld: &[usize], made: Vec<Item>) -> Vec<Item> {
    let mut passed = items.to_vec();
    for place in withheld {
        passed[*place].withheld = true;
    }
    made.into_iter().for_each(|made| insert(&mut passed, made));
    passed
}

/// Whether a state is another than the one that holds.
fn missed_or_first(holding: &Option<Sustained<Noted>>, state: &Noted) -> bool {
    holding.as_ref().is_none_or(|holding| !holding.state.is(state))
}

/// Event times in a narrow range, received from 3 before to 14 after; some retracted again.
pub(crate) fn histories(tick: i64) -> impl Strategy<Value = History<(u8, Reading)>> {
    let marks = prop_oneof![9 => Just((false, false)), 1 => (Just(true), any::<bool>())];
    let states = (0u8..3, prop::bool::weighted(0.1), marks);
    let update = (0u8..3, 0i64..60, 0u8..3, states, -3i64..15, 0u8..12, 0i64..8);
    prop::collection::vec(update, 0..40).prop_map(move |rows| {
        let mut updates = Vec::new();
        for (key, time, tie, (state, urgent, marks), delay, retract, wait) in rows {
            let received = |delay: i64| (time + delay).div_euclid(tick) * tick;
            let reading = Reading { time, tie, state, urgent, marks };
            updates.push(((key, reading.clone()), received(delay), 1));
            if retract == 0 {
                updates.push(((key, reading), received(delay + wait), -1));
            }
        }
        updates.sort_by_key(|(_, at, _)| *at);
        History { updates, end: 100 / tick * tick }
    })
}

pub(crate) fn rules() -> impl Strategy<Value = PerState> {
    let hold = prop_oneof![Just(0i64), 1i64..12];
    let keep = prop_oneof![Just(0i64), Just(0i64), 1i64..15];
    let expire_after = prop_oneof![Just(1000i64), 1i64..25];
    let (holds, keeps) = ([hold.clone(), hold.clone(), hold], [keep.clone(), keep.clone(), keep]);
    (holds, keeps, expire_after).prop_map(|(holds, keeps, expire_after)| PerState {
        holds,
        keeps,
        expire_after,
    })
}

pub(crate) fn timings() -> impl Strategy<Value = Timing> {
    (prop_oneof![Just(0i64), 1i64..12, Just(300)], prop_oneof![Just(1i64), Just(5)])
        .prop_map(|(lateness, tick)| Timing { lateness, tick })
}

pub(crate) fn holds<S: Subject>(
    subject: &S,
    history: &History<S::In>,
    seed: u64,
) -> Result<(), TestCaseError> {
    check(subject, history, seed).map(|_| ()).map_err(TestCaseError::fail)
}
