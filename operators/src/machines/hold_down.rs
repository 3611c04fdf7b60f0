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
//! A sustained state `s` may be *kept*: it is *missed* from the first observation of another state
//! after the last of its own, and lasts for `keep(s)` from then on at least. An observation of it
//! until then, that instant included, is a return, whether it lasts or not: it is missed no more.
//! A run of another state is thus established when it has lasted and the keep is over; the kept
//! state ends there where the keep does, if that is after the start of the run, and the other
//! begins. A run that has lasted and was not established since another state was kept is absorbed,
//! too.
//!
//! An observation may be *urgent*: its run is established at its instant, if it was not before, whatever
//! it would have to last; a state that is kept ends there, if it is kept until then.
//!
//! A key that is not observed for `expire_after` from its last observation on is forgotten then:
//! what it sustained ends at that last observation (or where it begins, if a keep ended later), and
//! what comes later starts afresh. What a [stage](crate::stage) made and nobody observed ends when it is
//! forgotten. A run
//! established at that very instant is established first; but not one that waited for a keep, which
//! is over only when its last instant is.
//!
//! What a state says beyond what it [is](State::is) (a note, a reading) is that of the first
//! observation: of the run, and of the run that a sustained state began with. It may be
//! [renewed](State::renew): a run by each of its observations, a sustained state by each of it, too.
//!
//! A run that is not established, of another state than the one that holds, is a *candidate*: a state that
//! may be sustained yet, or might have been. It is told as it would be sustained, where somebody
//! [asks for it](Holds::tells_candidates): open while it may be, and with its end when it is absorbed.
//! One without length is none, unless observations ceased.
//!
//! # Cost
//!
//! Two states and 40 bytes a key, 16 more where states are [kept](Holds::Besides) and as many where
//! observations may be urgent, one deadline; constant time per event.

mod besides;
mod decision;

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

pub use self::besides::{Besides, Rare};
pub use self::decision::{Absorbed, Cut, Decision, Stretch, Sustained};
use crate::machine::{Data, Event, Key, Machine};
use crate::stage::{Observer, Seen};

/// An event that says which state its key is in.
pub trait Observation: Event {
    /// The state, with whatever is to be kept of the first observation of a run.
    type State: State;

    /// The observed state.
    fn state(&self) -> Self::State;

    /// Whether it counts at once, whatever would hold it up.
    fn is_urgent(&self) -> bool {
        false
    }

    /// Whether it marks its key, to [stages](crate::stage) that ask for that.
    fn is_marker(&self) -> bool {
        false
    }

    /// Whether a marker shows a state as well.
    fn is_observed(&self) -> bool {
        true
    }
}

/// What a key can be in.
pub trait State: Data {
    /// Whether both are one state, so that a run goes on: equal states are.
    fn is(&self, other: &Self) -> bool {
        self == other
    }

    /// Takes in what a later observation of the same state says, if the state that lasts is to tell it;
    /// otherwise it tells what the first said.
    fn renew(&mut self, later: &Self) {
        let _ = later;
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

/// How long states are held before they count, and kept when they are missed.
pub trait Holds<K, S>: 'static {
    /// What is remembered besides: `()` if no state is kept and nothing urgent, the instant since when a
    /// state is missed, or [`Rare`] for both.
    type Besides: Besides;

    /// How long a run of `state` must last; not negative.
    fn hold(&self, key: &K, state: &S) -> i64;

    /// For how long `state` is kept after it was first missed; 0 if it is not.
    fn keep(&self, key: &K, state: &S) -> i64 {
        let _ = (key, state);
        0
    }

    /// For how long a key may go without observations; positive.
    fn expire_after(&self, key: &K) -> i64;

    /// Whether runs of `state` are told that may be sustained yet, or might have been; only asked of a
    /// machine that [tells any](HoldDown::telling_candidates).
    fn tells_candidates(&self, key: &K, state: &S) -> bool {
        let _ = (key, state);
        false
    }
}

/// The same hold for every state, and no expiry.
#[derive(Clone, Copy, Debug)]
pub struct Uniform(i64);

impl<K, S> Holds<K, S> for Uniform {
    type Besides = ();

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
    tells_candidates: bool,
    events: PhantomData<fn(K, E)>,
}

impl<K, E, H> HoldDown<K, E, H> {
    /// A hold-down with these holds.
    pub fn new(holds: H) -> Self {
        Self { holds, tells_runs: false, tells_candidates: false, events: PhantomData }
    }

