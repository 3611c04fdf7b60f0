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
    let digits = match unit {
        TimeUnit::Seconds => 9,
        TimeUnit::Millis => 6,
        TimeUnit::Micros => 3,
        TimeUnit::Nanos | TimeUnit::Rfc3339 => 0,
    };
    let nanos = match value {
        Scalar::Int(count) => Some(count.checked_mul(10_i64.pow(digits))),
        Scalar::UInt(_) => Some(None),
        // The digits it was written with, if they were no more than its kind of number holds.
        Scalar::Float(count) => decimal(&format!("{count:e}"), digits),
        Scalar::Str(text) => decimal(text, digits),
        _ => None,
    };
    let Some(nanos) = nanos else {
        return Err(format!("`{name}` must be a number since the epoch"));
    };
    nanos.ok_or_else(|| out_of_range(name))
}

/// The number that a text writes, with the point moved by so many digits to the right; what is
/// behind it then is cut off. `None` if it is none, `Some(None)` if it is too large.
pub(crate) fn decimal(text: &str, digits: u32) -> Option<Option<i64>> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    if whole.len() + fraction.len() == 0 || !all().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // So many digits stand before the point.
    let kept = i64::from(exponent) + i64::from(digits) + whole.len() as i64;
    let mut significant = all().chain(std::iter::repeat(b'0'));
    let leading = all().take_while(|digit| *digit == b'0').count() as i64;
    if leading == (whole.len() + fraction.len()) as i64 || kept <= leading {
        return Some(Some(0));
    }
    let mut nanos = 0_i64;
    for _ in 0..leading {
        significant.next();
    }
    for digit in significant.take(usize::try_from((kept - leading).min(20)).unwrap_or(0)) {
        let digit = i64::from(digit - b'0');
        let longer = nanos.checked_mul(10);
        let next =
            longer.and_then(|n| if negative { n.checked_sub(digit) } else { n.checked_add(digit) });
        let Some(next) = next else { return Some(None) };
        nanos = next;
    }
    Some(Some(nanos))
}

fn out_of_range(name: &str) -> String {
    format!("`{name}` is outside of the years 1678 to 2261")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(value: &Scalar<'_>) -> Result<i64, String> {
        epoch(value, TimeUnit::Seconds, "ts")
    }

    #[test]
    fn digits_are_read_as_they_are_written() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("1.", Some(1_000_000_000)),
            (".5", Some(500_000_000)),
            ("1700000000.023", Some(1_700_000_000_023_000_000)),
            ("1700000000.123456789", Some(1_700_000_000_123_456_789)),
            ("-1.0000000019", Some(-1_000_000_001)),
            ("1.7e9", Some(1_700_000_000_000_000_000)),
            ("1700000000123E-3", Some(1_700_000_000_123_000_000)),
            ("+0000000000000000000000012.5", Some(12_500_000_000)),
            ("1e-400", Some(0)),
            ("9223372036.854775807", Some(i64::MAX)),
            ("-9223372036.854775808", Some(i64::MIN)),
            ("9223372036.854775808", None),
            ("1e400", None),
            ("1e999999999999", None),
        ] {
            assert_eq!(seconds(&Scalar::Str(text.into())).ok(), nanos, "{text}");
        }
        for text in ["", ".", "-", "e5", "1e", "1.2.3", "0x5", "1_0", "NaN", "inf", "1 "] {
            let error = seconds(&Scalar::Str(text.into())).expect_err(text);
            assert!(error.contains("must be a number"), "{text}: {error}");
        }
    }

    proptest! {
        /// Until 2242, from when on a double is coarser.
        #[test]
        fn a_number_of_json_keeps_its_microseconds(micros in 0..(1 << 33) * 1_000_000_i64) {
            let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let number = text.parse::<f64>().expect("a number");
            prop_assert_eq!(seconds(&Scalar::Float(number)), Ok(micros * 1_000));
            prop_assert_eq!(seconds(&Scalar::Str(text.into())), Ok(micros * 1_000));
        }
    }
}
