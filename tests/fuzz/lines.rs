//! Lines of every format: what is read by a remembered shape is what is read from scratch, `data`
//! tells the conditions the same as the paths into it, and an element is a line of its own.

use std::fmt::Write;

use limbeck::model::Scalar;
use limbeck::rules::{Attribute, Format, RecordView, Rules};
use limbeck::sources::decode::{Decoded, Lines, Shapes, Unreadable, text};
use limbeck::sources::intake::Matcher;
use serde_json::Value;
use smol_str::SmolStr;

use super::mutate::Corpus;
use super::oracle::decode::decode;
use super::{Executing, executions, kind, random, report};

/// A rule file, and what the lines of its first source are read by.
pub(crate) struct Target {
    pub(crate) rules: Rules,
    matcher: Matcher,
    header: Vec<SmolStr>,
    /// The same without the array that is exploded.
    whole: Option<Box<Target>>,
}

impl Target {
    pub(crate) fn new(rules: Rules, header: &[&str]) -> Self {
        let mut whole = rules.clone();
        let exploded = match &mut whole.sources[0].format {
            Format::Json { explode, .. } => explode.take().is_some(),
            _ => false,
        };
        let matcher = Matcher::new(&rules);
        let header = header.iter().copied().map(SmolStr::new).collect();
        let whole = exploded.then(|| Box::new(Self::new(whole, &[])));
        Self { rules, matcher, header, whole }
    }

    pub(crate) fn parse(yaml: &str, header: &[&str]) -> Self {
        let rules = Rules::parse("rules.yaml", yaml).unwrap_or_else(|errors| panic!("{errors}"));
        Self::new(rules, header)
    }

    fn lines<'a>(&'a self, lines: Lines<'a>) -> Lines<'a> {
        lines.under(&self.header, self.matcher.decoder(0))
    }

    /// Executes some lines that follow one another; gives how many records they are, and calls
    /// back with each line and its outcome.
    pub(crate) fn execute(
        &self,
        shapes: &mut Shapes,
        lines: &[Vec<u8>],
        mut each: impl FnMut(&[u8], &str),
    ) -> u64 {
        let mut good = 0;
        let mut remembering = self.lines(Lines::new(shapes));
        for bytes in lines {
            let _executing = Executing("lines", bytes);
            let scratch = &mut self.lines(Lines::default());
            let by_shape = self.outcome(bytes, &mut remembering);
            let outcome = self.outcome(bytes, scratch);
            assert_eq!(by_shape, outcome, "by a shape, and from scratch");
            good += u64::from(outcome.contains("Decoded"));
            self.check_oracle(bytes, &outcome);
            each(bytes, &outcome);
        }
        good
    }

