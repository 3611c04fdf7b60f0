//! What the machines ask of the rules, by their numbers, and how the machines of lanes are put together.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use limbeck_operators::Machine;
use limbeck_operators::machines::absent::{Absent, Misses, Nothing};
use limbeck_operators::machines::changes::Changes;
use limbeck_operators::machines::flap_damping::{Damped, Damping, Damps, FlapDamping};
use limbeck_operators::machines::flap_detection::{Detection, Detects, FlapDetection, Flapped};
use limbeck_operators::machines::grace::{Begun, Grace, Graces, Spared};
use limbeck_operators::machines::hold_down::{Besides, Decision, HoldDown, Holds, Rare};
use limbeck_operators::machines::quorum::{self, Convened, Convenes, Counted, Vote};
use limbeck_operators::machines::session::{Grouped, Grouping, Groups, Session};
use limbeck_operators::machines::threshold::{Level, Measured, Measures, Threshold, Thresholds};
use limbeck_operators::stage::{Observer, Then, Told};
use smol_str::SmolStr;

use super::Lane;
use super::lanes::Telling;
use crate::model::detail::{Ballot, Detail, Reading, SharedDetail};
use crate::model::episode::Catalog;
use crate::model::ledger::{self, Staged};
use crate::model::sighting::{Observation, Shown};
use crate::rules::{Quorum, Rule, Rules, Stages, WITNESSES_MAX};

/// What the machines ask of the rules, by their numbers.
pub(super) struct Lanes {
    pub(super) catalog: Catalog,
    ranks: Vec<u16>,
    hold_ns: Vec<Vec<i64>>,
    keep_ns: Vec<Vec<i64>>,
    expire_after_ns: Vec<i64>,
    pub(super) dedup_ns: Vec<Option<i64>>,
    stages: Vec<Stages>,
    /// The names of the states, by their numbers.
    states: Vec<Vec<SmolStr>>,
    /// Of which states candidates are told, by rule; empty if of none.
    pub(super) candidates: Vec<Vec<bool>>,
    /// What is carried beside a state that nobody observed.
    unobserved: Vec<SharedDetail>,
}

impl Lanes {
    pub(super) fn new(rules: &Rules, catalog: Catalog) -> Self {
        let each = || rules.rules.iter();
        let candidates = |rule: &Rule| match rule.persistence {
            Some(_) => rule.stages.faults.clone(),
            None => vec![false; rule.hold_ns.len()],
        };
        let tells = each().any(|rule| rule.persistence.is_some());
        let unobserved = each().map(|rule| {
            let signal = &rules.signals[rule.signal];
            signal.has_detail().then(|| {
                let labels = signal.labels.iter().map(|_| "".into()).collect();
                Arc::new(Detail { labels, ..Detail::default() })
            })
        });
        Self {
            ranks: catalog.rule_ranks(),
            catalog,
            hold_ns: each().map(|rule| rule.hold_ns.clone()).collect(),
            keep_ns: each().map(|rule| rule.keep_ns.clone()).collect(),
            expire_after_ns: each().map(|rule| rule.expire_after_ns).collect(),
            dedup_ns: each().map(|rule| Some(rule.dedup.as_ref()?.within_ns)).collect(),
            stages: each().map(|rule| rule.stages.clone()).collect(),
            states: each()
                .map(|rule| rules.signals[rule.signal].state_names().cloned().collect())
                .collect(),
            candidates: each().filter(|_| tells).map(candidates).collect(),
            unobserved: unobserved.collect(),
        }
    }

    pub(super) fn rank(&self, rule: usize) -> u16 {
        self.ranks[rule]
    }
}

/// Hold-down, with what is remembered besides.
pub(super) fn hold_down<S: Shown, B: Besides>(
    rules: &Rc<Lanes>,
    telling: Telling,
) -> HoldDown<Lane, Observation<S>, Asked<S, B>> {
    let tells = !rules.candidates.is_empty();
    let machine = HoldDown::new(Asked::of(rules)).telling_candidates(tells);
    if telling.runs { machine.telling_runs() } else { machine }
}

