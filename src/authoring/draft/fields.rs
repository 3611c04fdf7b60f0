//! The fields of the records, and what their names and values speak for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::grouped;
use crate::model::time::parse_rfc3339;
use crate::rules::{FieldPath, TimeForm, TimeFormat, TimeUnit};

/// So deep fields are looked for.
const DEPTH_MAX: usize = 4;
/// So many fields are looked at.
const FIELDS_MAX: usize = 256;
/// A state has so many values at most, and none is longer.
const STATES_MAX: usize = 10;
const STATE_BYTES_MAX: usize = 64;
/// So many kinds of records there are at most.
const TYPES_MAX: usize = 50;
/// So many values are shown in a comment, fewer of those that have more, and of each so much.
const SHOWN_MAX: usize = 5;
const SHOWN_OF_MANY: usize = 2;
const SHOWN_CHARACTERS_MAX: usize = 24;

/// The names that fields of a meaning usually have, the most telling first; without case and marks.
pub(super) struct Names;

impl Names {
    pub(super) const TIME: &[&str] = &[
        "time",
        "ts",
        "timestamp",
        "eventtime",
        "datetime",
        "occurredat",
        "observedat",
        "createdat",
        "created",
        "date",
        "at",
        "when",
        "t",
    ];
    pub(super) const ARRIVAL: &[&str] = &[
        "recordedtime",
        "recordedat",
        "recorded",
        "arrival",
        "arrivaltime",
        "receivedat",
        "received",
        "receivedtime",
        "ingestedat",
        "ingesttime",
        "ingested",
        "collectedat",
        "loggedat",
    ];
    const STATE: &[&str] = &[
        "state",
        "status",
        "health",
        "ready",
        "readiness",
        "healthy",
        "up",
        "alive",
        "available",
        "online",
        "condition",
        "phase",
        "result",
        "outcome",
        "ok",
        "success",
        "level",
        "severity",
    ];
    const TYPE: &[&str] =
        &["type", "kind", "eventtype", "event", "checktype", "category", "check", "metric"];
    const SUBJECT: &[&str] = &[
        "entity",
        "subject",
        "pod",
        "podname",
        "host",
        "hostname",
        "instance",
        "container",
        "node",
        "service",
        "servicename",
        "device",
        "target",
        "server",
        "machine",
        "component",
        "sensor",
        "app",
        "application",
        "job",
        "site",
        "resource",
        "slug",
        "name",
    ];
    const SOURCE: &[&str] = &[
        "source",
        "src",
        "origin",
        "reporter",
        "agent",
        "collector",
        "producer",
        "emitter",
        "probe",
        "checker",
    ];
    const SEQUENCE: &[&str] = &["sequence", "seq", "sequencenumber", "seqno", "offset"];
    const ID: &[&str] = &["id", "uuid", "guid", "eventid", "messageid", "recordid"];
}

/// Values that states usually have.
const STATE_WORDS: [&str; 34] = [
    "ready",
    "unready",
    "notready",
    "up",
    "down",
    "ok",
    "healthy",
    "unhealthy",
    "degraded",
    "failed",
    "failing",
    "failure",
    "error",
    "running",
    "stopped",
    "success",
    "open",
    "closed",
    "online",
    "offline",
    "active",
    "inactive",
    "warning",
    "critical",
    "pending",
    "unknown",
    "pass",
    "passed",
    "fail",
    "alive",
    "dead",
    "available",
    "unavailable",
    "timeout",
];

/// How times are often written where they are not RFC 3339. What may be the day or the month is not
/// guessed.
const FORMATS: [&str; 11] = [
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S,%f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y/%m/%d %H:%M:%S%.f",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %e %H:%M:%S %Y",
];

/// What a field may be taken for.
#[derive(Clone, Copy)]
pub(super) enum Role {
    State,
    Type,
    Subject,
    Source,
    Sequence,
    Id,
}

