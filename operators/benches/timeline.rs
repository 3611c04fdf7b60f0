//! The hold-down timeline over events in memory, beside a loop that does nothing else.
//!
//!     cargo bench -p limbeck-operators --bench timeline [-- --events N --runs N --only NAME]
//!
//! Events come less than 5 s out of order (or in order, where the name says so), over one hour,
//! spread evenly over the keys; 30 % of them change the state of their key, and a state must last
//! 30 s. The loop keeps a reorder buffer per key and tells only what is final; it has no updates,
//! no revisions, no snapshots and no workers. Both must find the same number of sustained states.
//!
//! Every case is a process of its own, so that the memory of one is not that of another. Memory
//! per key is what the resident set has grown by once all events are in.

#![allow(missing_docs, reason = "a program, not a library")]

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasherDefault, Hasher};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use differential_dataflow::AsCollection;
use limbeck_operators::hash::fixed_hash;
use limbeck_operators::machines::hold_down::{Decision, HoldDown, Observed};
use limbeck_operators::timeline::{Timeline, Timing};
use timely::dataflow::operators::{Input, Inspect, Probe};

const SPAN_MS: i64 = 3_600_000;
const LATENESS_MS: i64 = 5_000;
const HOLD_MS: i64 = 30_000;
const TICK_MS: i64 = 100;
/// What one worker gives its input before it advances, as the intake does.
const BATCH: usize = 2_500;

type Update = ((u64, Observed), i64, isize);

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    keys: u64,
    /// None is the loop.
    workers: Option<usize>,
    disorder_ms: i64,
}

const fn case(name: &'static str, keys: u64, workers: Option<usize>, disorder_ms: i64) -> Case {
    Case { name, keys, workers, disorder_ms }
}

const CASES: [Case; 8] = [
    case("10 k keys, loop", 10_000, None, LATENESS_MS),
    case("10 k keys, 1 worker", 10_000, Some(1), LATENESS_MS),
    case("10 k keys, 2 workers", 10_000, Some(2), LATENESS_MS),
    case("10 k keys in order, loop", 10_000, None, 1),
    case("10 k keys in order, 1 worker", 10_000, Some(1), 1),
    case("1 M keys, loop", 1_000_000, None, LATENESS_MS),
    case("1 M keys, 1 worker", 1_000_000, Some(1), LATENESS_MS),
    case("1 M keys, 2 workers", 1_000_000, Some(2), LATENESS_MS),
];

struct Args {
    events: usize,
    runs: usize,
    only: Option<String>,
    case: Option<String>,
}

fn args() -> Result<Args, String> {
    let mut read = Args { events: 5_000_000, runs: 5, only: None, case: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text}: no number"));
        match arg.as_str() {
            // Cargo says that this is a bench.
            "--bench" => {}
            "--events" => read.events = number(value()?)?,
            "--runs" => read.runs = number(value()?)?,
            "--only" => read.only = Some(value()?),
            "--case" => read.case = Some(value()?),
            other => return Err(format!("{other}: no such option")),
        }
    }
    Ok(read)
}

