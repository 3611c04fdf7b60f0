//! Where results go: files that appear whole or not at all, and the sort behind sorted ones.
//!
//! - `atomic`: an output directory, and files that get their name only when all are complete.
//! - `sort`: an external sort of updates that consolidates them, in bounded memory.
//! - `growing`: a file that is written as the replay goes, and may be gone on with.
//! - `history`: what such a file has of rules that are the same, to be told again.
//! - `run`: the sorted runs which that sort keeps on disk.
//! - `report`: the thread that writes a replay's outputs; `json`: their rows; `digest`: their hash.
//! - `fates`: what became of every record; `transitions`: each change of state, where that is kept.
//! - `saved`: what is remembered of all that on the way.
//! - `summary`: what it found, in numbers.
//! - `error`: why an output cannot be created or written.

pub mod atomic;
pub mod digest;
pub mod error;
pub(crate) mod fates;
mod growing;
mod history;
pub(crate) mod json;
pub mod report;
mod run;
mod saved;
pub mod sort;
mod summary;
mod transitions;

#[cfg(test)]
mod tests;

pub use atomic::{AtomicFile, OutputDir, exit_without_outputs};
pub use error::OutputError;
pub use growing::{Growing, Unsynced};
pub use sort::{SavedSort, Sorted, Sorter, Unsaved};
