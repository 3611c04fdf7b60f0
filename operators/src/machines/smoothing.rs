//! Smoothing: what is made of the readings of a key before one is judged.
//!
//! # Meaning
//!
//! Readings are taken in their order, and of each comes a number, or none.
//!
//! - **Mean** with a half-life: `m + (1 - 2^(-dt / half_life)) * (x - m)` of a reading `x`, where `m` is
//!   the mean before it and `dt` the time since then; the first is its own mean. A reading thus stands for
//!   the time since the one before, however irregular they come: of several at one instant the first
//!   has all the weight. This is `EMA_next` of A. Eckner, *Algorithms for Unevenly Spaced Time
//!   Series* (2014), the "next point" of G. Zumbach and U. Müller, *Operators on Inhomogeneous Time
//!   Series* (2001). Readings that are all equal have that mean, exactly.
//! - **Median** of the readings of a time, up to the one at its end and without one at its beginning; of
//!   an even number, the mean of the two in the middle.
//! - **Rate** of a counter: by how much it grew between the first and the last reading of such a time,
//!   divided by the time between these two. One that is less than the one before is a *reset*: the
//!   counter began at 0 again, and grew by the reading, as in Prometheus' `rate`. Nothing is added for
//!   what may have happened before the first reading or after the last, which Prometheus
//!   extrapolates: a counter that grew by 5 grew by 5. It takes readings at two instants.
//!
//! All in the order of the readings, by pure-Rust `libm`: every machine gives the same bits. A rate
//! that is too large for a double is none.
//!
//! # Cost
//!
//! 24 bytes a key for a mean, in constant time. Of a median or a rate, 16 bytes for each reading of their
//! time, of which the last [`READINGS_MAX`] count, and time in their number.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::finite::Finite;

/// So many readings of a median or a rate are remembered.
pub const READINGS_MAX: usize = 1024;

/// What is made of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smoothing {
    /// Their mean, time-weighted; positive.
    Mean {
        /// Within which time what was weighs half as much.
        half_life: i64,
    },
    /// Their median.
    Median {
        /// Of how long a time; positive.
        over: i64,
    },
    /// How fast they grow.
    Rate {
        /// In how long a time; positive.
        over: i64,
        /// In the unit of time that has so many units of event time.
        per: i64,
    },
}

/// What is remembered of readings: those that count, or as one their mean; each with its instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readings(SmallVec<[(i64, Finite); 1]>);

impl Readings {
    /// The instant of the last one.
    pub fn last(&self) -> Option<i64> {
        self.0.last().map(|(time, _)| *time)
    }

    /// What comes of the next one.
    pub fn add(&mut self, smoothing: Smoothing, time: i64, reading: Finite) -> Option<Finite> {
        match smoothing {
            Smoothing::Mean { half_life } => {
                let mean = match self.0.first() {
                    Some((at, mean)) => nearer(mean.get(), reading.get(), time - at, half_life),
                    None => reading.get(),
                };
                let mean = Finite::new(mean)?;
                self.0.clear();
                self.0.push((time, mean));
                Some(mean)
            }
            Smoothing::Median { over } => {
                self.keep(over, time, reading);
                self.median()
            }
            Smoothing::Rate { over, per } => {
                self.keep(over, time, reading);
                self.rate(per)
            }
        }
    }

    fn keep(&mut self, over: i64, time: i64, reading: Finite) {
        let from = time.saturating_sub(over);
        let old = self.0.iter().take_while(|(time, _)| *time <= from).count();
        let many = (self.0.len() + 1).saturating_sub(READINGS_MAX);
        self.0.drain(..old.max(many));
        self.0.push((time, reading));
    }

    fn median(&self) -> Option<Finite> {
        let mut sorted: SmallVec<[Finite; 64]> = self.0.iter().map(|(_, of)| *of).collect();
        sorted.sort_unstable();
        let (low, high) = (sorted.get((sorted.len() - 1) / 2)?, sorted.get(sorted.len() / 2)?);
        match low == high {
            true => Some(*low),
            // Halves, since the sum may be too large.
            false => Finite::new(low.get() / 2.0 + high.get() / 2.0),
        }
    }

