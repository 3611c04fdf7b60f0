//! The text formats of metrics: a line is a sample, or a comment on those that follow.
//!
//! A record has `time`, `value`, `name`, `labels` and `series` as those of Prometheus' answers, and
//! `type` and `unit` where comments say them, and `exemplar` (its `labels`, `value`, `time`) where
//! the sample has one. Names and labels are as OpenMetrics 1.0 and the text format of Prometheus
//! have them, quoted ones too.

use std::collections::BTreeSet;

use super::{json, prometheus};
use crate::sources::decode::decimal;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Its times are seconds.
    OpenMetrics,
    /// Its times are milliseconds.
    Exposition,
}

/// What comments say of a metric.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    name: String,
    kind: Option<String>,
    unit: Option<String>,
}

/// What samples of one metric add to its name.
const SUFFIXES: [&str; 8] =
    ["_total", "_created", "_count", "_sum", "_bucket", "_gcount", "_gsum", "_info"];
const SECOND_DIGITS: u32 = 9;
const MILLISECOND_DIGITS: u32 = 6;

/// Why a line is no sample, and where that shows.
type Wrong = (usize, String);

impl Text {
    /// Reads a line: a record, if it is a sample. One that says no time is of `now`, if that is
    /// given.
    pub(super) fn read(
        self,
        line: &str,
        metadata: &mut Metadata,
        now: Option<i64>,
    ) -> Result<Option<String>, Wrong> {
        let mut cursor = Cursor { line, at: 0 };
        cursor.skip_blanks();
        match cursor.peek() {
            None => Ok(None),
            Some(b'#') => {
                metadata.read(&line[cursor.at + 1..]);
                Ok(None)
            }
            Some(_) => self.sample(cursor, metadata, now).map(Some),
        }
    }

    fn sample(
        self,
        mut cursor: Cursor<'_>,
        metadata: &Metadata,
        now: Option<i64>,
    ) -> Result<String, Wrong> {
        const NAME: &str = "__name__";
        let start = cursor.at;
        let mut labels = Vec::new();
        if cursor.peek() != Some(b'{') {
            labels.push((NAME.to_owned(), cursor.name("the name of a metric", true)?));
            cursor.skip_blanks();
        }
        if cursor.peek() == Some(b'{') {
            cursor.labels(&mut labels, Some(NAME))?;
        }
        let Some(name) = labels.iter().find(|(label, _)| label == NAME) else {
            return Err((start, "expected the name of a metric".to_owned()));
        };
        let name = name.1.clone();
        let value = cursor.value()?;
        let (at, time) = cursor.word();
        let nanos = match (time, now) {
            ("" | "#", None) => {
                return Err((at, "no timestamp: it does not say when it was sampled".to_owned()));
            }
            ("" | "#", Some(now)) => {
                cursor.at = at;
                now
            }
            _ => self.time(time).map_err(|reason| (at, reason))?,
        };
        let mut record = json::Object::default();
        record.add_time("time", nanos).add("value", &value);
        record.add_members(&prometheus::told(&labels));
        for (key, said) in [("type", &metadata.kind), ("unit", &metadata.unit)] {
            if let Some(said) = said.as_ref().filter(|_| metadata.is_of(&name)) {
                record.add_text(key, said);
            }
        }
        cursor.skip_blanks();
        if self == Self::OpenMetrics && cursor.peek() == Some(b'#') {
            cursor.at += 1;
            cursor.skip_blanks();
            record.add("exemplar", &self.exemplar(&mut cursor)?);
        }
        cursor.skip_blanks();
        match cursor.peek() {
            None => Ok(record.end()),
            Some(_) => Err((cursor.at, "expected the end of the line".to_owned())),
        }
    }

    fn exemplar(self, cursor: &mut Cursor<'_>) -> Result<String, Wrong> {
        if cursor.peek() != Some(b'{') {
            return Err((cursor.at, "expected the labels of an exemplar".to_owned()));
        }
        let (mut labels, mut object) = (Vec::new(), json::Object::default());
        cursor.labels(&mut labels, None)?;
        for (label, value) in &labels {
            object.add_text(label, value);
        }
        let mut exemplar = json::Object::default();
        exemplar.add("labels", &object.end()).add("value", &cursor.value()?);
        let (at, time) = cursor.word();
        if !time.is_empty() {
            exemplar.add_time("time", self.time(time).map_err(|reason| (at, reason))?);
        }
        Ok(exemplar.end())
    }

