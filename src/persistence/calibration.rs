//! Whether what was expected of faults is what became of them.
//!
//! # Meaning
//!
//! What is expected of a fault for a horizon, at each of its ages before that, is compared with whether it
//! lasted as long: it did if its duration is at least the horizon, or is not known but for so long. Where that
//! is not known (it is open at the end, or was not observed any more) it is *unknown*, and not compared. The
//! *Brier score* is the mean of (p - outcome)²: 0 is perfect, 0.25 what a half for everything gets. Beside it
//! stands that of the base rate, the share that lasted, known in hindsight: who expects that of every fault
//! knows of none more than of the others. *Reliability* is, for each tenth of p, the mean of p and the share
//! that lasted, and the *calibration error* the mean of their distance, by how many there are in each.
//!
//! Sums are folded in the order in which faults become final, which is that of logical time, then of rule,
//! entity and beginning.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Judged;

const BINS: usize = 10;

/// Adds up what became of faults.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// By the rank of the rule, and the horizon.
    of: BTreeMap<(u16, i64), Sums>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    /// By age.
    ages: BTreeMap<i64, Sum>,
    bins: [Sum; BINS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    faults: u64,
    lasted: u64,
    unknown: u64,
    p: f64,
    squares: f64,
}

impl Sum {
    fn add(&mut self, p: f64, lasted: Option<bool>) {
        let Some(lasted) = lasted else {
            self.unknown += 1;
            return;
        };
        self.faults += 1;
        self.lasted += u64::from(lasted);
        self.p += p;
        let off = p - if lasted { 1.0 } else { 0.0 };
        self.squares += off * off;
    }

    fn and(self, other: &Self) -> Self {
        Self {
            faults: self.faults + other.faults,
            lasted: self.lasted + other.lasted,
            unknown: self.unknown + other.unknown,
            p: self.p + other.p,
            squares: self.squares + other.squares,
        }
    }

    fn mean(self, sum: f64) -> Option<f64> {
        (self.faults > 0).then(|| sum / self.faults as f64)
    }

    fn scored(self) -> Scored {
        let share = self.mean(self.lasted as f64);
        Scored {
            faults: self.faults,
            lasted: self.lasted,
            unknown: self.unknown,
            expected: self.mean(self.p),
            brier: self.mean(self.squares),
            brier_of_base_rate: share.map(|share| share * (1.0 - share)),
        }
    }
}

/// How well one rule knows whether its faults last for one horizon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// The rank of the rule.
    #[serde(skip)]
    pub rank: u16,
    /// The horizon.
    pub horizon_ns: i64,
    /// At each age.
    pub ages: Vec<AtAge>,
    /// At all ages.
    pub all: Scored,
    /// Where some were compared, from the lowest tenth of p to the highest.
    pub bins: Vec<Bin>,
    /// The mean distance of what was expected and what was, over the bins.
    pub calibration_error: Option<f64>,
}

/// What was expected at an age.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtAge {
    /// The age.
    pub age_ns: i64,
    /// How well.
    #[serde(flatten)]
    pub scored: Scored,
}

/// What was expected, and what was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// How many were compared.
    pub faults: u64,
    /// How many of them lasted.
    pub lasted: u64,
    /// How many more there were of which it is not known.
    pub unknown: u64,
    /// The mean of p.
    pub expected: Option<f64>,
    /// The Brier score.
    pub brier: Option<f64>,
    /// That of the share that lasted.
    pub brier_of_base_rate: Option<f64>,
}

/// Where p was in a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// From this tenth on.
    pub from: f64,
    /// How many there were.
    pub faults: u64,
    /// The mean of p.
    pub expected: f64,
    /// The share that lasted.
    pub observed: f64,
}

impl Calibration {
    /// Takes in what became of a fault.
    pub fn add(&mut self, judged: &Judged) {
        let (lasted_ns, is_all) = judged.lasted_ns;
        for survival in &judged.expected {
            for odds in &survival.odds {
                if survival.age_ns >= odds.horizon_ns {
                    continue;
                }
                let lasted = lasted_ns >= odds.horizon_ns;
                let lasted = (lasted || is_all).then_some(lasted);
                let p = survival.p(odds);
                let sums = self.of.entry((judged.row.rule, odds.horizon_ns)).or_default();
                sums.ages.entry(survival.age_ns).or_default().add(p, lasted);
                let bin = (p * BINS as f64) as usize;
                sums.bins[bin.min(BINS - 1)].add(p, lasted);
            }
        }
    }

    /// What it comes to, by rule and horizon.
    pub fn reliabilities(&self) -> Vec<Reliability> {
        let of = self.of.iter().map(|((rank, horizon_ns), sums)| {
            let all = sums.ages.values().fold(Sum::default(), |sum, other| sum.and(other));
            let bins = sums.bins.iter().enumerate().filter_map(|(number, sum)| {
                Some(Bin {
                    from: number as f64 / BINS as f64,
                    faults: sum.faults,
                    expected: sum.mean(sum.p)?,
                    observed: sum.mean(sum.lasted as f64)?,
                })
            });
            let bins: Vec<_> = bins.collect();
            let off = |bin: &Bin| (bin.expected - bin.observed).abs() * bin.faults as f64;
            let ages = sums.ages.iter();
            Reliability {
                rank: *rank,
                horizon_ns: *horizon_ns,
                ages: ages.map(|(age, sum)| AtAge { age_ns: *age, scored: sum.scored() }).collect(),
                all: all.scored(),
                calibration_error: all.mean(bins.iter().map(off).sum()),
                bins,
            }
        });
        of.collect()
    }
}
