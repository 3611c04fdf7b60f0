//! Flap detection: what changes in too large a share of its observations is in a state of its own.
//!
//! # Meaning
//!
//! Of the last 21 observations of a key, each of the 20 steps from one to the next is a change or
//! none; steps before the first observation are none. Their *share* is the weighted part of changes, in
//! percent, the latest weighing most: with the weights of Nagios `0.75 + i * 0.5/19`, of Icinga `0.8 +
//! 0.02 i`, for `i` from 0, the oldest, to 19, and 20 for all. Every observation counts for it, also
//! one that changes nothing.
//!
//! A key *flaps* from the observation on that raises the share to `high` (Nagios), or above it
//! (Icinga), until one that lowers it to `low` or below. While it flaps, observations pass as the state
//! of a key that flaps, whatever they say; the one with which that ends passes as it is. What a
//! deadline made passes as it is, and is no observation.
//!
//! What passes as flapping tells the changes since it began to flap, the one that it began with included.
//! The state of an episode is [renewed](State::renew) by them, so that it tells them all.
//!
//! Both shares are whole numbers divided once, so that a threshold is met exactly.
//!
//! # Cost
//!
//! A state and 32 bytes a key; constant time per observation.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::finite::Finite;
use crate::machines::changes::Changes;
use crate::machines::hold_down::{Observation, State};
use crate::stage::{Seen, Stage, Step};

/// So many steps are looked back at.
const STEPS: u32 = 20;

/// How changes are weighed, and which share of them begins a flap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// From 0.75 to 1.25; at `high`.
    Nagios,
    /// From 0.8 to 1.18; above `high`.
    Icinga,
}

impl Weights {
    /// The share of changes in percent; `changes` has a bit for each step, the latest lowest.
    pub fn share(self, changes: u32) -> f64 {
        let steps = (0..STEPS).filter(|i| changes >> (STEPS - 1 - i) & 1 == 1);
        match self {
            // sum / 20 * 100, of (57 + 2 i) / 76.
            Self::Nagios => f64::from(steps.map(|i| 57 + 2 * i).sum::<u32>() * 5) / 76.0,
            // The same of (40 + i) / 50.
            Self::Icinga => f64::from(steps.map(|i| 40 + i).sum::<u32>()) / 10.0,
        }
    }
}

/// When a key flaps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// How its changes are weighed.
    pub weights: Weights,
    /// With which share of changes it begins to flap, in percent.
    pub high: f64,
    /// With which it ends; not above `high`.
    pub low: f64,
}

impl Detection {
    /// Whether a key flaps with this share of changes, that did or did not before.
    pub fn flaps(&self, share: f64, before: bool) -> bool {
        match (before, self.weights) {
            (true, _) => share > self.low,
            (false, Weights::Nagios) => share >= self.high,
            (false, Weights::Icinga) => share > self.high,
        }
    }
}

/// Which keys are watched for flaps.
pub trait Detects<K, S>: 'static {
    /// When a key flaps, if that is looked at.
    fn detection(&self, key: &K) -> Option<&Detection>;

    /// The state of a key that flaps, in the place of one that was observed.
    fn flapping(&self, key: &K, state: &S, changes: Changes) -> S;

    /// How long a key may be silent until it is forgotten.
    fn expire_after(&self, key: &K) -> i64;
}

/// The stage. See the [module documentation](self).
#[derive(Debug)]
pub struct FlapDetection<D> {
    detects: D,
    tells: bool,
}

impl<D> FlapDetection<D> {
    /// A stage that detects so.
    pub fn new(detects: D) -> Self {
        Self { detects, tells: false }
    }

    /// Says of every observation that passed as that of a key that flaps that it did.
    #[must_use]
    pub fn telling(mut self, tells: bool) -> Self {
        self.tells = tells;
        self
    }
}

/// What is said of an observation that passed as that of a key that flaps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flapped<E> {
    /// The observation.
    pub event: E,
    /// The share of changes at it.
    pub share: Finite,
}

/// What flap detection remembers of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaps<S> {
    /// The state that was observed last.
    last: Option<S>,
    /// A bit for each step, the latest lowest.
    changes: u32,
    /// The changes since it began to flap, if it does.
    flapping: Option<Changes>,
}

// Derived, it would ask for a default state.
impl<S> Default for Flaps<S> {
    fn default() -> Self {
        Self { last: None, changes: 0, flapping: None }
    }
}

impl<K, E: Observation, D: Detects<K, E::State>> Stage<K, E> for FlapDetection<D> {
    type State = Flaps<E::State>;
    type Note = Flapped<E>;

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.detects.detection(key).map(|_| self.detects.expire_after(key))
    }

    fn observe<'e>(
        &self,
        key: &K,
        flaps: &mut Self::State,
        mut seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Flapped<E>>),
    ) {
        let (Some(detection), Some(event)) = (self.detects.detection(key), seen.by) else {
            return step(Step::Pass(seen));
        };
        let changed = flaps.last.as_ref().is_some_and(|last| !last.is(&seen.state));
        flaps.changes = (flaps.changes << 1 | u32::from(changed)) & ((1 << STEPS) - 1);
        flaps.last = Some(seen.state.clone());
        let share = detection.weights.share(flaps.changes);
        if detection.flaps(share, flaps.flapping.is_some()) {
            let changes = flaps.flapping.get_or_insert(Changes::none(seen.time));
            if changed {
                changes.add(seen.time);
            }
            seen.state = self.detects.flapping(key, &seen.state, *changes);
            if self.tells {
                let share = Finite::new(share).unwrap_or_default();
                step(Step::Note(Flapped { event: event.clone(), share }));
            }
        } else {
            flaps.flapping = None;
        }
        step(Step::Pass(seen));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share at each observation, a letter each.
    fn shares(weights: Weights, observed: &str) -> Vec<f64> {
        let letters: Vec<char> = observed.chars().collect();
        let mut changes = 0;
        let mut shares = vec![0.0];
        for pair in letters.windows(2) {
            changes = (changes << 1 | u32::from(pair[0] != pair[1])) & ((1 << STEPS) - 1);
            shares.push(weights.share(changes));
        }
        shares
    }

    #[test]
    fn shares_are_those_of_icinga_and_nagios() {
        let observed = "CCCWCWOOOOWWWWOOOWWWC";
        assert_eq!(shares(Weights::Icinga, observed)[20], 39.1);
        assert!((shares(Weights::Nagios, observed)[20] - 39.342).abs() < 0.0005);
        assert_eq!(shares(Weights::Icinga, &(observed.to_owned() + "CCCCCCC"))[27], 18.9);
        assert_eq!(shares(Weights::Nagios, &"CW".repeat(11))[21], 100.0);
    }

    #[test]
    fn a_threshold_is_met_exactly() {
        let detection = |weights| Detection { weights, high: 30.0, low: 25.0 };
        let (nagios, icinga) = (detection(Weights::Nagios), detection(Weights::Icinga));
        assert!(nagios.flaps(30.0, false) && !icinga.flaps(30.0, false));
        assert!(icinga.flaps(30.1, false) && !icinga.flaps(25.0, true));
        assert!(!nagios.flaps(25.0, true) && nagios.flaps(25.1, true));
    }
}
