//! Event time and arrival: nanoseconds since the Unix epoch, as RFC 3339 on the wire.
//!
//! 64 bits reach from 1677-09-21 to 2262-04-11; a time outside cannot be meant by telemetry and
//! is refused at the door.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeError {
    /// Not the shape that RFC 3339 prescribes, or no such day or hour.
    NotRfc3339,
    /// A real time that 64 bits of nanoseconds cannot hold.
    OutOfRange,
}

/// Reads an RFC 3339 time. Digits beyond nanoseconds are cut off.
pub fn parse_rfc3339(text: &str) -> Result<i64, TimeError> {
    let fraction_digits = rfc3339_shape(text.as_bytes()).ok_or(TimeError::NotRfc3339)?;
    const FRACTION_AT: usize = "2026-01-01T00:00:00.".len();
    let parsed = if fraction_digits <= 9 {
        text.parse::<Timestamp>()
    } else {
        let mut cut = String::with_capacity(text.len());
        cut.push_str(&text[..FRACTION_AT + 9]);
        cut.push_str(&text[FRACTION_AT + fraction_digits..]);
        cut.parse::<Timestamp>()
    };
    let timestamp = parsed.map_err(|_| match text[..FRACTION_AT - 1].parse::<DateTime>() {
        // The library's instants end a little before the calendar does.
        Ok(_) => TimeError::OutOfRange,
        Err(_) => TimeError::NotRfc3339,
    })?;
    i64::try_from(timestamp.as_nanosecond()).map_err(|_| TimeError::OutOfRange)
}

/// Whether the bytes have the shape of RFC 3339, section 5.6; if so, the digits of its fraction.
/// The library that reads the numbers accepts more shapes than the standard does.
fn rfc3339_shape(text: &[u8]) -> Option<usize> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let (head, rest) = text.split_at_checked(SHAPE.len())?;
    let fits = head.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == other,
    });
    let digits = match rest {
        [b'.', fraction @ ..] => fraction.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let offset = match rest {
        [b'.', ..] if digits == 0 => return None,
        [b'.', fraction @ ..] => &fraction[digits..],
        _ => rest,
    };
    let offset_fits = match offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1 @ b'0'..=b'2', h2, b':', b'0'..=b'5', m2] => {
            h2.is_ascii_digit() && m2.is_ascii_digit() && (*h1, *h2) <= (b'2', b'3')
        }
        _ => false,
    };
    (fits && offset_fits).then_some(digits)
}

/// Writes a time as RFC 3339 in UTC with the shortest fraction of at least three digits.
pub fn push_rfc3339(out: &mut Vec<u8>, nanos: i64) {
    use std::io::Write;
    let utc = Timestamp::from_nanosecond(i128::from(nanos))
        .expect("64 bits of nanoseconds are inside the calendar")
        .to_zoned(TimeZone::UTC)
        .datetime();
    let mut fraction = utc.subsec_nanosecond();
    let mut digits = 9;
    while digits > 3 && fraction % 10 == 0 {
        fraction /= 10;
        digits -= 1;
    }
    write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{fraction:0digits$}Z",
        utc.year(),
        utc.month(),
        utc.day(),
        utc.hour(),
        utc.minute(),
        utc.second(),
    )
    .expect("a Vec takes every write");
}

/// A time as RFC 3339 in UTC with the shortest fraction of at least three digits.
pub fn format_rfc3339(nanos: i64) -> String {
    let mut out = Vec::with_capacity(32);
    push_rfc3339(&mut out, nanos);
    String::from_utf8(out).expect("digits and ASCII marks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rfc_3339_allows_and_nothing_else() {
        let base = 1_767_225_600_000_000_000;
        for (text, nanos) in [
            ("2026-01-01T00:00:00Z", base),
            ("2026-01-01t00:00:00.2z", base + 200_000_000),
            ("2026-01-01 01:00:00.000000001+01:00", base + 1),
            ("2025-12-31T23:30:00-00:30", base),
            ("2026-01-01T00:00:00.1234567899999Z", base + 123_456_789),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000_000_000),
        ] {
            assert_eq!(parse_rfc3339(text), Ok(nanos), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Z[UTC]",
            " 2026-01-01T00:00:00Z",
            "+02026-01-01T00:00:00Z",
            "2026-01-01T00:00:00+25:00",
            "20260101T000000Z",
        ] {
            assert_eq!(parse_rfc3339(text), Err(TimeError::NotRfc3339), "{text}");
        }
        for text in ["9999-01-01T00:00:00Z", "9999-12-31T23:59:59.9-23:59", "0000-01-01T00:00:00Z"]
        {
            assert_eq!(parse_rfc3339(text), Err(TimeError::OutOfRange), "{text}");
        }
        assert_eq!(parse_rfc3339("9999-12-32T00:00:00Z"), Err(TimeError::NotRfc3339));
    }

    #[test]
    fn writes_the_shortest_fraction_of_at_least_three_digits() {
        for text in [
            "2026-01-01T00:00:00.000Z",
            "2026-01-01T00:00:00.200Z",
            "2026-01-01T00:00:00.2001Z",
            "1969-12-31T23:59:59.999999999Z",
            "2026-12-31T23:59:59.000001Z",
        ] {
            assert_eq!(format_rfc3339(parse_rfc3339(text).expect(text)), text);
        }
    }
}
