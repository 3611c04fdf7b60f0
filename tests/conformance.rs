//! The conformance suite: rules in the users' own test format, each case on any number of workers.

use std::fs;
use std::path::PathBuf;

use limbeck::testing::{Suite, Verdict};

fn files() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let entries = fs::read_dir(&dir).expect("there is a suite");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_case_holds_on_any_number_of_workers() {
    let mut failed = Vec::new();
    let mut cases = 0;
    for file in files() {
        let suite = Suite::read(&file).unwrap_or_else(|wrong| panic!("{wrong}"));
        for case in &suite.cases {
            cases += 1;
            for workers in [1, 2, 4] {
                match case.run(workers).unwrap_or_else(|failure| panic!("{failure}")) {
                    Verdict::Passed => {}
                    Verdict::Failed(what) => failed.push(format!(
                        "{}:{}: {}, on {workers} workers\n{}",
                        suite.name, what.line, case.name, what.text
                    )),
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(cases >= 50, "all files are read: {cases} cases");
}

/// What is known at the end is what is known at its instant, and nothing is known before the first
/// record.
#[test]
fn what_a_case_says_is_said_again() {
    for file in files() {
        let (one, other) = (Suite::read(&file), Suite::read(&file));
        let (one, other) = (one.expect("it is right"), other.expect("it is right"));
        for (case, again) in one.cases.iter().zip(&other.cases) {
            assert_eq!(case.name, again.name);
            assert_eq!(
                case.run(1).expect("it runs"),
                again.run(3).expect("it runs"),
                "{}: {}",
                one.name,
                case.name
            );
        }
    }
}
