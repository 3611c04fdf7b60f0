//! What the engine measures of itself in every replay: how long its stages take, and how each rule
//! tells. With `--profile`, also where workers spend their time, and what they keep.
//!
//! Guarantees: nothing here comes into an output. A clock is read for a block, a batch or what was
//! gathered at once, never for a record. State: a histogram of two digits for each stage and rule.

pub(crate) mod profile;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use limbeck_operators::intake::Inputs;

use self::profile::Profile;
use crate::model::printable::printable;

/// A quantile is off by one in a hundred at most.
const DIGITS: u8 = 2;

/// The stages of a replay, in the order in which records come to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A block is read.
    Read,
    /// The lines of a block become records.
    Decode,
    /// The records of a block are put behind those before.
    Judge,
    /// The reader waits until a worker takes a batch over.
    Wait,
    /// A worker takes a batch in, with what can be done then.
    Flow,
    /// What was gathered at once is written.
    Write,
}

const STAGES: [(Stage, &str); 6] = [
    (Stage::Read, "read"),
    (Stage::Decode, "decode"),
    (Stage::Judge, "judge"),
    (Stage::Wait, "wait"),
    (Stage::Flow, "flow"),
    (Stage::Write, "write"),
];

/// A rule as it told.
#[derive(Debug)]
struct OfRule {
    name: String,
    told: u64,
    withdrawn: u64,
    /// How long after an episode was decided its beginning was told, in nanoseconds of the log's time.
    behind: Histogram<u32>,
}

/// What a replay measures of itself.
#[derive(Debug)]
pub struct Metrics {
    /// By stage, in nanoseconds.
    stages: [Mutex<OfStage>; STAGES.len()],
    rules: Mutex<Vec<OfRule>>,
    profile: Option<Mutex<Profile>>,
}

#[derive(Debug)]
struct OfStage {
    times: Histogram<u32>,
    total: Duration,
}

fn histogram() -> Histogram<u32> {
    Histogram::new(DIGITS).expect("so many digits can be had")
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new([], false)
    }
}

impl Metrics {
    /// Of rules with these names, by number; with a profile, if that is asked for.
    pub fn new<'n>(rules: impl IntoIterator<Item = &'n str>, profiled: bool) -> Self {
        let of_stage = || Mutex::new(OfStage { times: histogram(), total: Duration::ZERO });
        let of_rule = |name: &str| OfRule {
            name: name.to_owned(),
            told: 0,
            withdrawn: 0,
            behind: histogram(),
        };
        Self {
            stages: std::array::from_fn(|_| of_stage()),
            rules: Mutex::new(rules.into_iter().map(of_rule).collect()),
            profile: profiled.then(Mutex::default),
        }
    }

    /// Does something, and counts the time it takes.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = now();
        let done = work();
        self.took(stage, started.elapsed());
        done
    }

    /// Counts a time that something took.
    pub fn took(&self, stage: Stage, time: Duration) {
        let mut of = locked(&self.stages[stage as usize]);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        of.times.record(nanos).expect("it grows");
        of.total += time;
    }

    /// Counts what rules tell: by number, whether it is told or withdrawn, and of a beginning how long
    /// after it was decided.
    pub fn told(&self, updates: impl Iterator<Item = (usize, bool, Option<i64>)>) {
        let mut rules = locked(&self.rules);
        for (rule, is_told, behind_ns) in updates {
            let Some(rule) = rules.get_mut(rule) else { continue };
            *if is_told { &mut rule.told } else { &mut rule.withdrawn } += 1;
            if let Some(behind_ns) = behind_ns {
                rule.behind.record(u64::try_from(behind_ns).unwrap_or(0)).expect("it grows");
            }
        }
    }

    /// What workers are to be profiled into, if that is asked for.
    pub(crate) fn profile(&self) -> Option<&Mutex<Profile>> {
        self.profile.as_ref()
    }
}

/// Inputs whose batches are timed.
pub(crate) struct Timed<I> {
    pub(crate) inputs: I,
    pub(crate) metrics: Arc<Metrics>,
}

impl<B, I: Inputs<B>> Inputs<B> for Timed<I> {
    fn give(&mut self, batch: B) {
        self.inputs.give(batch);
    }

    fn advance_to(&mut self, time: i64) {
        self.inputs.advance_to(time);
    }

    fn take_in(&mut self, work: impl FnOnce(&mut Self)) {
        let started = now();
        work(self);
        self.metrics.took(Stage::Flow, started.elapsed());
    }

    fn end(&mut self, clock: Option<i64>) {
        self.inputs.end(clock);
    }

    fn cut(&mut self, at: i64) {
        self.inputs.cut(at);
    }

    fn has_cut(&mut self) {
        self.inputs.has_cut();
    }
}

/// A moment, to measure from.
#[expect(clippy::disallowed_methods, reason = "the engine's own metrics")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A time that something took, in digits that a person compares.
struct Took(u64);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0 as f64;
        let text = match self.0 {
            0..10_000 => format!("{:.1} us", nanos / 1e3),
            10_000..1_000_000 => format!("{:.0} us", nanos / 1e3),
            1_000_000..10_000_000_000 => format!("{:.1} ms", nanos / 1e6),
            _ => format!("{:.1} s", nanos / 1e9),
        };
        f.pad(&text)
    }
}

fn quantiles(of: &Histogram<u32>) -> [u64; 3] {
    [of.value_at_quantile(0.5), of.value_at_quantile(0.99), of.max()]
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["median", "p99", "most", "together"];
        write!(f, "{:<10} {:>9}", "stage", "times")?;
        head.iter().try_for_each(|head| write!(f, " {head:>10}"))?;
        for ((_, name), of) in STAGES.iter().zip(&self.stages) {
            let of = locked(of);
            write!(f, "\n{name:<10} {:>9}", of.times.len())?;
            let total = u64::try_from(of.total.as_nanos()).unwrap_or(u64::MAX);
            let times = quantiles(&of.times).into_iter().chain([total]);
            times.into_iter().try_for_each(|time| write!(f, " {:>10}", Took(time)))?;
        }
        let rules = locked(&self.rules);
        let width = rules.iter().map(|rule| rule.name.chars().count()).max().unwrap_or(0).max(4);
        write!(f, "\n\n{:<width$} {:>9} {:>10}", "rule", "told", "withdrawn")?;
        write!(f, "   told after it was decided: median, p99, most")?;
        for rule in rules.iter() {
            let name = printable(&rule.name);
            write!(f, "\n{name:<width$} {:>9} {:>10}", rule.told, rule.withdrawn)?;
            if !rule.behind.is_empty() {
                let [median, p99, most] = quantiles(&rule.behind).map(Took);
                write!(f, "   {median}, {p99}, {most}")?;
            }
        }
        match &self.profile {
            Some(profile) => write!(f, "\n\n{}", locked(profile)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
