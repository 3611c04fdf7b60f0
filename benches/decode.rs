//! What it costs to decode a line, on one thread and in memory.
//!
//!     cargo bench --bench decode -- [--events N] [--passes N] [--only flat|cloudevents]
//!                                   [--how shapes|none]
//!
//! Prints the best of several passes, with remembered shapes and without.

#![allow(missing_docs, reason = "a program, not a library")]

use std::hint::black_box;
use std::io;
use std::time::Instant;

use limbeck::bench::workload::Workload;
use limbeck::rules::Rules;
use limbeck::sources::decode::{Decoder, Lines, Shapes};

const FLAT: &str = include_str!("../tests/data/flat.yaml");
const CLOUDEVENTS: &str = include_str!("../tests/data/readiness.yaml");

/// A real run decodes block by block.
const BLOCK_BYTES: usize = 1 << 20;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let after = |name: &str| args.iter().skip_while(|arg| *arg != name).nth(1);
    let number = |name: &str, usual| after(name).map_or(usual, |n| n.parse().expect("a number"));
    let workload = Workload { events: number("--events", 1_000_000), ..Workload::default() };
    let passes = number("--passes", 7);
    let only = after("--only").map(String::as_str);
    let how = after("--how").map(String::as_str);
    let mut log = Vec::new();
    if only.is_none_or(|only| only == "flat") {
        workload.write_flat(&mut log)?;
        compare("flat", FLAT, &log, passes, how);
    }
    if only.is_none_or(|only| only == "cloudevents") {
        log.clear();
        workload.write_cloudevents(&mut log)?;
        compare("cloudevents", CLOUDEVENTS, &log, passes, how);
    }
    Ok(())
}

fn compare(name: &str, rules: &str, log: &[u8], passes: u64, how: Option<&str>) {
    let rules = Rules::parse("rules.yaml", rules).expect("the rules are right");
    let decoder = Decoder::new(&rules.sources[0], &rules.paths);
    if how.is_none_or(|how| how == "shapes") {
        report(name, "shapes", log, passes, |log| {
            let mut shapes = Shapes::default();
            blocks(log).map(|block| decode(&decoder, block, Lines::new(&mut shapes))).sum()
        });
    }
    if how.is_none_or(|how| how == "none") {
        report(name, "no shapes", log, passes, |log| {
            blocks(log).map(|block| decode(&decoder, block, Lines::default())).sum()
        });
    }
}

/// Whole lines, as many as fit in a block.
fn blocks(mut log: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = log.len().min(BLOCK_BYTES);
        let end = memchr::memrchr(b'\n', &log[..end])? + 1;
        let (block, rest) = log.split_at(end);
        log = rest;
        Some(block)
    })
}

/// Decodes every line; how many there are.
fn decode<'a>(decoder: &'a Decoder, block: &'a [u8], mut lines: Lines<'a>) -> u64 {
    let (mut from, mut count) = (0, 0);
    for end in memchr::memchr_iter(b'\n', block) {
        let decoded = decoder.decode(&block[from..end], &mut lines);
        assert!(black_box(&decoded).is_ok());
        from = end + 1;
        count += 1;
    }
    count
}

fn report(name: &str, how: &str, log: &[u8], passes: u64, run: impl Fn(&[u8]) -> u64) {
    let mut best_ns = u64::MAX;
    let mut count = 0;
    for _ in 0..passes {
        let start = Clock::now();
        count = run(log);
        best_ns = best_ns.min(start.elapsed_ns());
    }
    println!(
        "{name:>12} {how:>10}: {:7.1} ns a line, {:7.1} MB/s",
        best_ns as f64 / count as f64,
        log.len() as f64 / best_ns as f64 * 1e3,
    );
}

/// The time that this thread has had a processor, to some milliseconds; where the system does not
/// tell, the time that has passed.
struct Clock {
    cpu_ns: Option<u64>,
    wall: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    fn now() -> Self {
        Self { cpu_ns: cpu_ns(), wall: Instant::now() }
    }

    fn elapsed_ns(&self) -> u64 {
        let wall_ns = self.wall.elapsed().as_nanos() as u64;
        self.cpu_ns.zip(cpu_ns()).map_or(wall_ns, |(start, end)| end - start)
    }
}

fn cpu_ns() -> Option<u64> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    times.split(' ').next()?.parse().ok()
}
