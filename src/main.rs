//! The `limbeck` command.

use std::process::ExitCode;

/// A replay is a fifth to a third faster with it: see benches/RESULTS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Whole huge pages for what is small: twice the memory, and time to clear it. Where the system
    // does not know them, there is nothing to turn off.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    limbeck::cli::run()
}
