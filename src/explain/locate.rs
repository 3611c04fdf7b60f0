//! Finding one record in logs, by its place or by what its producer calls it.

use std::path::PathBuf;

use crate::model::Id;
use crate::replay::{Failure, Log};
use crate::rules::Rules;
use crate::sources::decode::{Lines, Shapes};
use crate::sources::intake::{Matcher, RECORD_BYTES_MAX};
use crate::sources::{Blocks, open};

const BLOCK_BYTES: usize = 512 << 10;

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
    for log in logs {
        if matches!(which, Which::Line(file, _) if *file != log.path) {
            continue;
        }
        let decoder = matcher.decoder(log.source);
        let mut blocks = Blocks::new(open(&log.path)?, BLOCK_BYTES, RECORD_BYTES_MAX);
        let mut shapes = Shapes::default();
        while let Some(block) = blocks.next_block(Vec::new()) {
            let block = block?;
            let wanted = |line: u64| !matches!(which, Which::Line(_, wanted) if *wanted != line);
            if let (Some(oversized), Which::Line(..)) =
                (block.oversized.iter().find(|oversized| wanted(oversized.line)), which)
            {
                let reason = format!("longer than a record may be: {} bytes", oversized.bytes);
                return Ok(Found::Unreadable(1, reason));
            }
            let mut lines = Lines::new(&mut shapes);
            for (line, text, _) in block.lines().filter(|(line, ..)| wanted(*line)) {
                let decoded = match (decoder.decode(text.trim_ascii(), &mut lines), which) {
                    (Ok(decoded), _) => decoded,
                    (Err(_), Which::Line(..)) if text.trim_ascii().is_empty() => continue,
                    (Err(error), Which::Line(..)) => {
                        return Ok(Found::Unreadable(error.column, error.reason));
                    }
                    (Err(_), Which::Identity(..)) => continue,
                };
                if let Which::Identity(source, id) = which {
                    let same = match &decoded.id {
                        Id::Text(text) => text == id,
                        Id::Content(hash) => *id == format!("{hash:032x}"),
                    };
                    if !same || *source != decoded.source {
                        continue;
                    }
                }
                let mut errors = 0;
                let matches = matcher.matches(log.source, &lines, &mut errors);
                let entity = decoded.subject.as_ref().map(|subject| subject.to_string());
                return Ok(match entity {
                    Some(entity) if !matches.is_empty() => {
                        Found::Record { entity, file: log.path.display().to_string(), line }
                    }
                    entity => Found::Unmatched(entity, errors),
                });
            }
        }
    }
    Ok(Found::Nothing)
}
