//! A test harness for operators in time, against a naive oracle.
//!
//! [`check`] runs an operator over one history of updates in many ways and holds each against the
//! others and against the oracle:
//!
//! - with 1, 2 and 4 workers, the updates spread over them at random;
//! - in batches of one logical time, of several, and all at once;
//! - with the updates of each logical time shuffled;
//! - interrupted at some logical time: a snapshot is taken, and restored into another number of
//!   workers, which get the rest; and not interrupted by one that is taken.
//!
//! The consolidated updates of all runs must be equal, and their sum up to **every** logical time
//! must be what the oracle says of the input known by then. Arrival shuffled within lateness is
//! the caller's part: the logical times of its updates. So is negation: [`History::negated`] adds
//! the retraction of everything, after which an operator that can still retract it says nothing.
//!
//! Everything is seeded. Failures are returned as text, for any test framework.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::input::InputSession;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

use crate::hash::fixed_hash;
use crate::machine::Data;

/// Updates in the order of their logical times, all before `end`, where time ends.
#[derive(Clone, Debug)]
pub struct History<D> {
    /// What was received, when, and how often.
    pub updates: Vec<(D, i64, isize)>,
    /// The logical time up to which, exclusive, outputs are compared.
    pub end: i64,
}

impl<D: Data> History<D> {
    /// The history, and at its end the retraction of all of it; compared until `end`.
    #[must_use]
    pub fn negated(mut self, end: i64) -> Self {
        let at = self.end;
        let retractions: Vec<_> =
            self.updates.iter().map(|(data, _, diff)| (data.clone(), at, -diff)).collect();
        self.updates.extend(retractions);
        self.end = end;
        self
    }
}

/// Takes what a worker has saved, once it has.
pub type TakeSnapshot<S> = Box<dyn FnMut() -> Option<S>>;

/// An operator under test, and its oracle.
pub trait Subject: Clone + Send + Sync + 'static {
    /// Input records.
    type In: Data + Sync;
    /// Output records.
    type Out: Data;
    /// What one worker saves.
    type Saved: Clone + Send + Sync + 'static;

    /// The grid of logical times.
    fn tick(&self) -> i64;

    /// Builds the operator, restored from what all workers of an earlier run had saved, and ready
    /// to save at a logical time.
    fn build<'scope>(
        &self,
        input: VecCollection<'scope, i64, Self::In, isize>,
        restored: Option<&[Self::Saved]>,
        save_at: Option<i64>,
    ) -> (VecCollection<'scope, i64, Self::Out, isize>, TakeSnapshot<Self::Saved>);

    /// All that holds at a logical time, naively, from the updates known by then.
    fn expected(&self, known: &[(Self::In, i64, isize)], at: i64) -> Vec<Self::Out>;
}

/// How one run goes about it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    workers: usize,
    ticks_per_batch: i64,
    shuffle: u64,
}

type Outputs<S> = Vec<(<S as Subject>::Out, i64, isize)>;

/// Runs the subject in all ways; `seed` decides what is left to chance.
///
/// # Errors
///
/// The first difference, in words.
pub fn check<S: Subject>(
    subject: &S,
    history: &History<S::In>,
    seed: u64,
) -> Result<Outputs<S>, String> {
    let reference_plan = Plan { workers: 1, ticks_per_batch: 1, shuffle: 0 };
    let reference = run(subject, history, reference_plan);
    against_oracle(subject, history, &reference)?;
    let ticks = ((history.end - start(history)) / subject.tick()).max(1);
    for (index, workers) in [1, 2, 4].into_iter().enumerate() {
        let shuffle = fixed_hash(&(seed, index));
        let ticks_per_batch = [ticks + 1, 1 + (shuffle % 7) as i64, 1][(seed as usize + index) % 3];
        let plan = Plan { workers, ticks_per_batch, shuffle };
        let outputs = run(subject, history, plan);
        equal(&reference, &outputs, &format!("{plan:?}"))?;

        let cut = start(history) + subject.tick() * ((shuffle >> 8) as i64).rem_euclid(ticks + 1);
        let resumed = Plan { workers: [2, 4, 1][index], ..plan };
        let outputs = run_interrupted(subject, history, (plan, resumed), cut);
        equal(&reference, &outputs, &format!("{plan:?}, then from {cut} {resumed:?}"))?;
        let times = (Some(cut), history.end);
        let mut outputs = run_part(subject, &history.updates, plan, None, times).0;
        order(&mut outputs);
        equal(&reference, &outputs, &format!("{plan:?}, saved at {cut}"))?;
    }
    Ok(reference)
}

fn start<D>(history: &History<D>) -> i64 {
    history.updates.first().map_or(0, |(_, at, _)| *at)
}