    /// All that can be seen of a line.
    fn outcome<'a>(&'a self, bytes: &'a [u8], lines: &mut Lines<'a>) -> String {
        let mut outcome = String::new();
        let decoder = self.matcher.decoder(0);
        let (skipped, bytes) = decoder.trim(bytes);
        match text(bytes) {
            _ if bytes.is_empty() => outcome.push_str("blank"),
            Ok(line) if decoder.explodes() => {
                decoder.explode(line, lines, &mut |view, element, record| {
                    self.check_element(line, element, view, &record);
                    self.show(&mut outcome, line.as_bytes(), view, &record);
                });
            }
            _ => {
                let record = decoder.decode(bytes, lines);
                self.show(&mut outcome, bytes, lines, &record);
            }
        }
        assert!(skipped <= 2048);
        outcome
    }

    fn show(
        &self,
        outcome: &mut String,
        line: &[u8],
        view: &Lines<'_>,
        record: &Result<Decoded<'_>, Unreadable>,
    ) {
        let decoded = match record {
            Ok(decoded) => decoded,
            Err(error) => {
                assert!((1..=line.len() + 1).contains(&error.column), "{error:?}");
                assert!(!error.reason.is_empty());
                return writeln!(outcome, "{error:?}").expect("a String takes every write");
            }
        };
        let data = view.data();
        for (slot, attribute) in self.rules.paths.as_slice().iter().enumerate() {
            if let Attribute::Data(keys) = attribute {
                let at = keys.iter().try_fold(&data, |at, key| at.as_object()?.get(key.as_str()));
                assert!(same(view.slot(slot), at), "{attribute}: {data}");
            }
        }
        let mut errors = 0;
        let matches = self.matcher.matches(0, view, &mut errors);
        let slots: Vec<_> = (0..self.rules.paths.as_slice().len()).map(|s| view.slot(s)).collect();
        writeln!(outcome, "{decoded:?} {slots:?} {matches:?} {errors} '{data}'")
            .expect("a String takes every write");
    }

    /// An element is read as a line in which it stands in the place of its array.
    fn check_element(
        &self,
        line: &str,
        element: &str,
        view: &Lines<'_>,
        record: &Result<Decoded<'_>, Unreadable>,
    ) {
        let (Some(whole), Ok(record)) = (&self.whole, record) else { return };
        let Format::Json { explode: Some(path), .. } = &self.rules.sources[0].format else {
            unreachable!("it explodes")
        };
        let start = element.as_ptr() as usize - line.as_ptr() as usize;
        let (open, close) = array_around(line, start);
        let line = [&line[..open], element, &line[close..]].concat();
        let mut lines = Lines::default();
        let alone = whole.matcher.decoder(0).decode_text(&line, &mut lines);
        let alone = alone.unwrap_or_else(|error| panic!("{path} in {line}: {error:?}"));
        let said = |record: &Decoded<'_>| {
            let Decoded { event_time_ns, arrival_ns, subject, source, sequence, .. } = record;
            format!("{event_time_ns} {arrival_ns:?} {subject:?} {source} {sequence:?}")
        };
        assert_eq!(said(record), said(&alone), "an element, and {line}");
        assert_eq!(view.data(), lines.data());
        for (slot, attribute) in self.rules.paths.as_slice().iter().enumerate() {
            // An identity that is made of content is another.
            if *attribute != Attribute::Id {
                assert_eq!(view.slot(slot), lines.slot(slot), "{attribute}");
            }
        }
    }

    /// What the contract says is readable, and nothing else, is.
    fn check_oracle(&self, bytes: &[u8], outcome: &str) {
        if !matches!(self.rules.sources[0].format, Format::CloudEvents) || outcome == "blank" {
            return;
        }
        let readable = decode(self.matcher.decoder(0).trim(bytes).1);
        let found = outcome.starts_with("Decoded");
        // The oracle makes values of everything; what nobody looks at only has to be valid.
        let odd = ["out of range", "surrogate", "hex escape", "recursion limit"];
        let no_value = readable.as_ref().is_err_and(|why| odd.iter().any(|odd| why.contains(odd)));
        assert_eq!(found, readable.is_ok() || found && no_value, "{outcome}: {readable:?}");
    }
}

/// Where the array begins and ends that an element stands in.
fn array_around(line: &str, element: usize) -> (usize, usize) {
    let is_inside = |open: usize| {
        let mut values =
            serde_json::Deserializer::from_str(&line[open..]).into_iter::<serde::de::IgnoredAny>();
        let found = values.next().is_some_and(|value| value.is_ok());
        found.then_some((open, open + values.byte_offset())).filter(|(_, end)| *end > element)
    };
    let opens = line[..element].match_indices('[').map(|(at, _)| at).collect::<Vec<_>>();
    opens.into_iter().rev().find_map(is_inside).expect("an element stands in an array")
}

fn same(slot: &Scalar<'_>, value: Option<&Value>) -> bool {
    match (slot, value) {
        (Scalar::Missing, None) | (Scalar::Null, Some(Value::Null)) => true,
        (Scalar::Bool(found), Some(Value::Bool(value))) => found == value,
        (Scalar::Int(found), Some(Value::Number(number))) => number.as_i64() == Some(*found),
        (Scalar::UInt(found), Some(Value::Number(number))) => number.as_u64() == Some(*found),
        (Scalar::Float(found), Some(Value::Number(number))) => {
            number.is_f64() && number.as_f64() == Some(*found)
        }
        (Scalar::Str(found), Some(Value::String(text))) => found == text,
        (Scalar::Composite, Some(Value::Array(_) | Value::Object(_))) => true,
        _ => false,
    }
}

