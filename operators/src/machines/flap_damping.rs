//! Flap damping: what changes too often is withheld until it has been quiet (RFC 2439).
//!
//! # Meaning
//!
//! A key has a *penalty*. Each change of the observed state adds to it: [`Damping::fault`] where the
//! new state is a fault and the old is none, [`Damping::back`] the other way round, and
//! [`Damping::change`] otherwise. The first observation is no change, nor is a state that a deadline
//! made. Between changes the penalty decays by half each `half_life`; one below half of `reuse` is
//! forgotten; it never exceeds the ceiling, `reuse * 2^(max / half_life)`.
//!
//! A penalty above `suppress` *suppresses* the key, with the observation that raised it, until it has
//! decayed to `reuse`; a change meanwhile adds to it as ever. So it lasts no longer than `max` after
//! the last change. While a key is suppressed, observations are withheld, but for those of the state
//! that passed last: they say nothing new. When it is over, the state that was observed last is handed
//! on, if that is another, and no deadline has made one since; it begins then. The instant is rounded up to a whole unit.
//!
//! A damping that only [`observes`](Damping::observes) (the test mode of RFC 7196) says what it would
//! withhold, and passes it.
//!
//! The decay is that of the pure-Rust `libm`, from change to change in their order, so that every
//! machine gives the same bits.
//!
//! # Cost
//!
//! Two states and 40 bytes a key; constant time per observation, an exponential per change.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::finite::Finite;
use crate::machines::hold_down::{Observation, State};
use crate::stage::{Seen, Stage, Step};

/// How changes are damped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damping {
    /// What a change to a fault adds.
    pub fault: f64,
    /// What a change from a fault to what is none adds.
    pub back: f64,
    /// What any other change adds.
    pub change: f64,
    /// A penalty above it suppresses.
    pub suppress: f64,
    /// One that has decayed to it does so no more; positive.
    pub reuse: f64,
    /// Within which time a penalty decays by half; positive.
    pub half_life: i64,
    /// How long a key may be suppressed after its last change.
    pub max: i64,
    /// Whether it withholds nothing.
    pub observes: bool,
}

impl Damping {
    /// The largest penalty.
    pub fn ceiling(&self) -> f64 {
        self.reuse * libm::exp2(self.max as f64 / self.half_life as f64)
    }

    /// What is left of a penalty after some time.
    fn decayed(&self, penalty: f64, after: i64) -> f64 {
        let left = penalty * libm::exp2(-(after as f64) / self.half_life as f64);
        if left < self.reuse / 2.0 { 0.0 } else { left }
    }

    /// How long a penalty takes to decay to `reuse`, which it is above.
    fn reused_after(&self, penalty: f64) -> i64 {
        let half_lives = libm::log2(penalty / self.reuse);
        // A float that is too large for it becomes the largest number.
        libm::ceil(half_lives * self.half_life as f64).max(1.0) as i64
    }
}

/// Which keys are damped, and how.
pub trait Damps<K, S>: 'static {
    /// How a key is damped, if it is.
    fn damping(&self, key: &K) -> Option<&Damping>;

    /// Whether a state is a fault.
    fn is_fault(&self, key: &K, state: &S) -> bool;

    /// How long a key may be silent until it is forgotten.
    fn expire_after(&self, key: &K) -> i64;
}

/// The stage. See the [module documentation](self).
#[derive(Debug)]
pub struct FlapDamping<D>(D);

impl<D> FlapDamping<D> {
    /// A stage that damps so.
    pub fn new(damps: D) -> Self {
        Self(damps)
    }
}

/// What is said of an observation that is withheld.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Damped<E> {
    /// The observation.
    pub event: E,
    /// The penalty at its instant, itself included.
    pub penalty: Finite,
    /// The largest since the key is suppressed: with `suppress` at it, it would not be.
    pub peak: Finite,
    /// Until when the key is suppressed, unless it changes again.
    pub until: i64,
    /// Whether it [passed](Damping::observes) all the same.
    pub passed: bool,
}

/// What damping remembers of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damp<S> {
    /// The state that was observed last, and the one that passed last.
    states: Option<(S, S)>,
    /// Whether a deadline has made another since.
    overtaken: bool,
    /// The penalty, as of an instant.
    penalty: Finite,
    at: i64,
    /// Until when the key is suppressed, and the largest penalty since it is.
    until: Option<i64>,
    peak: Finite,
}

// Derived, it would ask for a default state.
impl<S> Default for Damp<S> {
    fn default() -> Self {
        Self {
            states: None,
            overtaken: false,
            penalty: Finite::default(),
            at: 0,
            until: None,
            peak: Finite::default(),
        }
    }
}

