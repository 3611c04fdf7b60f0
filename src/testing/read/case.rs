//! Cases: what is observed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use smol_str::SmolStr;

use super::super::input::{Common, Records};
use super::super::observed::{SAID, reading_keys};
use super::super::series::{self, Item, Start};
use super::super::{Case, Clock, InMemory, Tested};
use super::Reader;
use crate::model::time::format_rfc3339;
use crate::rules::fields::{self, Fields};
use crate::rules::yaml::{self, Node, Value};
use crate::rules::{Format, Signal};

pub(in crate::testing) const CASE_FIELDS: [&str; 7] =
    ["name", "start", "signal", "series", "records", "until", "expect"];
/// In a mapping of series the first is the key.
pub(in crate::testing) const SERIES_FIELDS: [&str; 11] = [
    "entity", "signal", "values", "labels", "data", "source", "type", "sequence", "id", "severity",
    "delay",
];
/// What a record of a CloudEvents source has beside its attributes.
const RECORD_FIELDS: [&str; 3] = ["values", "field", "delay"];

/// What a case observes.
pub(super) struct Input {
    pub(super) tested: Option<Arc<Tested>>,
    logs: Vec<InMemory>,
    /// Whose records there are, if that is known.
    pub(super) entities: Option<BTreeSet<String>>,
    /// The latest arrival, if that is known.
    pub(super) end_ns: Option<i64>,
    absolute: bool,
}

