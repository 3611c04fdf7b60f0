//! The `limbeck` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    limbeck::cli::run()
}
