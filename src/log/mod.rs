//! The replay log: records as they were read once, in columns, to be replayed by any rules.
//!
//! A log is a folder. Its `manifest.json` lists the partitions, in order, and the sealed segments
//! of each; a segment is a Parquet file that other programs read as it is. What was appended since is
//! in files of frames.
//!
//! Guarantees: what a replay makes of the log is what it made of the logs that were imported, names
//! of files, lines and columns included; a segment is read only if its checksum is that of the
//! manifest; what is appended is on disk before it is acknowledged.
//!
//! - `manifest`: the list, and what is wrong with one; `stored`: it and what follows it, at a moment.
//! - `leaves`: a record taken apart into the values that stand in it; `form`: the line around them.
//! - `seal`: what a source reads becomes rows, and rows a segment (`write`); `columns`: a file of
//!   columns; `texts`: those of a column; `schema`: how they are laid out.
//! - `segment`: a segment that has been checked, and its groups of rows.
//! - `rows`: rows as a decoder gives records, and as conditions see them; `values`: columns by row;
//!   `codes`: which rows say the same.
//! - `frames`: lines as they came, before they are sealed; `append`: who writes them.
//! - `read`: a partition, group by group; `follow`: what is appended meanwhile.
//! - `copy`: rows of segments become rows of others; `split`: a log becomes one of more partitions.
//! - `import`: logs become a folder; `look`: what a folder holds, for people.

pub mod append;
mod codes;
mod columns;
mod copy;
mod follow;
mod form;
mod frames;
pub mod import;
mod leaves;
pub mod look;
pub mod manifest;
mod read;
mod rows;
mod schema;
mod seal;
mod segment;
pub mod split;
mod stored;
#[cfg(test)]
mod tests;
mod texts;
mod values;
mod write;

pub use manifest::{Manifest, is_log};
pub(crate) use read::Groups;
pub use rows::Row;
pub(crate) use rows::Rows;
pub(crate) use segment::Group;
pub use stored::Stored;
