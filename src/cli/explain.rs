//! `limbeck explain`: what is asked for, and how it is shown.

use std::fs::{self, Metadata};
use std::path::Path;

use super::args::ExplainArgs;
use super::{FAILED, USAGE, fail, load, print, read_standard_input_once, resolve};
use crate::explain::{Explanation, Found, Which, draw, explain, locate, sentences};
use crate::replay::Log;
use crate::rules::Rules;

/// Explains what the arguments ask for.
pub(super) fn run(args: &ExplainArgs) -> u8 {
    let rules = match load(&args.rules) {
        Ok(file) => file.rules,
        Err(code) => return code,
    };
    let (logs, entity) = args.logs_and_entity();
    let logs: Result<Vec<Log>, u8> = logs.iter().map(|log| resolve(log, &rules)).collect();
    let logs = match logs {
        Ok(logs) => logs,
        Err(code) => return code,
    };
    let which = match (&args.record, &args.source, &args.id) {
        (Some((file, line)), ..) => Some(Which::Line(file.clone(), *line)),
        (None, Some(source), Some(id)) => Some(Which::Identity(source.clone(), id.clone())),
        _ => None,
    };
    if let Err(code) = read_standard_input_once(&logs) {
        return code;
    }
    if which.is_some() && logs.iter().any(|log| is_stream(&log.path)) {
        let what = "a record is looked for before the replay, and standard input or a pipe can be \
                    read once: give the log as a file";
        return fail(USAGE, &what);
    }
    match (which, &entity) {
        (Some(which), _) => record(args, &rules, &logs, &which),
        (None, Some(entity)) => with(args, &rules, &logs, entity, draw),
        (None, None) => fail(USAGE, &"name an ENTITY, a --record, or --source and --id"),
    }
}

/// Whether an input can be read only once.
fn is_stream(path: &Path) -> bool {
    let is_other = |found: Metadata| !found.is_file() && !found.is_dir();
    path.as_os_str() == "-" || fs::metadata(path).is_ok_and(is_other)
}

/// Explains an entity, by the text that is made of it.
fn with(
    args: &ExplainArgs,
    rules: &Rules,
    logs: &[Log],
    entity: &str,
    text: impl FnOnce(&Explanation) -> String,
) -> u8 {
    let explanation = match explain(rules, logs, entity, args.at) {
        Ok(explanation) => explanation,
        Err(failure) => return fail(failure.exit_code(), &failure),
    };
    if explanation.rules.is_empty() && explanation.not_used.is_empty() {
        let what = format!("no record of `{entity}` that fits a signal had arrived");
        return fail(FAILED, &what);
    }
    let shown = match args.json {
        true => serde_json::to_string_pretty(&explanation).expect("plain values encode") + "\n",
        false => text(&explanation),
    };
    let printed = print(&shown);
    let damaged = explanation.damaged.iter().map(|error| fail(error.exit_code(), error));
    damaged.max().unwrap_or(printed)
}

fn record(args: &ExplainArgs, rules: &Rules, logs: &[Log], which: &Which) -> u8 {
    let found = match locate(rules, logs, which) {
        Ok(found) => found,
        Err(failure) => return fail(failure.exit_code(), &failure),
    };
    let say = |what: String| print(&(what + "\n"));
    match found {
        Found::Nothing => fail(FAILED, &"no such record in these logs (a blank line is none)"),
        Found::Unreadable(column, reason) => {
            say(format!("a dead letter: {reason} (column {column})"))
        }
        Found::Unmatched(None, _) => say("unmatched: it has no subject".to_owned()),
        Found::Unmatched(Some(entity), 0) => {
            say(format!("unmatched: a record of `{entity}`, but no signal's conditions hold"))
        }
        Found::Unmatched(Some(entity), errors) => say(format!(
            "unmatched: a record of `{entity}`, but no signal's conditions hold; {errors} of them \
             could not be judged"
        )),
        Found::Record { entity, file, line } => with(args, rules, logs, &entity, |explanation| {
            sentences(explanation, &file, line).join("\n") + "\n"
        }),
    }
}