/// A field that has been taken for something, and why.
pub(super) struct Pick {
    pub(super) field: Field,
    /// Its value, if it has only one.
    pub(super) only: Option<String>,
    pub(super) why: String,
}

/// A field that has been taken for a time, and why.
pub(super) struct TimePick {
    pub(super) field: Field,
    pub(super) form: TimeForm,
    pub(super) why: String,
}

impl TimePick {
    /// The time of a record, if it can be read.
    pub(super) fn of(&self, record: &Map<String, Value>) -> Option<i64> {
        let value = self.field.value_of(record)?;
        let scale = match &self.form {
            TimeForm::Format(format) => return format.read(value.as_str()?).ok(),
            TimeForm::Unit(TimeUnit::Rfc3339) => return parse_rfc3339(value.as_str()?).ok(),
            TimeForm::Unit(TimeUnit::Seconds) => 1_000_000_000,
            TimeForm::Unit(TimeUnit::Millis) => 1_000_000,
            TimeForm::Unit(TimeUnit::Micros) => 1_000,
            TimeForm::Unit(TimeUnit::Nanos) => 1,
        };
        match number(value)? {
            (_, Some(whole)) => whole.checked_mul(scale),
            (number, None) => Some((number * scale as f64) as i64),
        }
    }
}

/// Where a field stands: the keys that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field(Vec<SmolStr>);

impl Field {
    /// As a mapping names it.
    pub(super) fn path(&self) -> String {
        FieldPath::new(&self.0).map_or_else(String::new, |path| path.to_string())
    }

    /// The innermost key.
    pub(super) fn last(&self) -> &str {
        self.0.last().map_or("", SmolStr::as_str)
    }

    /// What it is called: `host.name` is a host.
    pub(super) fn called(&self) -> &str {
        match self.0.as_slice() {
            [.., above, last] if matches!(last.as_str(), "name" | "id") => above,
            _ => self.last(),
        }
    }

    /// The keys as conditions see them, from `data` on.
    pub(super) fn keys_in_data(&self, cloudevents: bool) -> Vec<SmolStr> {
        self.0.iter().skip(usize::from(cloudevents)).cloned().collect()
    }

    pub(super) fn value_of<'r>(&self, record: &'r Map<String, Value>) -> Option<&'r Value> {
        let (first, rest) = self.0.split_first()?;
        let first = record.get(first.as_str())?;
        let value = rest.iter().try_fold(first, |at, key| at.get(key.as_str()))?;
        (!value.is_null() && !value.is_object() && !value.is_array()).then_some(value)
    }

    /// The value as text, unless there is none.
    pub(super) fn text_of(&self, record: &Map<String, Value>) -> Option<String> {
        self.value_of(record).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }
}

/// What is known of the values of a field.
#[derive(Default)]
struct Column {
    present: usize,
    strings: usize,
    /// Of these, numbers.
    numerals: usize,
    bools: usize,
    values: BTreeMap<String, usize>,
}

impl Column {
    fn new(field: &Field, records: &[Map<String, Value>]) -> Self {
        let mut column = Self::default();
        for record in records {
            let (Some(value), Some(text)) = (field.value_of(record), field.text_of(record)) else {
                continue;
            };
            column.present += 1;
            column.strings += usize::from(value.is_string());
            let numeral = value.as_str().is_some_and(|text| text.parse::<f64>().is_ok());
            column.numerals += usize::from(numeral);
            column.bools += usize::from(value.is_boolean());
            *column.values.entry(text).or_default() += 1;
        }
        column
    }

    fn distinct(&self) -> usize {
        self.values.len()
    }

    fn is_text(&self) -> bool {
        self.strings > 0 && self.strings == self.present
    }

    fn longest(&self) -> usize {
        self.values.keys().map(String::len).max().unwrap_or(0)
    }

    fn pick(&self, field: Field) -> Pick {
        let mut values = self.values.keys();
        let only = values.next().filter(|_| self.distinct() == 1).cloned();
        Pick { field, only, why: self.why() }
    }

