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

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use crossbeam_channel::{Receiver, SendError, Sender, TryRecvError, bounded, unbounded};
use timely::dataflow::ProbeHandle;
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
    /// There is no more: time stands at `clock`.
    End {
        /// The instant up to which, inclusive, deadlines have come; `None` if time never began.
        clock: Option<i64>,
    },
}

/// The sending end of a worker's channel.
#[derive(Debug)]
pub struct Feed<B> {
    messages: Sender<Message<B>>,
    cuts: Sender<i64>,
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

impl<B> Feed<B> {
    /// What has the worker cut what it remembers.
    pub fn cutter(&self) -> Cutter {
        Cutter { cuts: self.cuts.clone(), worker: Arc::clone(&self.worker) }
    }

    /// Whether the next [`send`](Self::send) would wait at this moment.
    pub fn is_full(&self) -> bool {
        self.messages.is_full()
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

/// Has a worker cut what it remembers, past the batches that wait for it, and when these have
/// ended.
#[derive(Clone, Debug)]
pub struct Cutter {
    cuts: Sender<i64>,
    worker: Arc<OnceLock<Thread>>,
}

impl Cutter {
    /// Wants what is remembered at a logical time, a multiple of the tick, of which or later nobody
    /// has sent an update yet. Until the worker knows of it nobody may.
    pub fn cut(&self, at: i64) {
        // A worker that is gone is cut no more.
        let _ = self.cuts.send(at);
        if let Some(worker) = self.worker.get() {
            worker.unpark();
        }
    }
}

/// The receiving end of a worker's channel.
#[derive(Debug)]
pub struct Intake<B> {
    messages: Receiver<Message<B>>,
    cuts: Receiver<i64>,
    worker: Arc<OnceLock<Thread>>,
    in_flight_max: usize,
}

/// A channel of `channel_max` batches to a worker that has at most `in_flight_max` on their way.
pub fn intake<B>(channel_max: usize, in_flight_max: usize) -> (Feed<B>, Intake<B>) {
    let (sender, receiver) = bounded(channel_max);
    let (cuts_sender, cuts) = unbounded();
    let worker = Arc::new(OnceLock::new());
    let feed = Feed { messages: sender, cuts: cuts_sender, worker: Arc::clone(&worker) };
    (feed, Intake { messages: receiver, cuts, worker, in_flight_max })
}

/// Inputs of a dataflow that take batches and advance together.
pub trait Inputs<B> {
    /// Adds the updates of a batch.
    fn give(&mut self, batch: B);
    /// Advances every input to a logical time and flushes it.
    fn advance_to(&mut self, time: i64);
    /// Does all that is done at once for a batch: for who measures that.
    fn take_in(&mut self, work: impl FnOnce(&mut Self))
    where
        Self: Sized,
    {
        work(self);
    }
    /// Closes every input, and says at which instant time stands then.
    fn end(&mut self, clock: Option<i64>);
    /// Wants what is remembered at a logical time.
    fn cut(&mut self, at: i64) {
        let _ = at;
    }
    /// Everything before the logical time of the last [cut](Self::cut) has flown through.
    fn has_cut(&mut self) {}
}

/// How far a worker has come with its feed.
enum Stage {
    Open,
    /// There is no more of it, and the inputs wait for time to come to the cut.
    Ending(Option<i64>),
    /// The inputs are closed; those of other workers may not be.
    Closed,
}

impl<B> Intake<B> {
    /// Runs the worker until the feed has ended and all has flown through, from whichever worker.
    /// If the feed is dropped before it has ended, until then: the caller drops its inputs. Must be
    /// called on the worker's own thread.
    pub fn drive(self, worker: &mut Worker, inputs: &mut impl Inputs<B>, probe: &ProbeHandle<i64>) {
        self.worker.get_or_init(std::thread::current);
        let mut in_flight: VecDeque<i64> = VecDeque::new();
        let mut frontier = i64::MIN;
        let (mut stage, mut cut) = (Stage::Open, None);
        // An input that starts at a time is scheduled by the first step. If it had sent something by
        // then, that would not be handed on when time goes on: it hands on what it has sent since.
        worker.step();
        loop {
            if let Ok(at) = self.cuts.try_recv() {
                inputs.cut(at);
                cut = Some(at);
            }
            if cut.is_some_and(|at| !probe.less_than(&at)) {
                inputs.has_cut();
                cut = None;
            }
            match stage {
                Stage::Open => {}
                // Where time has come to the cut, nothing more is needed for it.
                Stage::Ending(_) if cut.is_some_and(|at| at <= frontier) => {
                    worker.step_or_park(None);
                    continue;
                }
                Stage::Ending(clock) => {
                    inputs.end(clock);
                    stage = Stage::Closed;
                    continue;
                }
                // A dataflow that is complete is gone, and its probe may not have heard of that.
                Stage::Closed if probe.done() || !worker.step_or_park(None) => return,
                Stage::Closed => continue,
            }
            in_flight.retain(|last| probe.less_equal(last));
            let unfinished = in_flight.iter().filter(|last| **last < frontier).count();
            if unfinished >= self.in_flight_max {
                worker.step_or_park(None);
                continue;
            }
            match self.messages.try_recv() {
                Ok(Message::Batch { batch, last, frontier: next }) => {
                    in_flight.push_back(last);
                    inputs.take_in(|inputs| {
                        inputs.give(batch);
                        if next > frontier {
                            frontier = next;
                            inputs.advance_to(frontier);
                        }
                        worker.step();
                    });
                }
                Ok(Message::End { clock }) => stage = Stage::Ending(clock),
                Err(TryRecvError::Empty) => {
                    worker.step_or_park(None);
                }
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }
}
