//! Stages before hold-down, in the one order they are used in, against naive definitions, through the
//! harness on random input: any of them may be left out, and a key may be passed whole.

mod naive;

use std::collections::BTreeMap;

use differential_dataflow::VecCollection;
use limbeck_operators::finite::Finite;
use limbeck_operators::harness::{Subject, TakeSnapshot};
use limbeck_operators::machines::absent::{Absent, Misses};
use limbeck_operators::machines::changes::Changes;
use limbeck_operators::machines::flap_damping::{Damped, Damping, Damps, FlapDamping};
use limbeck_operators::machines::flap_detection::{
    Detection, Detects, FlapDetection, Flapped, Weights,
};
use limbeck_operators::machines::grace::{Begun, Grace, Graces, Spared};
use limbeck_operators::machines::hold_down::{Decision, HoldDown, State};
use limbeck_operators::machines::quorum::{Convened, Convenes, Counted, Quorum, Vote};
use limbeck_operators::machines::session::{Grouped, Grouping, Groups, Session};
use limbeck_operators::snapshots::Snapshot;
use limbeck_operators::stage::{Then, Told};
use limbeck_operators::timeline::Timing;
use naive::quorum::{Ballot, Voting, votings};
use naive::{
    Item, Noted, PerState, Reading, accepted, build, histories, hold_down, holds, insert, observed,
    overtaken, rules, timings, without,
};
use proptest::prelude::*;

/// What is done with the keys, all but the last, which passes whole.
#[derive(Clone, Copy, Debug)]
struct Setup {
    absent_after: Option<i64>,
    voting: Option<Voting>,
    damping: Option<Damping>,
    detection: Option<Detection>,
    /// How long it is, and whether it begins with the first observation.
    grace: Option<(i64, bool)>,
    grouping: Option<Grouping>,
    /// Whether votes, flaps and sessions say of each observation what they make of it.
    tells: bool,
    rule: PerState,
    timing: Timing,
}

const WHOLE: u8 = 2;
const FAULT: u8 = 1;
const ABSENT: u8 = 0;
const FLAPPING: u8 = 2;
const SESSION: u8 = 0;

impl Setup {
    fn of<T>(key: &u8, what: Option<T>) -> Option<T> {
        what.filter(|_| *key != WHOLE)
    }
}

impl Misses<u8, Noted> for Setup {
    fn absent_after(&self, key: &u8) -> Option<i64> {
        Self::of(key, self.absent_after)
    }

    fn absent(&self, _: &u8) -> Noted {
        Noted { state: ABSENT, note: 9, latest: 9 }
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.rule.expire_after
    }
}

impl Convenes<u8, Noted> for Setup {
    type Witness = u8;
    type Ballot = Ballot;

    fn quorum(&self, key: &u8) -> Option<Quorum> {
        Self::of(key, self.voting).map(|voting| voting.quorum)
    }

    fn witness(&self, _: &u8, state: &Noted) -> Option<(u8, u64)> {
        let weight = self.voting?.weights[usize::from(state.note)];
        (weight > 0).then_some((state.note, weight))
    }

    fn is_fault(&self, _: &u8, state: &Noted) -> bool {
        self.voting.is_some_and(|voting| voting.faults[usize::from(state.state)])
    }

    fn rank(&self, _: &u8, state: &Noted) -> u32 {
        state.state.into()
    }

    fn ballot(&self, _: &u8, vote: &Vote<u8, Noted>) -> Ballot {
        (vote.witness, vote.state.state, vote.time)
    }

    fn counted(&self, _: &u8, by: &Noted, counts: &Noted, minority: &[Ballot]) -> Noted {
        naive::quorum::counted(by, counts.state, minority)
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.rule.expire_after
    }
}

impl Damps<u8, Noted> for Setup {
    fn damping(&self, key: &u8) -> Option<&Damping> {
        Self::of(key, self.damping.as_ref())
    }

    fn is_fault(&self, _: &u8, state: &Noted) -> bool {
        state.state == FAULT
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.rule.expire_after
    }
}