    /// `2 values in 1,000 records: ready (813), unready (187)`
    fn why(&self) -> String {
        let records = grouped(self.present as u64);
        let values = match self.distinct() {
            1 => "1 value".to_owned(),
            count => format!("{} values", grouped(count as u64)),
        };
        let mut common: Vec<_> = self.values.iter().collect();
        common.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let show = |(value, count): &(&String, &usize)| {
            let shown: String = value.chars().take(SHOWN_CHARACTERS_MAX).collect();
            let more = if shown.len() < value.len() { "..." } else { "" };
            format!("{}{more} ({})", shown.escape_debug(), grouped(**count as u64))
        };
        let all = common.len() <= SHOWN_MAX;
        let shown = if all { SHOWN_MAX } else { SHOWN_OF_MANY };
        let shown: Vec<_> = common.iter().take(shown).map(show).collect();
        let more = if all { "" } else { ", ..." };
        format!("{values} in {records} records: {}{more}", shown.join(", "))
    }
}

/// The records, and the fields that have not been taken for something yet.
pub(super) struct Table {
    records: Vec<Map<String, Value>>,
    fields: Vec<Field>,
}

impl Table {
    pub(super) fn new(records: Vec<Map<String, Value>>) -> Self {
        let mut fields = Vec::new();
        for record in &records {
            collect(record, &mut Vec::new(), &mut fields);
        }
        Self { records, fields }
    }

    pub(super) fn records(&self) -> &[Map<String, Value>] {
        &self.records
    }

    /// The fields, for a message.
    pub(super) fn names(&self) -> Vec<String> {
        self.fields.iter().take(20).map(Field::path).collect()
    }

    /// Leaves out what will be dead letters in any case.
    pub(super) fn keep_records_with(&mut self, time: &TimePick) {
        self.records.retain(|record| time.of(record).is_some());
    }

    pub(super) fn keep_fields_under(&mut self, key: &str) {
        self.fields.retain(|field| field.0.len() > 1 && field.0[0] == key);
    }

    fn take(&mut self, field: &Field) {
        self.fields.retain(|known| known != field);
    }

    /// The field of these keys, with dots between them, if any record has it.
    pub(super) fn take_at(&mut self, keys: &str) -> Option<Pick> {
        let is_it = |field: &&Field| field.0.iter().map(SmolStr::as_str).eq(keys.split('.'));
        let field = self.fields.iter().find(is_it)?.clone();
        self.take(&field);
        let column = Column::new(&field, &self.records);
        Some(column.pick(field))
    }

    /// The time at this key, if any record has it.
    pub(super) fn time_at(&mut self, key: &str) -> Option<TimePick> {
        let field = self.fields.iter().find(|field| field.0 == [key])?.clone();
        let (form, why) = self.form(&field)?;
        self.take(&field);
        Some(TimePick { field, form, why })
    }

    /// The time that is named like one; if it must not be, whatever is a time.
    pub(super) fn pick_time(&mut self, names: &[&str], named: bool) -> Option<TimePick> {
        let times = self.fields.iter().filter_map(|field| {
            let (form, why) = self.form(field)?;
            let rank = names.iter().position(|name| *name == bare(field.last()));
            let text = matches!(form, TimeForm::Unit(TimeUnit::Rfc3339) | TimeForm::Format(_));
            // Other numbers may be large as well.
            let speaks = ["time", "date", "stamp", "epoch", "nanos", "millis"]
                .iter()
                .any(|word| bare(field.last()).contains(word));
            let unlikely = named || (!text && !speaks && !self.mostly_rises(field));
            if rank.is_none() && unlikely {
                return None;
            }
            Some(((rank.unwrap_or(names.len()), field.0.len()), field.clone(), form, why))
        });
        let (_, field, form, why) = times.min_by_key(|(rank, ..)| *rank)?;
        self.take(&field);
        Some(TimePick { field, form, why })
    }