type Staging<S> = Asked<S, ()>;

/// Hold-down behind the stages that take states, in the one order there is.
pub(super) fn staged_machine<S: Shown>(
    rules: &Rc<Lanes>,
    telling: Telling,
) -> impl Machine<Key = Lane, Event = Observation<S>, Output: Outcome<S>> {
    let machine = hold_down::<S, Option<i64>>(rules, telling);
    let machine = behind_states::<S, _>(rules, telling, machine);
    Then::new(Absent::new(Staging::<S>::of(rules)), machine)
}

/// Hold-down behind the stages for readings, sessions and exceptions as well, likewise.
pub(super) fn judged_machine<S: Shown>(
    rules: &Rc<Lanes>,
    telling: Telling,
) -> impl Machine<Key = Lane, Event = Observation<S>, Output: Outcome<S>> {
    behind_readings(rules, telling, behind_sessions::<S>(rules, telling))
}

/// Hold-down behind all stages, likewise.
pub(super) fn whole_machine<S: Shown>(
    rules: &Rc<Lanes>,
    telling: Telling,
) -> impl Machine<Key = Lane, Event = Observation<S>, Output: Outcome<S>> {
    let quorum = Convened::new(Staging::<S>::of(rules)).telling(telling.observations);
    let machine = Then::new(quorum, behind_sessions::<S>(rules, telling));
    behind_readings(rules, telling, machine)
}

/// The stages that make states, before a machine.
type Readings<S, M> = Then<Absent<Staging<S>>, Then<Threshold<Staging<S>>, M>>;

fn behind_readings<S: Shown, M: Observer<Key = Lane, Event = Observation<S>>>(
    rules: &Rc<Lanes>,
    telling: Telling,
    machine: M,
) -> Readings<S, M> {
    let asked = || Staging::<S>::of(rules);
    let threshold = Threshold::new(asked()).telling(telling.observations);
    Then::new(Absent::new(asked()), Then::new(threshold, machine))
}

/// Hold-down behind the stages for states, the last of which is for sessions.
fn behind_sessions<S: Shown>(
    rules: &Rc<Lanes>,
    telling: Telling,
) -> impl Observer<Key = Lane, Event = Observation<S>, Output: Outcome<S>> {
    let session = Session::new(Staging::<S>::of(rules)).telling(telling.observations);
    let machine = Then::new(session, hold_down::<S, Rare>(rules, telling));
    behind_states::<S, _>(rules, telling, machine)
}

/// The stages that take states, wherever they come from, before a machine.
type Behind<S, M> =
    Then<FlapDamping<Staging<S>>, Then<FlapDetection<Staging<S>>, Then<Grace<Staging<S>>, M>>>;

fn behind_states<S, M>(rules: &Rc<Lanes>, telling: Telling, machine: M) -> Behind<S, M> {
    let asked = || Staging::<S>::of(rules);
    let machine = Then::new(Grace::new(asked()), machine);
    let detection = FlapDetection::new(asked()).telling(telling.observations);
    let machine = Then::new(detection, machine);
    Then::new(FlapDamping::new(asked()), machine)
}

/// Asks the rules.
pub(super) struct Asked<S, B>(Rc<Lanes>, PhantomData<fn() -> (S, B)>);

impl<S, B> Asked<S, B> {
    fn of(rules: &Rc<Lanes>) -> Self {
        Self(Rc::clone(rules), PhantomData)
    }

    fn stages(&self, lane: &Lane) -> &Stages {
        &self.0.stages[lane.rule()]
    }

    fn expires(&self, lane: &Lane) -> i64 {
        self.0.expire_after_ns[lane.rule()]
    }
}