impl Detects<u8, Noted> for Setup {
    fn detection(&self, key: &u8) -> Option<&Detection> {
        Self::of(key, self.detection.as_ref())
    }

    fn flapping(&self, _: &u8, state: &Noted, changes: Changes) -> Noted {
        Noted { state: FLAPPING, latest: changes.count as u8, ..*state }
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.rule.expire_after
    }
}

impl Graces<u8, Noted> for Setup {
    fn grace(&self, key: &u8) -> Option<i64> {
        Self::of(key, self.grace).map(|(grace, _)| grace)
    }

    fn begins_at_first(&self, _: &u8) -> bool {
        self.grace.is_some_and(|(_, at_first)| at_first)
    }

    fn is_fault(&self, _: &u8, state: &Noted) -> bool {
        state.state == FAULT
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.rule.expire_after
    }
}

impl Groups<u8, Noted> for Setup {
    fn grouping(&self, key: &u8) -> Option<&Grouping> {
        Self::of(key, self.grouping.as_ref())
    }

    fn in_session(&self, _: &u8, state: &Noted, changes: Changes) -> Noted {
        Noted { state: SESSION, latest: changes.count as u8, ..*state }
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.rule.expire_after
    }
}

/// What is said of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
enum Out {
    Counted(Counted<Reading, Ballot>),
    Damped(Damped<Reading>),
    Flapped(Flapped<Reading>),
    Spared(Spared<Reading>),
    Grouped(Grouped<Reading>),
    Decided(Decision<Noted>),
}

impl Subject for Setup {
    type In = (u8, Reading);
    type Out = (u8, Out);
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
        let machine = HoldDown::new(self.rule).telling_runs();
        let machine = Then::new(Session::new(*self).telling(self.tells), machine);
        let machine = Then::new(Grace::new(*self), machine);
        let detection = FlapDetection::new(*self).telling(self.tells);
        let machine = Then::new(detection, machine);
        let machine = Then::new(FlapDamping::new(*self), machine);
        let machine = Then::new(Convened::new(*self).telling(self.tells), machine);
        let machine = Then::new(Absent::new(*self), machine);
        let (told, take) = build(machine, self.timing, input, restored, save_at);
        let told = told.map(|(key, output)| {
            let out = match output.value {
                Told::Noted(nothing) => match nothing {},
                Told::Passed(Told::Noted(counted)) => Out::Counted(counted),
                Told::Passed(Told::Passed(told)) => match told {
                    Told::Noted(damped) => Out::Damped(damped),
                    Told::Passed(Told::Noted(flapped)) => Out::Flapped(flapped),
                    Told::Passed(Told::Passed(Told::Noted(spared))) => Out::Spared(spared),
                    Told::Passed(Told::Passed(Told::Passed(told))) => match told {
                        Told::Noted(grouped) => Out::Grouped(grouped),
                        Told::Passed(decision) => Out::Decided(decision),
                    },
                },
            };
            (key, out)
        });
        (told, take)
    }

    fn expected(&self, known: &[(Self::In, i64, isize)], at: i64) -> Vec<Self::Out> {
        let mut told = Vec::new();
        for (key, events) in accepted(known, self.timing, at) {
            let mut out = Vec::new();
            let observed = events.iter().filter(|event| event.marks != (true, true));
            let mut items: Vec<Item> = observed.map(Item::of).collect();
            let markers: Vec<_> = events.iter().filter(|event| event.marks.0).cloned().collect();
            if key != WHOLE {
                items = self.absent_from(&items, at);
                items = self.voted(&items, at, &mut out);
                items = self.damped(&items, at, &mut out);
                items = self.detected(&items, &mut out);
                items = self.spared(&items, &markers, at, &mut out);
                items = self.grouped(&items, at, &mut out);
            }
            let decided = hold_down(&items, self.rule, at, true);
            out.extend(decided.into_iter().map(Out::Decided));
            told.extend(out.into_iter().map(|out| (key, out)));
        }
        told
    }
}

