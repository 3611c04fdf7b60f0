//! Stages: what is done with observations before the machine that folds them.
//!
//! # Meaning
//!
//! A [`Stage`] takes the observations of a key in their order, and hands on what passes: as it is,
//! as another state, or later. It may hand on a state that nobody observed, when a deadline passes,
//! and it notes what it has to say of an observation.
//!
//! [`Then`] puts a stage before a machine. The two are one [`Machine`], on one timeline and with one
//! state per key: out-of-order data, retraction, timers and snapshots are the timeline's, and stages
//! compose, since a stage with what follows it is a machine again.
//!
//! - **At one instant**, deadlines of what follows pass before those of the stage: what had lasted by
//!   then counts, whatever the stage makes of that instant. What the stage hands on at a deadline comes
//!   before the observations of that instant. A stage that [waits one out](Stage::waits_out) does so when it is over.
//! - **What begins where a deadline made something** counts only when that instant is over: a state
//!   that is observed in that very instant follows what was made, which has no length then, and never
//!   counts.
//! - **What is [urgent](Observation::is_urgent)** passes as it is, whatever the stage makes of it: the stage takes it
//!   as any other observation, but what it would hand on, and say, is left out. Only a stage that
//!   [makes states](Stage::makes_states) of what is observed hands on what it makes.
//! - **A [marker](Observation::is_marker)** is told to the stages that ask for one, and hands on nothing. It is no
//!   observation: no other stage knows of it, and no key is remembered for it for longer than such a stage does. If it
//!   [shows a state](Observation::is_observed) as well, it is taken as a marker first.
//! - **What is withheld was observed.** The machine behind a stage hears of it (`Observer::touch`), so that a key
//!   that is observed is not forgotten, whatever is made of that.
//! - **A stage that does not know a key** ([`Stage::expire_after`]) passes all and remembers nothing.
//!   One that does forgets it that long after its last observation, its own deadlines of that instant
//!   first; what follows then knows it as it was.
//!
//! # Cost
//!
//! The states of both, and 24 bytes a key. Each observation is handed on by reference.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::{Data, Machine};
use crate::machines::hold_down::Observation;

/// A state at an instant, as it goes from stage to stage.
#[derive(Clone, Debug)]
pub struct Seen<'e, E: Observation> {
    /// When.
    pub time: i64,
    /// What.
    pub state: E::State,
    /// The observation it stands for; none if a deadline made it.
    pub by: Option<&'e E>,
    /// Whether nothing holds it up.
    pub urgent: bool,
}

impl<'e, E: Observation> Seen<'e, E> {
    /// An observation as it is.
    pub fn of(event: &'e E) -> Self {
        let (time, urgent) = (event.time(), event.is_urgent());
        Self { time, state: event.state(), by: Some(event), urgent }
    }

    /// A state that a deadline makes.
    pub fn made(time: i64, state: E::State) -> Self {
        Self { time, state, by: None, urgent: false }
    }
}

/// What a stage does.
#[derive(Debug)]
pub enum Step<'e, E: Observation, N> {
    /// Hands on.
    Pass(Seen<'e, E>),
    /// Says something.
    Note(N),
}

/// A machine that takes observations from a stage.
pub trait Observer: Machine<Event: Observation> {
    /// Folds what a stage hands on.
    fn observe(
        &self,
        key: &Self::Key,
        state: &mut Self::State,
        seen: Seen<'_, Self::Event>,
        out: &mut Vec<Self::Output>,
    );

    /// Hears that the key was observed, of which nothing is handed on.
    fn touch(&self, key: &Self::Key, state: &mut Self::State, time: i64);

    /// Takes a marker.
    fn mark(
        &self,
        key: &Self::Key,
        state: &mut Self::State,
        marker: &Self::Event,
        out: &mut Vec<Self::Output>,
    ) {
        let _ = (key, state, marker, out);
    }
}