/// Holds the sum of the outputs against the oracle at every logical time.
fn against_oracle<S: Subject>(
    subject: &S,
    history: &History<S::In>,
    outputs: &Outputs<S>,
) -> Result<(), String> {
    let mut view: BTreeMap<S::Out, isize> = BTreeMap::new();
    let mut told = outputs.iter().peekable();
    let mut at = start(history);
    while at < history.end {
        while let Some((out, _, diff)) = told.next_if(|(_, time, _)| *time <= at) {
            *view.entry(out.clone()).or_default() += diff;
        }
        view.retain(|_, count| *count != 0);
        let known = history.updates.partition_point(|(_, time, _)| *time <= at);
        let mut expected: BTreeMap<S::Out, isize> = BTreeMap::new();
        for out in subject.expected(&history.updates[..known], at) {
            *expected.entry(out).or_default() += 1;
        }
        if view != expected {
            return Err(format!("at {at}\n  expected {expected:?}\n  but is   {view:?}"));
        }
        at += subject.tick();
    }
    match told.next() {
        Some(update) => Err(format!("told {update:?}, at or after the end {}", history.end)),
        None => Ok(()),
    }
}

fn equal<O: Debug + PartialEq>(one: &O, other: &O, how: &str) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    Err(format!("{how}\n  gave     {other:?}\n  and not  {one:?}"))
}

fn run<S: Subject>(subject: &S, history: &History<S::In>, plan: Plan) -> Outputs<S> {
    let mut outputs = run_part(subject, &history.updates, plan, None, (None, history.end)).0;
    order(&mut outputs);
    outputs
}

fn run_interrupted<S: Subject>(
    subject: &S,
    history: &History<S::In>,
    (first, second): (Plan, Plan),
    cut: i64,
) -> Outputs<S> {
    let known = history.updates.partition_point(|(_, at, _)| *at < cut);
    let (before, after) = history.updates.split_at(known);
    let (mut outputs, saved) = run_part(subject, before, first, None, (Some(cut), cut));
    let rest = run_part(subject, after, second, Some((cut, saved)), (None, history.end));
    outputs.extend(rest.0);
    order(&mut outputs);
    outputs
}

fn order<O: Data>(outputs: &mut Vec<(O, i64, isize)>) {
    consolidate_updates(outputs);
    outputs.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
}

/// One execution: from a snapshot or the start, until a snapshot or the end.
fn run_part<S: Subject>(
    subject: &S,
    updates: &[(S::In, i64, isize)],
    plan: Plan,
    restored: Option<(i64, Vec<S::Saved>)>,
    (save_at, end): (Option<i64>, i64),
) -> (Outputs<S>, Vec<S::Saved>) {
    let subject = subject.clone();
    let updates = Arc::new(updates.to_vec());
    let results = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let gathered = Arc::clone(&results);
    let raised = Arc::new(AtomicBool::new(false));
    let config = timely::Config::process(plan.workers);
    timely::execute(config, move |worker| {
        let alarm = Alarm(Arc::clone(&raised));
        let mine = share(&updates, plan, worker.index());
        let mut input = InputSession::new();
        let outputs = Arc::clone(&gathered);
        let (probe, mut take) = worker.dataflow(|scope| {
            let collection = input.to_collection(scope);
            let parts = restored.as_ref().map(|(_, parts)| parts.as_slice());
            let (told, take) = subject.build(collection, parts, save_at);
            let (probe, _) = told
                .inspect(move |update| {
                    outputs.lock().expect("no worker panicked").0.push(update.clone());
                })
                .probe();
            (probe, take)
        });
        let from = mine.first().map_or(end, |(_, at, _)| *at);
        let mut at = restored.as_ref().map_or(from, |(at, _)| *at).min(end);
        let mut mine = mine.into_iter().peekable();
        while at < end {
            at = at.saturating_add(plan.ticks_per_batch * subject.tick()).min(end);
            while let Some((data, time, diff)) = mine.next_if(|(_, time, _)| *time < at) {
                input.update_at(data, time, diff);
            }
            input.advance_to(at);
            input.flush();
            settle(worker, &probe, at, &alarm);
        }
        input.advance_to(end);
        input.flush();
        settle(worker, &probe, end, &alarm);
        if let Some(saved) = take() {
            gathered.lock().expect("no worker panicked").1.push(saved);
        }
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    })
    .expect("threads start")
    .join()
    .into_iter()
    .for_each(|worker| worker.expect("the worker runs to its end"));
    let mut results = results.lock().expect("no worker panicked");
    std::mem::take(&mut *results)
}

/// Raised by a worker that panics, so that the others do not wait for it for ever.
struct Alarm(Arc<AtomicBool>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Steps until everything before a logical time has been told.
fn settle(worker: &mut Worker, probe: &ProbeHandle<i64>, until: i64, alarm: &Alarm) {
    while probe.less_than(&until) {
        worker.step_or_park(Some(Duration::from_millis(20)));
        assert!(!alarm.0.load(Ordering::SeqCst), "another worker panicked");
    }
}

/// The updates that one worker is given: of each logical time in an order of chance.
fn share<D: Data>(updates: &[(D, i64, isize)], plan: Plan, worker: usize) -> Vec<(D, i64, isize)> {
    let chance = |index: usize| fixed_hash(&(plan.shuffle, index));
    let mut mine: Vec<_> = updates
        .iter()
        .enumerate()
        .filter(|(index, _)| chance(*index) as usize % plan.workers == worker)
        .collect();
    mine.sort_by_key(|(index, (_, at, _))| (*at, chance(*index + updates.len())));
    mine.into_iter().map(|(_, update)| update.clone()).collect()
}
