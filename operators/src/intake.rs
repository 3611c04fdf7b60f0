//! Bounded intake: batches from other threads into a worker's dataflow, no faster than it flows.
//!
//! The queues between a dataflow's workers have no bound, so the only way to bound them is not to
//! fill them. A channel of a few batches leads to each worker. A worker takes the next batch only
//! while fewer than a few of those it has taken are still on their way through the dataflow, on
//! whichever worker; then the channel fills, and the sender waits. One stalled worker thus stops
//! all intake, and memory stays where it is.
//!
//! A batch counts as on its way until the probe has passed its last logical time. It is not
//! counted while the input itself may still add to that time: nobody could finish it then.
//!
//! Feeds may end at different clocks, as those of different processes do. Time then stands at the
//! largest of them, and only there does it leave the grid of ticks: a worker whose feed has ended
//! waits until another is beyond its clock, or all have ended.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use crossbeam_channel::{Receiver, SendError, Sender, TryRecvError, bounded};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

/// What is sent to a worker.
#[derive(Debug)]
pub enum Message<B> {
    /// Updates, and what they say about time.
    Batch {
        /// The updates.
        batch: B,
        /// The largest logical time among them.
        last: i64,
        /// No update with a smaller logical time will follow, to any worker.
        frontier: i64,
    },
    /// There is no more on this feed. The frontier of its last batch is the tick of the clock.
    End {
        /// The instant up to which, inclusive, deadlines have come, unless another feed's is later;
        /// `None` if time never began.
        clock: Option<i64>,
    },
}

/// The sending end of a worker's channel.
#[derive(Debug)]
pub struct Feed<B> {
    messages: Sender<Message<B>>,
    worker: Arc<OnceLock<Thread>>,
}

impl<B> Feed<B> {
    /// Sends, waiting while the channel is full.
    ///
    /// # Errors
    ///
    /// The message, if the worker is gone.
    pub fn send(&self, message: Message<B>) -> Result<(), SendError<Message<B>>> {
        self.messages.send(message)?;
        if let Some(worker) = self.worker.get() {
            worker.unpark();
        }
        Ok(())
    }
}

impl<B> Drop for Feed<B> {
    fn drop(&mut self) {
        // A parked worker must see that nobody will send any more.
        let (closed, _) = bounded(0);
        self.messages = closed;
        if let Some(worker) = self.worker.get() {
            worker.unpark();
        }
    }
}

/// The receiving end of a worker's channel.
#[derive(Debug)]
pub struct Intake<B> {
    messages: Receiver<Message<B>>,
    worker: Arc<OnceLock<Thread>>,
    in_flight_max: usize,
}

/// A channel of `channel_max` batches to a worker that has at most `in_flight_max` on their way.
pub fn intake<B>(channel_max: usize, in_flight_max: usize) -> (Feed<B>, Intake<B>) {
    let (sender, receiver) = bounded(channel_max);
    let worker = Arc::new(OnceLock::new());
    let feed = Feed { messages: sender, worker: Arc::clone(&worker) };
    (feed, Intake { messages: receiver, worker, in_flight_max })
}

/// Inputs of a dataflow that take batches and advance together.
pub trait Inputs<B> {
    /// Adds the updates of a batch.
    fn give(&mut self, batch: B);
    /// Advances every input to a logical time and flushes it.
    fn advance_to(&mut self, time: i64);
}

impl<B> Intake<B> {
    /// Runs the worker until the feed ends or is dropped and all of it has flown through; the
    /// caller then drops its inputs. Must be called on the worker's own thread, and by all workers
    /// alike: it builds a dataflow.
    pub fn drive(self, worker: &mut Worker, inputs: &mut impl Inputs<B>, probe: &ProbeHandle<i64>) {
        self.worker.get_or_init(std::thread::current);
        let mut ends = Ends::new(worker);
        let mut in_flight: VecDeque<i64> = VecDeque::new();
        let mut frontier = i64::MIN;
        loop {
            in_flight.retain(|last| probe.less_equal(last));
            let unfinished = in_flight.iter().filter(|last| **last < frontier).count();
            if unfinished >= self.in_flight_max {
                worker.step_or_park(None);
                continue;
            }
            match self.messages.try_recv() {
                Ok(Message::Batch { batch, last, frontier: next }) => {
                    inputs.give(batch);
                    in_flight.push_back(last);
                    if next > frontier {
                        frontier = next;
                        inputs.advance_to(frontier);
                        ends.advance_to(frontier);
                    }
                    worker.step();
                }
                Ok(Message::End { clock }) => {
                    let Some(last) = ends.agree(worker, clock) else { return };
                    // Off the grid of ticks, just behind the clock: time ends there.
                    let end = last.saturating_add(1).max(frontier);
                    inputs.advance_to(end);
                    while probe.less_than(&end) {
                        worker.step_or_park(None);
                    }
                    return;
                }
                Err(TryRecvError::Empty) => {
                    worker.step_or_park(None);
                }
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }
}

/// Where the feeds of all workers end, as all workers know it.
struct Ends {
    clocks: InputHandle<i64, CapacityContainerBuilder<Vec<i64>>>,
    /// How far the feeds that have not ended are.
    open: ProbeHandle<i64>,
    /// The largest clock of those that have.
    last: Rc<Cell<Option<i64>>>,
}

impl Ends {
    fn new(worker: &mut Worker) -> Self {
        let last = Rc::new(Cell::new(None));
        let known = Rc::clone(&last);
        let (clocks, open) = worker.dataflow(|scope| {
            let (clocks, stream) = scope.new_input::<Vec<i64>>();
            let (open, _) = stream
                .broadcast()
                .inspect(move |clock| known.set(known.get().max(Some(*clock))))
                .probe();
            (clocks, open)
        });
        Self { clocks, open, last }
    }

    fn advance_to(&mut self, frontier: i64) {
        self.clocks.advance_to(frontier);
        self.clocks.flush();
    }

    /// Ends this worker's feed. Gives the clock at which time stands in the end, once all have
    /// ended; `None` if that is for others to say, because one is or will be beyond this clock.
    fn agree(mut self, worker: &mut Worker, clock: Option<i64>) -> Option<i64> {
        let clock = clock?;
        self.clocks.send(clock);
        self.clocks.close();
        while !self.open.done() {
            if !self.open.less_equal(&clock) {
                return None;
            }
            worker.step_or_park(None);
        }
        self.last.get()
    }
}