impl<S: Shown, B: Besides> Holds<Lane, S::State> for Asked<S, B> {
    type Besides = B;

    fn hold(&self, lane: &Lane, state: &S::State) -> i64 {
        self.0.hold_ns[lane.rule()][usize::from(S::number(state))]
    }

    fn keep(&self, lane: &Lane, state: &S::State) -> i64 {
        self.0.keep_ns[lane.rule()][usize::from(S::number(state))]
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }

    fn tells_candidates(&self, lane: &Lane, state: &S::State) -> bool {
        self.0.candidates[lane.rule()][usize::from(S::number(state))]
    }
}

impl<S: Shown> Misses<Lane, S::State> for Staging<S> {
    fn absent_after(&self, lane: &Lane) -> Option<i64> {
        self.stages(lane).absent_after_ns
    }

    fn absent(&self, lane: &Lane) -> S::State {
        S::of(self.stages(lane).unknown, &self.0.unobserved[lane.rule()])
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }
}

impl<S: Shown> Measures<Lane, S::State> for Staging<S> {
    fn thresholds(&self, lane: &Lane) -> Option<&Thresholds> {
        self.stages(lane).thresholds.as_ref()
    }

    fn reading(&self, _: &Lane, state: &S::State) -> Option<Reading> {
        S::detail(state)?.value
    }

    fn at(&self, lane: &Lane, level: Level, state: &S::State) -> S::State {
        let number = self.stages(lane).levels[match level {
            Level::Normal => 0,
            Level::Above => 1,
            Level::Below => 2,
        }];
        S::of(number, &S::detail(state))
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }
}

impl<S: Shown> Convenes<Lane, S::State> for Staging<S> {
    type Witness = SmolStr;
    type Ballot = Ballot;

    fn quorum(&self, lane: &Lane) -> Option<quorum::Quorum> {
        let Quorum { asks, within_ns, .. } = *self.stages(lane).quorum.as_ref()?;
        Some(quorum::Quorum { asks, within: within_ns, most: WITNESSES_MAX })
    }

    fn witness(&self, lane: &Lane, state: &S::State) -> Option<(SmolStr, u64)> {
        let quorum = self.stages(lane).quorum.as_ref()?;
        let witness = S::detail(state)?.labels[quorum.of].clone();
        let weight = quorum.weight(&witness)?;
        Some((witness, weight))
    }

    fn is_fault(&self, lane: &Lane, state: &S::State) -> bool {
        self.stages(lane).faults[usize::from(S::number(state))]
    }

    fn rank(&self, _: &Lane, state: &S::State) -> u32 {
        S::number(state).into()
    }

    fn ballot(&self, lane: &Lane, vote: &Vote<SmolStr, S::State>) -> Ballot {
        let Vote { witness, state, time, .. } = vote;
        let state = self.0.states[lane.rule()][usize::from(S::number(state))].clone();
        Ballot { witness: witness.clone(), state, time_ns: *time }
    }

    fn counted(&self, _: &Lane, by: &S::State, counts: &S::State, minority: &[Ballot]) -> S::State {
        S::with_minority(S::number(counts), &S::detail(by), minority)
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }
}

impl<S: Shown> Damps<Lane, S::State> for Staging<S> {
    fn damping(&self, lane: &Lane) -> Option<&Damping> {
        self.stages(lane).damping.as_ref()
    }

    fn is_fault(&self, lane: &Lane, state: &S::State) -> bool {
        self.stages(lane).faults[usize::from(S::number(state))]
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }
}

impl<S: Shown> Detects<Lane, S::State> for Staging<S> {
    fn detection(&self, lane: &Lane) -> Option<&Detection> {
        self.stages(lane).detection.as_ref()
    }

    fn flapping(&self, lane: &Lane, state: &S::State, changes: Changes) -> S::State {
        S::with_changes(self.stages(lane).flapping, &S::detail(state), changes)
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }
}

