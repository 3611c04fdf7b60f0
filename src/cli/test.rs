//! `limbeck test`: which cases are run, and what came of them.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use super::args::TestArgs;
use super::{CONFIGURATION, FAILED, MISSING, NOT_CREATED, USAGE, complain, fail, print, say};
use crate::testing::{NoSuite, Suite, Verdict, junit};

/// Runs the cases that the arguments ask for.
pub(super) fn run(args: &TestArgs) -> u8 {
    let suites = match suites(args) {
        Ok(suites) => suites,
        Err(code) => return code,
    };
    let wanted = |name: &str| args.run.as_ref().is_none_or(|run| run.is_match(name));
    let mut done = Vec::new();
    let (mut passed, mut failed) = (0, 0);
    for suite in &suites {
        let mut verdicts = Vec::new();
        for (number, case) in suite.cases.iter().enumerate().filter(|(_, case)| wanted(&case.name))
        {
            let verdict = match case.run(1) {
                Ok(verdict) => verdict,
                Err(failure) => return fail(failure.exit_code(), &failure),
            };
            if let Verdict::Failed(of_case) = &verdict {
                failed += 1;
                let printed = print(&say::failed(suite, case, of_case));
                if printed != 0 {
                    return printed;
                }
            } else {
                passed += 1;
            }
            verdicts.push((number, verdict));
        }
        done.push((suite, verdicts));
    }
    if let (0, Some(run)) = (passed + failed, &args.run) {
        return fail(USAGE, &format!("no case has a name in which `{run}` is found"));
    }
    let printed = print(&say::tested(&done));
    let written = args.junit.as_deref().map_or(0, |path| write_junit(path, &done));
    if failed > 0 { FAILED } else { written.max(printed) }
}

/// Reads all test files, or says all that is wrong with any of them.
fn suites(args: &TestArgs) -> Result<Vec<Suite>, u8> {
    let (mut suites, mut code) = (Vec::new(), 0);
    for path in &args.files {
        match Suite::read(path) {
            Ok(suite) => suites.push(suite),
            Err(NoSuite::Wrong(all)) => {
                for of_file in all {
                    complain(&of_file.render(io::stderr().is_terminal()));
                }
                code = CONFIGURATION;
            }
            Err(unreadable) => code = code.max(fail(MISSING, &unreadable)),
        }
    }
    if code == 0 { Ok(suites) } else { Err(code) }
}

fn write_junit(path: &Path, done: &[(&Suite, Vec<(usize, Verdict)>)]) -> u8 {
    let report = match junit::report(done) {
        Ok(report) => report,
        Err(error) => return fail(NOT_CREATED, &format!("there is no XML of this: {error}")),
    };
    fs::write(path, report).map_or_else(
        |error| {
            let path = path.display();
            fail(NOT_CREATED, &format!("the report cannot be written: {path}: {error}"))
        },
        |()| 0,
    )
}
