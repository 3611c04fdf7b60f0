//! A time in the form that the rule file says, or why it is none.

use crate::model::Scalar;
use crate::model::time::{TimeError, parse_rfc3339};
use crate::rules::{TimeForm, TimeFormat, TimeFormatError, TimeUnit};

/// Reads a value that is there, in nanoseconds; the error calls it by its name.
pub(super) fn read(value: &Scalar<'_>, form: &TimeForm, name: &str) -> Result<i64, String> {
    match form {
        TimeForm::Unit(TimeUnit::Rfc3339) => rfc3339(value, name),
        TimeForm::Unit(unit) => epoch(value, *unit, name),
        TimeForm::Format(format) => formatted(value, format, name),
    }
}

fn rfc3339(value: &Scalar<'_>, name: &str) -> Result<i64, String> {
    let Scalar::Str(text) = value else {
        return Err(format!("`{name}` must be an RFC 3339 string"));
    };
    parse_rfc3339(text).map_err(|error| match error {
        TimeError::NotRfc3339 => format!("`{name}` is no RFC 3339 time"),
        TimeError::OutOfRange => out_of_range(name),
    })
}

/// A time in a format of its own; digits alone may be written as a number.
fn formatted(value: &Scalar<'_>, format: &TimeFormat, name: &str) -> Result<i64, String> {
    let text = value.text().ok_or_else(|| format!("`{name}` must be a time as {format}"))?;
    format.read(&text).map_err(|misfit| match misfit {
        TimeFormatError::Text(detail) => format!("`{name}` is no time as {format}: {detail}"),
        TimeFormatError::OutOfRange => out_of_range(name),
    })
}

/// A time since the epoch, as a number or as its digits in a string.
fn epoch(value: &Scalar<'_>, unit: TimeUnit, name: &str) -> Result<i64, String> {
    let nanos_per_unit: i64 = match unit {
        TimeUnit::Seconds => 1_000_000_000,
        TimeUnit::Millis => 1_000_000,
        TimeUnit::Micros => 1_000,
        TimeUnit::Nanos | TimeUnit::Rfc3339 => 1,
    };
    let whole = match value {
        Scalar::Int(count) => Some(*count),
        Scalar::Str(text) => text.parse().ok(),
        _ => None,
    };
    let fractional = match value {
        Scalar::Float(count) => Some(*count),
        Scalar::UInt(count) => Some(*count as f64),
        Scalar::Str(text) => text.parse().ok(),
        _ => None,
    };
    match (whole, fractional) {
        (Some(count), _) => count.checked_mul(nanos_per_unit).ok_or_else(|| out_of_range(name)),
        (None, Some(count)) => {
            let nanos = count * nanos_per_unit as f64;
            let fits = nanos.abs() < i64::MAX as f64;
            fits.then_some(nanos as i64).ok_or_else(|| out_of_range(name))
        }
        (None, None) => Err(format!("`{name}` must be a number since the epoch")),
    }
}

fn out_of_range(name: &str) -> String {
    format!("`{name}` is outside of the years 1678 to 2261")
}
