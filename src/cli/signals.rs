//! Signals. Of SIGINT and SIGTERM the first ends a replay with what has been read, another one at
//! once. SIGXFSZ does nothing.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::sinks::exit_without_outputs;
use crate::sources::Interrupt;

/// What comes sooner is the same request: `timeout` sends its signal to the process, then to its
/// group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Begins to listen; gives the interrupt that the first signal sets off.
///
/// # Errors
///
/// If the system refuses a thread, a pipe or the signals.
pub(super) fn interrupt() -> io::Result<Interrupt> {
    let (interrupt, mut interrupter) = Interrupt::new()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            #[expect(clippy::disallowed_methods, reason = "when a person asks, no result")]
            let now = Instant::now();
            match first {
                None => {
                    interrupter.interrupt(signal);
                    first = Some(now);
                }
                Some(first) if now - first < SAME_REQUEST => {}
                Some(_) => exit_without_outputs(exit_code(signal).into()),
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(interrupt)
}

/// Has a file that may not grow be an error of who writes it, as a full disk is: the signal alone
/// would end the process.
pub(super) fn outlive_limits_of_files() {
    // Without it the limit is still kept.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

/// What a shell says of a process that a signal ends.
pub(super) fn exit_code(signal: i32) -> u8 {
    128_u8.wrapping_add(signal as u8)
}