    fn rate(&self, per: i64) -> Option<Finite> {
        let ((first, _), (last, _)) = (self.0.first()?, self.0.last()?);
        let grown = self.0.windows(2).map(|pair| match (pair[0].1.get(), pair[1].1.get()) {
            (before, now) if now >= before => now - before,
            (_, now) => now,
        });
        let time = last.checked_sub(*first).filter(|time| *time > 0)?;
        Finite::new(grown.sum::<f64>() / (time as f64 / per as f64))
    }
}

/// A mean, nearer to a reading by as much as time has passed.
fn nearer(mean: f64, reading: f64, passed: i64, half_life: i64) -> f64 {
    let weight = 1.0 - libm::exp2(-(passed as f64) / half_life as f64);
    // Halves, since the difference may be too large.
    let half = weight * (reading / 2.0 - mean / 2.0);
    mean + half + half
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of readings, each with its instant.
    fn smooth(smoothing: Smoothing, readings: &[(i64, f64)]) -> Vec<Option<f64>> {
        let mut remembered = Readings::default();
        let finite = |of| Finite::new(of).expect("a test has finite readings");
        let each = readings.iter();
        each.map(|(time, of)| remembered.add(smoothing, *time, finite(*of)).map(Finite::get))
            .collect()
    }

    #[test]
    fn a_mean_halves_what_was_in_a_half_life() {
        let mean = Smoothing::Mean { half_life: 10 };
        let readings = [(0, 0.0), (10, 1.0), (20, 1.0), (20, 9.0), (40, 0.0)];
        assert_eq!(smooth(mean, &readings), [0.0, 0.5, 0.75, 0.75, 0.1875].map(Some));
        // However often it is read, it comes to the same.
        let often: Vec<_> = (0..=1000).map(|time| (time, f64::from(time > 0))).collect();
        let last = *smooth(mean, &often)[30..].first().expect("it was read");
        assert!(last.is_some_and(|of| (of - 0.875).abs() < 1e-12), "{last:?}");
    }

    #[test]
    fn a_mean_of_equals_is_that() {
        let mean = Smoothing::Mean { half_life: 7 };
        let readings: Vec<_> = (0..100).map(|n| (n * n, 0.1 + 0.2)).collect();
        assert!(smooth(mean, &readings).iter().all(|of| *of == Some(0.1 + 0.2)));
        let largest = smooth(mean, &[(0, f64::MAX), (70, f64::MIN), (80, f64::MAX)]);
        assert!(largest.iter().all(Option::is_some), "{largest:?}");
    }

    #[test]
    fn a_median_is_of_its_time() {
        let median = Smoothing::Median { over: 10 };
        let readings = [(0, 5.0), (1, 1.0), (1, 9.0), (9, 8.0), (10, 7.0), (30, 2.0)];
        assert_eq!(smooth(median, &readings), [5.0, 3.0, 5.0, 6.5, 7.5, 2.0].map(Some));
        let large = smooth(median, &[(0, f64::MAX), (1, f64::MAX * 0.5)]);
        assert_eq!(large[1], Some(f64::MAX * 0.75));
    }

    #[test]
    fn a_rate_knows_resets() {
        let rate = Smoothing::Rate { over: 60, per: 1 };
        let readings = [(0, 100.0), (0, 100.0), (10, 150.0), (20, 30.0), (30, 40.0), (90, 50.0)];
        // 50 in 10; and 30 after a reset; and 10 more; the last is alone.
        let rates = [None, None, Some(5.0), Some(4.0), Some(3.0), None];
        assert_eq!(smooth(rate, &readings), rates);
        assert_eq!(smooth(rate, &[(0, f64::MIN), (1, f64::MAX)])[1], None);
    }

    #[test]
    fn so_many_readings_count() {
        let readings: Vec<_> = (0..2000).map(|n| (n, n as f64)).collect();
        let median = smooth(Smoothing::Median { over: i64::MAX }, &readings);
        assert_eq!(median[1999], Some(1999.0 - 511.5));
    }
}