fn main() -> ExitCode {
    match args().and_then(|args| match &args.case {
        Some(name) => one(name, args.events),
        None => all(&args),
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("timeline: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every case as often as wanted, each time in a process of its own.
fn all(args: &Args) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let wanted = |case: &&Case| args.only.as_ref().is_none_or(|only| case.name.contains(only));
    let (events, runs) = (args.events, args.runs);
    println!("{events} events, hold-down; median of {runs} runs, least and most in brackets\n");
    let columns = ("M events/s", "CPU s/1 M", "bytes/key", "sustained");
    println!("{:<30} {:<22} {:>9} {:>9} {:>9}", "", columns.0, columns.1, columns.2, columns.3);
    for case in CASES.iter().filter(wanted) {
        let mut said: Vec<[f64; 4]> = Vec::new();
        for _ in 0..args.runs {
            let mut command = Command::new(&program);
            command.args(["--case", case.name, "--events", &args.events.to_string()]);
            let output = command.output().map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout);
            let numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(f64::NAN));
            let numbers: Vec<f64> = numbers.collect();
            said.push(numbers.try_into().map_err(|_| format!("{}: {output:?}", case.name))?);
        }
        let column = |index: usize| {
            let mut values: Vec<f64> = said.iter().map(|numbers| numbers[index]).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let speed = |seconds: f64| args.events as f64 / seconds / 1e6;
        let (seconds, middle) = (column(0), args.runs / 2);
        let speeds = format!(
            "{:.2} [{:.2}, {:.2}]",
            speed(seconds[middle]),
            speed(seconds[args.runs - 1]),
            speed(seconds[0])
        );
        let cpu_seconds = column(1)[middle] * 1e6 / args.events as f64;
        let (bytes, sustained) = (column(2)[middle] / case.keys as f64, column(3)[middle]);
        println!("{:<30} {speeds:<22} {cpu_seconds:>9.3} {bytes:>9.0} {sustained:>9}", case.name);
    }
    Ok(())
}

/// Runs one case in this process: seconds, CPU seconds, bytes, sustained states.
fn one(name: &str, events: usize) -> Result<(), String> {
    let case = CASES.iter().find(|case| case.name == name).ok_or("no such case")?;
    let updates = updates(events, case);
    let before_bytes = resident_bytes();
    let cpu_before = cpu_seconds();
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    let started = Instant::now();
    let (sustained, after_bytes) = match case.workers {
        Some(workers) => timeline(updates, workers),
        None => in_a_loop(&updates),
    };
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds() - cpu_before;
    println!("{seconds} {cpu_seconds} {} {sustained}", after_bytes.saturating_sub(before_bytes));
    Ok(())
}

/// Events by logical time, which is their arrival rounded down to the tick.
fn updates(events: usize, case: &Case) -> Vec<Update> {
    let mut states = vec![0; case.keys as usize];
    // Of state changes there are as many as wanted in the order of arrival, more or less.
    let event = |index: usize| {
        let chance = fixed_hash(&index);
        let arrival = index as i64 * SPAN_MS / events as i64;
        // Every key in turn, in rounds of an order of chance.
        let (round, place) = (index as u64 / case.keys, index as u64 % case.keys);
        let key = (place * 7_919 + fixed_hash(&round)) % case.keys;
        let state = &mut states[key as usize];
        *state ^= u32::from(chance % 100 < 30);
        let time = arrival - (chance >> 8) as i64 % case.disorder_ms;
        let observed = Observed { time, state: *state };
        ((key, observed), arrival - arrival % TICK_MS, 1)
    };
    (0..events).map(event).collect()
}

/// Where time ends: after the last logical time, off the grid.
fn end(updates: &[Update]) -> i64 {
    updates.last().map_or(0, |(_, at, _)| *at) + 1
}

fn timeline(updates: Vec<Update>, workers: usize) -> (i64, u64) {
    let sustained = Arc::new(AtomicI64::new(0));
    let grown = Arc::new(AtomicU64::new(0));
    let (count, bytes) = (Arc::clone(&sustained), Arc::clone(&grown));
    let updates = Arc::new(updates);
    let config = timely::Config::process(workers);
    let workers = timely::execute(config, move |worker| {
        let count = Arc::clone(&count);
        let (mut input, probe) = worker.dataflow(|scope| {
            let (input, stream) = scope.new_input::<Vec<Update>>();
            let timing = Timing { lateness: LATENESS_MS, tick: TICK_MS };
            let told = Timeline::new("hold-down", HoldDown::uniform(HOLD_MS), timing)
                .build(stream.as_collection());
            told.errs.inner.inspect(|late| panic!("{late:?} is in time"));
            let told = told.oks.inner.inspect(move |((_, told), _, diff)| {
                if let Decision::Sustained(_) = told.value {
                    count.fetch_add(*diff as i64, Ordering::Relaxed);
                }
            });
            (input, told.probe().0)
        });
        let mine = worker.index();
        let mut buffer = Vec::with_capacity(BATCH);
        for (number, batch) in updates.chunks(BATCH).enumerate() {
            if number % worker.peers() == mine {
                buffer.extend_from_slice(batch);
                input.send_batch(&mut buffer);
                buffer.clear();
            }
            // The last logical time may have more in the next batch.
            let frontier = batch.last().map_or(0, |(_, at, _)| *at);
            input.advance_to(frontier);
            input.flush();
            worker.step();
            while probe.less_than(&(frontier - 4 * TICK_MS)) {
                worker.step_or_park(None);
            }
        }
        input.advance_to(end(&updates));
        input.flush();
        while probe.less_than(input.time()) {
            worker.step_or_park(None);
        }
        bytes.fetch_max(resident_bytes(), Ordering::Relaxed);
    });
    drop(workers.expect("threads start"));
    (sustained.load(Ordering::Relaxed), grown.load(Ordering::Relaxed))
}

/// A hasher for keys that are numbers: fast, and the same in every run.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is a number")
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (key ^ key >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(20);
    }
}

/// What the loop keeps of a key.
#[derive(Default)]
struct Plain {
    /// What may still be preceded, sorted.
    recent: Vec<Observed>,
    /// The run that goes on: its start and its state.
    run: Option<Observed>,
    /// The last state that lasted.
    sustained: Option<u32>,
}

impl Plain {
    /// The number of states that have lasted by this.
    fn take(&mut self, event: Observed, clock: i64) -> i64 {
        let at = self.recent.partition_point(|other| *other <= event);
        self.recent.insert(at, event);
        self.settle(clock - LATENESS_MS)
    }

    fn settle(&mut self, horizon: i64) -> i64 {
        let last = self.recent.iter().take_while(|event| event.time < horizon).count();
        let mut told = 0;
        for event in self.recent.drain(..last) {
            match &self.run {
                Some(run) if run.state == event.state => continue,
                Some(_) => told += ended(&self.run, &mut self.sustained, event.time),
                None => {}
            }
            self.run = Some(event);
        }
        told
    }
}

/// One if the run has lasted by then and is of another state than the one before that did.
fn ended(run: &Option<Observed>, sustained: &mut Option<u32>, at: i64) -> i64 {
    match run {
        Some(run) if at - run.time >= HOLD_MS && *sustained != Some(run.state) => {
            *sustained = Some(run.state);
            1
        }
        _ => 0,
    }
}

fn in_a_loop(updates: &[Update]) -> (i64, u64) {
    let mut keys: HashMap<u64, Plain, BuildHasherDefault<Mixed>> = HashMap::default();
    let mut told = 0;
    for ((key, event), at, _) in updates {
        told += keys.entry(*key).or_default().take(event.clone(), *at);
    }
    let bytes = resident_bytes();
    let clock = end(updates) - 1;
    #[expect(clippy::iter_over_hash_type, reason = "a sum is the same in any order")]
    for plain in keys.values_mut() {
        told += plain.settle(i64::MAX);
        told += ended(&plain.run, &mut plain.sustained, clock);
    }
    (told, bytes)
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

/// Of all threads; the kernel counts in hundredths of a second.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}
