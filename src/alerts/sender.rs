//! The sender: threads that empty an outbox into its sink.
//!
//! Guarantees: each notification is delivered at least once, with the same key every time; one of a
//! lane (an entity and a rule, and so an episode) is tried only when the one before is done, while
//! other lanes go on. What fails is tried again, for ever, ever more rarely; what the sink refuses
//! is kept aside with the reason. State: so many notifications as are looked at at once; the others
//! wait on disk.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use limbeck_operators::hash::fixed_hash;

use super::outbox::{Entry, Outbox};
use crate::sinks::OutputError;
use crate::sources::Interrupt;

/// So many notifications of a sink are looked at at once.
const WINDOW_MAX: usize = 256;
const THREADS: usize = 4;

/// Sends one notification, once.
pub trait Transport: Send + Sync + 'static {
    /// What came of it.
    fn send(&self, entry: &Entry) -> Outcome;
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// It may be otherwise another time.
    Failed {
        /// What was seen.
        reason: String,
        /// What the sink says how long to wait, if it does.
        retry_after: Option<Duration>,
    },
    /// It will not be otherwise another time.
    Refused {
        /// What was seen.
        reason: String,
    },
}

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first, at most; twice as long after each other.
    pub first: Duration,
    /// Never longer, but for what the sink says.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_mins(1) }
    }
}

/// No sink can make us wait for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

impl Backoff {
    /// How long to wait after so many attempts: drawn from the upper half, by the key.
    fn wait(&self, key: u128, attempts: u32, retry_after: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        let at_most = doubled.min(self.longest);
        let drawn = fixed_hash(&(key, attempts)) % 1024;
        let wait = at_most / 2 + at_most / 2 * u32::try_from(drawn).unwrap_or(0) / 1024;
        wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }
}

/// What has become of the notifications of a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The sink has them.
    pub delivered: u64,
    /// The sink has refused them.
    pub refused: u64,
    /// They are in the outbox still.
    pub left: u64,
    /// What was seen last of those that are left.
    pub reason: Option<String>,
}

/// A notification that is looked at.
struct Waiting {
    entry: Entry,
    attempts: u32,
    /// Not before then; a thread has it if there is no instant.
    due: Option<Instant>,
}

struct State {
    outbox: Outbox,
    window: Vec<Waiting>,
    delivery: Delivery,
    stopped: bool,
    failed: Option<OutputError>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Empties an outbox. Dropped, it sends no more; what is left stays in the outbox.
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Starts to send.
    pub fn start(outbox: Outbox, transport: impl Transport, backoff: Backoff) -> Self {
        let delivery = Delivery::default();
        let state = State { outbox, window: Vec::new(), delivery, stopped: false, failed: None };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let transport = Arc::new(transport);
        for _ in 0..THREADS {
            let (shared, transport) = (Arc::clone(&shared), Arc::clone(&transport));
            let thread = thread::Builder::new().name("sender".to_owned());
            let run = move || {
                while let Some((entry, attempts)) = shared.take() {
                    let outcome = transport.send(&entry);
                    shared.settle(&entry, attempts, outcome, backoff);
                }
            };
            thread.spawn(run).expect("a thread can be started");
        }
        Self { shared }
    }

    /// Puts notifications into the outbox: key, lane and JSON of each. They outlive the process
    /// when this returns, and are sent.
    ///
    /// # Errors
    /// If the outbox cannot be written, or sending has failed for that.
    pub fn send(
        &self,
        notifications: impl IntoIterator<Item = (u128, u64, String)>,
    ) -> Result<(), OutputError> {
        let mut state = self.shared.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        for (key, lane, body) in notifications {
            state.outbox.add(key, lane, body);
        }
        state.outbox.commit()?;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until the outbox is empty, or until an instant, or an interrupt, and says what is so.
    ///
    /// # Errors
    /// If the outbox could not be read or written.
    pub fn drain(&self, until: Instant, interrupt: &Interrupt) -> Result<Delivery, OutputError> {
        /// So often an interrupt is looked for.
        const LOOK: Duration = Duration::from_millis(100);
        let mut state = self.shared.lock();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            let left = state.outbox.left();
            let over = until.saturating_duration_since(now());
            if left == 0 || over.is_zero() || interrupt.signal().is_some() {
                state.stopped = true;
                self.shared.changed.notify_all();
                return Ok(Delivery { left, ..state.delivery.clone() });
            }
            let waited = self.shared.changed.wait_timeout(state, over.min(LOOK));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked meanwhile was sending, and has changed nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a notification that may be sent; none if there is nothing to do any more.
    fn take(&self) -> Option<(Entry, u32)> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.failed.is_some() {
                return None;
            }
            if let Err(error) = state.fill() {
                state.failed = Some(error);
                self.changed.notify_all();
                return None;
            }
            let now = now();
            state = match state.ready(now) {
                Ready::Now(index) => {
                    let waiting = &mut state.window[index];
                    waiting.due = None;
                    return Some((waiting.entry.clone(), waiting.attempts + 1));
                }
                Ready::At(instant) => {
                    let wait = instant.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Ready::Unknown => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Notes what came of an attempt.
    fn settle(&self, entry: &Entry, attempts: u32, outcome: Outcome, backoff: Backoff) {
        let mut state = self.lock();
        let State { outbox, window, delivery, failed, .. } = &mut *state;
        let index = window.iter().position(|waiting| waiting.entry.number == entry.number);
        let index = index.expect("what is sent is looked at");
        let settled = match outcome {
            Outcome::Failed { reason, retry_after } => {
                let wait = backoff.wait(entry.key, attempts, retry_after);
                (window[index].attempts, window[index].due) = (attempts, Some(now() + wait));
                delivery.reason = Some(reason);
                Ok(())
            }
            Outcome::Delivered => {
                window.remove(index);
                delivery.delivered += 1;
                outbox.done(entry.number)
            }
            Outcome::Refused { reason } => {
                window.remove(index);
                delivery.refused += 1;
                outbox.give_up(entry, &reason)
            }
        };
        if let Err(error) = settled {
            *failed = Some(error);
        }
        self.changed.notify_all();
    }
}

/// When the next can be sent.
enum Ready {
    /// This one, by its index.
    Now(usize),
    At(Instant),
    /// When something has changed.
    Unknown,
}

impl State {
    /// Looks at as many as may be looked at.
    fn fill(&mut self) -> Result<(), OutputError> {
        while self.window.len() < WINDOW_MAX {
            let Some(entry) = self.outbox.take()? else { break };
            self.window.push(Waiting { entry, attempts: 0, due: Some(now()) });
        }
        Ok(())
    }

    /// The first that is the first of its lane.
    fn ready(&self, now: Instant) -> Ready {
        let mut lanes = Vec::with_capacity(self.window.len());
        let mut next: Option<Instant> = None;
        for (index, Waiting { entry, due, .. }) in self.window.iter().enumerate() {
            if lanes.contains(&entry.lane) {
                continue;
            }
            lanes.push(entry.lane);
            match due {
                Some(due) if *due <= now => return Ready::Now(index),
                Some(due) => next = Some(next.map_or(*due, |next| next.min(*due))),
                None => {}
            }
        }
        next.map_or(Ready::Unknown, Ready::At)
    }
}

#[expect(clippy::disallowed_methods, reason = "an edge: between attempts real time passes")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
