//! `limbeck check`: errors and warnings of rule files, and the plan of their rules.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::args::CheckArgs;
use super::{load, plan, print, say};
use crate::rules::Diagnostics;

pub(super) fn run(args: &CheckArgs) -> u8 {
    args.rules.iter().map(|path| check(path, args)).max().unwrap_or(0)
}

fn check(path: &Path, args: &CheckArgs) -> u8 {
    let file = match load(path) {
        Ok(file) => file,
        Err(code) => return code,
    };
    let warnings = file.rules.lint();
    if let Some(warnings) = Diagnostics::warnings(&file.name, &file.text, warnings) {
        eprintln!("{}", warnings.render(io::stderr().is_terminal()));
    }
    print(&format!("{}\n", say::checked(&file.name, &file.rules)));
    if args.plan {
        print(&plan::text(&file.rules));
    }
    0
}
