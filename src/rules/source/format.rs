//! Times in a format of their own, as `%d/%b/%Y:%H:%M:%S %z`: checked once, then read by jiff.
//!
//! Guarantees: a format that is accepted says every time in full, so that no part of one is
//! guessed: a date with its year, a time of day, and each of their parts once.

use std::fmt;
use std::ops::Range;

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use smol_str::SmolStr;

use crate::rules::condition::Fault;

/// A format that has been checked, and the offset of its times from UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat {
    text: SmolStr,
    /// Of all its times; none if each says its own.
    zone: Option<Offset>,
}

/// Why a text is not a time of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormatError {
    /// It is written otherwise, or there is no such day or hour: what is wrong with it.
    Text(String),
    /// A real time that 64 bits of nanoseconds cannot hold.
    OutOfRange,
}

/// What a directive reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// On a clock of 12 hours.
    Hour12,
    Minute,
    Second,
    Fraction,
    HalfOfDay,
    Weekday,
    Offset,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::DayOfYear => "day of the year",
            Self::Hour | Self::Hour12 => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::Fraction => "fraction of the second",
            Self::HalfOfDay => "half of the day",
            Self::Weekday => "weekday",
            Self::Offset => "offset",
        }
    }
}

const KNOWN: &str = "known: %Y %y %m %b %B %d %e %j %H %I %p %M %S %f %.f %a %A %z %:z %F %D %T %R";

impl TimeFormat {
    /// Checks a format; each fault stands for itself.
    pub(crate) fn new(text: &str) -> Result<Self, Vec<Fault>> {
        let (mut parts, mut faults) = (Vec::new(), Vec::new());
        let mut from = 0;
        while let Some(directive) = Directive::next(text, from) {
            from = directive.within.end;
            match directive.parts().and_then(|read| directive.once(read, &parts)) {
                Ok(read) => parts.extend(read),
                Err(fault) => faults.push(fault),
            }
        }
        // Of a directive that is wrong it is not known what it was to read.
        if faults.is_empty() {
            let lacks = [date_lacks(&parts), time_of_day_lacks(&parts)].into_iter().flatten();
            faults.extend(lacks.map(|(message, help)| fault(0..text.len(), message, help)));
        }
        let zone = (!parts.contains(&Part::Offset)).then_some(Offset::UTC);
        if faults.is_empty() { Ok(Self { text: text.into(), zone }) } else { Err(faults) }
    }

    /// The same for times in another zone than UTC; `None` if each says its own offset.
    pub(super) fn at(self, zone: Offset) -> Option<Self> {
        self.zone.is_some().then_some(Self { zone: Some(zone), ..self })
    }

    /// As a rule file has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether its times say no offset.
    pub fn has_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// Reads a time, in nanoseconds.
    ///
    /// # Errors
    ///
    /// [`TimeFormatError`].
    pub fn read(&self, text: &str) -> Result<i64, TimeFormatError> {
        let misfit = |error: jiff::Error| {
            let detail = error.to_string();
            TimeFormatError::Text(detail.trim_start_matches("strptime parsing failed: ").to_owned())
        };
        let parts = BrokenDownTime::parse(self.text.as_bytes(), text).map_err(misfit)?;
        let civil = parts.to_date().and_then(|date| Ok(date.to_datetime(parts.to_time()?)));
        let civil = civil.map_err(misfit)?;
        let offset = self.zone.or(parts.offset()).expect("a format without a zone has an offset");
        let time = offset.to_timestamp(civil).map_err(|_| TimeFormatError::OutOfRange)?;
        i64::try_from(time.as_nanosecond()).map_err(|_| TimeFormatError::OutOfRange)
    }
}

/// For messages, with the offset of its times.
impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.zone {
            None => Ok(()),
            Some(Offset::UTC) => f.write_str(" in UTC"),
            Some(zone) => write!(f, " at {}", zone_name(zone)),
        }
    }
}

/// Reads a fixed offset from UTC, as `+02:00`.
pub(super) fn parse_zone(text: &str) -> Option<Offset> {
    let [sign, h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let two = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
    };
    let (hours, minutes) = (two(*h1, *h2)?, two(*m1, *m2)?);
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let fits = hours < 24 && minutes < 60;
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok().filter(|_| fits)
}