impl<D> FlapDamping<D> {
    /// Adds what a change is worth.
    fn change<K, S: State>(
        &self,
        (key, damping): (&K, &Damping),
        damp: &mut Damp<S>,
        (from, to, time): (&S, &S, i64),
    ) where
        D: Damps<K, S>,
    {
        let add = match (self.0.is_fault(key, from), self.0.is_fault(key, to)) {
            (false, true) => damping.fault,
            (true, false) => damping.back,
            _ => damping.change,
        };
        let left = damping.decayed(damp.penalty.get(), time.saturating_sub(damp.at));
        let penalty = (left + add).min(damping.ceiling());
        (damp.penalty, damp.at) = (Finite::new(penalty).unwrap_or_default(), time);
        if damp.until.is_some() || penalty > damping.suppress {
            let after = if penalty > damping.reuse { damping.reused_after(penalty) } else { 1 };
            damp.until = Some(time.saturating_add(after));
            damp.peak = damp.peak.max(damp.penalty);
        }
    }
}

impl<K, E: Observation, D: Damps<K, E::State>> Stage<K, E> for FlapDamping<D> {
    type State = Damp<E::State>;
    type Note = Damped<E>;

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.0.damping(key).map(|_| self.0.expire_after(key))
    }

    fn observe<'e>(
        &self,
        key: &K,
        damp: &mut Self::State,
        seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Damped<E>>),
    ) {
        let (Some(damping), Some(event)) = (self.0.damping(key), seen.by) else {
            damp.overtaken = damp.states.is_some();
            return step(Step::Pass(seen));
        };
        damp.overtaken = false;
        let Some((last, passed)) = damp.states.take() else {
            damp.states = Some((seen.state.clone(), seen.state.clone()));
            return step(Step::Pass(seen));
        };
        if !last.is(&seen.state) {
            self.change((key, damping), damp, (&last, &seen.state, seen.time));
        }
        match damp.until {
            Some(until) if !passed.is(&seen.state) => {
                damp.states = Some((seen.state.clone(), passed));
                let penalty = damping.decayed(damp.penalty.get(), seen.time - damp.at);
                let penalty = Finite::new(penalty).unwrap_or_default();
                let (event, peak, passed) = (event.clone(), damp.peak, damping.observes);
                step(Step::Note(Damped { event, penalty, peak, until, passed }));
                if passed {
                    step(Step::Pass(seen));
                }
            }
            _ => {
                damp.states = Some((seen.state.clone(), seen.state.clone()));
                step(Step::Pass(seen));
            }
        }
    }

    fn deadline(&self, _: &K, damp: &Self::State) -> Option<i64> {
        damp.until.filter(|until| *until < i64::MAX)
    }

    fn elapse<'e>(
        &self,
        key: &K,
        damp: &mut Self::State,
        at: i64,
        step: &mut impl FnMut(Step<'e, E, Damped<E>>),
    ) {
        (damp.until, damp.peak) = (None, Finite::default());
        let Some((last, passed)) = &mut damp.states else { return };
        if !last.is(passed) {
            passed.clone_from(last);
            let is_damped = self.0.damping(key).is_some_and(|damping| !damping.observes);
            if is_damped && !damp.overtaken {
                step(Step::Pass(Seen::made(at, last.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;
    const DEFAULT: Damping = Damping {
        fault: 1000.0,
        back: 0.0,
        change: 500.0,
        suppress: 2000.0,
        reuse: 750.0,
        half_life: 15 * MINUTE,
        max: 60 * MINUTE,
        observes: false,
    };

    #[test]
    fn three_faults_a_minute_apart_suppress() {
        let mut penalty = 0.0;
        let mut penalties = Vec::new();
        for _ in 0..3 {
            penalty = DEFAULT.decayed(penalty, MINUTE) + DEFAULT.fault;
            penalties.push(penalty);
        }
        let near = |one: f64, other: f64| (one - other).abs() < 0.1;
        assert!(penalties.iter().zip([1000.0, 1954.8, 2866.6]).all(|(p, v)| near(*p, v)));
        // 15 min * log2(2866.6 / 750)
        assert_eq!(DEFAULT.reused_after(penalty) / 1_000_000_000, 1740);
        assert_eq!(DEFAULT.ceiling(), 12_000.0);
        assert_eq!(DEFAULT.reused_after(DEFAULT.ceiling()), 60 * MINUTE);
        assert_eq!(DEFAULT.decayed(1000.0, 22 * MINUTE), 0.0);
    }
}
