//! Event time and arrival: nanoseconds since the Unix epoch, as RFC 3339 on the wire.
//!
//! 64 bits reach from 1677-09-21 to 2262-04-11; a time outside cannot be meant by telemetry and
//! is refused at the door.

use jiff::Timestamp;
use jiff::civil::DateTime;

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
    usual_rfc3339(text.as_bytes()).map_or_else(|| any_rfc3339(text), Ok)
}

/// From the first of March of the year 0 to the epoch.
const EPOCH_DAYS: i64 = 719_468;

/// Reads the usual shape, in UTC and with at most nanoseconds; not all of its times.
#[inline]
fn usual_rfc3339(text: &[u8]) -> Option<i64> {
    const SHAPE: [u8; 19] = *b"0000-00-00T00:00:00";
    const DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    /// March is the first month of its year: the leap day comes last.
    const DAYS_BEFORE: [u32; 12] = [306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275];
    let (head, fraction) = text.split_first_chunk::<19>()?;
    let digits: [u8; 19] = std::array::from_fn(|i| head[i] ^ SHAPE[i]);
    let most = |i: usize| if SHAPE[i] == b'0' { 9 } else { 0 };
    if (0..19).fold(false, |wrong, i| wrong | (digits[i] > most(i))) {
        return None;
    }
    let two = |i: usize| u32::from(digits[i]) * 10 + u32::from(digits[i + 1]);
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    // Of leap days and leap seconds the library knows.
    let plain = (1678..2262).contains(&year)
        && (1..=12).contains(&month)
        && (1..=DAYS[month as usize - 1]).contains(&day)
        && (hour < 24 && minute < 60 && second < 60);
    if !plain {
        return None;
    }
    let nanos = match fraction {
        [b'Z'] => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            let nanos = fraction.iter().try_fold(0, |nanos: u32, byte| {
                byte.is_ascii_digit().then(|| nanos * 10 + u32::from(byte - b'0'))
            })?;
            nanos * 10_u32.pow(9 - fraction.len() as u32)
        }
        _ => return None,
    };
    let year = year - u32::from(month < 3);
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + DAYS_BEFORE[month as usize - 1] + day - 1;
    let seconds = hour * 3_600 + minute * 60 + second;
    let seconds = (i64::from(days) - EPOCH_DAYS) * 86_400 + i64::from(seconds);
    seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(nanos))
}

/// Reads every time.
#[cold]
fn any_rfc3339(text: &str) -> Result<i64, TimeError> {
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
    let (seconds, mut fraction) =
        (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000) as u32);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let mut two = |at: usize, value: u32| {
        text[at] = b'0' + (value / 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    };
    two(0, year / 100);
    two(2, year % 100);
    two(5, month);
    two(8, day);
    two(11, second / 3_600);
    two(14, second / 60 % 60);
    two(17, second % 60);
    let mut digits = 9;
    while digits > 3 && fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    for at in (20..20 + digits).rev() {
        text[at] = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
    text[20 + digits] = b'Z';
    out.extend_from_slice(&text[..21 + digits]);
}

/// Year, month and day of a day since the epoch.
fn civil(days: i64) -> (u32, u32, u32) {
    const DAYS_IN_400_YEARS: u32 = 146_097;
    // 64 bits of nanoseconds do not reach back to the year 0.
    let day = (days + EPOCH_DAYS) as u32;
    let (era, day) = (day / DAYS_IN_400_YEARS, day % DAYS_IN_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Of years that begin in March.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u32::from(month < 3), month, day)
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
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_usual_shape_is_read_as_the_library_reads_it(
            text in "(0000|1677|1678|1[6-9][0-9]{2}|2[0-2][0-9]{2}|2262|[0-9]{4})\\
                -(0[0-9]|1[0-3])-([0-2][0-9]|3[0-2])T([01][0-9]|2[0-5])\\
                :[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,11})?[Zz]?",
            change in prop::option::of((0_usize..30, any::<u8>())),
        ) {
            let mut bytes = text.into_bytes();
            if let Some((at, byte)) = change {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let text = String::from_utf8_lossy(&bytes);
            if let Some(nanos) = usual_rfc3339(text.as_bytes()) {
                prop_assert_eq!(any_rfc3339(&text), Ok(nanos), "{}", text);
            }
        }
    }

    #[test]
    fn every_day_is_read_as_the_library_reads_it() {
        const DAY_NANOS: i64 = 86_400_000_000_000;
        let mut usual = 0;
        for day in i64::MIN / DAY_NANOS..=i64::MAX / DAY_NANOS {
            let nanos = day * DAY_NANOS + day.rem_euclid(DAY_NANOS);
            let text = format_rfc3339(nanos);
            assert_eq!(any_rfc3339(&text), Ok(nanos), "{text}");
            usual += usize::from(usual_rfc3339(text.as_bytes()).is_some_and(|n| n == nanos));
        }
        assert!(usual > 213_000, "{usual}");
    }

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