impl Setup {
    /// Absence: between two observations, or after the last, that are too far from each other.
    fn absent_from(&self, items: &[Item], clock: i64) -> Vec<Item> {
        let Some(after) = self.absent_after else { return items.to_vec() };
        let mut passed = items.to_vec();
        for (at, item) in items.iter().enumerate() {
            let made = item.time + after;
            let next = items.get(at + 1).map(|next| next.time);
            let missed = next.is_none_or(|next| next > made);
            if missed && made < clock && after < self.rule.expire_after {
                insert(&mut passed, Item::made(made, Misses::absent(self, &0)));
            }
        }
        passed
    }

    fn voted(&self, items: &[Item], clock: i64, out: &mut Vec<Out>) -> Vec<Item> {
        let Some(voting) = self.voting else { return items.to_vec() };
        let (passed, counted) = voting.pass(items, self.rule.expire_after, clock);
        let told = counted.into_iter().filter(|counted| self.tells || !counted.passed);
        out.extend(told.map(Out::Counted));
        passed
    }

    fn damped(&self, items: &[Item], clock: i64, out: &mut Vec<Out>) -> Vec<Item> {
        let Some(damping) = self.damping else { return items.to_vec() };
        let (mut withheld, mut made) = (Vec::new(), Vec::new());
        for (life, last) in observed(items, self.rule.expire_after) {
            let (mut penalty, mut peak, mut at, mut until) = (0.0, 0.0f64, 0, None);
            let mut passed: Option<Noted> = None;
            for (index, (place, item, event)) in life.iter().enumerate() {
                let before = index.checked_sub(1).map(|before| &life[before].1);
                if let (Some(over), Some(before)) = (until, before)
                    && over <= item.time
                    && before.time < item.time
                {
                    (until, peak) = (None, 0.0);
                    let reused = reused(over, before, &mut passed);
                    made.extend(reused.filter(|_| !overtaken(items, life[index - 1].0, over)));
                }
                if let Some(before) = before.filter(|before| !before.state.is(&item.state)) {
                    let add = match (before.state.state == FAULT, item.state.state == FAULT) {
                        (false, true) => damping.fault,
                        (true, false) => damping.back,
                        _ => damping.change,
                    };
                    let left = decayed(damping, penalty, item.time - at);
                    let ceiling = damping.max as f64 / damping.half_life as f64;
                    penalty = (left + add).min(damping.reuse * libm::exp2(ceiling));
                    at = item.time;
                    if until.is_some() || penalty > damping.suppress {
                        let halves = libm::log2(penalty / damping.reuse);
                        let after = libm::ceil(halves * damping.half_life as f64).max(1.0);
                        until = Some(at + after as i64);
                        peak = peak.max(penalty);
                    }
                }
                match (until, &passed) {
                    (Some(_), Some(passed)) if !passed.is(&item.state) && item.urgent => {}
                    (Some(until), Some(passed)) if !passed.is(&item.state) => {
                        let penalty = decayed(damping, penalty, item.time - at);
                        out.push(Out::Damped(Damped {
                            event: event.clone(),
                            penalty: Finite::new(penalty).expect("a penalty is finite"),
                            peak: Finite::new(peak).expect("a penalty is finite"),
                            until,
                            passed: damping.observes,
                        }));
                        withheld.push(*place);
                    }
                    _ => passed = Some(item.state),
                }
            }
            let Some((place, end, _)) = life.last() else { continue };
            if let Some(over) = until
                && over <= clock
                && over <= last + self.rule.expire_after
            {
                let reused = reused(over, end, &mut passed);
                made.extend(reused.filter(|_| !overtaken(items, *place, over)));
            }
        }
        if damping.observes {
            return items.to_vec();
        }
        without(items, &withheld, made)
    }

