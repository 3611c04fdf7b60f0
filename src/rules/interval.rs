//! Times that come again and again, as Alertmanager's time intervals: by what the clocks and the
//! calendar of a place show.
//!
//! Guarantees: what a clock shows is decided by the time zones that are compiled in, never by those
//! of the machine. An hour that a clock change skips is never shown, and one that it repeats is shown
//! twice: an interval of times within them has none, or both.

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

const SECOND_NS: i64 = 1_000_000_000;
/// What a clock has shown when the day is over.
pub(super) const DAY_NS: i64 = 86_400 * SECOND_NS;

/// From Sunday on, as it is numbered.
pub(super) const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Times that come again: those for which all holds.
#[derive(Clone, Debug)]
pub struct TimeInterval {
    /// Of a day, in nanoseconds since its midnight as clocks show it; all of it if there are none.
    pub times: Vec<Range<i64>>,
    /// From Sunday on; all if none.
    pub weekdays: Vec<(i8, i8)>,
    /// From the first on, or back from the last, which is -1; all if none.
    pub days_of_month: Vec<(i8, i8)>,
    /// From January on; all if none.
    pub months: Vec<(i8, i8)>,
    /// All if none.
    pub years: Vec<(i16, i16)>,
    /// Whose clocks and calendar.
    pub location: TimeZone,
}

impl TimeInterval {
    /// If an instant is within it, one later until when that is so: it may go on there.
    pub fn until(&self, at_ns: i64) -> Option<i64> {
        let at = Timestamp::from_nanosecond(at_ns.into()).ok()?;
        let shown = self.location.to_datetime(at);
        if !self.has_day(shown.date()) {
            return None;
        }
        let of_day = of_day(shown);
        let end = match self.times.is_empty() {
            true => DAY_NS,
            false => {
                self.times.iter().filter(|times| times.contains(&of_day)).map(|t| t.end).max()?
            }
        };
        // Until then clocks go as time does.
        let change = self.location.following(at).next();
        let change = change.and_then(|change| change.timestamp().as_nanosecond().try_into().ok());
        let end = at_ns.saturating_add(end - of_day);
        Some(change.map_or(end, |change: i64| end.min(change)))
    }

    /// Whether it has some day, within its years or those in which the calendar comes around.
    pub(super) fn has_some_day(&self) -> bool {
        let years = if self.years.is_empty() { vec![(2000, 2027)] } else { self.years.clone() };
        let mut days = years.iter().flat_map(|(first, last)| {
            let first = Date::new(*first, 1, 1).into_iter();
            first
                .flat_map(|first| first.series(jiff::Span::new().days(1)))
                .take_while(|day| day.year() <= *last)
        });
        days.any(|day| self.has_day(day))
    }

    fn has_day(&self, day: Date) -> bool {
        let last = day.days_in_month();
        let of_month = |day: i8| if day < 0 { last + day + 1 } else { day };
        let has_date = |(begin, end): &(i8, i8)| {
            let (begin, end) = (of_month(*begin), of_month(*end).min(last));
            (begin..=end).contains(&day.day())
        };
        let weekday = day.weekday().to_sunday_zero_offset();
        (self.days_of_month.is_empty() || self.days_of_month.iter().any(has_date))
            && has(&self.weekdays, weekday)
            && has(&self.months, day.month())
            && has(&self.years, day.year())
    }
}

/// On one line, as a rule file has it.
impl fmt::Display for TimeInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |nanos: i64| nanos / (60 * SECOND_NS);
        let clock = |nanos| format!("{:02}:{:02}", minutes(nanos) / 60, minutes(nanos) % 60);
        let times = self.times.iter().map(|t| format!("{}-{}", clock(t.start), clock(t.end)));
        let weekday = |day: &i8| WEEKDAYS[*day as usize].to_owned();
        let month = |month: &i8| MONTHS[*month as usize - 1].to_owned();
        let all = [
            ("times", times.collect()),
            ("weekdays", ranges(&self.weekdays, weekday)),
            ("days_of_month", ranges(&self.days_of_month, i8::to_string)),
            ("months", ranges(&self.months, month)),
            ("years", ranges(&self.years, i16::to_string)),
        ];
        for (name, ranges) in all.iter().filter(|(_, ranges)| !ranges.is_empty()) {
            write!(f, "{name} {}; ", ranges.join(", "))?;
        }
        write!(f, "in {}", self.location.iana_name().unwrap_or("UTC"))
    }
}

fn ranges<N: PartialEq>(ranges: &[(N, N)], one: impl Fn(&N) -> String) -> Vec<String> {
    let range = |(begin, end): &(N, N)| match begin == end {
        true => one(begin),
        false => format!("{}:{}", one(begin), one(end)),
    };
    ranges.iter().map(range).collect()
}

fn has<N: PartialOrd + Copy>(ranges: &[(N, N)], value: N) -> bool {
    ranges.is_empty() || ranges.iter().any(|(begin, end)| (*begin..=*end).contains(&value))
}

fn of_day(shown: DateTime) -> i64 {
    let seconds = i64::from(shown.hour()) * 3_600
        + i64::from(shown.minute()) * 60
        + i64::from(shown.second());
    seconds * SECOND_NS + i64::from(shown.subsec_nanosecond())
}

/// A time zone of the database that is compiled in, by its IANA name.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    // `Etc/Unknown` is a name for none.
    (!zone.is_unknown()).then_some(zone)
}