fn zone_name(zone: Offset) -> String {
    let minutes = zone.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

fn fault(place: Range<usize>, message: impl fmt::Display, help: &str) -> Fault {
    Fault { place, message: format!("not a valid format: {message}"), help: help.to_owned() }
}

/// A directive of a format: `%`, a flag, a width, a point and its width, colons, a letter.
struct Directive<'t> {
    within: Range<usize>,
    written: &'t str,
    width: &'t str,
    dot: bool,
    colons: usize,
    /// None at the end of the format.
    letter: Option<char>,
}

impl<'t> Directive<'t> {
    /// The first from a byte on.
    fn next(text: &'t str, from: usize) -> Option<Self> {
        let start = from + text[from..].find('%')?;
        let rest = &text[start + 1..];
        let rest = rest.strip_prefix(['-', '_', '0', '^', '#']).unwrap_or(rest);
        let (mut width, mut rest) = split(rest, |byte| byte.is_ascii_digit());
        let dot = rest.starts_with('.');
        if dot {
            (width, rest) = split(&rest[1..], |byte| byte.is_ascii_digit());
        }
        let (colons, rest) = split(rest, |byte| byte == b':');
        let letter = rest.chars().next();
        let end = text.len() - rest.len() + letter.map_or(0, char::len_utf8);
        let (within, written) = (start..end, &text[start..end]);
        Some(Self { within, written, width, dot, colons: colons.len(), letter })
    }

    /// What it reads.
    fn parts(&self) -> Result<&'static [Part], Fault> {
        const WIDTH_MAX: u8 = 20;
        let wrong = |message, help| Err(fault(self.within.clone(), message, help));
        let written = self.written;
        let Some(letter) = self.letter else {
            return wrong(format!("`{written}` is not complete"), "write %% for a percent sign");
        };
        let parts: &[Part] = match letter {
            'Y' | 'y' => &[Part::Year],
            'm' | 'b' | 'B' | 'h' => &[Part::Month],
            'd' | 'e' => &[Part::Day],
            'j' => &[Part::DayOfYear],
            'H' | 'k' => &[Part::Hour],
            'I' | 'l' => &[Part::Hour12],
            'M' => &[Part::Minute],
            'S' => &[Part::Second],
            'f' | 'N' => &[Part::Fraction],
            'p' | 'P' => &[Part::HalfOfDay],
            'a' | 'A' => &[Part::Weekday],
            'z' => &[Part::Offset],
            'F' | 'D' => &[Part::Year, Part::Month, Part::Day],
            'T' => &[Part::Hour, Part::Minute, Part::Second],
            'R' => &[Part::Hour, Part::Minute],
            '%' | 'n' | 't' => &[],
            's' => {
                let message = format!("`{written}` is a number since 1970");
                return wrong(message, "write `unit: s` in the place of the format");
            }
            'Z' | 'Q' => {
                let message = format!("`{written}`: the name of a zone does not say its offset");
                let help = "write the name as it stands, as UTC, and its offset as `zone`; \
                            %z reads an offset";
                return wrong(message, help);
            }
            _ => return wrong(format!("unknown directive `{written}`"), KNOWN),
        };
        if !matches!(
            (self.dot, self.colons, letter),
            (_, 0, 'f') | (false, 0, _) | (false, ..=3, 'z')
        ) {
            return wrong(format!("unknown directive `{written}`"), KNOWN);
        }
        if !self.width.is_empty() && !self.width.parse().is_ok_and(|width: u8| width <= WIDTH_MAX) {
            return wrong(format!("`{written}` is too wide"), "write at most 20");
        }
        Ok(parts)
    }

    /// What it reads, if nothing of that has been read.
    fn once(&self, read: &'static [Part], before: &[Part]) -> Result<&'static [Part], Fault> {
        let again = |part: &&Part| before.iter().any(|known| known.name() == part.name());
        match read.iter().find(again) {
            None => Ok(read),
            Some(part) => {
                let message = format!("the {} stands twice", part.name());
                Err(fault(self.within.clone(), message, "remove one"))
            }
        }
    }
}

fn split(text: &str, fits: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|byte| fits(*byte)).count())
}

