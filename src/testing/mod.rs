//! Rules are tested like code: what is observed, and what is expected of it.
//!
//! Guarantees: a case is replayed by the dataflow of every replay, of a log that stays in memory;
//! what it says depends on the test file alone. An expectation at an instant is of what was known
//! then: of a replay until that instant. State: one case.
//!
//! - `series`: what was observed of an entity, as people write it.
//! - `read`: from a test file to cases, or to all its errors at once; `wanted` what they expect.
//! - `observed`: the rule file for series; `input` the records made of them.
//! - `run`: a case, replayed; `judge` what is as expected; `report` what is said of it.
//! - `junit`: the same for machines; `schema`: what a test file may say, for editors.

mod input;
mod judge;
pub mod junit;
mod observed;
mod read;
mod report;
mod run;
mod schema;
mod series;
mod wanted;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::report::{Failed, Verdict};
pub use self::schema::schema;
use self::wanted::Expectation;
use crate::replay::Failure;
use crate::rules::{Diagnostics, Rules};
use crate::sources::intake::Matcher;

/// A test file in which nothing is wrong.
pub struct Suite {
    /// What messages call it.
    pub name: String,
    /// In the order of the file.
    pub cases: Vec<Case>,
}

/// A case: what is observed, and what is expected of it.
pub struct Case {
    /// Its name, which no other case of the file has.
    pub name: String,
    /// The line of the file in which it begins.
    pub line: usize,
    rules: Arc<Tested>,
    logs: Vec<InMemory>,
    /// Whether these are of series.
    of_series: bool,
    clock: Clock,
    /// Where the log ends, if it says so, or some expectation looks further than its records go.
    until_ns: Option<i64>,
    expectations: Vec<Expectation>,
}

/// The rules of a file, ready to match.
struct Tested {
    rules: Rules,
    matcher: Matcher,
}

/// A log that is in memory.
#[derive(Clone, Debug)]
struct InMemory {
    /// What it is called.
    name: String,
    /// The source that reads it.
    source: usize,
    bytes: Arc<[u8]>,
}

/// How a case counts time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start_ns: i64,
    /// Whether times are told as instants, as they are written.
    absolute: bool,
}

/// Why there are no cases.
#[derive(Debug)]
pub enum NoSuite {
    /// The test file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// It is wrong, or its rule file is.
    Wrong(Vec<Diagnostics>),
}

impl fmt::Display for NoSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "the test file cannot be read: {}: {error}", path.display())
            }
            Self::Wrong(all) => all.iter().try_for_each(|of_file| of_file.fmt(f)),
        }
    }
}

impl Suite {
    /// Reads a test file, and the rule file that it names.
    ///
    /// # Errors
    /// [`NoSuite`], with all that is wrong.
    pub fn read(path: &Path) -> Result<Self, NoSuite> {
        read::file(path)
    }
}

impl Case {
    /// Replays it on so many workers, and judges what it expects.
    ///
    /// # Errors
    /// [`Failure`], if it cannot be replayed.
    pub fn run(&self, workers: usize) -> Result<Verdict, Failure> {
        judge::judge(self, workers)
    }
}