const CONDITIONS: &str = r#"
signals:
  s:
    where: type != "x" && (has(data.c) || data.a.b == 1 || true)
    labels: { a: data.a, kind: type, tier: 'data.load > 0.5 ? "large" : string(data.state)' }
    value: data.load
    states:
      up: data.state == "up" || data.load > 0.5 || severity == "high"
      down: data.pods.state in ["down", "gone"] || size(data.c.d) > 1
      other: string(data.a) == "y" || data == {} || sequence == "7" || id == "" || subject != source
rules:
  - { name: r, signal: s, hold: { up: 1s } }
  - { name: q, signal: s, where: labels.tier != "large", dedup: { by: [data.state, data.c.d], within: 1m } }
"#;

/// The formats, with the columns where they are not in the log.
pub(crate) fn targets() -> Vec<Target> {
    let sources: [(&str, &[&str]); 10] = [
        ("", &[]),
        (
            "{ format: json, time: { field: ts, unit: ms }, subject: { field: entity },
               source: { const: probe }, type: { field: kind }, sequence: { field: seq } }",
            &[],
        ),
        (
            "{ format: json, time: { field: time, unit: rfc3339 },
               arrival: { field: recordedtime, unit: rfc3339 }, id: { field: id },
               subject: { template: '{source}/{data.a.b}' }, source: { field: source },
               type: { field: type } }",
            &[],
        ),
        (
            "{ format: json, explode: pods, time: { field: ts, unit: ms },
               arrival: { field: pods.at, unit: ms }, subject: { field: pods.name },
               source: { const: p }, type: { const: t }, sequence: { field: seq } }",
            &[],
        ),
        (
            "{ format: json, explode: data.a, time: { field: time, unit: rfc3339 },
               subject: { template: '{id}-{data.a.b}' }, id: { field: data.a.id },
               source: { field: source }, type: { field: data.a } }",
            &[],
        ),
        (
            "{ format: csv, time: { field: ts, unit: s }, subject: { field: entity },
               source: { const: p }, type: { field: kind }, sequence: { field: seq } }",
            &["ts", "entity", "kind", "state", "seq", "state", "a"],
        ),
        (
            "{ format: csv, delimiter: ';', time: { field: ts, unit: rfc3339 },
               subject: { template: '{entity}{kind}' }, source: { field: kind },
               type: { const: p }, id: { field: seq } }",
            &["ts", "entity", "kind", "seq"],
        ),
        (
            "{ format: csv, time: { field: ts, format: '%d/%b/%Y:%H:%M:%S %z' },
               subject: { field: entity }, source: { const: p }, type: { const: t } }",
            &["ts", "entity", "state"],
        ),
        (
            "{ format: json, time: { field: ts, format: '%Y%m%d%H%M%S', zone: '+02:00' },
               arrival: { field: at, format: '%a %e %b %y %I:%M:%S%.f %p' },
               subject: { field: entity }, source: { const: p }, type: { const: t } }",
            &[],
        ),
        (
            r"{ format: regex, pattern: '^(?<ts>\S+) (?<entity>\w+)(?: is (?<state>[^ ]*))?(.*)$',
               time: { field: ts, unit: s }, subject: { field: entity }, source: { const: p },
               type: { const: t } }",
            &[],
        ),
    ];
    let target = |(source, header): &(&str, &[&str])| {
        let source = match source.is_empty() {
            true => String::new(),
            // Another might have the fields that this one has not.
            false => format!("sources: {{ s: {source}, other: {{ format: cloudevents }} }}\n"),
        };
        Target::parse(&format!("version: 1\n{source}{CONDITIONS}"), header)
    };
    sources.iter().map(target).collect()
}

