//! Hold-down: a state counts once it has lasted.
//!
//! # Meaning
//!
//! A *run* is a longest stretch of one state; it starts at its first observation. A run of
//! state `s` is *established* when it has lasted `hold(s)`: no other state was observed before
//! `start + hold(s)`, and the clock has reached it. A contrary observation exactly then comes too
//! late. A run that another follows at the same instant has no length and is never established.
//!
//! A *sustained* state begins with the first established run of it, is decided when that run is
//! established, and ends where the next established run of another state starts. Runs that are
//! never established are *absorbed*; an established run of the state that holds continues it.
//!
//! A key that is not observed for `expire_after` from its last observation on is forgotten then:
//! what it sustained ends at that last observation, and what comes later starts afresh. A run
//! established at that very instant is established first.
//!
//! What a state says beyond what it [is](State::is) (a note, a reading) is that of the first
//! observation: of the run, and of the run that a sustained state began with.
//!
//! # Cost
//!
//! Two states and 40 bytes a key, one deadline; constant time per event.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::machine::{Data, Event, Key, Machine};

/// An event that says which state its key is in.
pub trait Observation: Event {
    /// The state, with whatever is to be kept of the first observation of a run.
    type State: State;

    /// The observed state.
    fn state(&self) -> Self::State;
}

/// What a key can be in.
pub trait State: Data {
    /// Whether both are one state, so that a run goes on: equal states are.
    fn is(&self, other: &Self) -> bool {
        self == other
    }
}

impl State for u16 {}
impl State for u32 {}

/// The smallest observation: a state and when it was observed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Observed {
    /// When.
    pub time: i64,
    /// What.
    pub state: u32,
}

impl Event for Observed {
    fn time(&self) -> i64 {
        self.time
    }
}

impl Observation for Observed {
    type State = u32;

    fn state(&self) -> u32 {
        self.state
    }
}

/// How long states are held before they count.
pub trait Holds<K, S>: 'static {
    /// How long a run of `state` must last; not negative.
    fn hold(&self, key: &K, state: &S) -> i64;

    /// For how long a key may go without observations; positive.
    fn expire_after(&self, key: &K) -> i64;
}

/// The same hold for every state, and no expiry.
#[derive(Clone, Copy, Debug)]
pub struct Uniform(i64);

impl<K, S> Holds<K, S> for Uniform {
    fn hold(&self, _: &K, _: &S) -> i64 {
        self.0
    }

    fn expire_after(&self, _: &K) -> i64 {
        i64::MAX
    }
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct HoldDown<K, E, H> {
    holds: H,
    tells_runs: bool,
    events: PhantomData<fn(K, E)>,
}

impl<K, E, H> HoldDown<K, E, H> {
    /// A hold-down with these holds.
    pub fn new(holds: H) -> Self {
        Self { holds, tells_runs: false, events: PhantomData }
    }

    /// Tells also of every run that was established, and of the latest one: what explains the rest.
    #[must_use]
    pub fn telling_runs(mut self) -> Self {
        self.tells_runs = true;
        self
    }
}

impl<K, E> HoldDown<K, E, Uniform> {
    /// A hold-down with one hold for every state.
    pub fn uniform(hold: i64) -> Self {
        Self::new(Uniform(hold))
    }
}

/// What hold-down says of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Decision<S> {
    /// A state that lasted.
    Sustained(Sustained<S>),
    /// A run that did not.
    Absorbed(Absorbed<S>),
    /// Any other run, if the machine [tells them](HoldDown::telling_runs).
    Run(Stretch<S>),
    /// So many observations had not been decided on when time ended: those of a run that might
    /// have lasted, and those whose instant had not come.
    Undecided(u32),
}

impl<S> Decision<S> {
    /// The same of another kind of state.
    pub fn map<T>(self, state: impl FnOnce(S) -> T) -> Decision<T> {
        match self {
            Self::Sustained(Sustained { since, state: of, until, decided, expired }) => {
                let state = state(of);
                Decision::Sustained(Sustained { since, state, until, decided, expired })
            }
            Self::Absorbed(Absorbed { since, state: of, until, observations, expired }) => {
                let state = state(of);
                Decision::Absorbed(Absorbed { since, state, until, observations, expired })
            }
            Self::Run(Stretch { since, state: of, until, observations, established }) => {
                let state = state(of);
                Decision::Run(Stretch { since, state, until, observations, established })
            }
            Self::Undecided(observations) => Decision::Undecided(observations),
        }
    }
}

/// A run that was established, or may yet be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stretch<S> {
    /// Its first observation.
    pub since: i64,
    /// Which state.
    pub state: S,
    /// The first contrary observation; the last of its own if observations ceased; none yet.
    pub until: Option<i64>,
    /// How many observations it had.
    pub observations: u32,
    /// Whether it has lasted.
    pub established: bool,
}

/// A state that lasted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sustained<S> {
    /// The start of its first established run.
    pub since: i64,
    /// Which state.
    pub state: S,
    /// The start of the next established run of another state; none while it holds.
    pub until: Option<i64>,
    /// When its first run was established.
    pub decided: i64,
    /// Whether it ended because observations ceased, at the last of them.
    pub expired: bool,
}

/// A run that was never established.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Absorbed<S> {
    /// Its first observation.
    pub since: i64,
    /// Which state.
    pub state: S,
    /// The first contrary observation; the last of its own if observations ceased.
    pub until: i64,
    /// How many observations it had.
    pub observations: u32,
    /// Whether observations ceased before anything contrary was observed.
    pub expired: bool,
}

