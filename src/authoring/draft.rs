//! A first rule file for a log of JSON lines or of rows: what its fields mean is guessed from their
//! names and values, and every guess says why.
//!
//! Guarantees: the file has no errors; what it requires of a record (time, source, type) stands in
//! every record that was looked at and has a time. State: the records that were looked at.

mod fields;
mod log;
pub(super) mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use self::fields::{Field, Names, Pick, Role, Table, TimePick};
use self::log::{Beginning, Format, Record, beginning};
use self::yaml::{Lines, condition, flow, scalar};
use super::{grouped, usual_interval};
use crate::model::duration::format_duration;
use crate::rules::{Attribute, Document, TimeForm};
use crate::sources::InputError;

/// Beyond this a record is a dead letter, unless the rule file says otherwise.
const MAX_ADVANCE_NS: i64 = 30 * 86_400_000_000_000;

/// A first rule file.
#[derive(Debug)]
pub struct Draft {
    /// The file.
    pub text: String,
    /// Why the log could not be read as far as wanted.
    pub damaged: Option<InputError>,
}

/// Why there is no draft.
#[derive(Debug)]
pub enum NoDraft {
    /// The log cannot be read.
    Input(InputError),
    /// So many lines, and none is a JSON object or a row under a header.
    NoRecords(usize),
    /// No field of the records is a time.
    NoTime {
        /// These are the fields.
        fields: Vec<String>,
        /// This one is an array of objects.
        array: Option<String>,
    },
}

