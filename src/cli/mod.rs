//! The command line: what is asked for, what is said back, and the exit code (after sysexits).
//!
//! 0 done, 1 the work itself found differences, 2 usage, 65 the input is damaged, 66 it is missing
//! or unreadable, 69 workers or other processes cannot be had, 70 a defect, 73 the output cannot be
//! created, 74 reading or writing failed, 75 notifications are not delivered yet, 76 a sink refused
//! some, 78 configuration; 130 and 143 a signal.

mod append;
mod args;
mod backtest;
mod bench;
mod check;
mod explain;
mod log;
mod plan;
mod say;
mod signals;
mod supervise;
mod test;

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use self::args::{Args, Command, LogArg, ReplayArgs};
use crate::alerts::Senders;
use crate::authoring::draft::{NoDraft, draft};
use crate::authoring::grouped;
use crate::authoring::import::import;
use crate::checkpoint::{Every, Plan};
use crate::durable::Disk;
use crate::log::manifest::Partition;
use crate::log::{Stored, is_log};
use crate::model::duration::format_duration;
use crate::model::printable::printable;
use crate::model::time::format_rfc3339;
use crate::replay::{self, Cluster, Log, Options, Prepared, Replayed, Resumed, workers_usual};
use crate::rules::{self, Diagnostics, Rules};
use crate::sources::{InputError, Interrupt};
use crate::testing;

const CONFIGURATION: u8 = 78;
const NOT_CREATED: u8 = 73;
const NOT_WRITTEN: u8 = 74;
const UNAVAILABLE: u8 = 69;
const DAMAGED: u8 = 65;
const MISSING: u8 = 66;
const USAGE: u8 = 2;
const FAILED: u8 = 1;
const NOT_DELIVERED: u8 = 75;
const REFUSED: u8 = 76;

/// More of a file is not read: longer than a rule file may be.
const SMALL_BYTES_MAX: u64 = 2 << 20;

/// Runs the command that the arguments ask for; the code that the process exits with.
pub fn run() -> u8 {
    signals::outlive_limits_of_files();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(said) => return usage(&said),
    };
    match args.command {
        Command::Check(args) => check::run(&args),
        Command::Replay(args) => replay(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Import(args) => log::import_logs(&args),
        Command::Append(args) => append::run(&args),
        Command::Log(command) => log::run(&command),
        Command::Bench(args) => bench::run(&args),
        Command::Init { log } => init(&log),
        Command::ImportRules { files } => import_rules(&files),
        Command::Test(args) => test::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Schema { tests } => schema(tests),
        Command::Supervise(args) => supervise::run(&args),
        Command::Completions { shell } => completions(shell),
    }
}

/// Says what is wrong with the arguments, or shows the help that they ask for.
fn usage(said: &clap::Error) -> u8 {
    let printed = said.print();
    match u8::try_from(said.exit_code()) {
        Ok(0) => written(printed),
        code => code.unwrap_or(USAGE),
    }
}

/// Says what is wrong on standard error, and gives the code back.
fn fail(code: u8, what: &dyn std::fmt::Display) -> u8 {
    let what = what.to_string();
    let lines: Vec<_> = what.lines().map(printable).collect();
    complain(&format_args!("limbeck: {}", lines.join("\n")));
    code
}

/// Writes a message to standard error. If nobody can be told, the exit code still says it.
fn complain(what: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{what}");
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
    let (name, text) = rule_text(path)?;
    match Rules::parse(&name, &text) {
        Ok(rules) => Ok(RuleFile { name, text, rules }),
        Err(problems) => {
            complain(&problems.render(io::stderr().is_terminal()));
            Err(CONFIGURATION)
        }
    }
}

/// What a rule file is called, and its text.
fn rule_text(path: &Path) -> Result<(String, String), u8> {
    let name = path.display().to_string();
    let text = read(path, "the rule file")?;
    let text = String::from_utf8(text).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        fail(CONFIGURATION, &format!("{name}:{line}: not valid UTF-8; a rule file is text"))
    })?;
    Ok((name, text))
}

/// Reads a small file, of which there may be no end.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, u8> {
    let mut bytes = Vec::new();
    let file = File::open(path);
    let read = file.and_then(|file| file.take(SMALL_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| {
        fail(MISSING, &format!("{what} cannot be read: {}: {error}", path.display()))
    })?;
    Ok(bytes)
}

