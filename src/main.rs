//! The `limbeck` command.

use std::io::Write;

/// A replay is a fifth to a third faster with it: see benches/RESULTS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Whole huge pages for what is small: twice the memory, and time to clear it. Where the system
    // does not know them, there is nothing to turn off.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let code = limbeck::cli::run();
    let _ = std::io::stdout().flush();
    // At once: the system takes all memory back together, the allocator would do it page by page.
    signal_hook::low_level::exit(code.into());
}