    /// Tells also of every run that was established, and of the latest one: what explains the rest.
    #[must_use]
    pub fn telling_runs(mut self) -> Self {
        self.tells_runs = true;
        self
    }

    /// Tells candidates, if so, of the states [that ask for it](Holds::tells_candidates).
    #[must_use]
    pub fn telling_candidates(mut self, tells: bool) -> Self {
        self.tells_candidates = tells;
        self
    }
}

impl<K, E> HoldDown<K, E, Uniform> {
    /// A hold-down with one hold for every state.
    pub fn uniform(hold: i64) -> Self {
        Self::new(Uniform(hold))
    }
}

/// What hold-down remembers of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held<S, B = ()> {
    run: Option<Run<S, B>>,
}

// Derived, it would ask for a default state.
impl<S, B> Default for Held<S, B> {
    fn default() -> Self {
        Self { run: None }
    }
}

/// The latest run, and what holds: flat, since a timeline keeps several of them per key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run<S, B> {
    start: i64,
    last: i64,
    observations: u32,
    /// How many runs began at that instant before it.
    nth: u32,
    state: S,
    established: bool,
    /// The state that holds, since when, and when that was decided.
    sustained: Option<S>,
    since: i64,
    decided: i64,
    besides: B,
}

impl<S: State, B> Run<S, B> {
    fn sustained(&self, until: Option<i64>, expired: bool) -> Option<Decision<S>> {
        let Self { since, decided, .. } = *self;
        let sustained = |state| Sustained { since, state, until, decided, expired };
        self.sustained.clone().map(|state| Decision::Sustained(sustained(state)))
    }

    fn absorbed(&self, until: i64, by: Cut) -> Option<Decision<S>> {
        (!self.established).then(|| {
            let Self { start: since, nth, observations, .. } = *self;
            let state = self.state.clone();
            Decision::Absorbed(Absorbed { since, nth, state, until, observations, by })
        })
    }
}

/// When a run is established.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// When it has lasted.
    held: i64,
    /// Where the keep of the state before ends, if that is later, or then.
    kept: Option<i64>,
    /// Since when it is urgent.
    urgent: Option<i64>,
}

impl Due {
    fn decided(self) -> i64 {
        self.at(self.kept.unwrap_or(self.held))
    }

    /// A return may come in the last instant of a keep.
    fn passes_at(self) -> i64 {
        self.at(self.kept.map_or(self.held, |kept| kept.saturating_add(1)))
    }

    fn at(self, due: i64) -> i64 {
        self.urgent.map_or(due, |urgent| due.min(urgent))
    }
}

type RunOf<E, B> = Run<<E as Observation>::State, B>;

impl<K: Key, E: Observation, H: Holds<K, E::State>> HoldDown<K, E, H> {
    /// When the state that holds is no longer kept, if another was observed since.
    fn kept_until(&self, key: &K, run: &RunOf<E, H::Besides>) -> Option<i64> {
        let missed = run.besides.missed()?;
        let kept = self.holds.keep(key, run.sustained.as_ref()?);
        (kept > 0).then(|| missed.saturating_add(kept))
    }

    fn due(&self, key: &K, run: &RunOf<E, H::Besides>) -> Due {
        let held = run.start.saturating_add(self.holds.hold(key, &run.state));
        let kept = self.kept_until(key, run).filter(|kept| *kept >= held);
        Due { held, kept, urgent: run.besides.urgent() }
    }

