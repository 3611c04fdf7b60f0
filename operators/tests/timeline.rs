//! The timeline and its machines against naive oracles, through the harness, on random input.
//!
//! Event times cluster, so that ties, equal deadlines and runs without length are common; logical
//! times follow them within and beyond lateness, and run ahead of them as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use differential_dataflow::VecCollection;
use limbeck_operators::harness::{History, Subject, TakeSnapshot, check};
use limbeck_operators::machines::dedup::{Dedup, Fingerprinted, Verdict};
use limbeck_operators::machines::hold_down::{
    Absorbed, Cut, Decision, HoldDown, Holds, Observation, State, Stretch, Sustained,
};
use limbeck_operators::snapshots::{Snapshot, Snapshots};
use limbeck_operators::timeline::{Revised, Said, Timeline, Timing};
use limbeck_operators::{Event, Machine};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Reading {
    time: i64,
    tie: u8,
    state: u8,
}

impl Event for Reading {
    fn time(&self) -> i64 {
        self.time
    }
}

impl Observation for Reading {
    type State = Noted;

    fn state(&self) -> Noted {
        Noted { state: self.state, note: self.tie }
    }
}

/// A state, and what is to be kept of the first observation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Noted {
    state: u8,
    note: u8,
}

impl State for Noted {
    fn is(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

impl Fingerprinted for Reading {
    fn fingerprint(&self) -> u128 {
        u128::from(self.state)
    }

    fn content(&self) -> u64 {
        u64::from(self.tie)
    }
}

/// For how long a reading can be repeated.
const WINDOW: i64 = 4;

/// Builds a machine's timeline for the harness, without and with its revisions.
fn build<'scope, M: Machine>(
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
fn accepted<K: Clone + Ord, E: Event>(
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
struct PerState {
    holds: [i64; 3],
    keeps: [i64; 3],
    expire_after: i64,
}

impl Holds<u8, Noted> for PerState {
    type Missed = Option<i64>;

    fn keep(&self, _: &u8, state: &Noted) -> i64 {
        self.keeps[usize::from(state.state)]
    }

    fn hold(&self, _: &u8, state: &Noted) -> i64 {
        self.holds[usize::from(state.state)]
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.expire_after
    }
}

#[derive(Clone, Copy, Debug)]
struct Holding {
    rule: PerState,
    timing: Timing,
    tells_runs: bool,
}

/// A run, judged by itself: what is before and behind it is given.
struct Judged {
    since: i64,
    decided: i64,
    established: bool,
    cut: Cut,
}

/// `missed` is since when the state before it is missed, and for how long that is kept.
fn judge(
    (start, hold): (i64, i64),
    next: Option<i64>,
    missed: Option<(i64, i64)>,
    (expires, clock): (i64, i64),
) -> Judged {
    let held = start + hold;
    let lasted = next.is_none_or(|next| next > start && next >= held);
    let kept = missed.filter(|(_, keep)| *keep > 0).map(|(missed, keep)| missed + keep);
    let since = kept.map_or(start, |kept| kept.max(start));
    match kept.filter(|kept| *kept >= held) {
        None => Judged {
            since,
            decided: held,
            established: held <= clock && lasted && held <= expires,
            cut: Cut::Contrary,
        },
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

/// Hold-down by its definition: split at expiries, cut into runs, judge each run by itself.
fn hold_down(
    events: &[Reading],
    rule: PerState,
    clock: i64,
    tells_runs: bool,
) -> Vec<Decision<Noted>> {
    let mut out = Vec::new();
    let mut lives: Vec<&[Reading]> = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let gap = |pair: &[Reading]| pair[1].time >= pair[0].time + rule.expire_after;
        let cut = rest.windows(2).position(gap).map_or(rest.len(), |last| last + 1);
        lives.push(&rest[..cut]);
        rest = &rest[cut..];
    }
    for life in lives {
        let last = life[life.len() - 1].time;
        let expires = last + rule.expire_after;
        let runs: Vec<&[Reading]> = life.chunk_by(|a, b| a.state == b.state).collect();
        let mut holding: Option<Sustained<Noted>> = None;
        for (index, run) in runs.iter().enumerate() {
            let (start, state) = (run[0].time, run[0].state());
            let next = runs.get(index + 1).map(|run| run[0].time);
            let missed = holding.as_ref().filter(|holding| !holding.state.is(&state));
            let missed = missed.map(|Sustained { state: Noted { state, .. }, .. }| {
                let own = runs[..index].iter().rposition(|run| run[0].state == *state);
                (runs[own.expect("it was observed") + 1][0].time, rule.keeps[usize::from(*state)])
            });
            let hold = rule.holds[usize::from(state.state)];
            let Judged { since, decided, established, cut } =
                judge((start, hold), next, missed, (expires, clock));
            let observations = run.len() as u32;
            let ended = next.map(|next| (next, cut));
            let ended = ended.or((expires <= clock).then_some((last, Cut::Silence)));
            if tells_runs && (established || ended.is_none()) {
                out.push(Decision::Run(Stretch {
                    since: start,
                    state,
                    until: ended.map(|(until, _)| until),
                    observations,
                    established,
                    decided,
                }));
            }
            if !established {
                out.extend(ended.map(|(until, by)| {
                    let since = start;
                    Decision::Absorbed(Absorbed { since, state, until, observations, by })
                }));
            } else if holding.as_ref().is_none_or(|holding| !holding.state.is(&state)) {
                let sustained = Sustained { since, state, until: None, decided, expired: false };
                if let Some(ended) = holding.replace(sustained) {
                    out.push(Decision::Sustained(Sustained { until: Some(since), ..ended }));
                }
            }
        }
        out.extend(holding.map(|holding| {
            let expired = expires <= clock;
            let until = expired.then_some(last.max(holding.since));
            Decision::Sustained(Sustained { until, expired, ..holding })
        }));
    }
    out
}

impl Subject for Holding {
    type In = (u8, Reading);
    type Out = (u8, Decision<Noted>);
    type Saved = Snapshot<u8>;

    fn tick(&self) -> i64 {
        self.timing.tick
    }

    fn build<'scope>(
        &self,
        input: VecCollection<'scope, i64, Self::In, isize>,
        restored: Option<&[Self::Saved]>,
        save_at: Option<i64>,
    ) -> (VecCollection<'scope, i64, Self::Out, isize>, TakeSnapshot<Self::Saved>) {
        let mut machine = HoldDown::new(self.rule);
        if self.tells_runs {
            machine = machine.telling_runs();
        }
        let (told, take) = build(machine, self.timing, input, restored, save_at);
        (told.map(|(key, output)| (key, output.value)), take)
    }

    fn expected(&self, known: &[(Self::In, i64, isize)], at: i64) -> Vec<Self::Out> {
        accepted(known, self.timing, at)
            .into_iter()
            .flat_map(|(key, events)| {
                hold_down(&events, self.rule, at, self.tells_runs)
                    .into_iter()
                    .map(move |out| (key, out))
            })
            .collect()
    }
}

/// What is sustained, with revisions, which the oracle counts over its own views.
#[derive(Clone, Copy, Debug)]
struct Revising(Holding);

impl Subject for Revising {
    type In = (u8, Reading);
    type Out = (u8, Revised<Decision<Noted>>);
    type Saved = Snapshot<u8>;

    fn tick(&self) -> i64 {
        self.0.timing.tick
    }

    fn build<'scope>(
        &self,
        input: VecCollection<'scope, i64, Self::In, isize>,
        restored: Option<&[Self::Saved]>,
        save_at: Option<i64>,
    ) -> (VecCollection<'scope, i64, Self::Out, isize>, TakeSnapshot<Self::Saved>) {
        let machine = HoldDown::new(self.0.rule);
        let (told, take) = build(machine, self.0.timing, input, restored, save_at);
        let sustained = told.filter(|(_, told)| matches!(told.value, Decision::Sustained(_)));
        (sustained, take)
    }

    fn expected(&self, known: &[(Self::In, i64, isize)], at: i64) -> Vec<Self::Out> {
        let first = known.first().map_or(at, |(_, received, _)| *received);
        let machine: HoldDown<u8, Reading, _> = HoldDown::new(self.0.rule);
        // Everything ever told, with the revision it last had, and whether it stands.
        let mut told: Vec<(u8, Decision<Noted>, u32, bool)> = Vec::new();
        let ticks = (first..=at).step_by(self.0.timing.tick as usize);
        for now in ticks {
            let until = known.partition_point(|(_, received, _)| *received <= now);
            let mut view = self.0.expected(&known[..until], now);
            view.retain(|(_, value)| matches!(value, Decision::Sustained(_)));
            for (key, value, _, stands) in &mut told {
                *stands &= view.contains(&(*key, value.clone()));
            }
            for (key, value) in view {
                let same = told.iter_mut().find(|(k, v, ..)| *k == key && machine.same(v, &value));
                match same {
                    Some((_, v, _, true)) if *v == value => {}
                    Some((_, v, revision, stands)) => {
                        (*v, *revision, *stands) = (value, *revision + 1, true);
                    }
                    None => told.push((key, value, 1, true)),
                }
            }
        }
        let standing = told.into_iter().filter(|(.., stands)| *stands);
        standing.map(|(key, value, revision, _)| (key, Revised { value, revision })).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Deduping(Timing);

impl Subject for Deduping {
    type In = (u8, Reading);
    type Out = (u8, Verdict<Reading>);
    type Saved = Snapshot<u8>;

    fn tick(&self) -> i64 {
        self.0.tick
    }

    fn build<'scope>(
        &self,
        input: VecCollection<'scope, i64, Self::In, isize>,
        restored: Option<&[Self::Saved]>,
        save_at: Option<i64>,
    ) -> (VecCollection<'scope, i64, Self::Out, isize>, TakeSnapshot<Self::Saved>) {
        let (told, take) =
            build(Dedup::new(|_: &u8, _: &Reading| WINDOW), self.0, input, restored, save_at);
        (told.map(|(key, output)| (key, output.value)), take)
    }

    fn expected(&self, known: &[(Self::In, i64, isize)], at: i64) -> Vec<Self::Out> {
        let mut out = Vec::new();
        for (key, events) in accepted(known, self.0, at) {
            let mut passed: Vec<Reading> = Vec::new();
            for event in events {
                let first = passed
                    .iter()
                    .find(|first| first.state == event.state && event.time < first.time + WINDOW);
                out.push((
                    key,
                    match first {
                        Some(first) => Verdict::Repeat { conflict: first.tie != event.tie, event },
                        None => {
                            passed.push(event.clone());
                            Verdict::Passed(event)
                        }
                    },
                ));
            }
        }
        out
    }
}

/// Event times in a narrow range, received from 3 before to 14 after; some retracted again.
fn histories(tick: i64) -> impl Strategy<Value = History<(u8, Reading)>> {
    let update = (0u8..3, 0i64..60, 0u8..2, 0u8..3, -3i64..15, 0u8..12, 0i64..8);
    prop::collection::vec(update, 0..40).prop_map(move |rows| {
        let mut updates = Vec::new();
        for (key, time, tie, state, delay, retract, wait) in rows {
            let received = |delay: i64| (time + delay).div_euclid(tick) * tick;
            let reading = Reading { time, tie, state };
            updates.push(((key, reading.clone()), received(delay), 1));
            if retract == 0 {
                updates.push(((key, reading), received(delay + wait), -1));
            }
        }
        updates.sort_by_key(|(_, at, _)| *at);
        History { updates, end: 100 / tick * tick }
    })
}

fn rules() -> impl Strategy<Value = PerState> {
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

fn timings() -> impl Strategy<Value = Timing> {
    (prop_oneof![Just(0i64), 1i64..12, Just(300)], prop_oneof![Just(1i64), Just(5)])
        .prop_map(|(lateness, tick)| Timing { lateness, tick })
}

fn holds<S: Subject>(
    subject: &S,
    history: &History<S::In>,
    seed: u64,
) -> Result<(), TestCaseError> {
    check(subject, history, seed).map(|_| ()).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn hold_down_is_its_definition(
        (timing, history) in timings().prop_flat_map(|t| (Just(t), histories(t.tick))),
        rule in rules(),
        tells_runs: bool,
        seed: u64,
    ) {
        holds(&Holding { rule, timing, tells_runs }, &history, seed)?;
    }

    #[test]
    fn revisions_count_the_changes(
        (timing, history) in timings().prop_flat_map(|t| (Just(t), histories(t.tick))),
        rule in rules(),
        seed: u64,
    ) {
        holds(&Revising(Holding { rule, timing, tells_runs: false }), &history, seed)?;
    }

    #[test]
    fn dedup_is_its_definition(
        (timing, history) in timings().prop_flat_map(|t| (Just(t), histories(t.tick))),
        seed: u64,
    ) {
        holds(&Deduping(timing), &history, seed)?;
    }

    #[test]
    fn all_input_negated_leaves_nothing(
        tick in prop_oneof![Just(1i64), Just(5)],
        seed: u64,
        (rule, history) in (rules(), histories(5)),
    ) {
        let timing = Timing { lateness: 300, tick };
        let history = history.negated(120);
        let subject = Revising(Holding { rule, timing, tells_runs: false });
        let told = check(&subject, &history, seed).map_err(TestCaseError::fail)?;
        let mut left: Vec<_> = told.into_iter().map(|(out, _, diff)| (out, diff)).collect();
        differential_dataflow::consolidation::consolidate(&mut left);
        prop_assert_eq!(left, vec![]);
    }
}

/// Time ends within a tick, at the largest of the instants that workers name: deadlines until then
/// pass, told at the next multiple of the tick; later ones do not, and what they and later events
/// would have decided is said to be undecided.
#[test]
fn time_ends_where_it_is_said_to() {
    use differential_dataflow::input::Input;
    use std::sync::{Arc, Mutex};
    use timely::dataflow::operators::Input as _;
    use timely::dataflow::operators::vec::Broadcast;

    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    timely::execute(timely::Config::process(2), move |worker| {
        let sink = Arc::clone(&sink);
        let (mut readings, mut ends) = worker.dataflow(|scope| {
            let (readings, collection) = scope.new_collection::<(u8, Reading), isize>();
            let (ends_in, ends) = scope.new_input::<Vec<i64>>();
            let timing = Timing { lateness: 5, tick: 5 };
            let machine =
                HoldDown::new(PerState { holds: [3, 4, 9], keeps: [0; 3], expire_after: 1000 });
            let outputs = Timeline::new("ends", machine, timing)
                .ending_at(ends.broadcast())
                .build(collection);
            outputs.oks.inspect(move |((key, told), at, diff)| {
                let undecided = match told.value {
                    Decision::Undecided(count) => count,
                    _ => 0,
                };
                sink.lock().unwrap().push((*key, undecided, *at, *diff));
            });
            (readings, ends_in)
        });
        readings.advance_to(5);
        if worker.index() == 0 {
            for (key, state) in [(0, 0), (1, 1), (2, 2)] {
                readings.insert((key, Reading { time: 9, tie: 0, state }));
            }
            for tie in [0, 1] {
                readings.insert((2, Reading { time: 14, tie, state: 0 }));
            }
        }
        readings.flush();
        ends.send([13, 7][worker.index()]);
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|worker| worker.unwrap());
    // Held until 12, 13 and 18; time ends at 13, in the tick that ends at 15.
    let mut told = told.lock().unwrap().clone();
    told.sort_unstable();
    assert_eq!(told, [(0, 0, 15, 1), (1, 0, 15, 1), (2, 3, 15, 1)]);
}
