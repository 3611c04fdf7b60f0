//! The header of a log of rows: given by the rule file, or the first line of the log.

use std::sync::Arc;

use smol_str::SmolStr;

use super::blocks::Blocks;
use super::decode::csv::Fields;
use super::decode::text;
use super::error::InputError;
use crate::rules::Csv;

/// The names of the columns.
pub(crate) type Header = Arc<[SmolStr]>;

/// The header of an input, which is taken out of it if it is there. An input without a whole line
/// has none.
pub(super) fn header(
    name: &str,
    csv: &Csv,
    blocks: &mut Blocks,
    bytes_max: usize,
) -> Result<Option<Header>, InputError> {
    if let Some(header) = &csv.header {
        return Ok(Some(Arc::clone(header)));
    }
    let Some((line, bytes)) = blocks.take_line() else { return Ok(None) };
    let input = name.to_owned();
    let unreadable = |column: usize, reason: String| InputError::Header {
        input: input.clone(),
        line,
        column,
        detail: reason,
    };
    if bytes.len() > bytes_max {
        return Err(unreadable(1, "longer than a record may be".to_owned()));
    }
    let row = text(&bytes).map_err(|error| unreadable(error.column, error.reason))?;
    let columns = Fields::new(row, csv.delimiter)
        .map(|field| field.map(|(_, name)| SmolStr::new(name)))
        .collect::<Result<Header, _>>()
        .map_err(|error| unreadable(error.column, error.reason))?;
    match csv.misfit(&columns) {
        Some(detail) => Err(InputError::Misfit { input, line, detail }),
        None => Ok(Some(columns)),
    }
}
