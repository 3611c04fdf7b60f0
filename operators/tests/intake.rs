//! Intake stops while the dataflow lags: a worker that stalls stops the sender within a bound, and
//! when it goes on, everything arrives.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use limbeck_operators::intake::{Feed, Inputs, Intake, Message, intake};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};

const CHANNEL_MAX: usize = 2;
const IN_FLIGHT_MAX: usize = 3;
const WORKERS: usize = 2;
const BATCHES: u64 = 500;

/// A door that a worker waits at until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }
}

struct Numbers {
    /// None when it is closed.
    input: Option<InputHandle<i64, CapacityContainerBuilder<Vec<u64>>>>,
    taken: Arc<AtomicU64>,
}

impl Inputs<Vec<u64>> for Numbers {
    fn give(&mut self, mut batch: Vec<u64>) {
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.input.as_mut().unwrap().send_batch(&mut batch);
    }

    fn advance_to(&mut self, time: i64) {
        let input = self.input.as_mut().unwrap();
        input.advance_to(time);
        input.flush();
    }

    fn end(&mut self, clock: Option<i64>) {
        assert_eq!(clock, Some(BATCHES as i64));
        self.input = None;
    }
}

#[test]
fn a_stalled_worker_stops_the_intake_and_loses_nothing() {
    let (feeds, intakes): (Vec<Feed<_>>, Vec<Intake<_>>) =
        (0..WORKERS).map(|_| intake(CHANNEL_MAX, IN_FLIGHT_MAX)).unzip();
    let gate = Arc::new(Gate::default());
    let (taken, sum) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let workers = start(intakes, &gate, &taken, &sum);

    let mut sent_when_stopped = None;
    for number in 0..BATCHES {
        let feed = &feeds[number as usize % WORKERS];
        if sent_when_stopped.is_none() && number as usize % WORKERS == 1 && feed.is_full() {
            // Worker 1 has not begun, so it has taken nothing. Worker 0 takes what its limit
            // allows and no more, since nothing can be finished.
            sent_when_stopped = Some(number);
            assert!(taken.load(Ordering::SeqCst) <= IN_FLIGHT_MAX as u64 + 1);
            gate.open();
        }
        let at = number as i64;
        feed.send(Message::Batch { batch: vec![number], last: at, frontier: at }).unwrap();
    }
    for feed in &feeds {
        feed.send(Message::End { clock: Some(BATCHES as i64) }).unwrap();
    }
    workers.join().into_iter().for_each(|worker| worker.unwrap());

    let bound = (WORKERS * CHANNEL_MAX + IN_FLIGHT_MAX + 2) as u64;
    assert!(sent_when_stopped.is_some_and(|sent| sent <= bound), "{sent_when_stopped:?}");
    assert_eq!(taken.load(Ordering::SeqCst), BATCHES);
    assert_eq!(sum.load(Ordering::SeqCst), BATCHES * (BATCHES - 1) / 2);
}

#[test]
fn a_feed_that_is_dropped_ends_its_worker() {
    let (feeds, intakes): (Vec<Feed<_>>, Vec<Intake<_>>) =
        (0..WORKERS).map(|_| intake(CHANNEL_MAX, IN_FLIGHT_MAX)).unzip();
    let gate = Arc::new(Gate::default());
    gate.open();
    let (taken, sum) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let workers = start(intakes, &gate, &taken, &sum);
    feeds[0].send(Message::Batch { batch: vec![7], last: 0, frontier: 0 }).unwrap();
    drop(feeds);
    workers.join().into_iter().for_each(|worker| worker.unwrap());
    assert_eq!(sum.load(Ordering::SeqCst), 7);
}

/// Of a flow that starts at a time, the first batch may be of that time.
#[test]
fn what_comes_before_time_goes_on_is_not_lost() {
    let (feeds, intakes): (Vec<Feed<_>>, Vec<Intake<_>>) =
        (0..WORKERS).map(|_| intake(CHANNEL_MAX, IN_FLIGHT_MAX)).unzip();
    let gate = Arc::new(Gate::default());
    gate.open();
    let (taken, sum) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for feed in &feeds {
        feed.send(Message::Batch { batch: vec![7], last: 0, frontier: 0 }).unwrap();
        feed.send(Message::End { clock: Some(BATCHES as i64) }).unwrap();
    }
    let workers = start(intakes, &gate, &taken, &sum);
    workers.join().into_iter().for_each(|worker| worker.unwrap());
    assert_eq!(sum.load(Ordering::SeqCst), 7 * WORKERS as u64);
}

/// Workers that add up what they are sent, each number on the other worker; the last waits at the
/// gate before it begins.
fn start(
    intakes: Vec<Intake<Vec<u64>>>,
    gate: &Arc<Gate>,
    taken: &Arc<AtomicU64>,
    sum: &Arc<AtomicU64>,
) -> timely::communication::WorkerGuards<()> {
    let intakes: Mutex<Vec<_>> = Mutex::new(intakes.into_iter().map(Some).collect());
    let (gate, taken, sum) = (Arc::clone(gate), Arc::clone(taken), Arc::clone(sum));
    timely::execute(timely::Config::process(WORKERS), move |worker| {
        let mine = intakes.lock().unwrap()[worker.index()].take().unwrap();
        let sum = Arc::clone(&sum);
        let (mut numbers, probe) = worker.dataflow(|scope| {
            let (mut input, stream) = scope.new_input();
            input.advance_to(0);
            let pact = Exchange::new(|number: &u64| number + 1);
            type Nothing = CapacityContainerBuilder<Vec<()>>;
            let added = stream.unary::<Nothing, _, _, _>(pact, "add", |_, _| {
                move |input, _| {
                    input.for_each(|_, batch| {
                        sum.fetch_add(batch.drain(..).sum(), Ordering::SeqCst);
                    });
                }
            });
            let input = Some(input);
            (Numbers { input, taken: Arc::clone(&taken) }, added.probe().0)
        });
        if worker.index() == WORKERS - 1 {
            gate.wait();
        }
        mine.drive(worker, &mut numbers, &probe);
    })
    .unwrap()
}
