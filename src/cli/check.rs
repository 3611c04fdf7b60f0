//! `limbeck check`: errors and warnings of rule files, the plan of their rules, and what these make
//! of a sample.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::args::{CheckArgs, LogArg};
use super::{CONFIGURATION, RuleFile, USAGE, complain, fail, files, load, plan, print, say};
use crate::authoring::sample::Sample;
use crate::rules::Diagnostics;

pub(super) fn run(args: &CheckArgs) -> u8 {
    if args.rules.len() > 1 && !args.sample.is_empty() {
        return fail(USAGE, &"a sample is for one rule file: name only one with --sample");
    }
    if args.rules.len() > 1 && args.against.is_some() {
        return fail(USAGE, &"an earlier file is of one rule file: name only one with --against");
    }
    args.rules.iter().map(|path| check(path, args)).max().unwrap_or(0)
}

fn check(path: &Path, args: &CheckArgs) -> u8 {
    let file = match load(path) {
        Ok(file) => file,
        Err(code) => return code,
    };
    if let Some(before) = &args.against {
        let before = match load(before) {
            Ok(before) => before,
            Err(code) => return code,
        };
        let problems = file.rules.incompatible(&before.rules);
        if !problems.is_empty() {
            let problems = Diagnostics::errors(&file.name, &file.text, problems);
            complain(&problems.render(io::stderr().is_terminal()));
            return CONFIGURATION;
        }
    }
    let sample = match sample(&file, &args.sample) {
        Ok(sample) => sample,
        Err(code) => return code,
    };
    let mut warnings = file.rules.lint();
    warnings.extend(sample.warnings(&file.text));
    if let Some(warnings) = Diagnostics::warnings(&file.name, &file.text, warnings) {
        complain(&warnings.render(io::stderr().is_terminal()));
    }
    let mut text = say::checked(&file.name, &file.rules) + "\n";
    if args.plan {
        text += &plan::text(&file.rules);
    }
    if !args.sample.is_empty() {
        text += &say::sampled(&sample, &file.rules);
    }
    let printed = print(&text);
    let damaged = sample.logs.iter().filter_map(|log| log.damaged.as_ref());
    damaged.map(|error| fail(error.exit_code(), error)).max().unwrap_or(printed)
}

fn sample<'f>(file: &'f RuleFile, logs: &[LogArg]) -> Result<Sample<'f>, u8> {
    let logs = files(logs, &file.rules, false)?;
    let mut sample = Sample::new(&file.rules);
    for log in logs {
        sample.add(&log).map_err(|error| fail(error.exit_code(), &error))?;
    }
    Ok(sample)
}
