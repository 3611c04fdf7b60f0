//! Where records come from: log files and standard input, read as blocks of whole lines.
//!
//! - `open`: a path becomes a stream of plain bytes, whatever it is compressed with.
//! - `gzip`, `zstd`: decoders that deliver all that is whole before they report damage.
//! - `header`: what the columns of a log of rows are called.
//! - `blocks`: the stream becomes numbered blocks of whole lines.
//! - `documents`: the documents of tools become lines of a record each.
//! - `decode`: a line becomes a record.
//! - `intake`: files to workers: decoding threads, arrival, lateness, backpressure.
//! - `interrupt`: asking readers to stop where they are.
//! - `error`: why an input cannot be read, or not to its end.

pub mod blocks;
pub mod decode;
pub(crate) mod documents;
pub mod error;
mod gzip;
pub(crate) mod header;
pub mod intake;
pub mod interrupt;
pub mod open;
mod raw;
mod zstd;

#[cfg(test)]
mod tests;

pub use blocks::{Block, Blocks, Oversized};
pub use error::InputError;
pub use interrupt::{Interrupt, Interrupter};
pub use open::{Opened, open, open_until};
