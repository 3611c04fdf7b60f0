//! Wall time, CPU time and peak memory, of this process and of others that it starts.

use std::fs;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::Failure;

/// What a run has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// Of all threads, in user and kernel mode.
    pub(super) cpu_seconds: f64,
    /// None where it cannot be told apart from that of the rest of the process.
    pub(super) peak_bytes: Option<u64>,
}

/// Runs something in this process, of which nothing else may run at the time.
pub(super) fn here<T>(work: impl FnOnce() -> T) -> (Cost, T) {
    let cpu_before = own_cpu_seconds();
    let started = now();
    let result = work();
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = own_cpu_seconds() - cpu_before;
    (Cost { seconds, cpu_seconds, peak_bytes: None }, result)
}

/// A time in which another program runs, from start to end.
pub(super) struct Span {
    started: Instant,
    cpu_before: f64,
}

impl Span {
    pub(super) fn start() -> Self {
        Self { cpu_before: children_cpu_seconds(), started: now() }
    }

    /// What it has cost. The kernel counts CPU time in hundredths of a second.
    pub(super) fn end(self) -> Cost {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu_seconds = children_cpu_seconds() - self.cpu_before;
        Cost { seconds, cpu_seconds, peak_bytes: None }
    }
}

/// Runs a program to its end.
pub(super) fn program(command: &mut Command) -> Result<(Cost, Output), Failure> {
    let span = Span::start();
    let output = command.output();
    let cost = span.end();
    let name = command.get_program().to_string_lossy();
    let output = output.map_err(|error| Failure::Program(format!("{name}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Program(format!("{name} ended with {}: {said}", output.status)));
    }
    Ok((cost, output))
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since the Unix epoch, as far as this machine knows.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub(super) fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "a bench that is paced waits")]
pub(super) fn pause(duration: Duration) {
    thread::sleep(duration);
}

fn own_cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// Of all processes that this one has started and waited for; zero where the kernel does not say.
fn children_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, in parentheses, is a name that may hold anything.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Where a measurement was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) model: String,
    /// How many threads wanted to run in the minute before.
    pub(super) load_before: f64,
}

impl Machine {
    pub(super) fn here() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().and_then(|load| load.parse().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: model.map_or("unknown", |(_, model)| model.trim()).to_owned(),
            load_before: load.unwrap_or(0.0),
        }
    }
}
