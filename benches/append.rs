//! Durable appending: how many events a second, and how long an acknowledgement takes.
//!
//! `cargo bench --bench append -- [DIR]`, where DIR is on the disk that is to be measured. First as
//! fast as it goes; then at 300,000 events a second, handed over every millisecond, where an
//! acknowledgement is awaited from when its lines were due.

// A bench measures time, waits for it, and prints.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::collections::VecDeque;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use limbeck::bench::workload::Workload;
use limbeck::durable::Disk;
use limbeck::log::append::{Appender, Liveness, Options, Pending};
use limbeck::rules::Rules;
use limbeck::sources::Block;

const RULES: &str = include_str!("../src/bench/flat.yaml");
const EVENTS: u64 = 3_000_000;
const EVENTS_A_MILLISECOND: usize = 300;

/// Blocks of so many lines.
fn blocks(log: &[u8], lines: usize) -> Vec<Block> {
    let all: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let blocks = all.chunks(lines).scan(1, |first_line, chunk| {
        let (bytes, first) = (chunk.concat(), *first_line);
        let block = Block { bytes, first_line: first, ..Block::default() };
        *first_line += chunk.len() as u64;
        Some(block)
    });
    blocks.collect()
}

/// Appends blocks, each when it is due; how long each took from then, and all of them.
fn append(dir: &Path, blocks: Vec<Block>, every: Duration) -> (Vec<Duration>, Duration) {
    let rules = Rules::parse("flat.yaml", RULES).expect("the rules of the bench are right");
    let mut appender = Appender::open(&Disk::default(), dir, Options::default(), || 0)
        .unwrap_or_else(|failure| panic!("{failure}"));
    let input = appender
        .begin("bench", &rules, 0, None, Liveness::Recorded)
        .unwrap_or_else(|failure| panic!("{failure}"));
    let (sender, receiver) = unbounded::<(Instant, Pending)>();
    let begun = Instant::now();
    let waiting = thread::spawn(move || {
        let wait = |(due, pending): (Instant, Pending)| {
            pending.wait().unwrap_or_else(|error| panic!("{error}"));
            due.elapsed()
        };
        receiver.into_iter().map(wait).collect::<Vec<_>>()
    });
    let mut due = begun;
    for block in VecDeque::from(blocks) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let from = if every.is_zero() { Instant::now() } else { due };
        sender.send((from, input.append(block))).expect("somebody waits");
        due += every;
    }
    drop((sender, input));
    let mut waited = waiting.join().expect("it ends");
    let took = begun.elapsed();
    appender.finish().unwrap_or_else(|error| panic!("{error}"));
    waited.sort();
    (waited, took)
}

fn say(what: &str, (waited, took): &(Vec<Duration>, Duration)) {
    let ms = |share: f64| {
        let place = ((waited.len() - 1) as f64 * share) as usize;
        waited[place].as_secs_f64() * 1e3
    };
    let rate = EVENTS as f64 / took.as_secs_f64();
    println!(
        "{what}: {rate:.0} events/s; acknowledged after {:.1} ms (p50), {:.1} ms (p99), \
         {:.1} ms (all)",
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
}

fn main() {
    let dir = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = tempfile::tempdir_in(dir.unwrap_or_else(|| ".".to_owned())).expect("a folder");
    let mut log = Vec::new();
    let workload = Workload { events: EVENTS, ..Workload::default() };
    workload.write_flat(&mut log).expect("a Vec takes every write");
    let at_once = append(&place.path().join("a"), blocks(&log, 2000), Duration::ZERO);
    say("as fast as it goes", &at_once);
    let paced = blocks(&log, EVENTS_A_MILLISECOND);
    say("at 300,000 events/s", &append(&place.path().join("b"), paced, Duration::from_millis(1)));
}
