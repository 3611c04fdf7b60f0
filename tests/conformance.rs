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

/// The test file of the manual holds with the rules it says.
#[test]
fn the_manual_shows_what_holds() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("A test file says").expect("the manual says it");
    let (_, rest) = rest.split_once("```yaml\n").expect("with an example");
    let (yaml, _) = rest.split_once("```").expect("that ends");
    let dir = tempfile::TempDir::new().expect("a temporary folder can be made");
    fs::write(dir.path().join("rules.yaml"), include_str!("data/readiness.yaml")).expect("written");
    let file = dir.path().join("cases.yaml");
    fs::write(&file, yaml).expect("written");
    let suite = Suite::read(&file).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(suite.cases.len(), 2);
    for case in &suite.cases {
        let verdict = case.run(1).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(verdict, Verdict::Passed, "{}", case.name);
    }
}

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