impl Reader<'_> {
    pub(super) fn case(
        &mut self,
        node: &Node,
        start_ns: i64,
        names: &mut Vec<String>,
    ) -> Option<Case> {
        let fields = Fields::open(node, &node.span, "a case", &CASE_FIELDS, &mut self.problems)?;
        let name_node = fields.require("name", "what is so", &mut self.problems);
        let name = name_node.and_then(|node| {
            let name = fields::text(node, "the name of a case", &mut self.problems)?;
            if names.iter().any(|known| known == name) {
                let message = format!("there is another case `{name}`");
                self.problems.error_help(&node.span, message, "give each its own name");
            }
            names.push(name.to_owned());
            Some(name.to_owned())
        });
        let at = name_node.map_or(&node.span, |node| &node.span);
        let start_ns = fields.get("start").map_or(start_ns, |node| self.start(node));
        let start = Start(start_ns);
        let input = match (fields.get("series"), fields.get("records")) {
            (Some(series), None) => self.series(series, fields.get("signal"), start, at),
            (None, Some(records)) => self.records(records, start),
            _ => {
                let message = "a case has either `series` or `records`";
                let help = "add `series: { ENTITY: 0s STATE, 20s STATE }`";
                self.problems.error_help(at, message, help);
                None
            }
        };
        if let (Some(signal), Some(_)) = (fields.get("signal"), fields.get("records")) {
            let message = "records are of the signals whose conditions hold";
            self.problems.error_help(&signal.span, message, "`signal` is for `series`");
        }
        let until = fields.get("until").map(|node| (node, self.time(node, start)));
        let until_ns = until.and_then(|(_, until)| Some(until?.0));
        let end_ns = input.as_ref().and_then(|input| input.end_ns);
        if let (Some((node, Some((until, _)))), Some(end)) = (until, end_ns)
            && until < end
        {
            let message = format!(
                "records arrive after `until`, the last of them at {}",
                Clock { start_ns, absolute: false }.told(end)
            );
            self.problems.error_help(&node.span, message, "the log ends there: raise it");
        }
        let expectations = fields.require("expect", "{ episodes: [] }", &mut self.problems);
        let (expectations, by_instants) = expectations
            .and_then(|node| self.expectations(node, start, input.as_ref(), until_ns))?;
        let input = input?;
        let absolute = input.absolute || by_instants;
        Some(Case {
            name: name?,
            line: self.line(at),
            rules: input.tested?,
            logs: input.logs,
            of_series: fields.get("series").is_some(),
            clock: Clock { start_ns, absolute },
            until_ns,
            expectations,
        })
    }

    /// Series, of a signal if they say no other.
    fn series(
        &mut self,
        node: &Node,
        signal: Option<&Node>,
        start: Start,
        at: &Range<usize>,
    ) -> Option<Input> {
        let tested = self.tested_by_series(at);
        let mut records = Records::default();
        let mut entities = BTreeSet::new();
        match &node.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    let given = match &node.value {
                        Value::Map(_) => self.opened(node, &key.span, &SERIES_FIELDS[1..]),
                        _ => None,
                    };
                    let values = match &given {
                        Some(given) => given.require("values", "0s STATE", &mut self.problems),
                        None => Some(node),
                    };
                    let common = self.common(key, (given.as_ref(), signal), &key.span);
                    self.entry(values, common, start, (&mut records, &mut entities));
                }
            }
            _ => {
                for node in fields::items(node, "`series`", &mut self.problems)? {
                    let Some(given) = self.opened(node, &node.span, &SERIES_FIELDS) else {
                        continue;
                    };
                    let entity = given.require("entity", "NAME", &mut self.problems);
                    let values = given.require("values", "0s STATE", &mut self.problems);
                    let common = entity
                        .and_then(|entity| self.common(entity, (Some(&given), signal), &node.span));
                    self.entry(values, common, start, (&mut records, &mut entities));
                }
            }
        }
        let end_ns = records.end_ns().map(|end| start.0.saturating_add(end));
        let entities = Some(entities);
        let logs = vec![records.into_log()];
        Some(Input { tested, logs, entities, end_ns, absolute: false })
    }

    fn opened<'n>(
        &mut self,
        node: &'n Node,
        at: &Range<usize>,
        known: &[&str],
    ) -> Option<Fields<'n>> {
        Fields::open(node, at, "a series", known, &mut self.problems)
    }

    /// Adds the records of a series.
    fn entry(
        &mut self,
        values: Option<&Node>,
        common: Option<(Common, Option<usize>)>,
        start: Start,
        (records, entities): (&mut Records, &mut BTreeSet<String>),
    ) {
        let Some(values) = values else { return };
        let delay_ns = common.as_ref().map_or(0, |(common, _)| common.delay_ns);
        let items = self.items(values, start, delay_ns);
        let Some(((common, signal), items)) = common.zip(items) else { return };
        self.check_items(values, &items, signal);
        records.series(&common, &items, start.0);
        entities.insert(common.entity);
    }

    fn items(&mut self, node: &Node, start: Start, delay_ns: i64) -> Option<Vec<Item>> {
        let text = fields::text(node, "a series", &mut self.problems)?;
        let parsed = series::parse(text, start, delay_ns);
        fields::without_faults(parsed, node, self.text, &mut self.problems)
    }

    /// What is so of all records of a series, and the number of its signal; no number where the
    /// rules are wrong.
    fn common(
        &mut self,
        entity: &Node,
        (given, signal): (Option<&Fields<'_>>, Option<&Node>),
        at: &Range<usize>,
    ) -> Option<(Common, Option<usize>)> {
        let entity = fields::text(entity, "an entity", &mut self.problems)?.to_owned();
        let mut common = Common { entity, ..Common::default() };
        let own = given.and_then(|given| given.get("signal"));
        let signal = self.signal(own.or(signal), at);
        if let (Some(file), Some(number)) = (&self.rules, signal) {
            let signal = &file.rules.signals[number];
            common.signal = signal.name.to_string();
            common.reading_keys = reading_keys(&file.rules, signal).unwrap_or_default().to_vec();
        }
        let Some(given) = given else { return Some((common, signal)) };
        let mut text = |name: &str| {
            let node = given.get(name)?;
            Some(fields::text(node, &format!("`{name}`"), &mut self.problems)?.to_owned())
        };
        common.source = text("source");
        common.kind = text("type");
        common.id = text("id");
        common.severity = text("severity");
        let delay = given.get("delay");
        let delay = delay.and_then(|n| fields::duration(n, "`delay`", &mut self.problems));
        common.delay_ns = delay.unwrap_or(0);
        if let Some(node) = given.get("sequence") {
            let number = fields::text(node, "`sequence`", &mut self.problems)?;
            common.sequence = number.parse().ok();
            if common.sequence.is_none() {
                let message = format!("`{number}` is no number to count from");
                self.problems.error_help(&node.span, message, "write `sequence: 1`");
            }
        }
        if let Some(node) = given.get("labels") {
            for (key, node) in fields::entries(node, "`labels`", &mut self.problems)? {
                let text = fields::text(node, "the value of a label", &mut self.problems)?;
                let name = key.text().unwrap_or_default();
                self.check_label(name, &key.span, signal);
                common.labels.push((name.to_owned(), text.to_owned()));
            }
        }
        if let Some(node) = given.get("data") {
            fields::entries(node, "`data`", &mut self.problems)?;
            let data = as_json(node);
            common.data = data.as_object().cloned().unwrap_or_default();
            if common.data.contains_key(SAID) {
                let message = format!("`{SAID}` is taken: there stands what the series says");
                self.problems.error(&node.span, message);
            }
        }
        Some((common, signal))
    }

    /// The number of the signal that is named, or of the only one.
    fn signal(&mut self, node: Option<&Node>, at: &Range<usize>) -> Option<usize> {
        let signals = &self.rules.as_ref()?.rules.signals;
        let names: Vec<_> = signals.iter().map(|signal| signal.name.as_str()).collect();
        match (node, names.as_slice()) {
            (None, [_]) => Some(0),
            (None, _) => {
                let message = "which signal is it of?";
                let help = format!("add `signal`, one of `{}`", names.join("`, `"));
                self.problems.error_help(at, message, help);
                None
            }
            (Some(node), names) => {
                let name = fields::text(node, "the name of a signal", &mut self.problems)?;
                let index = names.iter().position(|known| *known == name);
                if index.is_none() {
                    self.problems.unknown(&node.span, "signal", name, names);
                }
                index
            }
        }
    }

    /// Whether the states and labels of a series are those of its signal.
    fn check_items(&mut self, node: &Node, items: &[Item], signal: Option<usize>) {
        let Some(number) = signal else { return };
        let place = |place: &Range<usize>, text: &str| yaml::locate_range(text, node, place);
        let mut told = BTreeSet::new();
        for item in items {
            let Some(file) = &self.rules else { return };
            let signal = &file.rules.signals[number];
            if let Some(state) = &item.value.state
                && !signal.states.iter().any(|known| known.name == *state)
                && told.insert(state.clone())
            {
                let names: Vec<_> = signal.states.iter().map(|known| known.name.as_str()).collect();
                let span = place(&item.place, self.text);
                if signal.is_measured() {
                    let message = format!("signal `{}` has readings, and no states", signal.name);
                    let help = "write numbers; what they are is for its rules to say";
                    self.problems.error_help(&span, message, help);
                    continue;
                }
                self.problems.unknown(&span, "state", state, &names);
            }
            let Some(file) = &self.rules else { return };
            let signal = &file.rules.signals[number];
            let places = reading_keys(&file.rules, signal).is_some();
            if item.value.reading.is_some()
                && let Some((message, help)) = takes_no(signal, item, places)
                && told.insert(message.clone())
            {
                let span = place(&item.place, self.text);
                self.problems.error_help(&span, message, help);
            }
            for (name, _) in &item.labels {
                if told.insert(format!("{{{name}}}")) {
                    let span = place(&item.place, self.text);
                    self.check_label(name, &span, Some(number));
                }
            }
        }
    }

    fn check_label(&mut self, name: &str, at: &Range<usize>, signal: Option<usize>) {
        let (Some(file), Some(number)) = (&self.rules, signal) else { return };
        let labels = &file.rules.signals[number].labels;
        let names: Vec<SmolStr> = labels.iter().map(|label| label.name.clone()).collect();
        if !names.iter().any(|known| known == name) {
            let names: Vec<_> = names.iter().map(SmolStr::as_str).collect();
            self.problems.unknown(at, "label", name, &names);
        }
    }

    /// Records as they are: lines of the only source, or by source.
    fn records(&mut self, node: &Node, start: Start) -> Option<Input> {
        let tested = self.tested_by_records();
        let mut input =
            Input { tested, logs: Vec::new(), entities: None, end_ns: None, absolute: false };
        let sources = |file: &super::RuleFile| -> Vec<(SmolStr, bool)> {
            let is_native = |format: &Format| matches!(format, Format::CloudEvents);
            let sources = file.rules.sources.iter();
            sources.map(|source| (source.name.clone(), is_native(&source.format))).collect()
        };
        let sources = self.rules.as_ref().map(sources);
        let by_source = match &node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (self.source(key, sources.as_deref()), node))
                .collect(),
            _ => {
                if let Some(sources) = sources.as_deref().filter(|sources| sources.len() > 1) {
                    let names: Vec<_> = sources.iter().map(|(name, _)| name.as_str()).collect();
                    let message = "which source reads these records?";
                    let help = format!("write them by source: `{}`", names.join("`, `"));
                    self.problems.error_help(&node.span, message, help);
                }
                vec![(Some(0), node)]
            }
        };
        for (source, node) in by_source {
            let of_source = source.and_then(|source| sources.as_ref()?.get(source));
            let native = of_source.is_none_or(|(_, native)| *native);
            let name = of_source.map_or("records", |(name, _)| name).to_owned();
            let (lines, are_lines) = self.lines(node, native, start)?;
            input.absolute |= are_lines;
            let bytes = lines.into_bytes();
            let source = source.unwrap_or_default();
            input.logs.push(InMemory { name, source, bytes: Arc::from(bytes) });
        }
        Some(input)
    }

    fn source(&mut self, key: &Node, sources: Option<&[(SmolStr, bool)]>) -> Option<usize> {
        let (sources, name) = (sources?, key.text().unwrap_or_default());
        let index = sources.iter().position(|(known, _)| known == name);
        if index.is_none() {
            let names: Vec<_> = sources.iter().map(|(name, _)| name.as_str()).collect();
            self.problems.unknown(&key.span, "source", name, &names);
        }
        index
    }

    /// The lines of a log, and whether some are written as lines. Records that are all written as
    /// mappings come as they arrive.
    fn lines(&mut self, node: &Node, native: bool, start: Start) -> Option<(String, bool)> {
        if let Value::Scalar { .. } = node.value {
            return Some((fields::text(node, "a log", &mut self.problems)?.to_owned(), true));
        }
        let items = fields::items(node, "`records`", &mut self.problems)?;
        let mut lines: Vec<(i64, String)> = Vec::new();
        let mut sorts = native;
        for item in items {
            match &item.value {
                Value::Map(_) if native => {
                    self.native(item, start, &mut lines);
                }
                Value::Map(_) => lines.push((0, as_json(item).to_string())),
                _ => {
                    sorts = false;
                    let line = fields::text(item, "a record", &mut self.problems)?;
                    lines.push((0, line.trim_end().to_owned()));
                }
            }
        }
        if sorts {
            lines.sort_by_key(|(arrival, _)| *arrival);
        }
        Some((lines.into_iter().map(|(_, line)| line + "\n").collect(), !sorts))
    }

    /// A CloudEvent, or with `values` one for each: times may be written since the start, and what
    /// every record has is added where it is missing.
    fn native(&mut self, node: &Node, start: Start, lines: &mut Vec<(i64, String)>) {
        let mut record = as_json(node);
        let Some(event) = record.as_object_mut() else { return };
        event.entry("specversion").or_insert("1.0".into());
        event.entry("source").or_insert("test".into());
        for field in RECORD_FIELDS {
            event.remove(field);
        }
        let entries = fields::entries(node, "a record", &mut self.problems).unwrap_or_default();
        let get = |name: &str| {
            entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, node)| node)
        };
        let mut times = [start.0; 2];
        for (name, time) in ["time", "recordedtime"].into_iter().zip(&mut times) {
            let Some(node) = get(name) else { continue };
            // What is no time may be meant: it makes a dead letter.
            match node.text().and_then(|text| start.offset(text).ok()) {
                Some(offset) => *time = start.0.saturating_add(offset),
                None => continue,
            }
            event.insert(name.to_owned(), format_rfc3339(*time).into());
        }
        let delay = get("delay").and_then(|n| fields::duration(n, "`delay`", &mut self.problems));
        let Some(values) = get("values") else {
            let arrival = if get("recordedtime").is_some() { times[1] } else { times[0] };
            let id = format!("{:06}", lines.len() + 1);
            event.entry("id").or_insert(id.into());
            return lines.push((arrival, record.to_string()));
        };
        let Some(items) = self.items(values, start, delay.unwrap_or(0)) else { return };
        let field = get("field").and_then(Node::text).unwrap_or("state").to_owned();
        let mut again = record.clone();
        for item in items {
            if !item.again {
                again.clone_from(&record);
                again["id"] = format!("{:06}", lines.len() + 1).into();
                again["time"] = format_rfc3339(start.0.saturating_add(item.time_ns)).into();
            }
            let arrival = start.0.saturating_add(item.arrival_ns);
            again["recordedtime"] = format_rfc3339(arrival).into();
            if !again["data"].is_object() {
                again["data"] = json!({});
            }
            match (item.value.state, item.value.reading) {
                (Some(state), _) => again["data"][&field] = state.into(),
                (None, Some(reading)) => again["data"][&field] = reading.into(),
                (None, None) => {}
            }
            lines.push((arrival, again.to_string()));
        }
    }
}