    /// How a field writes times, if (nearly) all of its values are some and all records have it.
    fn form(&self, field: &Field) -> Option<(TimeForm, String)> {
        let formats = FORMATS.map(|text| TimeFormat::new(text).expect("it is a format"));
        let mut forms: Vec<(TimeForm, usize)> = Vec::new();
        for value in self.records.iter().filter_map(|record| field.value_of(record)) {
            let Some(form) = form(value, &formats) else { continue };
            match forms.iter_mut().find(|(known, _)| *known == form) {
                Some((_, count)) => *count += 1,
                None => forms.push((form, 1)),
            }
        }
        let (form, count) = forms.into_iter().max_by_key(|(_, count)| *count)?;
        if count * 100 < self.records.len() * 95 {
            return None;
        }
        let example = self.records.iter().find_map(|record| field.text_of(record))?;
        let (how, zone) = match &form {
            TimeForm::Unit(TimeUnit::Rfc3339) => ("RFC 3339", ""),
            TimeForm::Unit(TimeUnit::Seconds) => ("seconds since 1970", ""),
            TimeForm::Unit(TimeUnit::Millis) => ("milliseconds since 1970", ""),
            TimeForm::Unit(TimeUnit::Micros) => ("microseconds since 1970", ""),
            TimeForm::Unit(TimeUnit::Nanos) => ("nanoseconds since 1970", ""),
            TimeForm::Format(format) if format.has_zone() && !says_utc(format) => {
                ("this format", "; taken for UTC, unless there is zone: \"+02:00\"")
            }
            TimeForm::Format(_) => ("this format", ""),
        };
        let (count, records) = (grouped(count as u64), grouped(self.records.len() as u64));
        let example: String = example.chars().take(40).collect();
        let example = example.escape_debug();
        Some((form, format!("{how} in {count} of {records} records: {example}{zone}")))
    }

    /// The first field that is an array of objects in at least half of the records.
    pub(super) fn array(&self) -> Option<String> {
        let of_objects = |value: &Value| {
            value.as_array().is_some_and(|all| all.first().is_some_and(Value::is_object))
        };
        let mut counts: BTreeMap<Vec<SmolStr>, usize> = BTreeMap::new();
        for record in &self.records {
            for (key, value) in record {
                let above = SmolStr::new(key);
                if of_objects(value) {
                    *counts.entry(vec![above.clone()]).or_default() += 1;
                }
                for (key, _) in
                    value.as_object().into_iter().flatten().filter(|(_, v)| of_objects(v))
                {
                    *counts.entry(vec![above.clone(), SmolStr::new(key)]).or_default() += 1;
                }
            }
        }
        let often = counts.into_iter().filter(|(_, count)| count * 2 >= self.records.len());
        let mut paths = often.filter_map(|(path, _)| FieldPath::new(&path));
        paths.next().map(|path| path.to_string())
    }

    fn mostly_rises(&self, field: &Field) -> bool {
        let number = |record| field.value_of(record).and_then(number).map(|(number, _)| number);
        let numbers: Vec<f64> = self.records.iter().filter_map(number).collect();
        let rises = numbers.windows(2).filter(|pair| pair[0] <= pair[1]).count();
        rises * 10 >= numbers.len().saturating_sub(1) * 9
    }

    /// The field that speaks most for a role: by its name, or else by its values.
    pub(super) fn pick(&mut self, role: Role) -> Option<Pick> {
        let names = match role {
            Role::State => Names::STATE,
            Role::Type => Names::TYPE,
            Role::Subject => Names::SUBJECT,
            Role::Source => Names::SOURCE,
            Role::Sequence => Names::SEQUENCE,
            Role::Id => Names::ID,
        };
        let likely = self.fields.iter().filter_map(|field| {
            let column = Column::new(field, &self.records);
            let rank = names.iter().position(|name| *name == bare(field.called()));
            let by_value = self.by_value(role, &column)?;
            let rank = rank.map(|rank| (0, rank)).or(by_value.map(|rank| (1, rank)))?;
            Some(((rank, field.0.len()), field.clone(), column))
        });
        let (_, field, column) = likely.min_by_key(|(rank, ..)| *rank)?;
        self.take(&field);
        Some(column.pick(field))
    }