/// Prints a result, and gives the exit code of that.
fn print(text: &str) -> u8 {
    let mut out = io::stdout();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What standard output said. A closed pipe is no failure: whoever closed it has read enough.
fn written(result: io::Result<()>) -> u8 {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = format!("standard output cannot be written: {error}; check the free space");
            fail(NOT_WRITTEN, &what)
        }
        _ => 0,
    }
}

fn replay(args: &ReplayArgs) -> u8 {
    let interrupt = match signals::interrupt() {
        Ok(interrupt) => interrupt,
        Err(error) => return fail(UNAVAILABLE, &format!("signals cannot be heard: {error}")),
    };
    let cluster = match cluster(args) {
        Ok(cluster) => cluster,
        Err(code) => return code,
    };
    // Of several processes, the others wait for one that cannot take part.
    let decline = |code: u8, reason: &str| {
        if let Some(cluster) = &cluster {
            let wait = format_duration(cluster.wait.as_nanos() as i64);
            complain(&format_args!("limbeck: the other processes are told; for {wait} at most"));
            cluster.decline(reason, &interrupt);
        }
        code
    };
    let rules = match load(&args.rules) {
        Ok(file) => file.rules,
        Err(code) => return decline(code, "its rule file is wrong"),
    };
    let (options, appender) = match options(args, &rules, cluster.clone(), interrupt.clone()) {
        Ok(options) => options,
        Err(code) => return decline(code, "its arguments are wrong"),
    };
    match replay::prepare(&rules, &options) {
        Ok(prepared) => {
            if let Some(updates) = prepared.updates_so_far().filter(|_| args.follow) {
                let updates = updates.display();
                complain(&format_args!("limbeck: following; updates so far are in {updates}"));
            }
            going_on(&prepared, &options);
            match prepared.run() {
                Ok(replayed) => {
                    let code = outcome(&replayed, &options);
                    let wait = Duration::from_nanos(args.alerts_wait.cast_unsigned());
                    let drained = drain(&options, wait);
                    let code = if code == 0 { drained } else { code };
                    appender.map_or(code, |appender| code.max(appender.finish()))
                }
                Err(failure) => {
                    let code = fail(failure.exit_code(), &failure);
                    interrupt.signal().map_or(code, signals::exit_code)
                }
            }
        }
        Err(failure) => {
            let code = fail(failure.exit_code(), &failure);
            decline(code, &failure.to_string())
        }
    }
}

/// Says what a replay makes of a checkpoint.
fn going_on(prepared: &Prepared<'_>, options: &Options) {
    let Some(plan) = &options.checkpoint else { return };
    let dir = plan.dir.display();
    match prepared.resumed() {
        Some(Resumed::From { at, records }) => {
            let (at, records) = (format_rfc3339(*at), grouped(*records));
            complain(&format_args!("limbeck: goes on from {at}, behind {records} records: {dir}"));
        }
        Some(Resumed::Rules { at, unchanged, rebuilt }) => {
            let at = format_rfc3339(*at);
            let (kept, rebuilt) = (unchanged.join(", "), rebuilt.join(", "));
            let rebuilt = match rebuilt.as_str() {
                "" => "what is told".to_owned(),
                rebuilt => format!("rules that are new or changed ({rebuilt})"),
            };
            complain(&format_args!(
                "limbeck: goes on from {at} with what was remembered of rules that are unchanged \
                 ({kept}); reads the logs from the start for {rebuilt}: {dir}"
            ));
        }
        Some(Resumed::Not { differs_in }) => {
            let what = differs_in.join(", ");
            complain(&format_args!(
                "limbeck: the checkpoint is of another {what}; all is replayed from the start: {dir}"
            ));
        }
        None => {}
    }
}

/// What sends notifications, where that is asked for. Of several processes, the one that writes
/// does.
fn senders(args: &ReplayArgs, rules: &Rules) -> Result<Option<Arc<Senders>>, u8> {
    let Some(dir) = args.alerts.as_ref().filter(|_| args.process.unwrap_or(0) == 0) else {
        return Ok(None);
    };
    if rules.routes.is_empty() {
        return Err(fail(USAGE, &"the rule file has no `routes`: there is nothing to send"));
    }
    match Senders::start(rules, dir) {
        Ok(senders) => Ok(Some(Arc::new(senders))),
        Err(error) => Err(fail(error.exit_code(), &error)),
    }
}

