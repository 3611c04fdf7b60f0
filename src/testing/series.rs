//! What was observed of an entity, as people write it: `0s ready, 20s unready, 28s ready`.
//!
//! ```text
//!     series  := segment { "," segment }
//!     segment := [ TIME ] item { item } [ "every" DURATION ] [ "@" TIME | "@" "+" DURATION ]
//!     item    := ( VALUE | "again" [ VALUE ] | "_" ) [ "{" NAME "=" TEXT ... "}" ] [ "x" COUNT ]
//! ```
//!
//! A VALUE is a state, a reading (`75`), both (`hot=75`), or as in promtool a ramp: `70+5x3` is
//! 70 75 80 85. The items of a segment follow each other by its interval, which later segments keep.
//! A segment without TIME goes on where the one before left off, the first at the start. `_` is an
//! interval without observation; `again` is the record before once more. `@` says when something
//! arrives, if that is not when it happened.

use std::ops::Range;

use crate::model::duration::{NoDuration, read_duration};
use crate::model::time::parse_rfc3339;
use crate::rules::Fault;

/// So many observations a series may have.
const OBSERVATIONS_MAX: usize = 100_000;

/// An observation, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// When it happened, since the start.
    pub(super) time_ns: i64,
    /// When it arrived, since the start.
    pub(super) arrival_ns: i64,
    /// Whether it is the record before once more.
    pub(super) again: bool,
    pub(super) value: Value,
    /// Labels and their values.
    pub(super) labels: Vec<(String, String)>,
    /// The bytes of the series it is written in.
    pub(super) place: Range<usize>,
}

/// What is observed; of a record that comes again, what is left out is as before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Value {
    pub(super) state: Option<String>,
    pub(super) reading: Option<f64>,
}

/// How times are read: since the start, or as an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start(pub(super) i64);

impl Start {
    /// A time, since the start.
    pub(super) fn offset(self, text: &str) -> Result<i64, String> {
        match read_duration(text) {
            Ok(offset) => Ok(offset),
            Err(NoDuration::TooLong) => Err(format!("`{text}` is too long a time")),
            Err(NoDuration::Form) => match parse_rfc3339(text) {
                Ok(nanos) => Ok(nanos.saturating_sub(self.0)),
                Err(_) => Err(format!("`{text}` is no time")),
            },
        }
    }
}

/// What would be right where a time is wanted.
pub(super) const TIME_HELP: &str =
    "write a time since the start, as 20s or 1m30s, or an instant, as 2026-01-01T00:00:20Z";

/// Reads a series whose records arrive `delay_ns` after they happened, if they say nothing else.
pub(super) fn parse(text: &str, start: Start, delay_ns: i64) -> Result<Vec<Item>, Vec<Fault>> {
    let mut reader = Reader {
        start,
        delay_ns,
        items: Vec::new(),
        last_ns: None,
        every_ns: None,
        faults: Vec::new(),
    };
    let segments = divided(text, |c| c == ',');
    for segment in &segments {
        if reader.items.len() <= OBSERVATIONS_MAX {
            reader.segment(text, segment);
        }
    }
    match reader.faults.is_empty() {
        true => Ok(reader.items),
        false => Err(reader.faults),
    }
}

/// The parts of a text, as ranges, divided by some characters outside of braces.
fn divided(text: &str, divides: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut within) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        within = (within || c == '{') && c != '}';
        if !within && divides(c) {
            parts.push(start..at);
            start = at + c.len_utf8();
        }
    }
    parts.push(start..text.len());
    parts
}

/// What a word of a series says.
struct Word<'t> {
    text: &'t str,
    place: Range<usize>,
}

struct Reader {
    start: Start,
    delay_ns: i64,
    items: Vec<Item>,
    /// Where the last item, or gap, stands.
    last_ns: Option<i64>,
    /// The interval of the last segment that has one.
    every_ns: Option<i64>,
    faults: Vec<Fault>,
}

/// What a segment says at its end.
#[derive(Default)]
struct Tail {
    every_ns: Option<i64>,
    arrival: Option<Arrival>,
}

enum Arrival {
    At(i64),
    After(i64),
}

/// An item as it is written, and how often.
struct Written {
    value: Option<Value>,
    again: bool,
    step: f64,
    count: usize,
    labels: Vec<(String, String)>,
    place: Range<usize>,
}

impl Reader {
    fn fault(&mut self, place: Range<usize>, message: String, help: &str) {
        self.faults.push(Fault { place, message, help: help.to_owned() });
    }