    fn detected(&self, items: &[Item], out: &mut Vec<Out>) -> Vec<Item> {
        let Some(detection) = self.detection else { return items.to_vec() };
        let mut passed = items.to_vec();
        for (life, _) in observed(items, self.rule.expire_after) {
            let mut flaps = false;
            let mut since: Vec<i64> = Vec::new();
            for (index, (place, item, event)) in life.iter().enumerate() {
                let before = index.checked_sub(1).map(|before| &life[before].1.state);
                let changed = before.is_some_and(|before| !before.is(&item.state));
                let from = index.saturating_sub(20);
                let changes = life[from..=index].windows(2).rev().enumerate();
                let weight = |age: usize| match detection.weights {
                    Weights::Nagios => (57 + 2 * (19 - age)) as f64 * 5.0,
                    Weights::Icinga => (40 + 19 - age) as f64,
                };
                let sum: f64 = changes
                    .filter(|(_, pair)| !pair[0].1.state.is(&pair[1].1.state))
                    .map(|(age, _)| weight(age))
                    .sum();
                let (share, at_high) = match detection.weights {
                    Weights::Nagios => (sum / 76.0, true),
                    Weights::Icinga => (sum / 10.0, false),
                };
                flaps = match flaps {
                    true => share > detection.low,
                    false => share > detection.high || at_high && share == detection.high,
                };
                match flaps {
                    true => since.extend(changed.then_some(item.time)),
                    false => since.clear(),
                }
                if flaps && !item.urgent {
                    let share = Finite::new(share).expect("a share is finite");
                    if self.tells {
                        out.push(Out::Flapped(Flapped { event: event.clone(), share }));
                    }
                    let (first, last) = (since[0], since[since.len() - 1]);
                    let changes = Changes { count: since.len() as u32, first, last };
                    passed[*place].state = Detects::flapping(self, &0, &item.state, changes);
                }
            }
        }
        passed
    }

    /// Grace: of each observation and marker it is looked for which grace it is in, and when that ends.
    fn spared(
        &self,
        items: &[Item],
        markers: &[Reading],
        clock: i64,
        out: &mut Vec<Out>,
    ) -> Vec<Item> {
        let Some((grace, at_first)) = self.grace else { return items.to_vec() };
        out.extend(markers.iter().map(|event| {
            let (event, since, until) = (event.clone(), event.time, event.time + grace);
            Out::Spared(Spared { event, since, until, by: Begun::Marker })
        }));
        let (mut withheld, mut made) = (Vec::new(), Vec::new());
        for (life, last) in observed(items, self.rule.expire_after) {
            let first = life.first().map(|(.., event)| event).filter(|_| at_first);
            // The last observation of each grace, by its end.
            let mut waits: BTreeMap<i64, (usize, Option<Noted>)> = BTreeMap::new();
            for (place, item, event) in &life {
                let marker = markers.iter().rfind(|marker| *marker <= event);
                let began = match (first, marker) {
                    (Some(first), Some(marker)) if marker > first => (marker.time, Begun::Marked),
                    (Some(first), _) => (first.time, Begun::First),
                    (None, Some(marker)) => (marker.time, Begun::Marked),
                    (None, None) => continue,
                };
                let (since, by) = began;
                let mut until = since + grace;
                if until <= item.time {
                    continue;
                }
                let is_fault = item.state.state == FAULT;
                if is_fault && !item.urgent {
                    withheld.push(*place);
                    out.push(Out::Spared(Spared { event: event.clone(), since, until, by }));
                }
                for later in markers.iter().filter(|marker| *marker > event) {
                    if later.time < until {
                        until = later.time + grace;
                    }
                }
                waits.insert(until, (*place, is_fault.then_some(item.state)));
            }
            for (until, (place, state)) in waits {
                let remembered = until <= last + self.rule.expire_after;
                let waits = remembered && !overtaken(items, place, until);
                let state = state.filter(|_| until <= clock && waits);
                made.extend(state.map(|state| Item::made(until, state)));
            }
        }
        without(items, &withheld, made)
    }
}

