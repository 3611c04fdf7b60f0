//! Asking readers to stop where they are, from another thread.
//!
//! Guarantee: a reader that waits for a pipe or a terminal notices as well as one that is busy;
//! what it has been given before counts as read. State: a flag, and a pipe that nobody writes to,
//! whose end is the sign.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// No signal has this number.
const NONE: i32 = 0;

/// Whether inputs shall be read on; the default is that they always are.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Vec<Arc<Asked>>);

#[derive(Debug)]
struct Asked {
    signal: AtomicI32,
    sign: PipeReader,
}

/// Interrupts; dropping it does not.
#[derive(Debug)]
pub struct Interrupter {
    asked: Arc<Asked>,
    sign: Option<PipeWriter>,
}

impl Interrupt {
    /// An interrupt, and what sets it off.
    ///
    /// # Errors
    ///
    /// If the system has no pipe left.
    pub fn new() -> io::Result<(Self, Interrupter)> {
        let (sign, writer) = io::pipe()?;
        let asked = Arc::new(Asked { signal: AtomicI32::new(NONE), sign });
        Ok((Self(vec![Arc::clone(&asked)]), Interrupter { asked, sign: Some(writer) }))
    }

    /// The signal that asks to stop, if one does.
    pub fn signal(&self) -> Option<i32> {
        let mut signals = self.0.iter().map(|asked| asked.signal.load(Ordering::SeqCst));
        signals.find(|signal| *signal != NONE)
    }

    /// What this one sets off, or another.
    pub fn or(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// Waits for so long, or until interrupted.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<()> {
        let at_most = Timespec::try_from(at_most).ok();
        let signs = self.0.iter().map(|asked| PollFd::new(&asked.sign, PollFlags::IN));
        match poll(&mut signs.collect::<Vec<_>>(), at_most.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until something can be read, or is known never to come, or for so long; false if
    /// interrupted.
    pub(crate) fn wait_for(
        &self,
        input: &impl AsFd,
        at_most: Option<Duration>,
    ) -> io::Result<bool> {
        let at_most = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut waiting = vec![PollFd::new(input, PollFlags::IN)];
        waiting.extend(self.0.iter().map(|asked| PollFd::new(&asked.sign, PollFlags::IN)));
        loop {
            match poll(&mut waiting, at_most.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(self.signal().is_none()),
            }
        }
    }
}

impl Interrupter {
    /// Asks all readers to stop, because of a signal.
    pub fn interrupt(&mut self, signal: i32) {
        self.asked.signal.store(signal, Ordering::SeqCst);
        self.sign = None;
    }
}
