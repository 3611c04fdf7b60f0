//! The command line: what is asked for, what is said back, and the exit code (after sysexits).
//!
//! 0 done, 1 the work itself found differences, 2 usage, 65 the input is damaged, 66 it is missing
//! or unreadable, 73 the output cannot be created, 74 reading or writing failed, 78 configuration.

mod args;
mod bench;
mod check;
mod explain;
mod plan;
mod say;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Args, Command, LogArg, ReplayArgs};
use crate::authoring::draft::{NoDraft, draft};
use crate::replay::{self, Cluster, Log, Options};
use crate::rules::{self, Rules};

const CONFIGURATION: u8 = 78;
const DAMAGED: u8 = 65;
const MISSING: u8 = 66;
const USAGE: u8 = 2;
const FAILED: u8 = 1;

/// Runs the command that the arguments ask for.
pub fn run() -> ExitCode {
    let code = match Args::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Replay(args) => replay(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Init { log } => init(&log),
        Command::Schema => schema(),
        Command::Completions { shell } => completions(shell),
    };
    ExitCode::from(code)
}

/// Says what is wrong on standard error, and gives the code back.
fn fail(code: u8, what: &dyn std::fmt::Display) -> u8 {
    eprintln!("limbeck: {what}");
    code
}

/// A rule file that is right.
struct RuleFile {
    /// What messages call it.
    name: String,
    text: String,
    rules: Rules,
}

/// Reads a rule file, or says every error of it.
fn load(path: &Path) -> Result<RuleFile, u8> {
    let name = path.display().to_string();
    let text = fs::read(path).map_err(|error| {
        fail(MISSING, &format!("the rule file cannot be read: {name}: {error}"))
    })?;
    let text = String::from_utf8(text).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        fail(CONFIGURATION, &format!("{name}:{line}: not valid UTF-8; a rule file is text"))
    })?;
    match Rules::parse(&name, &text) {
        Ok(rules) => Ok(RuleFile { name, text, rules }),
        Err(problems) => {
            eprintln!("{}", problems.render(io::stderr().is_terminal()));
            Err(CONFIGURATION)
        }
    }
}

/// Prints a result. A closed pipe is no failure: whoever closed it has read enough.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn replay(args: &ReplayArgs) -> u8 {
    let rules = match load(&args.rules) {
        Ok(file) => file.rules,
        Err(code) => return code,
    };
    let options = match options(args, &rules) {
        Ok(options) => options,
        Err(code) => return code,
    };
    match replay::replay(&rules, &options) {
        Ok(replayed) => {
            for error in &replayed.damaged {
                eprintln!("limbeck: {error}");
            }
            if let Some(summary) = &replayed.summary {
                print(&say::summary(summary, &options.out));
            }
            let elsewhere = replayed.summary.is_some_and(|summary| !summary.complete);
            let here = replayed.damaged.iter().map(|error| error.exit_code()).max();
            here.unwrap_or(if elsewhere { DAMAGED } else { 0 })
        }
        Err(failure) => fail(failure.exit_code(), &failure),
    }
}

fn options(args: &ReplayArgs, rules: &Rules) -> Result<Options, u8> {
    let logs = args.log.iter().map(|log| resolve(log, rules)).collect::<Result<Vec<_>, _>>()?;
    read_standard_input_once(&logs)?;
    let workers = match args.workers {
        Some(workers) => workers.get(),
        None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    Ok(Options {
        logs,
        out: args.out.clone(),
        workers,
        until_ns: args.until,
        tick_ns: args.tick,
        cluster: cluster(args)?,
        fates: args.fates,
        progress: true,
        block_bytes: None,
    })
}

fn init(log: &Path) -> u8 {
    match draft(log) {
        Ok(draft) => {
            print(&draft.text);
            draft.damaged.map_or(0, |error| fail(error.exit_code(), &error))
        }
        Err(NoDraft::Input(error)) => fail(error.exit_code(), &error),
        Err(no_draft) => fail(FAILED, &format!("{}: {no_draft}", log.display())),
    }
}

fn schema() -> u8 {
    print(&format!("{:#}\n", rules::schema()));
    0
}

fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "limbeck", &mut script);
    print(&String::from_utf8_lossy(&script));
    0
}

/// Refuses logs of which several are standard input.
fn read_standard_input_once(logs: &[Log]) -> Result<(), u8> {
    if logs.iter().filter(|log| log.path.as_os_str() == "-").count() > 1 {
        return Err(fail(USAGE, &"standard input can be read once: `-` stands for only one log"));
    }
    Ok(())
}

/// Finds the source that reads a log.
fn resolve(log: &LogArg, rules: &Rules) -> Result<Log, u8> {
    let names = || {
        let names: Vec<_> = rules.sources.iter().map(|source| source.name.as_str()).collect();
        names.join(", ")
    };
    let known = |name: &str| rules.sources.iter().position(|source| source.name == name);
    // A name before `=` is a source if the rule file has it, otherwise part of a file's name.
    if let Some((name, path)) = log.text().split_once('=') {
        if let Some(source) = known(name) {
            return Ok(Log { path: path.into(), source });
        }
        if !log.path().exists() {
            let what = format!("`{name}` is no source of the rule file; it has: {}", names());
            return Err(fail(USAGE, &what));
        }
    }
    if rules.sources.len() > 1 {
        let path = log.text();
        let what =
            format!("which source reads {path}? Write SOURCE={path} with one of: {}", names());
        return Err(fail(USAGE, &what));
    }
    Ok(Log { path: log.path(), source: 0 })
}

fn cluster(args: &ReplayArgs) -> Result<Option<Cluster>, u8> {
    let Some(file) = &args.hosts else { return Ok(None) };
    let text = fs::read_to_string(file).map_err(|error| {
        fail(MISSING, &format!("the hosts cannot be read: {}: {error}", file.display()))
    })?;
    let hosts: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let (processes, process) = (args.processes.unwrap_or(hosts.len()), args.process.unwrap_or(0));
    if hosts.len() < processes || process >= processes {
        let what = format!(
            "process {process} of {processes} cannot be: {} has {} lines of HOST:PORT",
            file.display(),
            hosts.len()
        );
        return Err(fail(USAGE, &what));
    }
    let hosts = hosts.into_iter().take(processes).collect();
    Ok(Some(Cluster { hosts, process }))
}
