//! How many instructions a replay takes: a cost that is the same on a machine that is busy.
//!
//! Replays of small logs, always the same, are counted by valgrind, and held beside what is recorded here.
//! What takes more by a seventh fails. What takes much less does, too, so that the record stays true: then,
//! and when a compiler or a library has changed the counts, put what the test says in the place of the
//! recorded. Counts are those of the profile `ci`; in others the test says so and is passed over.
//!
//! It needs valgrind. Without, it says so and is passed over, but in CI it fails.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const LIMBECK: &str = env!("CARGO_BIN_EXE_limbeck");
const FLAT_RULES: &str = include_str!("data/flat.yaml");
const KINDS_RULES: &str = include_str!("data/kinds.yaml");

/// Instructions an event, of all threads from start to exit. Two counts of one program differ by less than 0.3 %,
/// by how its threads take turns and wait. Two programs that differ elsewhere have differed by 8 % in lines: the
/// compiler divides code among units, and what is inlined depends on that. Recorded is what lies between.
const OF_LINES: f64 = 8_170.0;
const OF_ROWS: f64 = 4_390.0;
const OF_MANY_RULES: f64 = 74_900.0;

/// How much a count may be of the recorded one.
const MOST: f64 = 1.15;
const LEAST: f64 = 0.7;

/// Whether what is recorded can be counted here.
fn can_count() -> bool {
    // Cargo names the folder after the profile.
    let of_profile = Path::new(LIMBECK).parent().is_some_and(|folder| folder.ends_with("ci"));
    if !of_profile || !cfg!(target_arch = "x86_64") {
        eprintln!("passed over: recorded is what the profile `ci` takes on x86-64");
        return false;
    }
    let there = Command::new("valgrind").arg("--version").output().is_ok();
    assert!(there || env::var_os("CI").is_none(), "no valgrind: see scripts/install-test-deps");
    if !there {
        eprintln!("passed over: no valgrind");
    }
    there
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// A folder with a log of so many events, and both rule files.
fn place(events: u64) -> TempDir {
    let place = TempDir::new().expect("a temporary folder can be made");
    for (name, text) in [("flat.yaml", FLAT_RULES), ("kinds.yaml", KINDS_RULES)] {
        fs::write(place.path().join(name), text).expect("a file can be written");
    }
    let events = events.to_string();
    limbeck(&place, &["bench", "--write", "lines", "--events", &events, "--entities", "1000"]);
    place
}

fn limbeck(place: &TempDir, args: &[&str]) {
    run(Command::new(LIMBECK).current_dir(place).args(args));
}

/// How many instructions it takes to replay a log.
fn instructions(place: &TempDir, rules: &str, log: &str) -> u64 {
    let mut command = Command::new("valgrind");
    // Only instructions: caches need not be simulated.
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    command.args([LIMBECK, "replay", "--workers", "1", "--rules", rules, "--log", log]);
    let said = run(command.args(["--out", "out"]).current_dir(place)).stderr;
    let said = String::from_utf8(said).expect("it is text");
    // As in `==4711== I   refs:      423,314,960`.
    let (_, count) = said.split_once("refs:").unwrap_or_else(|| panic!("no count: {said}"));
    let count = count.lines().next().unwrap_or_default().replace(',', "");
    count.trim().parse().unwrap_or_else(|error| panic!("{count:?}: {error}"))
}

#[track_caller]
fn assert_is_as_recorded(instructions: u64, events: u64, recorded: f64) {
    let an_event = instructions as f64 / events as f64;
    let ratio = an_event / recorded;
    let found = format!("{an_event:.0} instructions an event, {ratio:.3} of what is recorded");
    eprintln!("{found}");
    assert!(ratio <= MOST, "{found}");
    assert!(ratio >= LEAST, "{found}; better: record it anew");
}

#[test]
fn lines_take_what_is_recorded() {
    if can_count() {
        let place = place(50_000);
        let counted = instructions(&place, "flat.yaml", "lines");
        assert_is_as_recorded(counted, 50_000, OF_LINES);
    }
}

#[test]
fn rows_take_what_is_recorded() {
    if can_count() {
        let place = place(50_000);
        limbeck(&place, &["import", "--rules", "flat.yaml", "lines", "--log", "rows"]);
        let counted = instructions(&place, "flat.yaml", "rows");
        assert_is_as_recorded(counted, 50_000, OF_ROWS);
    }
}

#[test]
fn many_rules_take_what_is_recorded() {
    if can_count() {
        let place = place(20_000);
        let counted = instructions(&place, "kinds.yaml", "lines");
        assert_is_as_recorded(counted, 20_000, OF_MANY_RULES);
    }
}
