//! Mappings as nobody would write them, over records that have their fields, or nearly.

use std::collections::BTreeSet;

use limbeck::rules::{FieldPath, Rules};
use limbeck::sources::decode::Shapes;
use serde_json::{Map, Value, json};

use super::conditions::condition;
use super::lines::{Target, WORDS};
use super::mutate::Corpus;
use super::oracle::logs::Random;
use super::rule_files::check_errors;
use super::{Executing, executions, kind, random, report};

/// Fields, which mappings and records share, by their keys.
const FIELDS: &[&[&str]] = &[
    &["a"],
    &["b"],
    &["a", "b"],
    &["a", "b", "c"],
    &["a", "d"],
    &["ts"],
    &["at"],
    &["x y"],
    &["a.b"],
    &["{", "a"],
    &["pods"],
    &["pods", "a"],
    &["pods", "b", "a"],
    &["id"],
    &["time"],
    &["data"],
    &["data", "a"],
    &["é"],
];
const COLUMNS: &[&[&str]] =
    &[&["a"], &["b"], &["ts"], &["at"], &["x y"], &["a.b"], &["id"], &["time"], &["é"]];
const GROUPS: &[&[&str]] = &[&["ts"], &["a"], &["b"], &["at"]];
const PATTERN: &str = "(?<ts>[^ ]*) (?<a>[^ ]*)(?: (?<b>.*?))?(?: (?<at>\\d+))?$";
const ARRAYS: &[Keys] = &[&["pods"], &["a"], &["pods", "b"], &["data"]];
const UNITS: &[&str] = &["s", "ms", "us", "ns", "rfc3339"];
/// Formats of times, each with times in it.
const FORMATS: &[(&str, &[&str])] = &[
    ("%Y-%m-%d %H:%M:%S", &["2026-01-01 00:00:00", "0000-01-01 00:00:00", "2026-02-30 00:00:00"]),
    ("%F %T,%f", &["2026-01-01 00:00:00,123", "2026-01-01 00:00:00,", "9999-12-31 23:59:59,9"]),
    ("%d/%b/%Y:%H:%M:%S %z", &["01/Jan/2026:00:00:00 +0000", "01/jan/2026:00:00:00 -2359"]),
    ("%a %e %B %y %I:%M %p", &["Thu  1 January 26 12:00 AM", "Mon 1 May 99 13:00 PM"]),
    ("%j/%Y %R%:z", &["001/2026 00:00+00:00", "366/2025 24:00-24:00"]),
    ("%D %T%.f", &["01/01/26 00:00:00.5", "13/32/00 99:99:99"]),
    ("%Y%m%d%H%M%S", &["20260101000000", "1", ""]),
    ("%Q %s", &["x"]),
];

type Keys = &'static [&'static str];

/// A rule file with one source, while it is made.
struct Draft {
    format: &'static str,
    delimiter: &'static str,
    columns: Vec<&'static str>,
    explode: Option<Keys>,
    fields: &'static [Keys],
    /// What the mapping looks at, and in what unit if that is a time.
    mapped: Vec<(Keys, Option<&'static str>)>,
    source: String,
}

impl Draft {
    fn new(random: &mut Random) -> Self {
        let format = *random.pick(&["json", "json", "json", "csv", "regex", "cloudevents"]);
        let mut draft = Self {
            format,
            delimiter: *random.pick(&[",", ";", "|", "\t"]),
            columns: Vec::new(),
            explode: None,
            fields: FIELDS,
            mapped: Vec::new(),
            source: format!("    format: {format}\n"),
        };
        match format {
            "json" if random.chance(50) => {
                let keys = *random.pick(ARRAYS);
                draft.source += &format!("    explode: {}\n", quoted(keys));
                draft.explode = Some(keys);
            }
            "csv" => {
                draft.fields = COLUMNS;
                draft.columns = COLUMNS.iter().map(|keys| keys[0]).collect();
                random.shuffle(&mut draft.columns);
                draft.source += &format!("    delimiter: {}\n", json!(draft.delimiter));
            }
            "regex" => {
                draft.fields = GROUPS;
                draft.source += &format!("    pattern: '{PATTERN}'\n");
            }
            _ => {}
        }
        if format != "cloudevents" {
            draft.map(random);
        }
        draft
    }