/// What the parts do not say of a date, and what would be right.
fn date_lacks(parts: &[Part]) -> Option<(&'static str, &'static str)> {
    let has = |part: Part| parts.contains(&part);
    let of_month = has(Part::Month) && has(Part::Day);
    if has(Part::DayOfYear) && (has(Part::Month) || has(Part::Day)) {
        return Some(("the day stands twice", "remove %j, or else month and day"));
    }
    match (has(Part::Year), of_month || has(Part::DayOfYear)) {
        (true, true) => None,
        (false, true) => Some((
            "it has no year",
            "which year is meant cannot be told from a line, and a guess is wrong at the turn of \
             the year: let the sender write it, as in RFC 3339",
        )),
        (_, false) => Some(("it has no whole date", "add what is missing of %Y-%m-%d")),
    }
}

/// What the parts do not say of a time of day, and what would be right.
fn time_of_day_lacks(parts: &[Part]) -> Option<(&'static str, &'static str)> {
    let has = |part: Part| parts.contains(&part);
    if !has(Part::Hour) && !has(Part::Hour12) {
        return Some(("it has no time of day", "add what is missing of %H:%M:%S"));
    }
    if has(Part::Hour12) != has(Part::HalfOfDay) {
        let help = "write %H for hours from 0 to 23, or %I and %p for 12 hours with AM and PM";
        return Some(("of %I and %p, one does not do without the other", help));
    }
    let smaller = [Part::Minute, Part::Second, Part::Fraction].map(has);
    match smaller {
        [false, true, _] | [false, _, true] => Some(("it has no minute", "add %M")),
        [_, false, true] => Some(("it has no second", "add %S")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::model::time::parse_rfc3339;

    fn format(text: &str) -> TimeFormat {
        TimeFormat::new(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
    }

    #[test]
    fn usual_formats_are_read() {
        for (text, time, means) in [
            ("%d/%b/%Y:%H:%M:%S %z", "02/Jan/2026:03:04:05 +0200", "2026-01-02T01:04:05Z"),
            ("%d/%b/%Y:%H:%M:%S %z", "2/JAN/2026:3:4:5  -0000", "2026-01-02T03:04:05Z"),
            ("%Y-%m-%d %H:%M:%S,%f", "2026-01-02 03:04:05,123", "2026-01-02T03:04:05.123Z"),
            ("%F %T%.f", "2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
            ("%F %T%.f", "2026-01-02 03:04:05.000000001", "2026-01-02T03:04:05.000000001Z"),
            ("%a %b %e %T UTC %Y", "Fri Jan  2 03:04:05 UTC 2026", "2026-01-02T03:04:05Z"),
            ("%D %I:%M:%S %p", "1/2/26 12:04:05 AM", "2026-01-02T00:04:05Z"),
            ("%Y%jT%H%M%:z", "2026002T0304-01:30", "2026-01-02T04:34:00Z"),
            ("%Y%m%d%H", "2026010203", "2026-01-02T03:00:00Z"),
            ("%F 100%% %T", "2026-01-02 100% 23:59:60", "2026-01-02T23:59:59Z"),
        ] {
            assert_eq!(format(text).read(time), Ok(parse_rfc3339(means).expect(means)), "{text}");
        }
        let zoned = format("%F %R").at(parse_zone("-02:30").expect("a zone"));
        let read = zoned.expect("it has no offset").read("2026-01-01 23:00");
        assert_eq!(read, Ok(parse_rfc3339("2026-01-02T01:30:00Z").expect("a time")));
        assert_eq!(format("%F %R %z").at(Offset::UTC), None);
    }

    #[test]
    fn what_is_no_such_time_is_refused_with_the_reason() {
        for (text, time, reason) in [
            ("%F %T", "2026-01-02", "expected non-empty input for directive `%T`"),
            ("%F %T", "2026-01-02 03:04:05Z", "`Z` remains unparsed"),
            ("%F %T", "2026-02-29 03:04:05", "invalid date"),
            ("%F %T", "2026-01-02 24:00:00", "failed to parse hour"),
            ("%F %T%.f", "2026-01-02 00:00:00.0123456789", "`9` remains unparsed"),
            ("%a %F %T", "Mon 2026-01-02 03:04:05", "weekday `Friday`"),
            ("%d/%b/%Y:%T %z", "02/Mai/2026:03:04:05 +0200", "month name"),
        ] {
            match format(text).read(time) {
                Err(TimeFormatError::Text(detail)) => {
                    assert!(detail.contains(reason), "{text}: {detail}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        let west = format("%F %T").at(parse_zone("-23:59").expect("a zone"));
        let west = west.expect("it reads no offset");
        for (format, time) in [
            (format("%F %T"), "1677-09-21 00:00:00"),
            (format("%F %T"), "2262-04-12 00:00:00"),
            (format("%F %T"), "0-1-1 0:0:0"),
            (format("%F %T"), "9999-12-31 23:59:59"),
            (west, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(format.read(time), Err(TimeFormatError::OutOfRange), "{time}");
        }
    }

    #[test]
    fn a_zone_is_a_fixed_offset() {
        for (text, minutes) in [("+02:00", 120), ("-00:30", -30), ("+23:59", 1_439), ("-00:00", 0)]
        {
            let zone = parse_zone(text).expect(text);
            assert_eq!(zone.seconds(), minutes * 60, "{text}");
            assert_eq!(zone_name(zone), text.replace("-00:00", "+00:00"));
        }
        for text in ["", "Z", "UTC", "02:00", "+2:00", "+0200", "+24:00", "+02:60", "+02:0x", "CET"]
        {
            assert_eq!(parse_zone(text), None, "{text}");
        }
    }

    /// Directives of a date, of a time of day with its resolution, and of an offset.
    const DATES: [&str; 9] = [
        "%Y %m %d",
        "%F",
        "%D",
        "%e %b %y",
        "%B %-d %Y",
        "%A %j %Y",
        "%a %d %h %Y",
        "%^b %_d %Y",
        "%Y%m%d",
    ];
    const TIMES: [(&str, i64); 12] = [
        ("%H", 3_600_000_000_000),
        ("%k:%M", 60_000_000_000),
        ("%R", 60_000_000_000),
        ("%T", 1_000_000_000),
        ("%I:%M:%S %p", 1_000_000_000),
        ("%P %l.%-M.%_S", 1_000_000_000),
        ("%T.%3f", 1_000_000),
        ("%T,%6f", 1_000),
        ("%T.%f", 1),
        ("%T%.f", 1),
        ("%H%M%S%N", 1),
        ("%T%.2f", 10_000_000),
    ];
    const OFFSETS: [&str; 4] = ["%z", "%:z", "%::z", "%:::z"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn what_is_written_is_read_exactly(
            nanos in prop_oneof![
                -9_223_000_000_000_000_000..9_223_000_000_000_000_000_i64,
                0..3_000_000_000_000_000_000_i64,
            ],
            minutes in -1_439..=1_439_i32,
            date in prop::sample::select(&DATES[..]),
            (time, resolution) in prop::sample::select(&TIMES[..]),
            offset in prop::option::of(prop::sample::select(&OFFSETS[..])),
            between in prop::sample::select(&[" ", "T", "/", "%% ", "%n", " é "][..]),
            date_first in any::<bool>(),
        ) {
            // Two digits are a year from 1969 to 2068.
            let short = date.contains("%y") || date.contains("%D");
            let nanos = if short { nanos.rem_euclid(3_000_000_000_000_000_000) } else { nanos };
            let zone = Offset::from_seconds(minutes * 60).expect("less than a day");
            let mut text = match date_first {
                true => [date, time].join(between),
                false => [time, date].join(between),
            };
            let format = match offset {
                Some(offset) => {
                    text = text + between + offset;
                    TimeFormat::new(&text)
                }
                None => TimeFormat::new(&text).map(|format| format.at(zone).expect("no offset")),
            };
            let format = format.unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
            let instant = Timestamp::from_nanosecond(i128::from(nanos)).expect("in range");
            let written = instant.to_zoned(TimeZone::fixed(zone)).strftime(&text).to_string();
            let local_ns = i64::from(minutes) * 60_000_000_000;
            let wanted = (nanos + local_ns).div_euclid(resolution) * resolution - local_ns;
            prop_assert_eq!(format.read(&written), Ok(wanted), "{} as {}", written, text);
        }

        #[test]
        fn any_text_is_a_format_or_not(
            format in "(%[-_0^#]?[0-9]{0,3}\\.?[0-9]?:{0,4}[a-zA-Z%é]?|[ /:é%]){0,8}",
            time in "\\PC{0,12}",
        ) {
            match TimeFormat::new(&format) {
                Ok(format) => prop_assert!(format.read(&time).is_err(), "{} as {}", time, format),
                Err(faults) => {
                    prop_assert!(!faults.is_empty());
                    for Fault { place, .. } in faults {
                        prop_assert!(format.get(place).is_some());
                    }
                }
            }
        }
    }
}