/// Waits for what is to be delivered, and says what came of it.
fn drain(options: &Options, at_most: Duration) -> u8 {
    let Some(senders) = &options.senders else { return 0 };
    let deliveries = match senders.drain(at_most, &options.interrupt) {
        Ok(deliveries) => deliveries,
        Err(error) => return fail(error.exit_code(), &error),
    };
    let mut code = 0;
    for (sink, delivery) in &deliveries {
        let dir = senders.dir().join(sink);
        code = code.max(print(&say::delivered(sink, delivery)));
        if delivery.refused > 0 {
            code = code.max(fail(REFUSED, &say::refused(sink, delivery, &dir)));
        }
        if delivery.left > 0 {
            code = code.max(fail(NOT_DELIVERED, &say::left(sink, delivery, &dir)));
        }
    }
    code
}

/// Says what came of a replay.
fn outcome(replayed: &Replayed, options: &Options) -> u8 {
    let is_interrupt = |error: &&InputError| matches!(error, InputError::Interrupted { .. });
    let (interrupted, damaged): (Vec<_>, Vec<_>) = replayed.damaged.iter().partition(is_interrupt);
    let mut code = damaged.iter().map(|error| fail(error.exit_code(), error)).max();
    if let Some(error) = interrupted.first() {
        let what = match options.checkpoint {
            Some(_) => "interrupted; started again, it goes on from the last checkpoint",
            None => "interrupted; what had been read is output, and marked incomplete",
        };
        code = Some(fail(error.exit_code(), &what));
    }
    let summary = replayed.summary.as_ref();
    if code.is_none() && summary.is_some_and(|summary| !summary.complete) {
        let what = "another process could not read a log to its end; what was whole is output";
        code = Some(fail(DAMAGED, &what));
    }
    let mut printed = summary.map_or(0, |summary| print(&say::summary(summary, &options.out)));
    if options.profile {
        printed = printed.max(print(&format!("\n{}\n", replayed.metrics)));
    }
    code.unwrap_or(printed)
}

fn options(
    args: &ReplayArgs,
    rules: &Rules,
    cluster: Option<Cluster>,
    interrupt: Interrupt,
) -> Result<(Options, Option<append::Appender>), u8> {
    let senders = senders(args, rules)?;
    let mut appender = None;
    let logs = match (&args.append, args.follow) {
        (Some(dir), _) => {
            let (logs, appending) = append::follow(args, dir, rules, &interrupt)?;
            appender = Some(appending);
            logs
        }
        (None, true) => {
            let followed = |log: &LogArg| partitions(&log.path(), rules, args.skip_corrupt, true);
            args.log.iter().map(followed).collect::<Result<Vec<_>, _>>()?.concat()
        }
        (None, false) => files(&args.log, rules, args.skip_corrupt)?,
    };
    let workers = args.workers.map_or_else(workers_usual, NonZeroUsize::get);
    let is_input = |log: &Log| log.stored.is_none() && log.path.as_os_str() == "-";
    if args.checkpoint.is_some() && logs.iter().any(is_input) {
        let what = "standard input cannot be gone on with from a checkpoint: write it to a log";
        return Err(fail(USAGE, &what));
    }
    let checkpoint = args.checkpoint.clone().map(|dir| Plan {
        dir,
        every: Every::Elapsed(Duration::from_nanos(args.every.cast_unsigned())),
        disk: Disk::default(),
    });
    let options = Options {
        logs,
        out: args.out.clone(),
        workers,
        from_ns: args.from,
        until_ns: args.until,
        tick_ns: args.tick,
        cluster,
        fates: args.fates,
        checkpoint,
        senders,
        profile: args.profile,
        progress: !args.follow,
        interrupt,
        block_bytes: None,
    };
    Ok((options, appender))
}

fn init(log: &Path) -> u8 {
    match draft(log) {
        Ok(draft) => {
            let printed = print(&draft.text);
            draft.damaged.map_or(printed, |error| fail(error.exit_code(), &error))
        }
        Err(NoDraft::Input(error)) => fail(error.exit_code(), &error),
        Err(no_draft) => fail(FAILED, &format!("{}: {no_draft}", log.display())),
    }
}

