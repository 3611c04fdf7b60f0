//! `limbeck supervise`: starts a command of ours again when it has died.
//!
//! What ended on purpose is not started again: done, refused for what it was asked, or stopped by a
//! signal that came here. All else is, after a while that doubles with each death in a row.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::args::SuperviseArgs;
use super::{
    CONFIGURATION, DAMAGED, FAILED, MISSING, NOT_CREATED, UNAVAILABLE, USAGE, complain, fail,
    signals,
};
use crate::model::duration::format_duration;
use crate::sources::Interrupt;

/// The output cannot be created: it will not be the next time.
/// So often a child is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(args: &SuperviseArgs) -> u8 {
    let interrupt = match signals::interrupt() {
        Ok(interrupt) => interrupt,
        Err(error) => return fail(UNAVAILABLE, &format!("signals cannot be heard: {error}")),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return fail(UNAVAILABLE, &format!("limbeck cannot find itself: {error}")),
    };
    let (least, most) = (nanos(args.backoff), nanos(args.backoff_max));
    let mut wait = least;
    loop {
        let started = now();
        let mut child = match Command::new(&program).args(&args.command).spawn() {
            Ok(child) => child,
            Err(error) => return fail(UNAVAILABLE, &format!("limbeck cannot start: {error}")),
        };
        complain(&format_args!("limbeck: process {} runs", child.id()));
        let status = match ended(&mut child, &interrupt) {
            Ok(status) => status,
            Err(error) => return fail(UNAVAILABLE, &format!("the process is lost: {error}")),
        };
        if interrupt.signal().is_some() || is_final(status) {
            return code(status);
        }
        // What has run for long is not dying again and again.
        wait = if started.elapsed() >= most { least } else { wait };
        let again = format_duration(wait.as_nanos() as i64);
        complain(&format_args!(
            "limbeck: process {} died ({status}); again in {again}",
            child.id()
        ));
        if interrupt.wait(wait).is_err() || interrupt.signal().is_some() {
            return code(status);
        }
        wait = (2 * wait).min(most);
    }
}

fn nanos(duration: i64) -> Duration {
    Duration::from_nanos(duration.cast_unsigned())
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "how long a process lived is no result")]
    Instant::now()
}

/// Waits for the end of a process, which hears of the signal that comes here.
fn ended(child: &mut Child, interrupt: &Interrupt) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Some(signal) = interrupt.signal() {
            let signal = Signal::from_named_raw(signal).unwrap_or(Signal::TERM);
            kill_process(Pid::from_child(child), signal)?;
            return child.wait();
        }
        interrupt.wait(LOOK)?;
    }
}

/// Whether the same would come of it again.
fn is_final(status: ExitStatus) -> bool {
    let refused = [0, FAILED, USAGE, DAMAGED, MISSING, NOT_CREATED, CONFIGURATION];
    status.code().is_some_and(|code| refused.iter().any(|known| i32::from(*known) == code))
}

fn code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => signals::exit_code(signal),
        (None, None) => UNAVAILABLE,
    }
}
