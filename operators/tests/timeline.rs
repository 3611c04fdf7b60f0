//! The timeline and its machines against naive oracles, through the harness, on random input.
//!
//! Event times cluster, so that ties, equal deadlines and runs without length are common; logical
//! times follow them within and beyond lateness, and run ahead of them as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod naive;

use differential_dataflow::VecCollection;
use limbeck_operators::Machine;
use limbeck_operators::harness::{Subject, TakeSnapshot, check};
use limbeck_operators::machines::dedup::{Dedup, Fingerprinted, Verdict};
use limbeck_operators::machines::hold_down::{Decision, HoldDown};
use limbeck_operators::snapshots::Snapshot;
use limbeck_operators::timeline::{Revised, Timeline, Timing};
use naive::{
    Item, Noted, PerState, Reading, accepted, build, histories, holds, rules, timings,
    with_candidates,
};
use proptest::prelude::*;

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

#[derive(Clone, Copy, Debug)]
struct Holding {
    rule: PerState,
    timing: Timing,
    tells_runs: bool,
    tells_candidates: bool,
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
        let mut machine = HoldDown::new(self.rule).telling_candidates(self.tells_candidates);
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
                let items: Vec<Item> = events.iter().map(Item::of).collect();
                let told = with_candidates(&items, self.rule, at, self.tells_runs).into_iter();
                let is_candidate = |told: &_| matches!(told, Decision::Candidate(_));
                told.filter(move |told| self.tells_candidates || !is_candidate(told))
                    .map(move |out| (key, out))
            })
            .collect()
    }
}

/// What lasts and what does not, and no more.
fn plain(rule: PerState, timing: Timing) -> Holding {
    Holding { rule, timing, tells_runs: false, tells_candidates: false }
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn hold_down_is_its_definition(
        (timing, history) in timings().prop_flat_map(|t| (Just(t), histories(t.tick))),
        rule in rules(),
        (tells_runs, tells_candidates) in any::<(bool, bool)>(),
        seed: u64,
    ) {
        holds(&Holding { rule, timing, tells_runs, tells_candidates }, &history, seed)?;
    }

    #[test]
    fn revisions_count_the_changes(
        (timing, history) in timings().prop_flat_map(|t| (Just(t), histories(t.tick))),
        rule in rules(),
        seed: u64,
    ) {
        holds(&Revising(plain(rule, timing)), &history, seed)?;
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
        let subject = Revising(plain(rule, timing));
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
                readings.insert((
                    key,
                    Reading { time: 9, tie: 0, state, urgent: false, marks: (false, false) },
                ));
            }
            for tie in [0, 1] {
                readings.insert((
                    2,
                    Reading { time: 14, tie, state: 0, urgent: false, marks: (false, false) },
                ));
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
