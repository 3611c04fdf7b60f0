//! A replay whose outputs stay in memory: of an entity that is explained, of a case that is tested.
//!
//! It is the dataflow of every replay, read and fed as ever; only what it gathers goes to whoever
//! asked instead of the writer.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use limbeck_operators::intake::{Intake, intake};
use limbeck_operators::timeline::Timing;

use super::{CHANNEL_MAX, Failure, IN_FLIGHT_MAX, StopsProcess};
use crate::metrics::Metrics;
use crate::pipeline::{self, Gathered, Remembering};
use crate::rules::Rules;
use crate::sources::intake::{Batch, Clockwork, Matcher, Outcome, Partition, ReadTo, Traced, read};

/// How it is replayed.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// How finely history is resolved.
    pub tick_ns: i64,
    /// The instant at which it ends; at the last arrival if none.
    pub until_ns: Option<i64>,
    /// Which records are traced.
    pub traced: Traced,
    /// On how many workers.
    pub workers: usize,
}

/// Replays partitions, through the rules of the matcher, into what takes all that is gathered.
///
/// # Errors
///
/// [`Failure`], if there can be no workers, or one met a defect.
pub fn collect<T: Send + Default + 'static>(
    partitions: Vec<Partition>,
    matcher: &Matcher,
    how: How,
    to: T,
    take: fn(&mut T, Gathered),
) -> Result<(T, Outcome), Failure> {
    let rules = matcher.rules();
    let clockwork = Clockwork {
        timing: Timing { lateness: rules.lateness_ns, tick: how.tick_ns },
        max_advance_ns: rules.max_advance_ns,
        from_ns: None,
        until_ns: how.until_ns,
        block_bytes: None,
        traced: how.traced,
    };
    let (feeds, intakes): (Vec<_>, Vec<_>) =
        (0..how.workers).map(|_| intake(CHANNEL_MAX, IN_FLIGHT_MAX)).unzip();
    let taken = Arc::new(Mutex::new(to));
    let to = Arc::clone(&taken);
    let receive = move |gathered| {
        if let Ok(mut to) = to.lock() {
            take(&mut to, gathered);
        }
    };
    let workers = start(rules, how, intakes, receive)?;
    let stop = AtomicBool::new(false);
    let to = ReadTo {
        feeds: &feeds,
        stop: &stop,
        progress: &|_| (),
        saver: None,
        metrics: &Metrics::default(),
    };
    let outcome = read(partitions, matcher, clockwork, to);
    drop(feeds);
    for worker in workers.join() {
        worker.map_err(Failure::Worker)?;
    }
    let taken = std::mem::take(&mut *taken.lock().map_err(|e| Failure::Worker(e.to_string()))?);
    Ok((taken, outcome))
}

fn start(
    rules: &Rules,
    how: How,
    intakes: Vec<Intake<Batch>>,
    receive: impl Fn(Gathered) + Clone + Send + Sync + 'static,
) -> Result<timely::communication::WorkerGuards<()>, Failure> {
    let is_traced = !matches!(how.traced, Traced::Nothing);
    let options = pipeline::Options { tick_ns: how.tick_ns, across: false, traced: is_traced };
    let config = match how.workers {
        1 => timely::Config::thread(),
        workers => timely::Config::process(workers),
    };
    let intakes: Mutex<Vec<_>> = Mutex::new(intakes.into_iter().map(Some).collect());
    let (rules, workers) = (rules.clone(), how.workers);
    timely::execute(config, move |worker| {
        let taken = |slot: usize| intakes.lock().ok().and_then(|mut all| all[slot].take());
        let mine = taken(worker.index()).expect("each worker takes its own intake");
        // One that is alone takes nobody with it.
        let _defect = (workers > 1).then_some(StopsProcess);
        let receive = receive.clone();
        let (mut inputs, probe) = worker.dataflow(|scope| {
            pipeline::build(scope, &rules, options, Remembering::nothing(), receive)
        });
        mine.drive(worker, &mut inputs, &probe);
    })
    .map_err(Failure::Start)
}
