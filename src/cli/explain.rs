//! `limbeck explain`: what is asked for, and how it is shown.

use std::fs::{self, Metadata};
use std::path::Path;

use super::args::ExplainArgs;
use super::{FAILED, USAGE, fail, files, load, print};
use crate::explain::{Found, Which, draw, explain, explain_records, locate};
use crate::replay::Log;
use crate::rules::Rules;
use crate::sources::InputError;

/// Explains what the arguments ask for.
pub(super) fn run(args: &ExplainArgs) -> u8 {
    let rules = match load(&args.rules) {
        Ok(file) => file.rules,
        Err(code) => return code,
    };
    let (logs, entity) = args.logs_and_entity();
    let logs = match files(logs, &rules, args.skip_corrupt) {
        Ok(logs) => logs,
        Err(code) => return code,
    };
    let which = match (&args.record, &args.source, &args.id) {
        (Some((file, line)), ..) => Some(Which::Line(file.clone(), *line)),
        (None, Some(source), Some(id)) => Some(Which::Identity(source.clone(), id.clone())),
        _ => None,
    };
    if which.is_some() && are_streams(&logs) {
        let what = "a record is looked for before the replay, and standard input or a pipe can be \
                    read once: give the log as a file";
        return fail(USAGE, &what);
    }
    match (which, &entity) {
        (Some(which), _) => record(args, &rules, &logs, &which),
        (None, Some(entity)) => whole(args, &rules, &logs, entity),
        (None, None) => fail(USAGE, &"name an ENTITY, a --record, or --source and --id"),
    }
}

/// Whether some log can be read only once.
fn are_streams(logs: &[Log]) -> bool {
    logs.iter().any(|log| log.stored.is_none() && is_stream(&log.path))
}

/// Whether an input can be read only once.
pub(super) fn is_stream(path: &Path) -> bool {
    let is_other = |found: Metadata| !found.is_file() && !found.is_dir();
    path.as_os_str() == "-" || fs::metadata(path).is_ok_and(is_other)
}

/// Explains an entity.
fn whole(args: &ExplainArgs, rules: &Rules, logs: &[Log], entity: &str) -> u8 {
    let mut explanation = match explain(rules, logs, entity, args.at) {
        Ok(explanation) => explanation,
        Err(failure) => return fail(failure.exit_code(), &failure),
    };
    if !are_streams(logs)
        && !explanation.is_empty()
        && let Err(failure) = explanation.add_told(rules, logs, args.at)
    {
        return fail(failure.exit_code(), &failure);
    }
    if explanation.is_empty() {
        let what = format!("no record of `{entity}` that fits a signal had arrived");
        return fail(FAILED, &what);
    }
    let shown = match args.json {
        true => serde_json::to_string_pretty(&explanation).expect("plain values encode") + "\n",
        false => draw(&explanation),
    };
    show(&shown, &explanation.damaged)
}

/// Explains single records.
fn record(args: &ExplainArgs, rules: &Rules, logs: &[Log], which: &Which) -> u8 {
    let (located, more) = match locate(rules, logs, which) {
        Ok(Found::Records(located, more)) => (located, more),
        Ok(Found::Nothing(what)) => return fail(FAILED, &what),
        Err(failure) => return fail(failure.exit_code(), &failure),
    };
    let records = match explain_records(rules, logs, located, more, args.at) {
        Ok(records) => records,
        Err(failure) => return fail(failure.exit_code(), &failure),
    };
    let shown = if args.json { records.json(rules) } else { records.sentences() };
    show(&shown, &records.damaged)
}

/// Prints what is known, and says which logs could not be read to their end.
fn show(shown: &str, damaged: &[InputError]) -> u8 {
    let printed = print(shown);
    damaged.iter().map(|error| fail(error.exit_code(), error)).max().unwrap_or(printed)
}