impl Setup {
    /// Sessions: changes that follow one another before the gap is over.
    fn grouped(&self, items: &[Item], clock: i64, out: &mut Vec<Out>) -> Vec<Item> {
        let Some(Grouping { gap, least }) = self.grouping else { return items.to_vec() };
        let (mut passed, mut made) = (items.to_vec(), Vec::new());
        for (life, ended) in observed(items, self.rule.expire_after) {
            let mut changes: Vec<i64> = Vec::new();
            let mut before: Option<(usize, &Item)> = None;
            let mut end = |changes: &mut Vec<i64>, (place, last): (usize, &Item), until: i64| {
                let over = changes.last().map(|last| last + gap);
                if let Some(over) = over.filter(|over| *over <= until) {
                    let is_session = changes.len() >= least as usize;
                    let is_session = is_session && !overtaken(items, place, over);
                    made.extend(is_session.then(|| Item::made(over, last.state)));
                    changes.clear();
                }
            };
            for (place, item, event) in &life {
                if let Some(before) = before {
                    end(&mut changes, before, item.time);
                    if !before.1.state.is(&item.state) {
                        changes.push(item.time);
                    }
                }
                before = Some((*place, item));
                if changes.len() >= least as usize && !item.urgent {
                    let (count, first) = (changes.len() as u32, changes[0]);
                    let changes = Changes { count, first, last: changes[changes.len() - 1] };
                    if self.tells {
                        out.push(Out::Grouped(Grouped { event: event.clone(), changes }));
                    }
                    passed[*place].state = Groups::in_session(self, &0, &item.state, changes);
                }
            }
            if let Some(last) = before {
                end(&mut changes, last, clock.min(ended + self.rule.expire_after));
            }
        }
        made.into_iter().for_each(|made| insert(&mut passed, made));
        passed
    }
}

fn decayed(damping: Damping, penalty: f64, after: i64) -> f64 {
    let left = penalty * libm::exp2(-(after as f64) / damping.half_life as f64);
    if left < damping.reuse / 2.0 { 0.0 } else { left }
}

/// What is handed on when a suppression is over.
fn reused(over: i64, last: &Item, passed: &mut Option<Noted>) -> Option<Item> {
    let waits = passed.is_some_and(|passed| !passed.is(&last.state));
    *passed = Some(last.state);
    waits.then(|| Item::made(over, last.state))
}

fn dampings() -> impl Strategy<Value = Damping> {
    let add = || prop_oneof![Just(0.0), Just(500.0), Just(1000.0)];
    let suppress = prop_oneof![Just(900.0), Just(1400.0), Just(2000.0)];
    (add(), add(), add(), suppress, 1i64..12, 1i64..4, prop::bool::weighted(0.2)).prop_map(
        |(fault, back, change, suppress, half_life, times, observes)| Damping {
            fault,
            back,
            change,
            suppress,
            reuse: 750.0,
            half_life,
            max: half_life * times,
            observes,
        },
    )
}

fn detections() -> impl Strategy<Value = Detection> {
    let weights = prop_oneof![Just(Weights::Nagios), Just(Weights::Icinga)];
    (weights, 5.0..20.0, 0.0..1.0).prop_map(|(weights, high, part)| Detection {
        weights,
        high,
        low: high * part,
    })
}

fn setups() -> impl Strategy<Value = Setup> {
    use prop::option::of;
    let groupings = (1i64..15, 1u32..4).prop_map(|(gap, least)| Grouping { gap, least });
    let last = (of((1i64..20, any::<bool>())), of(groupings), any::<bool>());
    let first = (of(1i64..15), of(votings()));
    (first, of(dampings()), of(detections()), last, rules(), timings()).prop_map(
        |((absent_after, voting), damping, detection, (grace, grouping, tells), rule, timing)| {
            Setup { absent_after, voting, damping, detection, grace, grouping, tells, rule, timing }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn stages_are_their_definitions(
        (setup, history) in setups().prop_flat_map(|s| (Just(s), histories(s.timing.tick))),
        seed: u64,
    ) {
        holds(&setup, &history, seed)?;
    }
}