/// What is done with the observations of a key on their way. As with a [`Machine`], all functions
/// must depend on their arguments alone.
pub trait Stage<K, E: Observation>: 'static {
    /// What it remembers of a key; `Default` is nothing.
    type State: Clone + Debug + Default + Eq + Serialize + DeserializeOwned + 'static;
    /// What it says.
    type Note: Data;

    /// Whether what it takes is no state until it has made one.
    fn makes_states(&self) -> bool {
        false
    }

    /// How long it remembers a key after its last observation; none if it passes all of it.
    fn expire_after(&self, key: &K) -> Option<i64>;

    /// Whether it remembers observations, which it forgets when these cease.
    fn remembers(&self, state: &Self::State) -> bool {
        *state != Self::State::default()
    }

    /// Forgets them.
    fn forget(&self, state: &mut Self::State) {
        *state = Self::State::default();
    }

    /// Takes a marker.
    fn mark<'e>(
        &self,
        key: &K,
        state: &mut Self::State,
        marker: &'e E,
        step: &mut impl FnMut(Step<'e, E, Self::Note>),
    ) {
        let _ = (key, state, marker, step);
    }

    /// Takes what is observed, or what the stage before made.
    fn observe<'e>(
        &self,
        key: &K,
        state: &mut Self::State,
        seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Self::Note>),
    );

    /// Whether a deadline passes when its instant is over, so that what is observed in that comes in time. What
    /// is made is of that instant, all the same.
    fn waits_out(&self) -> bool {
        false
    }

    /// When [`elapse`](Self::elapse) is wanted next, if nothing comes before.
    fn deadline(&self, key: &K, state: &Self::State) -> Option<i64> {
        let _ = (key, state);
        None
    }

    /// The deadline `at` has passed. Must move it to a later time or remove it.
    fn elapse<'e>(
        &self,
        key: &K,
        state: &mut Self::State,
        at: i64,
        step: &mut impl FnMut(Step<'e, E, Self::Note>),
    ) {
        let _ = (key, state, at, step);
    }
}

/// A stage, and the machine that takes what it hands on. See the [module documentation](self).
#[derive(Debug)]
pub struct Then<A, M> {
    stage: A,
    then: M,
}

impl<A, M> Then<A, M> {
    /// Puts a stage before a machine.
    pub fn new(stage: A, then: M) -> Self {
        Self { stage, then }
    }
}

/// What both say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Told<N, O> {
    /// The stage.
    Noted(N),
    /// The machine behind it.
    Passed(O),
}

/// What both remember.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Both<A, B> {
    stage: A,
    then: B,
    /// The last observation, while the stage remembers anything.
    last: i64,
    /// The instant of the deadline at which the stage made something, until it is over.
    made_at: Option<i64>,
}

impl<A, M> Then<A, M>
where
    M: Observer,
    A: Stage<M::Key, M::Event>,
{
    /// When the machine behind is due: where something was made, one unit later.
    fn then_deadline(&self, key: &M::Key, both: &Both<A::State, M::State>) -> Option<i64> {
        let deadline = self.then.deadline(key, &both.then)?;
        deadline.checked_add(i64::from(both.made_at == Some(deadline)))
    }

    /// When a deadline of the stage passes.
    fn stage_deadline(&self, key: &M::Key, both: &Both<A::State, M::State>) -> Option<i64> {
        let deadline = self.stage.deadline(key, &both.stage)?;
        deadline.checked_add(i64::from(self.stage.waits_out()))
    }

    fn expires_at(&self, key: &M::Key, both: &Both<A::State, M::State>) -> Option<i64> {
        if !self.stage.remembers(&both.stage) {
            return None;
        }
        let expires = both.last.saturating_add(self.stage.expire_after(key)?);
        (expires < i64::MAX).then_some(expires)
    }
}

impl<A, M> Observer for Then<A, M>
where
    M: Observer,
    A: Stage<M::Key, M::Event>,
{
    fn observe(
        &self,
        key: &M::Key,
        both: &mut Self::State,
        seen: Seen<'_, M::Event>,
        out: &mut Vec<Self::Output>,
    ) {
        both.made_at = both.made_at.filter(|at| *at == seen.time);
        let observed = seen.by.is_some().then_some(seen.time);
        let Both { stage, then, last, .. } = both;
        let mut passed = false;
        let mut stepping = stepping(&self.then, key, then, out);
        let mut step = |done| {
            passed |= matches!(done, Step::Pass(_));
            stepping(done);
        };
        if self.stage.expire_after(key).is_none() {
            step(Step::Pass(seen));
            return;
        }
        if seen.urgent && !self.stage.makes_states() {
            self.stage.observe(key, stage, seen.clone(), &mut |_| ());
            step(Step::Pass(seen));
        } else {
            self.stage.observe(key, stage, seen, &mut step);
        }
        drop(stepping);
        if let Some(time) = observed.filter(|_| !passed) {
            self.then.touch(key, then, time);
        }
        if let (Some(time), true) = (observed, self.stage.remembers(stage)) {
            *last = time;
        }
    }

    fn touch(&self, key: &M::Key, both: &mut Self::State, time: i64) {
        if self.stage.remembers(&both.stage) {
            both.last = time;
        }
        self.then.touch(key, &mut both.then, time);
    }

    fn mark(
        &self,
        key: &M::Key,
        both: &mut Self::State,
        marker: &M::Event,
        out: &mut Vec<Self::Output>,
    ) {
        if self.stage.expire_after(key).is_some() {
            let mut step = stepping(&self.then, key, &mut both.then, out);
            self.stage.mark(key, &mut both.stage, marker, &mut step);
        }
        let mut said = Vec::new();
        self.then.mark(key, &mut both.then, marker, &mut said);
        out.extend(said.into_iter().map(Told::Passed));
    }
}