fn import_rules(files: &[PathBuf]) -> u8 {
    let read = files.iter().map(|path| rule_text(path)).collect::<Result<Vec<_>, _>>();
    let files = match read {
        Ok(files) => files,
        Err(code) => return code,
    };
    let told = |list: &[Diagnostics]| {
        list.iter().for_each(|one| complain(&one.render(io::stderr().is_terminal())));
    };
    match import(&files) {
        Ok(imported) => {
            told(&imported.left);
            let printed = print(&imported.text);
            if imported.left.is_empty() { printed } else { printed.max(FAILED) }
        }
        Err(wrong) => {
            told(&wrong);
            CONFIGURATION
        }
    }
}

fn schema(of_tests: bool) -> u8 {
    let schema = if of_tests { testing::schema() } else { rules::schema() };
    print(&format!("{schema:#}\n"))
}

fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "limbeck", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// The logs that are named, each with the source that reads it; of a replay log, its partitions.
fn files(logs: &[LogArg], rules: &Rules, skip_corrupt: bool) -> Result<Vec<Log>, u8> {
    let mut files = Vec::new();
    for log in logs {
        match log.path().is_dir() {
            true => files.extend(partitions(&log.path(), rules, skip_corrupt, false)?),
            false => files.push(resolve(log, rules)?),
        }
    }
    let is_input = |log: &&Log| log.stored.is_none() && log.path.as_os_str() == "-";
    if files.iter().filter(is_input).count() > 1 {
        return Err(fail(USAGE, &"standard input can be read once: `-` stands for only one log"));
    }
    Ok(files)
}

/// The partitions of a replay log, which says itself which sources read them.
fn partitions(dir: &Path, rules: &Rules, skip_corrupt: bool, follow: bool) -> Result<Vec<Log>, u8> {
    let stored = match follow {
        true => Stored::follow(dir, skip_corrupt),
        false => Stored::all(dir, skip_corrupt),
    };
    let stored = stored.map_err(|error| fail(error.exit_code(), &error))?;
    let torn_bytes = stored.first().filter(|_| !follow).map_or(0, Stored::torn_bytes);
    append::say_torn(dir, torn_bytes);
    let partition = |stored: Stored| {
        let partition = Arc::clone(&stored.partition);
        Log::stored(stored, rules).ok_or_else(|| {
            let Partition { name, source, .. } = &*partition;
            let what = format!(
                "{}: its partition {name} is of the source `{source}`, which the rule file has \
                 not; it has: {}",
                dir.display(),
                names(rules)
            );
            fail(CONFIGURATION, &what)
        })
    };
    stored.into_iter().map(partition).collect()
}

fn names(rules: &Rules) -> String {
    let names: Vec<_> = rules.sources.iter().map(|source| source.name.as_str()).collect();
    names.join(", ")
}

/// Finds the source that reads a log.
fn resolve(log: &LogArg, rules: &Rules) -> Result<Log, u8> {
    let known = |name: &str| rules.sources.iter().position(|source| source.name == name);
    // A name before `=` is a source if the rule file has it, otherwise part of a file's name.
    if let Some((name, path)) = log.text().split_once('=') {
        if let Some(source) = known(name) {
            if Path::new(path).is_dir() && is_log(Path::new(path)) {
                let what =
                    format!("{path} is a replay log, which says itself which sources read it");
                return Err(fail(USAGE, &what));
            }
            return Ok(Log::file(path, source));
        }
        if !log.path().exists() {
            let what = format!("`{name}` is no source of the rule file; it has: {}", names(rules));
            return Err(fail(USAGE, &what));
        }
    }
    if rules.sources.len() > 1 {
        let path = log.text();
        let what =
            format!("which source reads {path}? Write SOURCE={path} with one of: {}", names(rules));
        return Err(fail(USAGE, &what));
    }
    Ok(Log::file(log.path(), 0))
}

fn is_host(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_odd = |c: char| c.is_whitespace() || c.is_control();
        !host.is_empty() && !host.contains(is_odd) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn cluster(args: &ReplayArgs) -> Result<Option<Cluster>, u8> {
    let Some(file) = &args.hosts else { return Ok(None) };
    let text = read(file, "the list of hosts")?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
    let lines = lines.filter(|(line, _)| !line.is_empty());
    let hosts = lines.map(|(line, number)| match is_host(line) {
        true => Ok(line.to_owned()),
        false => {
            let what = format!("{}:{number}: write HOST:PORT, as 10.0.0.7:2101", file.display());
            Err(fail(USAGE, &what))
        }
    });
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
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
    let wait = Duration::from_nanos(args.wait.cast_unsigned());
    Ok(Some(Cluster { hosts, process, wait }))
}
