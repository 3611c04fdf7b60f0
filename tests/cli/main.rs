//! The command as its users meet it: bad input, bad usage, full disks, several processes. Each with
//! its exit code, its message, and what is or is not left in the output folder.

#[path = "../common/mod.rs"]
mod common;

mod alertmanager;
mod alerts;
mod append;
mod bench;
mod check;
mod checkpoint;
mod cluster;
mod completions;
mod content;
mod documents;
mod explain;
mod formats;
mod import_rules;
mod init;
mod inputs;
mod log;
mod mess;
mod outputs;
mod persistence;
mod processes;
mod scaling;
#[allow(dead_code, reason = "other tests take by path")]
mod server;
mod signals;
mod skew;
mod soak;
mod test;
mod told;
mod usage;
mod witnesses;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::Outputs;
use limbeck::bench::workload::Workload;
use tempfile::TempDir;

const READINESS: &str = include_str!("../data/readiness.yaml");
const FLAT: &str = include_str!("../data/flat.yaml");
const PROBES: &[u8] = include_bytes!("../data/readiness.ndjson");

/// A folder to run the command in: rules, a good log, and room for outputs.
struct Place {
    dir: TempDir,
}

/// How a run of the command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    said: String,
    complained: String,
}

impl Ran {
    /// Fails unless the command ended with a code and one line or more about something.
    #[track_caller]
    fn assert(&self, code: i32, about: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in about {
            assert!(self.complained.contains(word), "no word of {word:?}: {self:?}");
        }
        assert!(!self.complained.contains("panicked"), "{self:?}");
        self
    }
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: TempDir::new().expect("a temporary folder can be made") };
        place.write("rules.yaml", READINESS.as_bytes());
        place.write("flat.yaml", FLAT.as_bytes());
        place.write("probes.ndjson", PROBES);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file can be written");
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limbeck"));
        command.current_dir(self.dir.path()).args(line.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the command; arguments are divided by white space.
    fn run(&self, line: &str) -> Ran {
        ran(self.command(line).output().expect("the command can be run"))
    }

    fn run_with_input(&self, line: &str, input: &[u8]) -> Ran {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().expect("it can be run");
        let mut stdin = child.stdin.take().expect("it is piped");
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input).expect("all of the input is read"));
            child.wait_with_output().expect("it ends")
        });
        ran(output)
    }

    /// Replays a log that is given as bytes, with success, and gives the outputs.
    fn replay(&self, log: &[u8]) -> Outputs {
        self.write("given.ndjson", log);
        self.run("replay --rules rules.yaml --log given.ndjson --out given").assert(0, &[]);
        self.outputs("given")
    }

    fn outputs(&self, name: &str) -> Outputs {
        self.assert_holds(
            name,
            &["dead-letter.ndjson", "episodes.ndjson", "summary.json", "updates.ndjson"],
        );
        Outputs::read(&self.path(name))
    }

    /// Fails unless the folder holds exactly these files, hidden ones included.
    #[track_caller]
    fn assert_holds(&self, name: &str, files: &[&str]) {
        assert_eq!(listing(&self.path(name)), files, "in {name}");
    }

    /// Fails if a run left anything but the inputs.
    #[track_caller]
    fn assert_untouched(&self, before: &[String]) {
        assert_eq!(self.listing(), before);
    }

    fn listing(&self) -> Vec<String> {
        listing(self.dir.path())
    }
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code(),
        said: String::from_utf8(output.stdout).expect("what is said is text"),
        complained: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn listing(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry can be read").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<_> = fs::read_dir(dir).expect("a folder can be read").map(name).collect();
    names.sort();
    names
}

/// A generated log in the flat shape.
fn flat_log(events: u64) -> Vec<u8> {
    let workload = Workload { entities: 100, events, ..Workload::default() };
    let mut log = Vec::new();
    workload.write_flat(&mut log).expect("a Vec takes every write");
    log
}

/// The same as CloudEvents.
fn cloudevents_log(events: u64) -> Vec<u8> {
    let workload = Workload { entities: 100, events, ..Workload::default() };
    let mut log = Vec::new();
    workload.write_cloudevents(&mut log).expect("a Vec takes every write");
    log
}