/// Takes what a stage does to the machine behind it, and to the output.
fn stepping<'f, 'e, M: Observer, N>(
    then: &'f M,
    key: &'f M::Key,
    state: &'f mut M::State,
    out: &'f mut Vec<Told<N, M::Output>>,
) -> impl FnMut(Step<'e, M::Event, N>) + use<'f, 'e, M, N> {
    let mut said = Vec::new();
    move |step| match step {
        Step::Pass(seen) => {
            then.observe(key, state, seen, &mut said);
            out.extend(said.drain(..).map(Told::Passed));
        }
        Step::Note(note) => out.push(Told::Noted(note)),
    }
}

impl<A, M> Machine for Then<A, M>
where
    M: Observer,
    A: Stage<M::Key, M::Event>,
{
    type Key = M::Key;
    type Event = M::Event;
    type State = Both<A::State, M::State>;
    type Output = Told<A::Note, M::Output>;

    fn event(
        &self,
        key: &M::Key,
        both: &mut Self::State,
        event: &M::Event,
        out: &mut Vec<Self::Output>,
    ) {
        if event.is_marker() {
            self.mark(key, both, event, out);
            if !event.is_observed() {
                return;
            }
        }
        self.observe(key, both, Seen::of(event), out);
    }

    fn deadline(&self, key: &M::Key, both: &Self::State) -> Option<i64> {
        let stage = self.stage_deadline(key, both);
        let expires = self.expires_at(key, both);
        stage.into_iter().chain(expires).chain(self.then_deadline(key, both)).min()
    }

    fn elapse(&self, key: &M::Key, both: &mut Self::State, at: i64, out: &mut Vec<Self::Output>) {
        let stage_is_due = self.stage_deadline(key, both) == Some(at);
        // What it makes is of an instant that is over.
        let stage_is_first = stage_is_due && self.stage.waits_out();
        if !stage_is_first && self.then_deadline(key, both) == Some(at) {
            let deadline = self.then.deadline(key, &both.then).unwrap_or(at);
            let mut said = Vec::new();
            self.then.elapse(key, &mut both.then, deadline, &mut said);
            out.extend(said.into_iter().map(Told::Passed));
            both.made_at = None;
        } else if stage_is_due {
            let at = at - i64::from(self.stage.waits_out());
            let Both { stage, then, made_at, .. } = both;
            let mut made = false;
            let mut step = stepping(&self.then, key, then, out);
            self.stage.elapse(key, stage, at, &mut |done| {
                made |= matches!(done, Step::Pass(_));
                step(done);
            });
            drop(step);
            *made_at = made.then_some(at);
        } else {
            self.stage.forget(&mut both.stage);
        }
        if !self.stage.remembers(&both.stage) {
            both.last = 0;
        }
    }

    fn current(&self, key: &M::Key, both: &Self::State, out: &mut Vec<Self::Output>) {
        let mut said = Vec::new();
        self.then.current(key, &both.then, &mut said);
        out.extend(said.into_iter().map(Told::Passed));
    }

    fn holds_on(&self, before: &Self::State, after: &Self::State) -> bool {
        self.then.holds_on(&before.then, &after.then)
    }

    fn ended(&self, key: &M::Key, both: &Self::State, waiting: u32, out: &mut Vec<Self::Output>) {
        let mut said = Vec::new();
        self.then.ended(key, &both.then, waiting, &mut said);
        out.extend(said.into_iter().map(Told::Passed));
    }

    fn same(&self, one: &Self::Output, other: &Self::Output) -> bool {
        match (one, other) {
            (Told::Passed(one), Told::Passed(other)) => self.then.same(one, other),
            (one, other) => one == other,
        }
    }
}