impl fmt::Display for NoDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::NoRecords(0) => f.write_str("no rules can be guessed: the log is empty"),
            Self::NoRecords(lines) => write!(
                f,
                "no rules can be guessed: none of {} lines is a JSON object, or a row under a \
                 header; of other lines say in `pattern`, with `format: regex`, what their parts \
                 are",
                grouped(*lines as u64)
            ),
            Self::NoTime { fields, array } => {
                write!(
                    f,
                    "no rules can be guessed: no field is a time in every record (RFC 3339, a usual \
                     format, or a number since 1970 that rises or is called a time)"
                )?;
                if !fields.is_empty() {
                    write!(f, "; there are: {}", fields.join(", "))?;
                }
                match array {
                    Some(array) => write!(
                        f,
                        "; with `explode: {array}` each element of that array is a record, which \
                         may have one"
                    ),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Drafts a rule file for a log.
///
/// # Errors
/// [`NoDraft`], if the log cannot be opened or has no records with a time.
pub fn draft(path: &Path) -> Result<Draft, NoDraft> {
    let Beginning { format, records, lines, more, damaged } = beginning(path)?;
    let count = grouped(records.len() as u64);
    let (all, what) = match format {
        Format::Json => (records.len() == lines, "JSON objects"),
        Format::Csv(_) => (records.len() == lines, "rows"),
        Format::Document(_) => (records.len() == lines, "records"),
    };
    let seen = match (more, all) {
        (true, _) => format!("the first {count} records"),
        (false, true) => format!("{count} records"),
        (false, false) => {
            format!("{count} of {} lines; the others are no {what}", grouped(lines as u64))
        }
    };
    let title =
        format!("# A first rule file, guessed from {seen}.\n# The comments say why: check them.\n");
    let text = title + &Guess::new(format, records)?.text();
    Ok(Draft { text, damaged })
}

/// What the fields are taken for.
struct Guess {
    table: Table,
    format: Format,
    cloudevents: bool,
    time: TimePick,
    arrival: Option<TimePick>,
    state: Option<Pick>,
    type_: Option<Pick>,
    subject: Option<Pick>,
    source: Option<Pick>,
    sequence: Option<Pick>,
    id: Option<Pick>,
}

impl Guess {
    fn new(format: Format, records: Vec<Record>) -> Result<Self, NoDraft> {
        const ATTRIBUTES: [&str; 4] = ["id", "source", "type", "time"];
        let is_event = |record: &Record| {
            let strings =
                ATTRIBUTES.iter().all(|key| record.get(*key).is_some_and(Value::is_string));
            strings && record.contains_key("specversion")
        };
        let events = records.iter().filter(|record| is_event(record)).count();
        let cloudevents = format == Format::Json && events * 10 >= records.len() * 9;
        let mut table = Table::new(records);
        let no_time =
            |table: &Table| NoDraft::NoTime { fields: table.names(), array: table.array() };
        if cloudevents {
            let time = table.time_at("time").ok_or_else(|| no_time(&table))?;
            table.keep_records_with(&time);
            let arrival = table.time_at("recordedtime");
            let type_ = table.take_at("type");
            let subject = table.take_at("subject");
            table.keep_fields_under("data");
            let state = table.pick(Role::State);
            let (source, sequence, id) = (None, None, None);
            return Ok(Self {
                table,
                format,
                cloudevents,
                time,
                arrival,
                state,
                type_,
                subject,
                source,
                sequence,
                id,
            });
        }
        if let Format::Document(of) = format {
            let time = table.time_at("time").ok_or_else(|| no_time(&table))?;
            table.keep_records_with(&time);
            let (subject, type_) = match of {
                Document::Otlp => ("resource.service.name", table.take_at("signal")),
                Document::Kubernetes => ("object", None),
                Document::Alertmanager => ("alert", None),
                Document::Prometheus | Document::OpenMetrics | Document::Exposition => {
                    ("series", None)
                }
            };
            let subject = table.take_at(subject);
            let state = table.pick(Role::State);
            let (arrival, source, sequence, id) = (None, None, None, None);
            return Ok(Self {
                table,
                format,
                cloudevents,
                time,
                arrival,
                state,
                type_,
                subject,
                source,
                sequence,
                id,
            });
        }
        let arrival = table.pick_time(Names::ARRIVAL, true);
        let time = table.pick_time(Names::TIME, false).ok_or_else(|| no_time(&table))?;
        table.keep_records_with(&time);
        // The state comes first: whatever else it could be, without it there is no signal.
        let state = table.pick(Role::State);
        let type_ = table.pick(Role::Type);
        let id = table.pick(Role::Id);
        let sequence = table.pick(Role::Sequence);
        let source = table.pick(Role::Source);
        let subject = table.pick(Role::Subject);
        Ok(Self {
            table,
            format,
            cloudevents,
            time,
            arrival,
            state,
            type_,
            subject,
            source,
            sequence,
            id,
        })
    }

    fn text(&self) -> String {
        let mut lines = Lines::default();
        lines.push("version: 1", "");
        self.push_times(&mut lines);
        lines.push("", "");
        if self.cloudevents {
            lines.push("# The lines are CloudEvents 1.0: no source has to be described.", "");
        } else {
            self.push_source(&mut lines);
        }
        lines.push("", "");
        self.push_signal(&mut lines);
        lines.text()
    }

    /// How far records are out of order, and how far apart.
    fn push_times(&self, lines: &mut Lines) {
        const USUAL: [i64; 10] = [5, 10, 30, 60, 300, 900, 3_600, 21_600, 43_200, 86_400];
        let (mut clock, mut late, mut advance) = (None, Vec::new(), 0);
        for record in self.table.records() {
            let Some(time) = self.time.of(record) else { continue };
            let arrival = self.arrival.as_ref().and_then(|arrival| arrival.of(record));
            let arrival = arrival.unwrap_or(time);
            advance = clock.map_or(0, |clock| arrival.saturating_sub(clock)).max(advance);
            let now = clock.map_or(arrival, |clock: i64| clock.max(arrival));
            clock = Some(now);
            late.push(now.saturating_sub(time).max(0));
        }
        late.sort_unstable();
        let usual = late.get((late.len() * 999).div_ceil(1_000).saturating_sub(1)).copied();
        let usual = usual.unwrap_or_default();
        let lateness = format_duration(round_up(usual, &USUAL));
        let why = match usual {
            0 => "the records are in order; this leaves some room".to_owned(),
            _ => format!("99.9 % of the records came within {}", short(usual)),
        };
        lines.push(&format!("lateness: {lateness}"), &why);
        if advance > MAX_ADVANCE_NS {
            let days = advance / 86_400_000_000_000 + 1;
            let why = "the longest gap between two records; a longer one is taken for a mistake";
            lines.push(&format!("max_advance: {days}d"), why);
        }
    }

    fn push_source(&self, lines: &mut Lines) {
        lines.push("sources:", "");
        lines.push("  log:", "");
        match self.format {
            Format::Json => lines.push("    format:   json", "one JSON object a line"),
            // Its attributes have their places.
            Format::Document(of) => {
                return lines.push(&format!("    format: {}", of.name()), of.what());
            }
            Format::Csv(delimiter) => {
                lines.push(
                    "    format:   csv",
                    "rows under the first line, which names the columns",
                );
                match delimiter {
                    b',' => {}
                    b'\t' => lines.push("    delimiter: tab", ""),
                    mark => lines.push(&format!("    delimiter: \"{}\"", mark as char), ""),
                }
            }
        }
        if let Some(array) = self.table.array() {
            let why = "an array of objects: without the #, each element is a record";
            lines.push(&format!("    # explode: {}", flow(&array)), why);
        }
        let mut field = |name: &str, value: String, why: &str| {
            lines.push(&format!("    {:10}{value}", format!("{name}:")), why);
        };
        let time = |time: &TimePick| {
            let form = match &time.form {
                TimeForm::Unit(unit) => format!("unit: {}", unit.name()),
                TimeForm::Format(format) => format!("format: {}", scalar(format.text())),
            };
            format!("{{ field: {}, {form} }}", flow(&time.field.path()))
        };
        let text = |pick: &Pick| format!("{{ field: {} }}", flow(&pick.field.path()));
        let constant = |value: &str| format!("{{ const: {value} }}");
        field("time", time(&self.time), &self.time.why);
        if let Some(arrival) = &self.arrival {
            field("arrival", time(arrival), &arrival.why);
        }
        match &self.subject {
            Some(pick) => field("subject", text(pick), &pick.why),
            None => field("subject", constant("all"), "no field names an entity: all are one"),
        }
        match &self.source {
            // What all say need not be read of each.
            Some(Pick { only: Some(value), why, .. }) => {
                field("source", constant(&scalar(value)), why);
            }
            Some(pick) => field("source", text(pick), &pick.why),
            None => field("source", constant("log"), "no field says who reports"),
        }
        match &self.type_ {
            Some(pick) => field("type", text(pick), &pick.why),
            None => field("type", constant("record"), "no field says of what kind a record is"),
        }
        if let Some(pick) = &self.sequence {
            field("sequence", text(pick), &pick.why);
        }
        if let Some(pick) = &self.id {
            field("id", text(pick), &pick.why);
        }
    }

    /// The signal, and a rule on it.
    fn push_signal(&self, lines: &mut Lines) {
        let kind = self.kind();
        let of_kind = |record: &&Record| match &kind {
            Some((field, value)) => field.text_of(record).as_deref() == Some(value),
            None => true,
        };
        let records: Vec<_> = self.table.records().iter().filter(of_kind).collect();
        let signal = match (&kind, &self.state) {
            (Some((_, value)), _) => name(value.rsplit(['.', '/']).next().unwrap_or(value)),
            (None, Some(state)) => name(state.field.last()),
            (None, None) => "signal".to_owned(),
        };
        lines.push("signals:", "");
        lines.push(&format!("  {}:", scalar(&signal)), "");
        if !self.cloudevents {
            lines.push("    from: log", "");
        }
        let of_kind =
            kind.as_ref().map(|(_, value)| format!("type == {}", Value::from(value.as_str())));
        let filter: Vec<_> = of_kind.into_iter().chain(self.has_state(&records)).collect();
        if !filter.is_empty() {
            let why = match (&self.type_, &self.state) {
                (Some(type_), _) => &type_.why,
                (None, Some(state)) => &state.why,
                (None, None) => "",
            };
            lines.push(&format!("    where: {}", condition(&filter.join(" && "))), why);
        }
        let states = self.states(&records);
        let why = match &self.state {
            Some(state) => state.why.clone(),
            None => {
                "no field has 2 to 10 values that could be states: say here what they are".into()
            }
        };
        lines.push("    states:", &why);
        for (name, text, count) in &states {
            let why = match count {
                Some(1) => "1 record".to_owned(),
                Some(count) => format!("{} records", grouped(*count)),
                None => String::new(),
            };
            lines.push(&format!("      {}: {}", scalar(name), condition(text)), &why);
        }
        let rule = match &self.subject {
            Some(subject) if !self.cloudevents => {
                name(&format!("{}-{signal}", subject.field.called()))
            }
            _ => signal.clone(),
        };
        let (hold, why) = self.hold(&records);
        let holds: Vec<_> =
            states.iter().map(|(name, ..)| format!("{}: {hold}", scalar(name))).collect();
        lines.push("", "");
        lines.push("rules:", "");
        lines.push(&format!("  - name: {}", scalar(&rule)), "");
        lines.push(&format!("    signal: {}", scalar(&signal)), "");
        lines.push(&format!("    hold: {{ {} }}", holds.join(", ")), &why);
    }

    /// The kind of record that most often has a state.
    fn kind(&self) -> Option<(&Field, String)> {
        let (type_, state) = (self.type_.as_ref()?, self.state.as_ref());
        let mut kinds = BTreeMap::new();
        for record in self.table.records() {
            if state.is_none_or(|state| state.field.text_of(record).is_some())
                && let Some(kind) = type_.field.text_of(record)
            {
                *kinds.entry(kind).or_insert(0_u64) += 1;
            }
        }
        let (kind, _) = kinds.into_iter().max_by_key(|(_, count)| *count)?;
        Some((&type_.field, kind))
    }

    /// Asks for the state, where records lack it: without it no condition can be judged.
    fn has_state(&self, records: &[&Record]) -> Option<String> {
        let state = self.state.as_ref()?;
        // An empty field of a row is there.
        let lacks = !matches!(self.format, Format::Csv(_))
            && records.iter().any(|record| state.field.value_of(record).is_none());
        let path = Attribute::Data(state.field.keys_in_data(self.cloudevents));
        // `has` asks for the last key alone, and only where that is a plain name.
        let askable = matches!(&path, Attribute::Data(keys) if keys.len() == 1)
            && !path.to_string().contains('[');
        (lacks && askable).then(|| format!("has({path})"))
    }

    /// Name, condition and number of records of each state, the most frequent first. Spellings that
    /// differ in case and marks alone are one state.
    fn states(&self, records: &[&Record]) -> Vec<(String, String, Option<u64>)> {
        let Some(state) = &self.state else {
            return vec![("seen".to_owned(), "true".to_owned(), None)];
        };
        let mut spellings: BTreeMap<String, Vec<(String, Value, u64)>> = BTreeMap::new();
        for record in records {
            let Some(value) = state.field.value_of(record) else { continue };
            let Some(text) = state.field.text_of(record) else { continue };
            let bare = Some(fields::bare(&text)).filter(|bare| !bare.is_empty());
            let same = spellings.entry(bare.unwrap_or_else(|| text.clone())).or_default();
            match same.iter_mut().find(|(_, known, _)| known == value) {
                Some((.., count)) => *count += 1,
                None => same.push((text, value.clone(), 1)),
            }
        }
        let mut states: Vec<_> = spellings.into_values().collect();
        let count_of = |same: &[(String, Value, u64)]| same.iter().map(|(.., n)| n).sum::<u64>();
        states.sort_by_key(|same| std::cmp::Reverse(count_of(same)));
        let path = Attribute::Data(state.field.keys_in_data(self.cloudevents)).to_string();
        let mut taken = Vec::new();
        let state = |mut same: Vec<(String, Value, u64)>| {
            let count = count_of(&same);
            same.sort_by_key(|(.., n)| std::cmp::Reverse(*n));
            let name = match &same[0].1 {
                Value::Bool(true) => name(state.field.last()),
                Value::Bool(false) => name(&format!("not-{}", state.field.last())),
                _ => name(&same[0].0.to_lowercase()),
            };
            let mut unique = name.clone();
            for number in 2.. {
                if !taken.contains(&unique) {
                    break;
                }
                unique = format!("{name}-{number}");
            }
            taken.push(unique.clone());
            let values: Vec<_> = same.iter().map(|(_, value, _)| value.to_string()).collect();
            let condition = match values.as_slice() {
                [value] => format!("{path} == {value}"),
                _ => format!("{path} in [{}]", values.join(", ")),
            };
            (unique, condition, Some(count))
        };
        states.into_iter().map(state).collect()
    }

    /// How long a state should last, and why.
    fn hold(&self, records: &[&Record]) -> (String, String) {
        const USUAL: [i64; 17] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200,
            86_400,
        ];
        let mut times: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for record in records {
            let subject = self.subject.as_ref().and_then(|pick| pick.field.text_of(record));
            if let Some(time) = self.time.of(record) {
                times.entry(subject).or_default().push(time);
            }
        }
        match usual_interval(times.into_values()) {
            Some(interval) => {
                let hold = format_duration(round_up(interval.saturating_mul(3), &USUAL));
                let interval = format_duration(interval);
                (hold, format!("three times the usual {interval} between observations, or more"))
            }
            None => ("30s".to_owned(), "no entity was observed twice".to_owned()),
        }
    }
}

/// The first of some seconds that is not less, or else the last.
fn round_up(nanos: i64, seconds: &[i64]) -> i64 {
    let mut steps = seconds.iter().map(|seconds| seconds * 1_000_000_000);
    let last = seconds.last().map_or(0, |seconds| seconds * 1_000_000_000);
    steps.find(|step| *step >= nanos).unwrap_or(last)
}

/// A duration in whole milliseconds, rounded up.
fn short(nanos: i64) -> String {
    format_duration(nanos / 1_000_000 * 1_000_000 + i64::from(nanos % 1_000_000 > 0) * 1_000_000)
}

/// A name for what people refer to, made of any text.
fn name(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let name: String =
        text.chars().take(CHARACTERS_MAX).map(|c| if fits(c) { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
