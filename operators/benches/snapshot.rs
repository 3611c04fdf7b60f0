//! How long a worker stops for a snapshot of its keys, and how long restoring them takes.
//!
//!     cargo bench -p limbeck-operators --bench snapshot [-- KEYS]
//!
//! A million keys unless said otherwise, on one worker, each in a state that lasts and with an event
//! that may yet be amended for one in ten of them.

#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use differential_dataflow::input::InputSession;
use limbeck_operators::machines::hold_down::{HoldDown, Observed};
use limbeck_operators::snapshots::{Snapshot, Snapshots};
use limbeck_operators::timeline::{Timeline, Timing};
use smol_str::{SmolStr, format_smolstr};

const RUNS: usize = 5;
const HOUR: i64 = 3_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Since 1970, as times of telemetry are.
const START: i64 = 490_000 * HOUR;

type Key = (u16, SmolStr);

fn main() {
    let keys = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    println!("{keys} keys on one worker, {RUNS} runs");
    for _ in 0..RUNS {
        let (taken, snapshot) = take(keys);
        let bytes = snapshot.bytes().len();
        let restored = restore(snapshot);
        println!(
            "  taken in {:>4} ms, {:>5.1} MB, {} bytes a key; restored in {:>4} ms",
            taken.as_millis(),
            bytes as f64 / 1e6,
            bytes as u64 / keys,
            restored.as_millis()
        );
    }
}

/// How long the worker stops for a snapshot of so many keys.
fn take(keys: u64) -> (Duration, Snapshot<Key>) {
    timely::execute_directly(move |worker| {
        let snapshots = Snapshots::new();
        let mut input = InputSession::new();
        let probe = worker.dataflow(|scope| {
            let timing = Timing { lateness: 5 * SECOND, tick: SECOND };
            let timeline = Timeline::new("bench", HoldDown::uniform(30 * SECOND), timing);
            let outputs = timeline.with_snapshots(&snapshots).build(input.to_collection(scope));
            outputs.oks.probe().0
        });
        let at = START + HOUR;
        for (time, nth) in [(START, 1), (START + 60 * SECOND, 1), (at - SECOND, 10)] {
            input.advance_to(time);
            for number in (0..keys).step_by(nth) {
                let key = ((number % 7) as u16, format_smolstr!("pod-{number:08}"));
                input.insert((key, Observed { time: time - (number % 1_000) as i64, state: 1 }));
            }
            input.flush();
            while probe.less_than(&time) {
                worker.step();
            }
        }
        snapshots.request(at);
        input.advance_to(at - 1);
        input.flush();
        while probe.less_than(&(at - 1)) {
            worker.step();
        }
        let started = Instant::now();
        input.advance_to(at);
        input.flush();
        loop {
            worker.step();
            if let Some(snapshot) = snapshots.take() {
                return (started.elapsed(), snapshot);
            }
        }
    })
}

/// How long it takes until all keys are there again.
fn restore(snapshot: Snapshot<Key>) -> Duration {
    timely::execute_directly(move |worker| {
        let started = Instant::now();
        let mut input = InputSession::<i64, (Key, Observed), isize>::new();
        let parts: Arc<[_]> = vec![snapshot].into();
        worker.dataflow(|scope| {
            let timing = Timing { lateness: 5 * SECOND, tick: SECOND };
            let timeline = Timeline::new("bench", HoldDown::uniform(30 * SECOND), timing);
            let _ = timeline.restore_from(parts).build(input.to_collection(scope));
        });
        started.elapsed()
    })
}
