//! Durations as Prometheus writes them: `30s`, `1h30m`, `100ms`; the parts in falling order. Below
//! its milliseconds there are `us` and `ns`.

/// Nanoseconds in one of each unit, largest first; from `y` to `ms` as Prometheus defines them.
pub(crate) const UNITS: [(&str, i64); 9] = [
    ("y", 365 * 86_400_000_000_000),
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDuration {
    /// It is not written like one.
    Form,
    /// It is longer than 64 bits of nanoseconds can hold: 292 years.
    TooLong,
}

/// Reads a duration in nanoseconds; `None` if it is none, or longer than 64 bits can hold.
/// `0` needs no unit.
pub fn parse_duration(text: &str) -> Option<i64> {
    read_duration(text).ok()
}

/// [`parse_duration`] with the reason.
///
/// # Errors
///
/// [`NoDuration`], if it is none.
pub fn read_duration(text: &str) -> Result<i64, NoDuration> {
    if text == "0" {
        return Ok(0);
    }
    // None once it is too long: what follows may still be wrong.
    let mut total = Some(0_i64);
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(NoDuration::Form);
        }
        let count: Option<i64> = rest[..digits].parse().ok();
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = units.find(|(unit, _)| *unit == &rest[..letters]);
        let (_, nanos) = unit.ok_or(NoDuration::Form)?;
        rest = &rest[letters..];
        let part = count.and_then(|count| count.checked_mul(*nanos));
        total = total.zip(part).and_then(|(total, part)| total.checked_add(part));
    }
    match text {
        "" => Err(NoDuration::Form),
        _ => total.ok_or(NoDuration::TooLong),
    }
}

/// Writes a duration that is not negative exactly, as [`parse_duration`] reads it.
pub fn format_duration(nanos: i64) -> String {
    let mut rest = nanos;
    let mut out = String::new();
    for (unit, size) in UNITS.iter().skip(2) {
        if rest / size > 0 {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// Writes how far a clock is off, in seconds to the millisecond.
pub fn format_offset(nanos: i64) -> String {
    let millis = nanos.unsigned_abs() / 1_000_000;
    let sign = if nanos < 0 { '-' } else { '+' };
    format!("{sign}{}.{:03}s", millis / 1_000, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prometheus_durations() {
        for (text, nanos) in [
            ("30s", 30_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("100ms", 100_000_000),
            ("0", 0),
            ("0s", 0),
            ("1d12h", 129_600_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
        }
        for text in ["", "30", "s", "30 s", "-1s", "1m1h", "1s1s", "1.5s", "30S", "999999999y"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for text in ["293y", "99999999999999999999s", "292y52w", "99999999999y1s"] {
            assert_eq!(read_duration(text), Err(NoDuration::TooLong), "{text}");
        }
        assert_eq!(read_duration("300000y1x"), Err(NoDuration::Form));
        assert!(read_duration("292y").is_ok());
    }

    #[test]
    fn offsets_have_a_sign() {
        for (nanos, text) in [
            (61_204_999_999, "+61.204s"),
            (-999_000, "-0.000s"),
            (-86_400_010_000_000, "-86400.010s"),
            (i64::MIN, "-9223372036.854s"),
        ] {
            assert_eq!(format_offset(nanos), text);
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["30s", "1h30m", "100ms", "0s", "1d12h", "7s4ms766us", "111ms444us", "1us7ns"] {
            let nanos = parse_duration(text).expect(text);
            assert_eq!(format_duration(nanos), text);
        }
        for nanos in [1, 999_999, 1_000_001, 86_400_000_000_001, i64::MAX] {
            let text = format_duration(nanos);
            assert_eq!(parse_duration(&text), Some(nanos), "{text}");
        }
    }
}