    fn segment(&mut self, text: &str, segment: &Range<usize>) {
        let parts = divided(&text[segment.clone()], char::is_whitespace);
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let words: Vec<_> = parts
            .map(|part| segment.start + part.start..segment.start + part.end)
            .map(|place| Word { text: &text[place.clone()], place })
            .collect();
        let Some(first) = words.first() else {
            let message = "nothing stands between the commas".to_owned();
            return self.fault(
                segment.clone(),
                message,
                "write a time and a state, as 20s unready",
            );
        };
        let time = match is_time(first.text) {
            true => Some(self.time(first)),
            false => None,
        };
        let words = &words[usize::from(time.is_some())..];
        let end = words.iter().position(|word| word.text == "every" || word.text.starts_with('@'));
        let (items, tail) = words.split_at(end.unwrap_or(words.len()));
        let faults = self.faults.len();
        let tail = self.tail(tail);
        let items = self.written(items);
        if let (Some(Some(_)) | None, true) = (time, self.faults.len() == faults) {
            self.put(time.flatten(), &items, &tail, segment);
        }
    }

    fn time(&mut self, word: &Word<'_>) -> Option<i64> {
        let time = self.start.offset(word.text);
        time.map_err(|message| self.fault(word.place.clone(), message, TIME_HELP)).ok()
    }

    /// `every` and `@`, in any order.
    fn tail(&mut self, words: &[Word<'_>]) -> Tail {
        let mut tail = Tail::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (what, rest) = match word.text.strip_prefix('@') {
                Some(rest) => ("@", rest),
                None if word.text == "every" => ("every", ""),
                None => {
                    let message = format!("`{}` cannot stand here", word.text);
                    self.fault(
                        word.place.clone(),
                        message,
                        "`every` and `@` end what a comma ends",
                    );
                    return tail;
                }
            };
            let rest = match rest {
                "" => words.next(),
                rest => Some(&Word { text: rest, place: word.place.clone() }),
            };
            let Some(rest) = rest else {
                let message = format!("nothing stands behind `{what}`");
                return {
                    self.fault(word.place.clone(), message, "write a time");
                    tail
                };
            };
            match (what, rest.text.strip_prefix('+')) {
                ("@", Some(after)) => {
                    let word = Word { text: after, place: rest.place.clone() };
                    tail.arrival = self.time(&word).map(Arrival::After);
                }
                ("@", None) => tail.arrival = self.time(rest).map(Arrival::At),
                _ => {
                    tail.every_ns = self.time(rest).filter(|every| *every > 0);
                    if tail.every_ns.is_none() {
                        let message = "an interval is above zero".to_owned();
                        self.fault(rest.place.clone(), message, "write it as every 10s");
                    }
                }
            }
        }
        tail
    }

    fn written(&mut self, words: &[Word<'_>]) -> Vec<Written> {
        let mut all: Vec<Written> = Vec::new();
        for word in words {
            let Word { text, place } = word;
            let last = all.last_mut();
            if let Some(count) = repetition(text) {
                match last {
                    Some(last) if (1..=OBSERVATIONS_MAX).contains(&count) => last.count = count,
                    Some(_) => {
                        let message = format!("`{text}` is no number of times");
                        let help = format!("from x1 to x{OBSERVATIONS_MAX}");
                        self.fault(place.clone(), message, &help);
                    }
                    None => {
                        let message = format!("`{text}` repeats nothing");
                        self.fault(place.clone(), message, "write it behind a state: ready x5");
                    }
                }
                continue;
            }
            if let Some(inner) = text.strip_prefix('{') {
                match (last, labels(inner)) {
                    (Some(last), Some(labels)) => last.labels.extend(labels),
                    _ => {
                        let message = format!("`{text}` is no labels of what stands before it");
                        self.fault(place.clone(), message, "write them as ready {zone=a tier=b}");
                    }
                }
                continue;
            }
            // What comes again may be other than it was.
            if let Some(last) = last.filter(|last| last.again && last.value.is_none()) {
                last.value = self.value(word).map(|(value, ..)| value);
                continue;
            }
            let (value, step, count, again) = match *text {
                "again" => (None, 0.0, 1, true),
                "_" => (None, 0.0, 1, false),
                _ => match self.value(word) {
                    Some((value, step, count)) => (Some(value), step, count, false),
                    None => continue,
                },
            };
            let (labels, place) = (Vec::new(), place.clone());
            all.push(Written { value, again, step, count, labels, place });
        }
        all
    }

    /// A state, a reading or both; of a ramp its step and length, too.
    fn value(&mut self, word: &Word<'_>) -> Option<(Value, f64, usize)> {
        let Word { text, place } = word;
        let (state, reading) = match text.split_once('=') {
            Some((state, reading)) => (Some(state), Some(reading)),
            None if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                (None, Some(*text))
            }
            None => (Some(*text), None),
        };
        let (reading, step, count) = match reading.map(ramp) {
            Some(None) => {
                let message = format!("`{text}` is no reading");
                let help =
                    "write 75, hot=75, or from 70 three times 5 more: 70+5x3; a time has its unit";
                self.fault(place.clone(), message, help);
                return None;
            }
            Some(Some((reading, step, count))) => (Some(reading), step, count),
            None => (None, 0.0, 1),
        };
        Some((Value { state: state.map(str::to_owned), reading }, step, count))
    }

