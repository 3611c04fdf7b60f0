//! Where workers spend their time, and what their operators keep, by timely's own logging.
//!
//! Guarantees: the time of an operator is its own, without that of those within it. State: of each
//! operator what is added up, and of a worker those that are running.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use limbeck_operators::footprint::{FOOTPRINTS, Footprint, FootprintBuilder};
use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use super::{Took, locked};

/// What all workers together spent, and keep, by the name of an operator.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    operators: BTreeMap<String, Spent>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) runs: u64,
    pub(super) time: Duration,
    /// At their most.
    keys: usize,
    bytes: usize,
}

/// Listens to what a worker does.
pub(crate) struct Listening(Rc<RefCell<OfWorker>>);

/// What a worker spent so far, by the number of an operator.
#[derive(Default)]
pub(super) struct OfWorker {
    pub(super) operators: BTreeMap<usize, (String, Spent)>,
    /// Which run, the outermost first: since when, and how long others did within.
    running: Vec<(usize, Duration, Duration)>,
}

impl OfWorker {
    pub(super) fn hear(&mut self, at: Duration, event: TimelyEvent) {
        match event {
            TimelyEvent::Operates(operates) => {
                self.operators.insert(operates.id, (operates.name, Spent::default()));
            }
            TimelyEvent::Schedule(schedule) => match schedule.start_stop {
                StartStop::Start => self.running.push((schedule.id, at, Duration::ZERO)),
                StartStop::Stop => self.stop(at),
            },
            _ => {}
        }
    }

    fn stop(&mut self, at: Duration) {
        let Some((id, since, within)) = self.running.pop() else { return };
        let time = at.saturating_sub(since);
        if let Some((.., within)) = self.running.last_mut() {
            *within += time;
        }
        if let Some((_, spent)) = self.operators.get_mut(&id) {
            spent.runs += 1;
            spent.time += time.saturating_sub(within);
        }
    }

    fn keeps(&mut self, Footprint { operator, keys, bytes }: Footprint) {
        if let Some((_, spent)) = self.operators.get_mut(&operator) {
            (spent.keys, spent.bytes) = (spent.keys.max(keys), spent.bytes.max(bytes));
        }
    }
}

impl Listening {
    /// Begins to listen, before the worker builds its dataflow.
    pub(crate) fn to(worker: &Worker) -> Self {
        let of_worker = Rc::<RefCell<OfWorker>>::default();
        if let Some(mut register) = worker.log_register() {
            let hears = Rc::clone(&of_worker);
            register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
                let mut hears = hears.borrow_mut();
                let events = events.iter_mut().flat_map(|events| events.drain(..));
                events.for_each(|(at, event)| hears.hear(at, event));
            });
            let hears = Rc::clone(&of_worker);
            register.insert::<FootprintBuilder, _>(FOOTPRINTS, move |_, events| {
                let mut hears = hears.borrow_mut();
                let events = events.iter_mut().flat_map(|events| events.drain(..));
                events.for_each(|(_, footprint)| hears.keeps(footprint));
            });
        }
        Self(of_worker)
    }

    /// Adds what the worker did to what all did.
    pub(crate) fn end(self, worker: &Worker, profile: &Mutex<Profile>) {
        if let Some(mut register) = worker.log_register() {
            register.flush();
        }
        let of_worker = self.0.borrow();
        let mut profile = locked(profile);
        for (name, spent) in of_worker.operators.values() {
            let of = profile.operators.entry(name.clone()).or_default();
            of.runs += spent.runs;
            of.time += spent.time;
            of.keys += spent.keys;
            of.bytes += spent.bytes;
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.operators.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = width.max("operator".len());
        write!(f, "{:<width$} {:>9} {:>10}", "operator", "runs", "time")?;
        write!(f, " {:>12} {:>14}", "keys at most", "bytes at most")?;
        let mut operators: Vec<_> = self.operators.iter().collect();
        operators.sort_by_key(|(name, spent)| (std::cmp::Reverse(spent.time), *name));
        for (name, Spent { runs, time, keys, bytes }) in operators {
            let time = Took(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            write!(f, "\n{name:<width$} {runs:>9} {time:>10}")?;
            if *bytes > 0 {
                write!(f, " {keys:>12} {bytes:>14}")?;
            }
        }
        Ok(())
    }
}
