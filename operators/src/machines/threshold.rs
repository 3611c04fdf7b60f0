//! Thresholds: the readings of a key make its state, which recovers at another threshold (hysteresis).
//!
//! # Meaning
//!
//! Each observation of a key has a reading. [Smoothed](super::smoothing), if that is asked for, it is
//! *above* if it is greater than the upper threshold, *below* if it is less than the lower one, and
//! otherwise *normal*; but what was above last stays so until it is at its `recover` or below it, and
//! what was below until it is at its own or above it. The observation passes as the state of a key at
//! that level. One of which smoothing makes no number is withheld.
//!
//! A number exactly at a threshold does not exceed it; `recover` at the threshold is no hysteresis.
//! What a deadline made passes as it is, and is no reading: the level stays what it was.
//!
//! # Cost
//!
//! 32 bytes a key; with smoothing, [what that takes](super::smoothing), as often as there are events
//! inside the horizon. Constant time per observation, but for a median or a rate.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::smoothing::{Readings, Smoothing};
use crate::finite::Finite;
use crate::machines::hold_down::Observation;
use crate::stage::{Seen, Stage, Step};

/// Where a reading is, between thresholds or beyond one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Between.
    Normal,
    /// Above the upper one, or not back yet.
    Above,
    /// Below the lower one, likewise.
    Below,
}

/// A threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// What is beyond it has crossed it.
    pub at: f64,
    /// What is at it, or on its other side, is back.
    pub recover: f64,
}

/// What is asked of readings; at least one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// What is made of them before.
    pub smoothing: Option<Smoothing>,
    /// The upper one; its `recover` is not above it.
    pub above: Option<Bound>,
    /// The lower one, below that; its `recover` is not below it.
    pub below: Option<Bound>,
}

impl Thresholds {
    /// The level of a number, after another.
    pub fn level(&self, number: f64, before: Option<Level>) -> Level {
        let above = |at: fn(Bound) -> f64| self.above.is_some_and(|bound| number > at(bound));
        let below = |at: fn(Bound) -> f64| self.below.is_some_and(|bound| number < at(bound));
        match before {
            _ if above(|bound| bound.at) => Level::Above,
            _ if below(|bound| bound.at) => Level::Below,
            Some(Level::Above) if above(|bound| bound.recover) => Level::Above,
            Some(Level::Below) if below(|bound| bound.recover) => Level::Below,
            _ => Level::Normal,
        }
    }
}

/// Of which keys readings are judged, and how.
pub trait Measures<K, S>: 'static {
    /// What is asked of the readings of a key, if anything is.
    fn thresholds(&self, key: &K) -> Option<&Thresholds>;

    /// The reading of an observed state; all of such a key have one.
    fn reading(&self, key: &K, state: &S) -> Option<Finite>;

    /// The state of a key at a level, in the place of one that was observed.
    fn at(&self, key: &K, level: Level, state: &S) -> S;

    /// How long a key may be silent until it is forgotten.
    fn expire_after(&self, key: &K) -> i64;
}

/// The stage. See the [module documentation](self).
#[derive(Debug)]
pub struct Threshold<M> {
    measures: M,
    tells: bool,
}

impl<M> Threshold<M> {
    /// A stage that judges so.
    pub fn new(measures: M) -> Self {
        Self { measures, tells: false }
    }

    /// Says of every observation what it came to, not only of those that are withheld.
    #[must_use]
    pub fn telling(mut self, tells: bool) -> Self {
        self.tells = tells;
        self
    }
}

/// What is said of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Measured<E> {
    /// The observation.
    pub event: E,
    /// Its reading.
    pub reading: Finite,
    /// What was judged in its place; none if it was withheld.
    pub number: Option<Finite>,
    /// When the reading before it was taken, if one is known.
    pub before: Option<i64>,
}

/// What is remembered of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    readings: Readings,
    level: Option<Level>,
}

impl<K, E: Observation, M: Measures<K, E::State>> Stage<K, E> for Threshold<M> {
    type State = Gauge;
    type Note = Measured<E>;

    fn makes_states(&self) -> bool {
        true
    }

    fn expire_after(&self, key: &K) -> Option<i64> {
        self.measures.thresholds(key).map(|_| self.measures.expire_after(key))
    }

    fn observe<'e>(
        &self,
        key: &K,
        gauge: &mut Gauge,
        mut seen: Seen<'e, E>,
        step: &mut impl FnMut(Step<'e, E, Measured<E>>),
    ) {
        let (Some(thresholds), Some(event)) = (self.measures.thresholds(key), seen.by) else {
            return step(Step::Pass(seen));
        };
        let Some(reading) = self.measures.reading(key, &seen.state) else {
            return step(Step::Pass(seen));
        };
        let before = gauge.readings.last();
        let number = match thresholds.smoothing {
            Some(smoothing) => gauge.readings.add(smoothing, seen.time, reading),
            None => Some(reading),
        };
        if self.tells || number.is_none() {
            step(Step::Note(Measured { event: event.clone(), reading, number, before }));
        }
        if let Some(number) = number {
            let level = thresholds.level(number.get(), gauge.level);
            gauge.level = Some(level);
            seen.state = self.measures.at(key, level, &seen.state);
            step(Step::Pass(seen));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(thresholds: Thresholds, numbers: &[f64]) -> String {
        let mut before = None;
        let letter = |number: &f64| {
            let level = thresholds.level(*number, before);
            before = Some(level);
            match level {
                Level::Normal => '.',
                Level::Above => 'a',
                Level::Below => 'b',
            }
        };
        numbers.iter().map(letter).collect()
    }

    #[test]
    fn what_is_beyond_a_threshold_recovers_at_another() {
        let above = Some(Bound { at: 90.0, recover: 70.0 });
        let below = Some(Bound { at: 10.0, recover: 20.0 });
        let numbers = [80.0, 90.0, 90.1, 90.0, 70.1, 70.0, 80.0, 10.0, 9.9, 15.0, 20.0];
        assert_eq!(levels(Thresholds { above, ..Thresholds::default() }, &numbers), "..aaa......");
        assert_eq!(levels(Thresholds { below, ..Thresholds::default() }, &numbers), "........bb.");
        let both = Thresholds { above, below, smoothing: None };
        assert_eq!(levels(both, &numbers), "..aaa...bb.");
        assert_eq!(levels(both, &[100.0, 9.0, 100.0, 15.0, 9.0, 80.0]), "aba.b.");
    }

    #[test]
    fn without_another_it_recovers_at_the_same() {
        let thresholds =
            Thresholds { above: Some(Bound { at: 50.0, recover: 50.0 }), ..Thresholds::default() };
        assert_eq!(levels(thresholds, &[75.0, 50.0, 50.1, 50.0]), "a.a.");
    }

    /// Each may recover beyond where the other begins.
    #[test]
    fn what_has_crossed_one_is_not_held_back_by_the_other() {
        let above = Some(Bound { at: 90.0, recover: 5.0 });
        let below = Some(Bound { at: 10.0, recover: 95.0 });
        let both = Thresholds { above, below, smoothing: None };
        assert_eq!(levels(both, &[91.0, 50.0, 9.0, 50.0, 90.5]), "aabba");
    }
}
