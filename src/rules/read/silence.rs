//! Silences and windows: when who is told of nothing.

use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::super::condition::{Expression, Wanted};
use super::super::diagnostics;
use super::super::expression::{Labels, Sees};
use super::super::interval::{DAY_NS, MONTHS, TimeInterval, WEEKDAYS, zone, zones};
use super::super::route::Subject;
use super::super::silence::{Hearing, Silence, When};
use super::super::source::ReadSource;
use super::super::yaml::Node;
use super::route::Names;
use super::{Named, Reader, SECOND_NS, fields};
use crate::model::time::{TimeError, parse_rfc3339};
use crate::rules::fields::Fields;

pub(in crate::rules) const SILENCE_FIELDS: [&str; 7] =
    ["match", "from", "until", "location", "while", "events", "comment"];
pub(in crate::rules) const EVENTS_FIELDS: [&str; 6] =
    ["from", "where", "id", "matchers", "starts", "ends"];
pub(in crate::rules) const WINDOW_FIELDS: [&str; 3] = ["match", "time_intervals", "comment"];
pub(in crate::rules) const WHILE_FIELDS: [&str; 2] = ["match", "equal"];
pub(in crate::rules) const INTERVAL_FIELDS: [&str; 6] =
    ["times", "weekdays", "days_of_month", "months", "years", "location"];
pub(in crate::rules) const TIMES_FIELDS: [&str; 2] = ["start_time", "end_time"];

/// What to do about an empty list that restricts something.
const ALL: &str = "leave it out for all of them";