pub(crate) const SEEDS: &[&str] = &[
    r#"{"id":"a","source":"s","type":"t","time":"2026-01-01T00:00:00Z","recordedtime":"2026-01-01T00:00:01Z","subject":"x","sequence":"7","severity":"high","data":{"state":"up","load":0.25,"a":{"b":1}}}"#,
    r#"{"id":"a","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":{"a":[{"b":1,"id":"x"},{"b":2},[],7],"c":{"d":[1,2]}}}"#,
    r#" {	"id" : "a\n\u0041\ud83d\ude00" , "source":"s","type":"t" ,"time":"2026-01-01T00:00:00.123456789+01:00" , "x": null } "#,
    r#"{"ts":1767225600000,"entity":"pod-000001","kind":"readiness","state":"ready","seq":17,"message":"a longer text \"quoted\" of more than \\ sixteen"}"#,
    r#"{"ts":1767225600000,"pods":[{"name":"a","state":"up","at":1767225601000},{"name":"b","state":"down"}],"seq":1}"#,
    r#"{"ts":1767225600000.5,"pods":[],"load":1e5,"c":{},"a":{"b":1,"b":2}}"#,
    "1767225600,web,readiness,\"up, \"\"and\"\" running\",7,x,y",
    "2026-01-01T00:00:00Z;web;\"a;b\";",
    "02/Jan/2026:03:04:05 +0100,web,up",
    r#"{"ts":20260102030405,"at":"Fri  2 Jan 26 03:04:05.678 AM","entity":"web","state":"up"}"#,
    "1767225600 web is up (why)",
    "1767225600 web",
];

pub(crate) const WORDS: &[&str] = &[
    "ts",
    "entity",
    "kind",
    "state",
    "seq",
    "id",
    "source",
    "type",
    "time",
    "recordedtime",
    "subject",
    "sequence",
    "severity",
    "data",
    "pods",
    "name",
    "at",
    "a",
    "b",
    "c",
    "d",
    "load",
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "\"\"",
    "\"a\":",
    ",\"id\":\"b\"",
    ",\"data\":{",
    "\\u0041",
    "\\ud800",
    "\\u0000",
    "\\",
    "\"x\\\"y\"",
    "is",
    "up",
    "1,2",
    "[[",
    "]]",
    "{\"b\":{\"d\":1}}",
    "\u{feff}",
    "é",
    "日本 🦀",
    "\u{2028}",
    ";",
    "31/Dec/9999:23:59:60 -2359",
    "Feb",
    "AM",
    "20260230",
    "\"\"\"",
    "tab",
];

#[test]
fn lines_of_every_format() {
    let (executions, mut random) = (executions(45), random(1));
    let targets = targets();
    let corpus = |target: &Target| {
        let is_good = |seed: &&&str| {
            let line = [seed.as_bytes().to_vec()];
            target.execute(&mut Shapes::default(), &line, |_, _| ()) > 0
        };
        Corpus::new(SEEDS.iter().filter(is_good), WORDS)
    };
    let mut corpora: Vec<_> = targets.iter().map(corpus).collect();
    let mut shapes: Vec<_> = targets.iter().map(|_| Shapes::default()).collect();
    let (mut executed, mut good) = (0, 0);
    while executed < executions {
        for ((target, corpus), shapes) in targets.iter().zip(&mut corpora).zip(&mut shapes) {
            // Lines of one shape mostly come together.
            let first = corpus.draw(&mut random);
            let mut lines = vec![first.clone(); 2];
            lines.extend((0..6).map(|_| corpus.draw(&mut random)));
            lines.push(first);
            let mut new = Vec::new();
            good += target.execute(shapes, &lines, |line, outcome| {
                new.push((line.to_vec(), kind(outcome)));
            });
            executed += lines.len() as u64;
            new.iter().for_each(|(line, kind)| corpus.learn(line, *kind));
        }
    }
    report("lines", executed, good, corpora.iter().map(Corpus::kinds).sum());
}