    /// None if the values forbid the role; else how well they alone speak for it, less is better.
    fn by_value(&self, role: Role, column: &Column) -> Option<Option<usize>> {
        let records = self.records.len();
        let everywhere = column.present == records;
        let mostly = column.present * 10 >= records * 9;
        let fits = match role {
            Role::State => {
                let flags = column.bools == column.present || column.is_text();
                let few = (2..=STATES_MAX).contains(&column.distinct());
                flags
                    && few
                    && column.longest() <= STATE_BYTES_MAX
                    && column.present * 10 >= records
            }
            Role::Type => everywhere && column.is_text() && column.distinct() <= TYPES_MAX,
            Role::Source => everywhere && column.is_text() && column.distinct() * 2 <= records,
            Role::Subject => mostly && column.is_text() && column.distinct() < column.present,
            Role::Sequence => {
                mostly && column.bools == 0 && column.values.keys().all(|v| digits(v))
            }
            Role::Id => everywhere && column.bools == 0 && column.distinct() * 10 >= records * 9,
        };
        fits.then(|| match role {
            Role::State => {
                let known = |value: &&String| STATE_WORDS.contains(&bare(value).as_str());
                let words = column.values.keys().filter(known).count();
                let likely = column.bools > 0 || words * 2 >= column.distinct();
                likely.then(|| STATES_MAX - words.min(STATES_MAX))
            }
            Role::Subject => {
                let repeats = column.distinct() > 1 && column.distinct() * 3 <= column.present;
                // What is written as a number rather measures something.
                let counts = column.numerals == column.present;
                (repeats && !counts).then(|| records - column.distinct())
            }
            _ => None,
        })
    }
}

/// Adds the fields of an object that are not known yet.
fn collect(object: &Map<String, Value>, above: &mut Vec<SmolStr>, fields: &mut Vec<Field>) {
    for (key, value) in object {
        above.push(SmolStr::new(key));
        match value {
            Value::Object(inner) if above.len() < DEPTH_MAX => collect(inner, above, fields),
            Value::Object(_) | Value::Array(_) | Value::Null => {}
            _ => {
                let known = fields.iter().any(|field| field.0 == *above);
                if !known && fields.len() < FIELDS_MAX && FieldPath::new(above).is_some() {
                    fields.push(Field(above.clone()));
                }
            }
        }
        above.pop();
    }
}

/// A name without case and marks.
pub(super) fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn says_utc(format: &TimeFormat) -> bool {
    ["UTC", "GMT"].iter().any(|name| format.text().ends_with(name))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number, or one in a string; exact if it is whole.
fn number(value: &Value) -> Option<(f64, Option<i64>)> {
    match value {
        Value::Number(number) => Some((number.as_f64()?, number.as_i64())),
        Value::String(text) => Some((text.parse().ok()?, text.parse().ok())),
        _ => None,
    }
}

/// How a value writes a time, by its shape, or by its magnitude: 1973 to 2128.
fn form(value: &Value, formats: &[TimeFormat]) -> Option<TimeForm> {
    if let Some(text) = value.as_str() {
        if parse_rfc3339(text).is_ok() {
            return Some(TimeForm::Unit(TimeUnit::Rfc3339));
        }
        // No format is tried in vain on all other text.
        let likely = (14..=40).contains(&text.len()) && text.contains(':');
        let found = formats.iter().find(|format| likely && format.read(text).is_ok());
        if let Some(format) = found {
            return Some(TimeForm::Format(format.clone()));
        }
    }
    let (number, _) = number(value)?;
    let units = [TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos];
    let scales = [1.0, 1e3, 1e6, 1e9];
    let fits = |scale: &f64| (1e8 * scale..5e9 * scale).contains(&number);
    scales.iter().position(fits).map(|at| TimeForm::Unit(units[at]))
}