impl Reader<'_> {
    pub(super) fn silences(
        &mut self,
        node: &Node,
        names: &Names<'_>,
        sources: &[Named<'_, ReadSource>],
    ) -> Option<Vec<Silence>> {
        let entries = self.some_entries(node, "`silences`")?;
        let read: Vec<_> =
            entries.iter().map(|(key, node)| self.silence(key, node, names, sources)).collect();
        read.into_iter().collect()
    }

    pub(super) fn windows(&mut self, node: &Node, names: &Names<'_>) -> Option<Vec<Silence>> {
        let entries = self.some_entries(node, "`windows`")?;
        let read: Vec<_> =
            entries.iter().map(|(key, node)| self.window(key, node, names)).collect();
        read.into_iter().collect()
    }

    fn silence(
        &mut self,
        key: &Node,
        node: &Node,
        names: &Names<'_>,
        sources: &[Named<'_, ReadSource>],
    ) -> Option<Silence> {
        let name = fields::name(key, "the name of a silence", self.problems);
        let fields = Fields::open(node, &key.span, "a silence", &SILENCE_FIELDS, self.problems)?;
        let matchers = match fields.get("match") {
            Some(node) => self.matchers(node, names),
            None => Some(Vec::new()),
        };
        let comment = self.comment(&fields);
        let mut alone = |which: &str, others: &[&str], help: &str| {
            for name in others {
                if let Some(other) = fields.get(name) {
                    let message = format!("a silence with `{which}` has no `{name}`");
                    self.problems.error_help(&other.span, message, help);
                }
            }
        };
        let when = match (fields.get("events"), fields.get("while")) {
            (Some(node), _) => {
                let help = "records say from when to when it is; or remove `events`";
                alone("events", &["from", "until", "location", "while"], help);
                self.hearing(node, sources).map(|hearing| When::Heard(Box::new(hearing)))
            }
            (None, Some(node)) => {
                let help = "it lasts as long as an episode does; or remove `while`";
                alone("while", &["from", "until", "location"], help);
                self.lasting(node, names)
            }
            (None, None) => self.once(&fields),
        };
        let span = key.span.clone();
        Some(Silence { name: name?, span, matchers: matchers?, when: when?, comment: comment? })
    }

    fn window(&mut self, key: &Node, node: &Node, names: &Names<'_>) -> Option<Silence> {
        let name = fields::name(key, "the name of a window", self.problems);
        let fields = Fields::open(node, &key.span, "a window", &WINDOW_FIELDS, self.problems)?;
        let matchers = match fields.get("match") {
            Some(node) => self.matchers(node, names),
            None => Some(Vec::new()),
        };
        let comment = self.comment(&fields);
        let example = "[{ weekdays: [saturday, sunday] }]";
        let intervals = fields.require("time_intervals", example, self.problems);
        let intervals = intervals.and_then(|node| {
            self.some_items(
                node,
                "`time_intervals`",
                &format!("add {}", &example[1..example.len() - 1]),
            )
        });
        let intervals = intervals.and_then(|items| {
            let read: Vec<_> = items.iter().map(|node| self.interval(node)).collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
        let when = When::Recurring(intervals?);
        let span = key.span.clone();
        Some(Silence { name: name?, span, matchers: matchers?, when, comment: comment? })
    }

    fn comment(&mut self, fields: &Fields<'_>) -> Option<Option<String>> {
        let Some(node) = fields.get("comment") else { return Some(None) };
        fields::text(node, "`comment`", self.problems).map(|text| Some(text.to_owned()))
    }

    /// The items of a list that may not be empty.
    fn some_items<'n>(&mut self, node: &'n Node, what: &str, help: &str) -> Option<&'n [Node]> {
        let items = fields::items(node, what, self.problems)?;
        if items.is_empty() {
            self.problems.error_help(&node.span, format!("{what} needs at least one item"), help);
        }
        (!items.is_empty()).then_some(items)
    }

    fn lasting(&mut self, node: &Node, names: &Names<'_>) -> Option<When> {
        let fields = Fields::open(node, &node.span, "`while`", &WHILE_FIELDS, self.problems)?;
        let matchers = fields.require("match", "[rule = NAME, state = NAME]", self.problems);
        let matchers = matchers.and_then(|node| {
            self.some_items(node, "`match`", "write what must hold of it, as rule = NAME")?;
            self.matchers(node, names)
        });
        let equal = match fields.get("equal") {
            Some(node) => fields::items(node, "`equal`", self.problems).and_then(|items| {
                let read: Vec<_> = items.iter().map(|node| self.subject(node, names)).collect();
                read.into_iter().collect()
            }),
            None => Some(Vec::new()),
        };
        Some(When::While { matchers: matchers?, equal: equal? })
    }

    /// What makes silences of records; what is not given is as Alertmanager writes it.
    fn hearing(&mut self, node: &Node, sources: &[Named<'_, ReadSource>]) -> Option<Hearing> {
        let known = &EVENTS_FIELDS;
        let fields = Fields::open(node, &node.span, "`events`", known, self.problems)?;
        if fields.get("from").is_none() && fields.get("where").is_none() {
            let message = "every record would be of a silence";
            let help = "add `from: SOURCE`, or `where: CONDITION`";
            self.problems.error_help(&node.span, message, help);
        }
        let (from, known) = self.records_of(&fields, sources);
        let sees = Sees { known: &known, labels: Labels::Never };
        let filter = match fields.get("where") {
            Some(node) => self.condition(node, "`where`", sees).map(Some),
            None => Some(None),
        };
        let mut value = |name: &'static str, usual: &str| match fields.get(name) {
            Some(node) => self.expression(node, name, Wanted::Value, &known),
            None => Some(Expression::field(&[usual.into()], node.span.clone(), &mut self.paths)),
        };
        let id = value("id", "id");
        let matchers = value("matchers", "matchers");
        let starts = value("starts", "startsAt");
        let ends = value("ends", "endsAt");
        self.check_matchers(matchers.as_ref());
        let is_instant = |text: &str| parse_rfc3339(text).is_ok();
        self.check_fixed(id.as_ref(), "no id", |text| !text.is_empty());
        self.check_fixed(starts.as_ref(), "no instant", is_instant);
        self.check_fixed(ends.as_ref(), "no instant", is_instant);
        Some(Hearing {
            from: from?,
            filter: filter?,
            id: id?,
            matchers: matchers?,
            starts: starts?,
            ends: ends?,
        })
    }

    /// Reports what is the same of every record, and of no use.
    fn check_fixed(
        &mut self,
        value: Option<&Expression>,
        what: &str,
        is_right: impl Fn(&str) -> bool,
    ) {
        let Some((value, fixed)) = value.and_then(|value| Some((value, value.constant()?))) else {
            return;
        };
        let text = fixed.ok().and_then(|fixed| fixed.text());
        if !text.is_some_and(|text| is_right(&text)) {
            let message = format!("`{}` is {what}: no record tells of a silence", value.text());
            self.problems.error_help(&value.span(), message, "write where it stands, as data.x");
        }
    }

    /// Reports matchers that do not stand in the record: what is made of its values is no list.
    fn check_matchers(&mut self, matchers: Option<&Expression>) {
        if let Some(matchers) = matchers.filter(|of| of.keys(&self.paths).is_none()) {
            let message = format!("`{}` is no list of matchers of a record", matchers.text());
            let help = "write where they stand, as data.matchers";
            self.problems.error_help(&matchers.span(), message, help);
        }
    }

    /// The name of something that episodes say.
    fn subject(&mut self, node: &Node, names: &Names<'_>) -> Option<Subject> {
        let text = fields::text(node, "the name of a label", self.problems)?;
        let subject = Subject::read(text);
        self.check_subject(node, &subject, names);
        Some(subject)
    }

    fn once(&mut self, fields: &Fields<'_>) -> Option<When> {
        let location = fields.get("location").map(|node| self.location(node));
        let example = "2026-03-01T22:00:00Z";
        let from = fields.require("from", example, self.problems);
        let until = fields.require("until", example, self.problems);
        let [from_ns, until_ns] = [("`from`", from), ("`until`", until)]
            .map(|(what, node)| self.instant(node?, what, location.as_ref()));
        let (from_ns, until_ns) = (from_ns?, until_ns?);
        if let Some(node) = until.filter(|_| until_ns <= from_ns) {
            let message = match until_ns == from_ns {
                true => "the silence ends as it begins: `until` is the first instant behind it",
                false => "the silence ends before it begins",
            };
            self.problems.error_help(&node.span, message, "`until` must be after `from`");
            return None;
        }
        Some(When::Once { from_ns, until_ns })
    }

    /// An instant, with its offset or as the clocks of a place show it.
    fn instant(
        &mut self,
        node: &Node,
        what: &str,
        location: Option<&Option<TimeZone>>,
    ) -> Option<i64> {
        let text = fields::text(node, what, self.problems)?;
        match parse_rfc3339(text) {
            Ok(nanos) => return Some(nanos),
            Err(TimeError::OutOfRange) => {
                let message = format!("`{text}` is outside of the years 1678 to 2261");
                self.problems.error(&node.span, message);
                return None;
            }
            Err(TimeError::NotRfc3339) => {}
        }
        let has_shape = text.len() >= 16 && matches!(text.as_bytes()[10], b'T' | b't' | b' ');
        let ends = text.bytes().all(|b| b.is_ascii_digit() || b"-T:. t".contains(&b));
        let shown = text.parse::<DateTime>().ok().filter(|_| has_shape && ends);
        let Some(shown) = shown else {
            let message = format!("`{text}` is no instant");
            let help = "write 2026-03-01T22:00:00Z, or leave out the Z and add `location`";
            self.problems.error_help(&node.span, message, help);
            return None;
        };
        let Some(location) = location else {
            let message = format!("`{text}` says no offset");
            let help = "add one, as Z or +01:00, or `location: Europe/Berlin` to the silence";
            self.problems.error_help(&node.span, message, help);
            return None;
        };
        let location = location.as_ref()?;
        let (before, after, what) = match location.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                let nanos = offset.to_timestamp(shown).ok();
                let nanos = nanos.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
                if nanos.is_none() {
                    let message = format!("`{text}` is outside of the years 1678 to 2261");
                    self.problems.error(&node.span, message);
                }
                return nanos;
            }
            AmbiguousOffset::Gap { before, after } => (before, after, "never show"),
            AmbiguousOffset::Fold { before, after } => (before, after, "show twice"),
        };
        let place = location.iana_name().unwrap_or_default();
        let message = format!("the clocks of {place} {what} `{text}`, when they are changed");
        let meant = [before, after].map(|offset| offset_text(shown, offset));
        let help = format!("write which is meant, with its offset: {} or {}", meant[0], meant[1]);
        self.problems.error_help(&node.span, message, help);
        None
    }

    fn location(&mut self, node: &Node) -> Option<TimeZone> {
        let text = fields::text(node, "`location`", self.problems)?;
        let found = zone(text);
        if found.is_none() {
            let message = format!("there is no time zone `{text}`");
            let names = zones();
            let near: Vec<&str> = names.iter().map(String::as_str).collect();
            let suggested = diagnostics::suggestion("time zone", text, &near);
            let help = match suggested.starts_with("did you mean") {
                true => suggested,
                false => "write an IANA name, as Europe/Berlin, or UTC".to_owned(),
            };
            self.problems.error_help(&node.span, message, help);
        }
        found
    }

    fn interval(&mut self, node: &Node) -> Option<TimeInterval> {
        let what = "a time interval";
        let fields = Fields::open(node, &node.span, what, &INTERVAL_FIELDS, self.problems)?;
        if INTERVAL_FIELDS[..5].iter().all(|name| fields.get(name).is_none()) {
            let help = "add one of `times`, `weekdays`, `days_of_month`, `months`, `years`";
            self.problems.error_help(&node.span, "a time interval says when it is", help);
        }
        let location = match fields.get("location") {
            Some(node) => self.location(node),
            None => Some(TimeZone::UTC),
        };
        let times = match fields.get("times") {
            Some(node) => self.some_items(node, "`times`", ALL).and_then(|items| {
                let read: Vec<_> = items.iter().map(|node| self.times(node)).collect();
                read.into_iter().collect::<Option<Vec<_>>>()
            }),
            None => Some(Vec::new()),
        };
        let named = |names: &'static [&'static str], first: i8| {
            move |text: &str| {
                let named = names.iter().position(|name| *name == text);
                let number = named.map(|number| number as i8 + first);
                // Months have numbers, too.
                number.or_else(|| {
                    let number = text.parse::<i8>().ok().filter(|_| first == 1)?;
                    (1..=12).contains(&number).then_some(number)
                })
            }
        };
        let weekdays = self.ranges(&fields, "weekdays", "monday:friday", named(&WEEKDAYS, 0));
        let months = self.ranges(&fields, "months", "march:may, or 3", named(&MONTHS, 1));
        let day = |text: &str| text.parse().ok().filter(|d: &i8| *d != 0 && (-31..=31).contains(d));
        let days_of_month = self.ranges(&fields, "days_of_month", "1:7, or -1 for the last", day);
        let year = |text: &str| text.parse().ok().filter(|y: &i16| (1678..2262).contains(y));
        let years = self.ranges(&fields, "years", "2026:2027", year);
        let interval = TimeInterval {
            times: times?,
            weekdays: weekdays?,
            days_of_month: days_of_month?,
            months: months?,
            years: years?,
            location: location?,
        };
        if !interval.has_some_day() {
            let message = "there is no such day: the interval is empty";
            let help =
                "all that it says must hold of one day, as of the 30th and february it never does";
            self.problems.error_help(&node.span, message, help);
            return None;
        }
        Some(interval)
    }

    /// From a time of the day until another, as `22:00`.
    fn times(&mut self, node: &Node) -> Option<Range<i64>> {
        let what = "a range of times";
        let fields = Fields::open(node, &node.span, what, &TIMES_FIELDS, self.problems)?;
        let [start, end] =
            [("start_time", "\"08:00\""), ("end_time", "\"24:00\"")].map(|(name, example)| {
                let node = fields.require(name, example, self.problems)?;
                let text = fields::text(node, &format!("`{name}`"), self.problems)?;
                let found = time_of_day(text).filter(|ns| name == "end_time" || *ns < DAY_NS);
                if found.is_none() {
                    let message = format!("`{text}` is no time of the day");
                    let help = "write HH:MM, from 00:00 on; a day ends at 24:00";
                    self.problems.error_help(&node.span, message, help);
                }
                found
            });
        let (start, end) = (start?, end?);
        if end <= start {
            let message = "the range ends before it begins, or has no length";
            let help = "over midnight, write two: one until 24:00, and one from 00:00";
            self.problems.error_help(&node.span, message, help);
            return None;
        }
        Some(start..end)
    }

    /// Ranges as `begin:end`, each with its last, or one alone.
    fn ranges<N: PartialOrd + Copy + Default>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        example: &str,
        one: impl Fn(&str) -> Option<N>,
    ) -> Option<Vec<(N, N)>> {
        let Some(node) = fields.get(name) else { return Some(Vec::new()) };
        let read = self.some_items(node, &format!("`{name}`"), ALL)?.iter().map(|node| {
            let text = fields::text(node, &format!("a range of `{name}`"), self.problems)?;
            let (begin, end) = text.split_once(':').unwrap_or((text, text));
            let Some((begin, end)) = one(begin.trim()).zip(one(end.trim())) else {
                let message = format!("`{text}` is not among `{name}`");
                self.problems.error_help(&node.span, message, format!("write {example}"));
                return None;
            };
            // Of days that count from the end of the month it is not known which comes first.
            let zero = N::default();
            if (begin < zero) == (end < zero) && end < begin || begin < zero && zero < end {
                let message = format!("`{text}` ends before it begins");
                let help = match name {
                    "weekdays" => {
                        "weeks begin on Sunday, and a range does not go around: write two"
                    }
                    _ => "a range does not go around: write two of them",
                };
                self.problems.error_help(&node.span, message, help);
                return None;
            }
            Some((begin, end))
        });
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    }
}

/// A time as the clock shows it, with an offset of it.
fn offset_text(shown: DateTime, offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.abs();
    format!("{}{sign}{:02}:{:02}", shown.strftime("%Y-%m-%dT%H:%M:%S"), minutes / 60, minutes % 60)
}

/// In nanoseconds since midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| -> Option<i64> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let fits = hour < 24 && minute < 60 || (hour, minute) == (24, 0);
    fits.then_some((hour * 60 + minute) * 60 * SECOND_NS)
}