impl<S: Shown> Groups<Lane, S::State> for Staging<S> {
    fn grouping(&self, lane: &Lane) -> Option<&Grouping> {
        self.stages(lane).session.as_ref()
    }

    fn in_session(&self, lane: &Lane, state: &S::State, changes: Changes) -> S::State {
        S::with_changes(self.stages(lane).in_session, &S::detail(state), changes)
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }
}

impl<S: Shown> Graces<Lane, S::State> for Staging<S> {
    fn grace(&self, lane: &Lane) -> Option<i64> {
        self.stages(lane).grace.as_ref().map(|grace| grace.for_ns)
    }

    fn begins_at_first(&self, lane: &Lane) -> bool {
        self.stages(lane).grace.as_ref().is_some_and(|grace| grace.after_first)
    }

    fn is_fault(&self, lane: &Lane, state: &S::State) -> bool {
        self.stages(lane).faults[usize::from(S::number(state))]
    }

    fn expire_after(&self, lane: &Lane) -> i64 {
        self.expires(lane)
    }
}

/// What a machine says of a lane: what its stages do, and what is decided.
pub(super) trait Outcome<S: Shown>: Sized {
    fn outcome(self) -> Result<Decision<S::State>, (Observation<S>, Staged)>;
}

impl<S: Shown> Outcome<S> for Decision<S::State> {
    fn outcome(self) -> Result<Decision<S::State>, (Observation<S>, Staged)> {
        Ok(self)
    }
}

impl<S: Shown, N: Into<Noted<S>>, O: Outcome<S>> Outcome<S> for Told<N, O> {
    fn outcome(self) -> Result<Decision<S::State>, (Observation<S>, Staged)> {
        match self {
            Self::Noted(note) => {
                let Noted(observation, what) = note.into();
                Err((observation, what))
            }
            Self::Passed(told) => told.outcome(),
        }
    }
}

/// What a stage says of an observation.
pub(super) struct Noted<S>(pub(super) Observation<S>, pub(super) Staged);

impl<S> From<Nothing> for Noted<S> {
    fn from(nothing: Nothing) -> Self {
        match nothing {}
    }
}

impl<S> From<Measured<Observation<S>>> for Noted<S> {
    fn from(Measured { event, reading, number, before }: Measured<Observation<S>>) -> Self {
        Self(event, Staged::Measured { reading, number, before_ns: before })
    }
}

impl<S> From<Counted<Observation<S>, Ballot>> for Noted<S> {
    fn from(counted: Counted<Observation<S>, Ballot>) -> Self {
        let Counted { event, passed, fault, weight, agreed, all, minority } = counted;
        let counted = ledger::Counted { passed, fault, weight, agreed, all, minority };
        Self(event, Staged::Counted(Box::new(counted)))
    }
}

impl<S> From<Damped<Observation<S>>> for Noted<S> {
    fn from(Damped { event, penalty, peak, until, passed }: Damped<Observation<S>>) -> Self {
        Self(event, Staged::Damped { penalty, peak, until_ns: until, passed })
    }
}

impl<S> From<Flapped<Observation<S>>> for Noted<S> {
    fn from(Flapped { event, share }: Flapped<Observation<S>>) -> Self {
        Self(event, Staged::Flapped { share })
    }
}

impl<S> From<Grouped<Observation<S>>> for Noted<S> {
    fn from(Grouped { event, changes }: Grouped<Observation<S>>) -> Self {
        Self(event, Staged::Grouped { changes })
    }
}

impl<S> From<Spared<Observation<S>>> for Noted<S> {
    fn from(Spared { event, since, until, by }: Spared<Observation<S>>) -> Self {
        let marked = by == Begun::Marked;
        let what = match by {
            Begun::Marker => Staged::Marked { until_ns: until },
            _ => Staged::Spared { since_ns: since, marked, until_ns: until },
        };
        Self(event, what)
    }
}