    fn map(&mut self, random: &mut Random) {
        for (name, percent) in [("time", 100), ("arrival", 40)] {
            if !random.chance(percent) {
                continue;
            }
            let keys = *random.pick(self.fields);
            let (form, unit) = match random.chance(70) {
                true => {
                    let unit = *random.pick(UNITS);
                    (format!("unit: {unit}"), unit)
                }
                false => {
                    let (format, _) = random.pick(FORMATS);
                    let zone = if random.chance(30) { ", zone: '-09:30'" } else { "" };
                    (format!("format: {}{zone}", json!(format)), *format)
                }
            };
            self.mapped.push((keys, Some(unit)));
            self.source += &format!("    {name}: {{ field: {}, {form} }}\n", quoted(keys));
        }
        let texts =
            [("subject", 100), ("source", 100), ("type", 100), ("sequence", 50), ("id", 50)];
        for (name, percent) in texts {
            if random.chance(percent) {
                let text = self.text(random);
                self.source += &format!("    {name}: {text}\n");
            }
        }
    }

    fn text(&mut self, random: &mut Random) -> String {
        let mut field = |random: &mut Random| {
            let keys = *random.pick(self.fields);
            self.mapped.push((keys, None));
            FieldPath::new(&keys.iter().map(|key| (*key).into()).collect::<Vec<_>>())
                .expect("a path can be written")
                .to_string()
        };
        match random.below(4) {
            0 => format!("{{ const: {} }}", json!(random.pick(&["", "x", "é", "a b"]))),
            1 => {
                let (one, two) = (field(random), field(random));
                format!("{{ template: {} }}", json!(format!("-{{{one}}}{{{two}}}")))
            }
            _ => format!("{{ field: {} }}", json!(field(random))),
        }
    }

    fn yaml(&self, random: &mut Random) -> String {
        let [up, label] = [(); 2].map(|()| json!(condition(random)));
        let source = &self.source;
        format!(
            "version: 1\nsources:\n  s:\n{source}signals: {{ s: {{ where: 'has(data.a) || true', \
             labels: {{ a: data.a, l: {label} }}, value: data.b, \
             states: {{ up: {up}, down: data.b == 1 }} }} }}\nrules: [{{ name: r, signal: s }}]\n"
        )
    }

    /// A record that the mapping mostly fits.
    fn line(&self, random: &mut Random) -> Vec<u8> {
        let line = match self.format {
            "json" => self.object(random).to_string(),
            "cloudevents" => {
                let mut event = self.object(random);
                for (name, value) in [
                    ("id", "i"),
                    ("source", "s"),
                    ("type", "t"),
                    ("time", "2026-01-01T00:00:00Z"),
                    ("recordedtime", "2026-01-01T00:00:01Z"),
                ] {
                    if random.chance(95) {
                        event[name] = value.into();
                    }
                }
                event.to_string()
            }
            "csv" => {
                let field = |name: &&str| match self.unit_of(&[*name]) {
                    Some(unit) => time(random, unit).to_string().replace('"', ""),
                    None => (*random.pick(&["", "x", "\"a,\"\"b\"", "7", "é", "1e9"])).to_owned(),
                };
                let fields: Vec<_> = self.columns.iter().map(field).collect();
                fields.join(self.delimiter)
            }
            _ => {
                let ts = time(random, self.unit_of(&["ts"]).unwrap_or("s"));
                let rest =
                    random.pick(&["x", "x y", "x y z 7", "é  7", "", "2026-01-01T00:00:00Z 1"]);
                format!("{} {rest}", ts.to_string().replace('"', ""))
            }
        };
        line.into_bytes()
    }