/// The names of the time zones there are.
pub(super) fn zones() -> Vec<String> {
    TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{format_rfc3339, parse_rfc3339};

    fn always(location: &str) -> TimeInterval {
        TimeInterval {
            times: Vec::new(),
            weekdays: Vec::new(),
            days_of_month: Vec::new(),
            months: Vec::new(),
            years: Vec::new(),
            location: zone(location).expect("it is compiled in"),
        }
    }

    fn minutes(from: i64, to: i64) -> Range<i64> {
        from * 60 * SECOND_NS..to * 60 * SECOND_NS
    }

    /// Whether each nanosecond is within, judged by walking from end to end.
    fn spans(interval: &TimeInterval, from: &str, to: &str) -> Vec<String> {
        let (mut at, to) = (parse_rfc3339(from).expect(from), parse_rfc3339(to).expect(to));
        let mut spans: Vec<(i64, i64)> = Vec::new();
        while at < to {
            match interval.until(at) {
                Some(until) => {
                    assert!(until > at, "it goes on");
                    assert!(interval.until(until - 1).is_some(), "until then it is so");
                    match spans.last_mut().filter(|(_, end)| *end == at) {
                        Some((_, end)) => *end = until,
                        None => spans.push((at, until)),
                    }
                    at = until;
                }
                None => at += 60 * SECOND_NS,
            }
        }
        let shown = |nanos| format_rfc3339(nanos)[5..16].to_owned();
        spans.into_iter().map(|(from, until)| format!("{} {}", shown(from), shown(until))).collect()
    }

    #[test]
    fn times_of_days_begin_and_end_as_clocks_show_it() {
        let mut nights = always("Europe/Berlin");
        nights.times = vec![minutes(22 * 60, 24 * 60), minutes(0, 6 * 60)];
        assert_eq!(
            spans(&nights, "2026-01-10T12:00:00Z", "2026-01-12T12:00:00Z"),
            ["01-10T21:00 01-11T05:00", "01-11T21:00 01-12T05:00"]
        );
        // The last nanosecond before the start, and before the end.
        for (at, is) in [
            ("2026-01-10T20:59:59.999999999Z", false),
            ("2026-01-10T21:00:00Z", true),
            ("2026-01-11T04:59:59.999999999Z", true),
            ("2026-01-11T05:00:00Z", false),
        ] {
            assert_eq!(nights.until(parse_rfc3339(at).expect(at)).is_some(), is, "{at}");
        }
    }

    #[test]
    fn what_a_clock_change_skips_is_not_and_what_it_repeats_is_twice() {
        let mut early = always("Europe/Berlin");
        // From two to three o'clock: on 29 March there is no such hour, on 25 October there are two.
        early.times = vec![minutes(120, 180)];
        assert_eq!(
            spans(&early, "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z"),
            ["03-28T01:00 03-28T02:00", "03-30T00:00 03-30T01:00"]
        );
        assert_eq!(
            spans(&early, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
            ["10-25T00:00 10-25T02:00"]
        );
        // What begins in the hour that is skipped begins with the next.
        early.times = vec![minutes(150, 240)];
        assert_eq!(
            spans(&early, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
            ["03-29T01:00 03-29T02:00"]
        );
        // A quarter of the hour that comes twice.
        early.times = vec![minutes(135, 150)];
        assert_eq!(
            spans(&early, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
            ["10-25T00:15 10-25T00:30", "10-25T01:15 10-25T01:30"]
        );
        // A day of 23 hours.
        let mut sundays = always("Europe/Berlin");
        sundays.weekdays = vec![(0, 0)];
        assert_eq!(
            spans(&sundays, "2026-03-27T12:00:00Z", "2026-03-31T12:00:00Z"),
            ["03-28T23:00 03-29T22:00"]
        );
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let mut days = always("UTC");
        days.days_of_month = vec![(-2, -1)];
        days.months = vec![(2, 3)];
        assert_eq!(
            spans(&days, "2028-01-01T00:00:00Z", "2028-06-01T00:00:00Z"),
            ["02-28T00:00 03-01T00:00", "03-30T00:00 04-01T00:00"]
        );
        // What is beyond the end of a month is cut, or not there.
        days.days_of_month = vec![(30, 31)];
        assert_eq!(
            spans(&days, "2028-01-01T00:00:00Z", "2028-06-01T00:00:00Z"),
            ["03-30T00:00 04-01T00:00"]
        );
        days.days_of_month = vec![(28, 31)];
        days.weekdays = vec![(1, 5)];
        days.years = vec![(2027, 2027)];
        assert_eq!(
            spans(&days, "2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z"),
            ["03-29T00:00 04-01T00:00"]
        );
        days.months = vec![(2, 2)];
        assert!(!days.has_some_day(), "28 February 2027 is a Sunday");
        days.years = Vec::new();
        assert!(days.has_some_day());
        days.days_of_month = vec![(30, 31)];
        assert!(!days.has_some_day(), "February has no 30th");
    }

    #[test]
    fn zones_are_those_of_the_database() {
        assert!(zones().len() > 500);
        assert!(zones().iter().all(|name| name == "Etc/Unknown" || zone(name).is_some()));
        for name in ["", "Europe/Berlinn", "Local", "Etc/Unknown", "+02:00"] {
            assert!(zone(name).is_none(), "{name}");
        }
    }
}