/// What hold-down remembers of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held<S> {
    run: Option<Run<S>>,
}

// Derived, it would ask for a default state.
impl<S> Default for Held<S> {
    fn default() -> Self {
        Self { run: None }
    }
}

/// The latest run, and what holds: flat, since a timeline keeps several of them per key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run<S> {
    start: i64,
    last: i64,
    observations: u32,
    state: S,
    established: bool,
    /// The state that holds, since when, and when that was decided.
    sustained: Option<S>,
    since: i64,
    decided: i64,
}

impl<S: State> Run<S> {
    fn sustained(&self, until: Option<i64>, expired: bool) -> Option<Decision<S>> {
        let Self { since, decided, .. } = *self;
        let sustained = |state| Sustained { since, state, until, decided, expired };
        self.sustained.clone().map(|state| Decision::Sustained(sustained(state)))
    }

    fn absorbed(&self, until: i64, expired: bool) -> Option<Decision<S>> {
        (!self.established).then(|| {
            let Self { start: since, observations, .. } = *self;
            let state = self.state.clone();
            Decision::Absorbed(Absorbed { since, state, until, observations, expired })
        })
    }

    fn stretch(&self, until: Option<i64>) -> Decision<S> {
        let Self { start: since, observations, established, .. } = *self;
        let state = self.state.clone();
        Decision::Run(Stretch { since, state, until, observations, established })
    }
}

impl<K: Key, E: Observation, H: Holds<K, E::State>> HoldDown<K, E, H> {
    fn establishes_at(&self, key: &K, run: &Run<E::State>) -> Option<i64> {
        (!run.established).then(|| run.start.saturating_add(self.holds.hold(key, &run.state)))
    }

    fn expires_at(&self, key: &K, run: &Run<E::State>) -> i64 {
        run.last.saturating_add(self.holds.expire_after(key))
    }
}

impl<K: Key, E: Observation, H: Holds<K, E::State>> Machine for HoldDown<K, E, H> {
    type Key = K;
    type Event = E;
    type State = Held<E::State>;
    type Output = Decision<E::State>;

    fn event(&self, _: &K, held: &mut Self::State, event: &E, out: &mut Vec<Self::Output>) {
        let (time, state) = (event.time(), event.state());
        match &mut held.run {
            Some(run) if run.state.is(&state) => {
                run.last = time;
                run.observations += 1;
            }
            Some(run) => {
                out.extend(run.absorbed(time, false));
                if self.tells_runs && run.established {
                    out.push(run.stretch(Some(time)));
                }
                (run.start, run.last) = (time, time);
                (run.observations, run.state, run.established) = (1, state, false);
            }
            none => {
                *none = Some(Run {
                    start: time,
                    last: time,
                    observations: 1,
                    state,
                    established: false,
                    sustained: None,
                    since: 0,
                    decided: 0,
                });
            }
        }
    }

    fn deadline(&self, key: &K, held: &Self::State) -> Option<i64> {
        let run = held.run.as_ref()?;
        let expires = self.expires_at(key, run);
        let due = self.establishes_at(key, run).map_or(expires, |at| at.min(expires));
        // Where time ends nothing is due.
        (due < i64::MAX).then_some(due)
    }

    fn elapse(&self, key: &K, held: &mut Self::State, at: i64, out: &mut Vec<Self::Output>) {
        let Some(run) = &mut held.run else { return };
        if self.establishes_at(key, run) == Some(at) {
            run.established = true;
            if !run.sustained.as_ref().is_some_and(|sustained| sustained.is(&run.state)) {
                out.extend(run.sustained(Some(run.start), false));
                run.sustained = Some(run.state.clone());
                (run.since, run.decided) = (run.start, at);
            }
        } else {
            out.extend(run.absorbed(run.last, true));
            if self.tells_runs && run.established {
                out.push(run.stretch(Some(run.last)));
            }
            out.extend(run.sustained(Some(run.last), true));
            *held = Held::default();
        }
    }

    fn current(&self, _: &K, held: &Self::State, out: &mut Vec<Self::Output>) {
        let Some(run) = &held.run else { return };
        out.extend(run.sustained(None, false));
        if self.tells_runs {
            out.push(run.stretch(None));
        }
    }

    fn holds_on(&self, before: &Self::State, after: &Self::State) -> bool {
        let sustained = |held: &Self::State| {
            let run = held.run.as_ref()?;
            run.sustained.as_ref().map(|_| (run.since, run.decided))
        };
        // Of one life, one state was sustained since then; a life that ends has a deadline between.
        !self.tells_runs && sustained(before) == sustained(after)
    }

    fn ended(&self, _: &K, held: &Self::State, waiting: u32, out: &mut Vec<Self::Output>) {
        let pending = held.run.as_ref().filter(|run| !run.established);
        let undecided = pending.map_or(0, |run| run.observations) + waiting;
        out.extend((undecided > 0).then_some(Decision::Undecided(undecided)));
    }

    fn same(&self, one: &Self::Output, other: &Self::Output) -> bool {
        match (one, other) {
            (Decision::Sustained(one), Decision::Sustained(other)) => {
                one.since == other.since && one.state.is(&other.state)
            }
            (Decision::Absorbed(one), Decision::Absorbed(other)) => {
                one.since == other.since && one.state.is(&other.state)
            }
            (Decision::Run(one), Decision::Run(other)) => {
                one.since == other.since && one.state.is(&other.state)
            }
            _ => false,
        }
    }
}
