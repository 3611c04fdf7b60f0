//! Decoders, mappings, rule files and conditions against input that nobody would write: nothing
//! panics, what has two ways to be found is the same both ways, and errors point into what is wrong.
//!
//! Inputs are mutations of a few good ones, drawn by a seed: the same every time. What makes a target
//! say something new is mutated further, as if it had been among the first. `LIMBECK_FUZZ=N` sets
//! how many executions there are in all, `LIMBECK_FUZZ_SEED=N` draws others. What was found stays in
//! `found.rs`.

#[path = "../oracle/mod.rs"]
mod oracle;

mod archives;
mod conditions;
mod documents;
mod found;
mod lines;
mod mappings;
mod mutate;
mod rule_files;

use std::env;
use std::thread;

use limbeck_operators::hash::fixed_hash;
use oracle::logs::Random;

/// So many executions of all are a target's, of a hundred.
fn executions(percent: u64) -> u64 {
    let all = env::var("LIMBECK_FUZZ").map_or(50_000, |all| all.parse().expect("a number"));
    all * percent / 100
}

fn random(target: u64) -> Random {
    let seed = env::var("LIMBECK_FUZZ_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    Random::new(seed ^ (target << 32))
}

/// Says how many executions there were, to be seen with `--nocapture`.
fn report(target: &str, executions: u64, good: u64, kinds: usize) {
    assert!(executions == 0 || good > 0, "{target}: not one input was good");
    println!("fuzz {target}: {executions} executions, {good} good, {kinds} kinds of outcome");
}

/// Shows what was executed, if that ends in a panic.
struct Executing<'i>(&'i str, &'i [u8]);

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("while fuzzing {} with b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

/// What is the same in outcomes of one kind: the letters of each line, without what they quote.
fn kind(outcome: &str) -> u64 {
    let mut letters = String::new();
    for line in outcome.lines() {
        let told = line.split(" '").next().unwrap_or_default();
        let told = told.split(['`', '"']).step_by(2);
        letters.extend(told.flat_map(str::chars).filter(|c| !c.is_ascii_digit() && *c != '-'));
    }
    fixed_hash(letters.as_str())
}