    /// Puts the items of a segment where they belong.
    fn put(&mut self, time: Option<i64>, items: &[Written], tail: &Tail, segment: &Range<usize>) {
        if items.is_empty() {
            let message = "there is a time, and nothing observed".to_owned();
            return self.fault(segment.clone(), message, "write a state behind it: 20s unready");
        }
        self.every_ns = tail.every_ns.or(self.every_ns);
        let slots: usize = items.iter().map(|item| item.count).sum();
        if let (Some(Arrival::At(_)), true) = (&tail.arrival, slots > 1) {
            let message = "several cannot all arrive at one instant".to_owned();
            return self.fault(segment.clone(), message, "write how much later they do: @ +6s");
        }
        if self.items.len() + slots > OBSERVATIONS_MAX {
            let message = format!("more than {OBSERVATIONS_MAX} observations");
            return self.fault(segment.clone(), message, "a test needs fewer");
        }
        let mut first = true;
        for item in items {
            for step in 0..item.count {
                let at = match (time.filter(|_| first), self.last_ns, self.every_ns) {
                    (Some(time), ..) => Some(time),
                    _ if item.again => self.last_ns.or(Some(0)),
                    (_, None, _) => Some(0),
                    (_, Some(last), Some(every)) => last.checked_add(every),
                    (_, Some(_), None) => None,
                };
                let Some(at) = at else {
                    let message = format!("nothing says when it is {}", shown(item));
                    return self.fault(item.place.clone(), message, "write a time, or `every 10s`");
                };
                first = false;
                self.last_ns = Some(at);
                if item.value.is_some() || item.again {
                    self.item(item, step, at, tail);
                }
            }
        }
    }

    fn item(&mut self, item: &Written, step: usize, time_ns: i64, tail: &Tail) {
        let mut value = item.value.clone().unwrap_or_default();
        value.reading = value.reading.map(|reading| reading + item.step * step as f64);
        let arrival_ns = match tail.arrival {
            Some(Arrival::At(at)) => at,
            Some(Arrival::After(delay)) => time_ns.saturating_add(delay),
            None => {
                let arrival_ns = time_ns.saturating_add(self.delay_ns);
                // What comes again does so after it came.
                let before = self.items.last().filter(|_| item.again);
                before.map_or(arrival_ns, |before| before.arrival_ns.max(arrival_ns))
            }
        };
        if item.again && self.items.is_empty() {
            let message = "there is no record before that could come again".to_owned();
            return self.fault(item.place.clone(), message, "write `again` behind what it repeats");
        }
        let (again, labels, place) = (item.again, item.labels.clone(), item.place.clone());
        self.items.push(Item { time_ns, arrival_ns, again, value, labels, place });
    }
}

fn shown(item: &Written) -> &str {
    match &item.value {
        Some(Value { state: Some(state), .. }) => state,
        _ => "so",
    }
}

/// Whether a word is a time: that has a unit, which a reading has not.
fn is_time(word: &str) -> bool {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &word[digits..];
    let is_instant = digits == 4 && rest.starts_with('-') && rest.contains('T');
    let has_unit = rest.starts_with(|c: char| c.is_ascii_lowercase() && c != 'x' && c != 'e');
    digits > 0 && (is_instant || has_unit)
}

/// How often something is, if a word says that: `x5`.
fn repetition(word: &str) -> Option<usize> {
    let digits = word.strip_prefix('x')?;
    let is_count = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_count.then(|| digits.parse().unwrap_or(usize::MAX))
}

/// A number, or as in promtool a number, what is added to it each time, and how often.
fn ramp(text: &str) -> Option<(f64, f64, usize)> {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
    if let Some(number) = number(text) {
        return Some((number, 0.0, 1));
    }
    let (steps, times) = text.rsplit_once('x')?;
    let at = steps.rfind(['+', '-']).filter(|at| *at > 0)?;
    let times = times.parse::<usize>().ok().filter(|times| *times < OBSERVATIONS_MAX)?;
    Some((number(&steps[..at])?, number(&steps[at..])?, times + 1))
}

/// What stands in braces: names and values, by blanks or commas.
fn labels(inner: &str) -> Option<Vec<(String, String)>> {
    let pairs = inner.strip_suffix('}')?.split(|c: char| c == ',' || c.is_whitespace());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    pairs.filter(|text| !text.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests;
