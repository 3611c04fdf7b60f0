//! Finding one record in logs, by its place or by what its producer calls it.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::model::Id;
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sources::intake::{Matcher, Partition, records};
use crate::sources::open;

/// Which record is meant.
#[derive(Clone, Debug)]
pub enum Which {
    /// A line of a log, from 1.
    Line(PathBuf, u64),
    /// The first with this source and id.
    Identity(String, String),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A line that is no record: where, in bytes from 1, and why.
    Unreadable(usize, String),
    /// A record that no signal observes: its entity, if it has one, and how many conditions could
    /// not be judged.
    Unmatched(Option<String>, u32),
    /// A record of an entity.
    Record {
        /// Which entity.
        entity: String,
        /// The log as it was named.
        file: String,
        /// The line in it.
        line: u64,
    },
}

/// Looks for a record.
///
/// # Errors
///
/// If a log cannot be opened or read.
pub fn locate(rules: &Rules, logs: &[Log], which: &Which) -> Result<Found, Failure> {
    let matcher = Matcher::new(rules);
    for (number, log) in logs.iter().enumerate() {
        if matches!(which, Which::Line(file, _) if *file != log.path) {
            continue;
        }
        let partition = Partition::new(number, log.source, open(&log.path)?, rules)?;
        let mut found = Found::Nothing;
        records(partition, &matcher, |seen| {
            let meant = match (which, &seen.record) {
                (Which::Line(_, line), _) => *line == seen.line,
                (Which::Identity(..), Err(_)) => false,
                (Which::Identity(source, id), Ok(record)) => {
                    let same = match &record.id {
                        Id::Text(text) => text == id,
                        Id::Content(hash) => *id == format!("{hash:032x}"),
                    };
                    same && *source == record.source
                }
            };
            if !meant {
                return ControlFlow::Continue(());
            }
            found = match seen.record {
                Err(error) => Found::Unreadable(error.column, error.reason),
                Ok(record) => {
                    let mut errors = 0;
                    let fits = matcher.fits(log.source, seen.view, &mut errors);
                    match record.subject.map(|subject| subject.to_string()) {
                        Some(entity) if !fits.is_empty() => Found::Record {
                            entity,
                            file: log.path.display().to_string(),
                            line: seen.line,
                        },
                        entity => Found::Unmatched(entity, errors),
                    }
                }
            };
            ControlFlow::Break(())
        })?;
        if found != Found::Nothing {
            return Ok(found);
        }
    }
    Ok(Found::Nothing)
}