/// Why a signal takes no reading, and what would be right.
fn takes_no(signal: &Signal, item: &Item, has_place: bool) -> Option<(String, String)> {
    let name = &signal.name;
    if signal.value.is_none() {
        let message = format!("signal `{name}` takes no readings");
        return Some((message, "it needs `value`".to_owned()));
    }
    (item.value.state.is_none() && !has_place && !signal.is_measured()).then(|| {
        let message = format!("signal `{name}` computes its `value`: the state is not known");
        (message, "write it, too, as hot=75, or test it with `records`".to_owned())
    })
}

/// A node as JSON: what is written plainly and is a number, true, false or null in JSON is that.
pub(in crate::testing) fn as_json(node: &Node) -> Json {
    match &node.value {
        _ if node.is_null() => Json::Null,
        Value::Scalar { text, plain } => {
            let read = plain.then(|| serde_json::from_str::<Json>(text).ok()).flatten();
            let plain = |value: &Json| value.is_number() || value.is_boolean();
            read.filter(plain).unwrap_or_else(|| text.as_str().into())
        }
        Value::Seq(items) => items.iter().map(as_json).collect(),
        Value::Map(entries) => {
            let entry = |(key, node): &(Node, Node)| {
                (key.text().unwrap_or_default().to_owned(), as_json(node))
            };
            Json::Object(entries.iter().map(entry).collect::<Map<_, _>>())
        }
        Value::Invalid => Json::Null,
    }
}
