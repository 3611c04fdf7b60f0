//! The replay log: records as they were read once, in columns, to be replayed by any rules.
//!
//! A log is a folder. Its `manifest.json` lists the partitions, in order, and the sealed segments
//! of each; a segment is a Parquet file that other programs read as it is.
//!
//! Guarantees: what a replay makes of the log is what it made of the logs that were imported, names
//! of files, lines and columns included; a segment is read only if its checksum is that of the
//! manifest; nothing in the folder changes once the manifest is there.
//!
//! - `manifest`: the list, and what is wrong with one.
//! - `leaves`: a record taken apart into the values that stand in it; `form`: the line around them.
//! - `write`: rows become a segment; `columns`: a file of columns; `texts`: those of a column;
//!   `schema`: how they are laid out.
//! - `segment`: a segment that has been checked, and its groups of rows.
//! - `rows`: rows as a decoder gives records, and as conditions see them; `values`: columns by row.
//! - `read`: a partition, group by group.
//! - `import`: logs become a folder; `look`: what a folder holds, for people.

mod columns;
mod form;
pub mod import;
mod leaves;
pub mod look;
pub mod manifest;
mod read;
mod rows;
mod schema;
mod segment;
#[cfg(test)]
mod tests;
mod texts;
mod values;
mod write;

pub use manifest::{Manifest, Stored, is_log};
pub(crate) use read::Groups;
pub use rows::Row;
pub(crate) use rows::Rows;
pub(crate) use segment::Group;