    fn establishes_at(&self, key: &K, run: &RunOf<E, H::Besides>) -> Option<i64> {
        (!run.established).then(|| self.due(key, run).passes_at())
    }

    fn expires_at(&self, key: &K, run: &RunOf<E, H::Besides>) -> i64 {
        run.last.saturating_add(self.holds.expire_after(key))
    }

    /// Since when a run's state is sustained if it is established, and when that is decided.
    fn begins(&self, key: &K, run: &RunOf<E, H::Besides>) -> (i64, i64) {
        let decided = self.due(key, run).decided();
        let kept = self.kept_until(key, run).map(|kept| kept.min(decided));
        (kept.map_or(run.start, |kept| kept.max(run.start)), decided)
    }

    /// What a run is a candidate for, or was until it ended.
    fn candidate(
        &self,
        key: &K,
        run: &RunOf<E, H::Besides>,
        until: Option<i64>,
        expired: bool,
    ) -> Option<Decision<E::State>> {
        let continues = || run.sustained.as_ref().is_some_and(|holds| holds.is(&run.state));
        let is_told = self.tells_candidates
            && !run.established
            && self.holds.tells_candidates(key, &run.state)
            && !continues();
        if !is_told {
            return None;
        }
        let (since, decided) = self.begins(key, run);
        let until = until.map(|until| if expired { until.max(since) } else { until });
        let lasts = expired || until.is_none_or(|until| until > since);
        let state = run.state.clone();
        lasts.then_some(Decision::Candidate(Sustained { since, state, until, decided, expired }))
    }

    /// Why a run is over that was not established, when another state is observed.
    fn cut(&self, key: &K, run: &RunOf<E, H::Besides>, time: i64) -> Cut {
        match run.besides.missed() {
            Some(missed) if time > run.start && time >= self.due(key, run).held => {
                Cut::Kept { missed }
            }
            _ => Cut::Contrary,
        }
    }

    /// Folds a state, which may have been observed or not, and may be urgent.
    #[inline]
    fn fold(
        &self,
        key: &K,
        held: &mut Held<E::State, H::Besides>,
        (time, state): (i64, E::State),
        (observed, urgent): (bool, bool),
        out: &mut Vec<Decision<E::State>>,
    ) {
        let urgent = urgent.then_some(time);
        if let Some(Run { sustained: Some(sustained), .. }) = &mut held.run
            && sustained.is(&state)
        {
            sustained.renew(&state);
        }
        match &mut held.run {
            Some(run) if run.state.is(&state) => {
                run.state.renew(&state);
                if observed {
                    run.last = time;
                    run.observations += 1;
                }
                if !run.established && run.besides.urgent().is_none() {
                    run.besides.set_urgent(urgent);
                }
            }
            Some(run) => {
                if !run.established {
                    out.extend(run.absorbed(time, self.cut(key, run, time)));
                    out.extend(self.candidate(key, run, Some(time), false));
                } else if self.tells_runs {
                    out.push(self.stretch(key, run, Some(time)));
                }
                let missed = run.sustained.as_ref().filter(|sustained| !sustained.is(&state));
                run.besides.set_missed(missed.map(|_| run.besides.missed().unwrap_or(time)));
                run.besides.set_urgent(urgent);
                if observed {
                    run.last = time;
                }
                run.nth = if run.start == time { run.nth + 1 } else { 0 };
                (run.start, run.observations) = (time, u32::from(observed));
                (run.state, run.established) = (state, false);
            }
            none => {
                let mut besides = H::Besides::default();
                besides.set_urgent(urgent);
                *none = Some(Run {
                    start: time,
                    last: time,
                    observations: u32::from(observed),
                    nth: 0,
                    state,
                    established: false,
                    sustained: None,
                    since: 0,
                    decided: 0,
                    besides,
                });
            }
        }
    }