    fn time(self, text: &str) -> Result<i64, String> {
        let (nanos, unit) = match self {
            Self::OpenMetrics => (decimal(text, SECOND_DIGITS), "seconds"),
            Self::Exposition => {
                let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
                let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
                let nanos = decimal(text, MILLISECOND_DIGITS).filter(|_| is_whole);
                (nanos, "whole milliseconds")
            }
        };
        let nanos = nanos.ok_or_else(|| format!("expected a timestamp in {unit} since 1970"))?;
        nanos.ok_or_else(|| {
            format!("the timestamp, in {unit}, is outside of the years 1678 to 2261")
        })
    }
}

impl Metadata {
    /// Reads a comment.
    fn read(&mut self, comment: &str) {
        let mut cursor = Cursor { line: comment, at: 0 };
        let (_, what) = cursor.word();
        if what == "EOF" {
            *self = Self::default();
        }
        if !["TYPE", "UNIT", "HELP"].contains(&what) {
            return;
        }
        cursor.skip_blanks();
        let Ok(name) = cursor.name("the name of a metric", true) else { return };
        if name != self.name {
            *self = Self { name, ..Self::default() };
        }
        let (_, said) = cursor.word();
        let said = Some(said.to_owned()).filter(|said| !said.is_empty());
        match what {
            "TYPE" => self.kind = said,
            "UNIT" => self.unit = said,
            _ => {}
        }
    }

    /// Whether a sample of this name is of the metric.
    fn is_of(&self, name: &str) -> bool {
        match name.strip_prefix(self.name.as_str()) {
            Some(suffix) => suffix.is_empty() || SUFFIXES.contains(&suffix),
            None => false,
        }
    }
}

/// A place in a line.
struct Cursor<'l> {
    line: &'l str,
    at: usize,
}

impl<'l> Cursor<'l> {
    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn expected(&self, what: &str) -> Wrong {
        (self.at, format!("expected {what}"))
    }

    /// What stands until the next blank, behind those here.
    fn word(&mut self) -> (usize, &'l str) {
        self.skip_blanks();
        let rest = &self.line[self.at..];
        let word = &rest[..rest.find([' ', '\t']).unwrap_or(rest.len())];
        let start = self.at;
        self.at += word.len();
        (start, word)
    }

    /// A name, in quotes or not; one of a metric may have colons.
    fn name(&mut self, what: &str, of_metric: bool) -> Result<String, Wrong> {
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let is_of_name = |(at, byte): (usize, u8)| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => true,
            b'0'..=b'9' => at > 0,
            b':' => of_metric,
            _ => false,
        };
        let rest = &self.line[self.at..];
        let length = rest.bytes().enumerate().take_while(|at| is_of_name(*at)).count();
        if length == 0 {
            return Err(self.expected(what));
        }
        self.at += length;
        Ok(rest[..length].to_owned())
    }

    /// A text in quotes.
    fn quoted(&mut self) -> Result<String, Wrong> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a value in quotes"));
        }
        let (start, rest) = (self.at, &self.line[self.at + 1..]);
        let (mut text, mut chars) = (String::new(), rest.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 2;
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    // A backslash before anything else stands for itself.
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err((start, "the quote is not closed".to_owned()))
    }

    /// Labels in braces; a name in quotes alone is that of the metric, under this label.
    fn labels(
        &mut self,
        labels: &mut Vec<(String, String)>,
        metric: Option<&str>,
    ) -> Result<(), Wrong> {
        self.at += 1;
        let mut known: BTreeSet<String> = labels.iter().map(|(label, _)| label.clone()).collect();
        loop {
            self.skip_blanks();
            let start = self.at;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            let is_quoted = self.peek() == Some(b'"');
            let mut label = self.name("a label or `}`", false)?;
            self.skip_blanks();
            let value = match (self.peek(), metric) {
                (Some(b'='), _) => {
                    self.at += 1;
                    self.skip_blanks();
                    self.quoted()?
                }
                (Some(b',' | b'}'), Some(metric)) if is_quoted => {
                    std::mem::replace(&mut label, metric.to_owned())
                }
                _ => return Err(self.expected("`=`")),
            };
            if !known.insert(label.clone()) {
                return Err((start, format!("the label `{label}` stands twice")));
            }
            labels.push((label, value));
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => return Err(self.expected("`,` or `}`")),
            }
        }
    }

    fn value(&mut self) -> Result<String, Wrong> {
        let (at, word) = self.word();
        match word.parse::<f64>() {
            Ok(_) => Ok(json::number(word)),
            Err(_) => Err((at, "expected a value: a number, +Inf, -Inf or NaN".to_owned())),
        }
    }
}
