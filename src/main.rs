//! The `limbeck` command.

use std::process::ExitCode;

/// A replay is a tenth to a fifth faster with it: see benches/RESULTS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    limbeck::cli::run()
}