    fn unit_of(&self, keys: &[&str]) -> Option<&'static str> {
        self.mapped.iter().find(|(known, unit)| *known == keys && unit.is_some())?.1
    }

    fn object(&self, random: &mut Random) -> Value {
        let mut object = Value::Object(Map::new());
        for _ in 0..random.below(4) {
            let keys = random.pick(FIELDS);
            put(&mut object, keys, &value(random, 2));
        }
        if let Some(keys) = self.explode {
            let elements: Vec<_> = (0..random.below(4)).map(|_| value(random, 1)).collect();
            put(&mut object, keys, &elements.into());
        }
        for (keys, unit) in &self.mapped {
            if random.chance(95) && self.explode != Some(keys) {
                let value = match unit {
                    Some(unit) => time(random, unit),
                    None => json!(random.pick(&["x", "", "é", "a b"])),
                };
                put(&mut object, keys, &value);
            }
        }
        object
    }
}

fn quoted(keys: &[&str]) -> Value {
    let keys: Vec<_> = keys.iter().map(|key| (*key).into()).collect();
    FieldPath::new(&keys).expect("a path can be written").to_string().into()
}

/// Puts a value under keys, in all elements of an array on the way.
fn put(at: &mut Value, keys: &[&str], value: &Value) {
    match (at, keys) {
        (at, []) => *at = value.clone(),
        (Value::Array(items), keys) => items.iter_mut().for_each(|item| put(item, keys, value)),
        (at, [key, rest @ ..]) => {
            if !at.is_object() {
                *at = Map::new().into();
            }
            put(&mut at[*key], rest, value);
        }
    }
}

fn time(random: &mut Random, unit: &str) -> Value {
    let seconds = 1_767_225_600 + random.below(100);
    if let Some((_, times)) = FORMATS.iter().find(|(format, _)| *format == unit) {
        return json!(*random.pick(times));
    }
    match unit {
        "rfc3339" => json!(format!("2026-01-01T00:00:{:02}Z", random.below(61))),
        _ if random.chance(5) => json!(*random.pick(&["", "x", "-1", "1.5", "1e300"])),
        _ if random.chance(30) => json!(seconds.to_string()),
        _ if random.chance(30) => json!(seconds as f64 + 0.25),
        _ => json!(seconds),
    }
}

fn value(random: &mut Random, depth: u32) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(7.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("x\n\"é\""),
        json!([]),
        json!({}),
    ];
    match random.below(if depth > 0 { 4 } else { 2 }) {
        0 | 1 => random.pick(&values).clone(),
        2 => (0..random.below(4)).map(|_| value(random, depth - 1)).collect(),
        _ => {
            let mut object = json!({});
            for _ in 0..random.below(4) {
                let keys = random.pick(FIELDS);
                put(&mut object, keys, &value(random, depth - 1));
            }
            object
        }
    }
}

#[test]
fn mappings_over_their_records() {
    let (executions, mut random) = (executions(20), random(2));
    let (mut executed, mut good) = (0, 0);
    let mut kinds = BTreeSet::new();
    while executed < executions {
        let draft = Draft::new(&mut random);
        let yaml = draft.yaml(&mut random);
        let _executing = Executing("mappings", yaml.as_bytes());
        executed += 1;
        let rules = match Rules::parse("rules.yaml", &yaml) {
            Ok(rules) => rules,
            Err(errors) => {
                check_errors(&yaml, &errors);
                continue;
            }
        };
        let (target, mut shapes) = (Target::new(rules, &draft.columns), Shapes::default());
        for _ in 0..12 {
            let line = draft.line(&mut random);
            let mutated = Corpus::new([&line], WORDS).draw(&mut random);
            let lines = [line.clone(), mutated, line];
            good += target.execute(&mut shapes, &lines, |_, outcome| {
                kinds.insert(kind(outcome));
            });
            executed += lines.len() as u64;
        }
    }
    report("mappings", executed, good, kinds.len());
}