    fn stretch(
        &self,
        key: &K,
        run: &RunOf<E, H::Besides>,
        until: Option<i64>,
    ) -> Decision<E::State> {
        let Run { start: since, nth, observations, established, .. } = *run;
        let begins = established && run.since >= since;
        let decided = if begins { run.decided } else { self.due(key, run).decided() };
        let state = run.state.clone();
        Decision::Run(Stretch { since, nth, state, until, observations, established, decided })
    }
}

impl<K: Key, E: Observation, H: Holds<K, E::State>> Observer for HoldDown<K, E, H> {
    fn observe(
        &self,
        key: &K,
        held: &mut Self::State,
        Seen { time, state, by, urgent }: Seen<'_, E>,
        out: &mut Vec<Self::Output>,
    ) {
        self.fold(key, held, (time, state), (by.is_some(), urgent), out);
    }

    fn touch(&self, _: &K, held: &mut Self::State, time: i64) {
        if let Some(run) = &mut held.run {
            run.last = time;
        }
    }
}

impl<K: Key, E: Observation, H: Holds<K, E::State>> Machine for HoldDown<K, E, H> {
    type Key = K;
    type Event = E;
    type State = Held<E::State, H::Besides>;
    type Output = Decision<E::State>;

    fn event(&self, key: &K, held: &mut Self::State, event: &E, out: &mut Vec<Self::Output>) {
        self.fold(key, held, (event.time(), event.state()), (true, event.is_urgent()), out);
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
            let (since, decided) = self.begins(key, run);
            run.established = true;
            if !run.sustained.as_ref().is_some_and(|sustained| sustained.is(&run.state)) {
                out.extend(run.sustained(Some(since), false));
                run.sustained = Some(run.state.clone());
                (run.since, run.decided) = (since, decided);
                run.besides.set_missed(None);
            }
        } else {
            let unobserved = run.established && run.observations == 0;
            let last = if unobserved { at } else { run.last };
            out.extend(run.absorbed(last.max(run.start), Cut::Silence));
            out.extend(self.candidate(key, run, Some(last.max(run.start)), true));
            if self.tells_runs && run.established {
                out.push(self.stretch(key, run, Some(last.max(run.start))));
            }
            out.extend(run.sustained(Some(last.max(run.since)), true));
            *held = Held::default();
        }
    }

    fn current(&self, key: &K, held: &Self::State, out: &mut Vec<Self::Output>) {
        let Some(run) = &held.run else { return };
        out.extend(run.sustained(None, false));
        out.extend(self.candidate(key, run, None, false));
        if self.tells_runs {
            out.push(self.stretch(key, run, None));
        }
    }

    fn holds_on(&self, before: &Self::State, after: &Self::State) -> bool {
        fn sustained<S, B>(held: &Held<S, B>) -> Option<(&S, i64, i64)> {
            let run = held.run.as_ref()?;
            run.sustained.as_ref().map(|state| (state, run.since, run.decided))
        }
        fn pending<S, B>(held: &Held<S, B>) -> Option<(&S, i64, &B)> {
            let run = held.run.as_ref().filter(|run| !run.established);
            run.map(|run| (&run.state, run.start, &run.besides))
        }
        let same_candidate = || !self.tells_candidates || pending(before) == pending(after);
        !self.tells_runs && sustained(before) == sustained(after) && same_candidate()
    }

    fn ended(&self, _: &K, held: &Self::State, waiting: u32, out: &mut Vec<Self::Output>) {
        let pending = held.run.as_ref().filter(|run| !run.established);
        let undecided = pending.map_or(0, |run| run.observations) + waiting;
        out.extend((undecided > 0).then_some(Decision::Undecided(undecided)));
    }

    fn same(&self, one: &Self::Output, other: &Self::Output) -> bool {
        match (one, other) {
            (Decision::Sustained(one), Decision::Sustained(other))
            | (Decision::Candidate(one), Decision::Candidate(other)) => {
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
