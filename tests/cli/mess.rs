//! One mess, in every format and however it comes: what is wrong is a dead letter, what is good is
//! used, and all of it is counted.

use std::io::Write;
use std::thread;

use serde_json::{Value, json};

use super::common::rows;
use super::{Outputs, Place, ran};

/// A format of logs.
struct Shape {
    name: &'static str,
    source: &'static str,
    /// What comes before the records.
    header: &'static str,
    /// A line with `TIME`, `HOST` and `STATE` in it.
    line: &'static str,
    /// Whether a row of other text may be a record of its own.
    is_json: bool,
}

const SHAPES: [Shape; 5] = [
    Shape {
        name: "json",
        source: "format: json
    time: { field: ts, unit: rfc3339 }
    subject: { field: host }",
        header: "",
        line: r#"{"ts":"TIME","host":"HOST","state":"STATE"}"#,
        is_json: true,
    },
    Shape {
        name: "cloudevents",
        source: "format: cloudevents",
        header: "",
        line: r#"{"id":"HOST-TIME","source":"s","type":"t","time":"TIME","subject":"HOST","data":{"state":"STATE"}}"#,
        is_json: true,
    },
    Shape {
        name: "csv",
        source: "format: csv
    time: { field: ts, unit: rfc3339 }
    subject: { field: host }",
        header: "state,ts,host\n",
        line: "STATE,TIME,HOST",
        is_json: false,
    },
    Shape {
        name: "regex",
        source: r"format: regex
    pattern: '^(?<ts>\S+) (?<host>\S+) is (?<state>\S+)$'
    time: { field: ts, unit: rfc3339 }
    subject: { field: host }",
        header: "",
        line: "TIME HOST is STATE",
        is_json: false,
    },
    Shape {
        name: "exploded",
        source: r#"format: json
    explode: hosts
    time: { field: ts, unit: rfc3339 }
    subject: { field: hosts.name }"#,
        header: "",
        line: r#"{"ts":"TIME","hosts":[{"name":"HOST","state":"STATE"}]}"#,
        is_json: true,
    },
];

impl Shape {
    fn rules(&self) -> String {
        let constants = match self.name {
            "cloudevents" => "",
            _ => "\n    source: { const: s }\n    type: { const: t }",
        };
        let state = if self.name == "exploded" { "data.hosts.state" } else { "data.state" };
        format!(
            "version: 1
sources:
  given:
    {}{constants}
signals:
  state: {{ states: {{ up: {state} == \"up\", down: {state} == \"down\" }} }}
rules: [{{ name: r, signal: state, hold: {{ up: 1s, down: 1s }} }}]
",
            self.source
        )
    }

    fn line(&self, time: &str, host: &str, state: &str) -> String {
        self.line.replace("TIME", time).replace("HOST", host).replace("STATE", state)
    }

    fn good(&self, second: usize) -> Vec<u8> {
        let time = format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
        let state = if second.is_multiple_of(3) { "down" } else { "up" };
        self.line(&time, "web", state).into_bytes()
    }

    /// Lines that are no records in this format.
    fn bad(&self) -> Vec<Vec<u8>> {
        let good = self.good(0);
        let mut bad = vec![
            b"\xff".to_vec(),
            b"\xc3\x28\xa0\xa1 \xf0\x28\x8c\xbc".to_vec(),
            [&good[..], b"\x80"].concat(),
            b"\0".to_vec(),
            b"\0\0\0\0\0\0\0\0".to_vec(),
            "\u{feff}".into(),
            "\u{2028}".into(),
            b"\x0c\x0b".to_vec(),
            b"\r{".to_vec(),
            b"\"".to_vec(),
            b"\"\"\"".to_vec(),
            b"{".repeat(200_000),
            b"[".repeat(200_000),
            b"{\"a\":".repeat(200_000),
            [b"[".repeat(200_000), b"]".repeat(200_000)].concat(),
            b"a,b,c,d,e,f,g,h".to_vec(),
            b"2026-01-01T00:00:00Z".to_vec(),
        ];
        let times = [
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "1677-09-21T00:12:43Z",
            "2262-04-12T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00",
            "2026-01-01",
            "yesterday",
            "1767225600",
            // Further ahead than a clock may jump.
            "2261-12-31T23:59:59Z",
        ];
        bad.extend(times.map(|time| self.line(time, "web", "up").into_bytes()));
        if self.is_json {
            let text = String::from_utf8(good).expect("a line is text");
            let time = "\"2026-01-01T00:00:00Z\"";
            for other in ["null", "true", "[]", "{}", "1e999", "-", "\"\\ud800\"", "\"\\x\"", ""] {
                bad.push(text.replace(time, other).into_bytes());
            }
            bad.push(text[..text.len() - 1].into());
            bad.push(format!("{text}{text}").into_bytes());
            bad.push(format!("[{text}]").into_bytes());
            for no_record in ["null", "true", "7", "\"text\"", "[]", "{}"] {
                bad.push(no_record.into());
            }
        }
        bad
    }

    /// A log, where what is good stands, and how many lines there are.
    fn mess(&self) -> (Vec<u8>, usize, usize) {
        let bad = self.bad();
        let mut log = self.header.as_bytes().to_vec();
        for (second, bad) in bad.iter().enumerate() {
            log.extend(self.good(second));
            log.extend_from_slice(if second % 2 == 0 { b"\n" } else { b"\r\n\n \n" });
            log.extend_from_slice(bad);
            log.push(b'\n');
        }
        (log, bad.len(), bad.len())
    }

    fn command(&self) -> String {
        format!("replay --rules {}.yaml --workers 2 --out out", self.name)
    }
}

fn count(outputs: &Outputs, name: &str) -> u64 {
    outputs.summary[name].as_u64().expect(name)
}

#[test]
fn what_is_wrong_is_a_dead_letter_in_every_format() {
    let place = Place::new();
    for shape in &SHAPES {
        place.write(&format!("{}.yaml", shape.name), shape.rules().as_bytes());
        let (log, good, bad) = shape.mess();
        place.write("log", &log);
        place.run(&format!("{} --log log", shape.command())).assert(0, &[]);
        let outputs = place.outputs("out");
        let counts = ["records", "used", "dead_letters", "unmatched"];
        let counts = counts.map(|name| count(&outputs, name) as usize);
        assert_eq!(counts, [good + bad, good, bad, 0], "{}", shape.name);
        let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
        for letter in rows(&outputs.dead_letters) {
            let number = |name: &str| letter[name].as_u64().expect(name) as usize;
            let line = lines[number("line") - 1];
            assert!((1..=line.len() + 1).contains(&number("column")), "{letter}");
            assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
            assert!(letter["record"].as_str().is_some_and(|record| record.len() <= 3 * 1024));
        }
    }
}

#[test]
fn the_same_bytes_are_the_same_log_however_they_come() {
    let place = Place::new();
    for shape in &SHAPES {
        place.write(&format!("{}.yaml", shape.name), shape.rules().as_bytes());
        let (log, ..) = shape.mess();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&log).expect("a Vec takes every write");
        let gzip = gzip.finish().expect("a Vec takes every write");
        let zstd = zstd::encode_all(&log[..], 1).expect("a Vec takes every write");
        place.write("log", &log);
        place.run(&format!("{} --log log", shape.command())).assert(0, &[]);
        let wanted = place.outputs("out").unnamed();
        for (how, stored) in [("plain", &log), ("gzip", &gzip), ("zstd", &zstd)] {
            let assert_same = |by: &str| {
                let what = format!("{} {how} {by}", shape.name);
                place.outputs("out").unnamed().assert_equal(&wanted, &what);
            };
            place.write("log", stored);
            place.run(&format!("{} --log log", shape.command())).assert(0, &[]);
            assert_same("from a file");
            place.run_with_input(&format!("{} --log -", shape.command()), stored).assert(0, &[]);
            assert_same("from standard input");
            let (child, mut pipe) = place.replay_pipe(&format!("{} --log pipe", shape.command()));
            pipe.write_all(stored).expect("it is read");
            drop(pipe);
            ran(child.wait_with_output().expect("it ends")).assert(0, &[]);
            assert_same("from a named pipe");
        }
    }
}

/// A line of 60 MB is never held, in whatever format.
#[test]
fn an_endless_line_is_a_dead_letter_in_every_format() {
    let place = Place::new();
    let endless = b"x".repeat(60_000_000);
    thread::scope(|scope| {
        for shape in &SHAPES {
            let (place, endless) = (&place, &endless);
            scope.spawn(move || {
                place.write(&format!("{}.yaml", shape.name), shape.rules().as_bytes());
                let (first, last) = (shape.good(0), shape.good(1));
                let mut log = shape.header.as_bytes().to_vec();
                for line in [&first, endless, &last] {
                    log.extend_from_slice(line);
                    log.push(b'\n');
                }
                let command =
                    shape.command().replace("--out out", &format!("--out {}", shape.name));
                let ran = place.run_with_input(&format!("{command} --log -"), &log);
                ran.assert(0, &[]);
                let outputs = place.outputs(shape.name);
                let counts = ["records", "used", "dead_letters"];
                assert_eq!(counts.map(|name| count(&outputs, name)), [3, 2, 1], "{}", shape.name);
                let letter = &rows(&outputs.dead_letters)[0];
                let line = 2 + shape.header.lines().count();
                assert_eq!(letter["line"], line);
                assert!(letter["reason"].as_str().is_some_and(|r| r.contains("60000000 bytes")));
            });
        }
    });
}

/// Nothing in a log stops those who look at it before a replay or after.
#[test]
fn a_mess_can_be_sampled_and_explained_and_begun_with() {
    let place = Place::new();
    for shape in &SHAPES {
        let rules = format!("{}.yaml", shape.name);
        place.write(&rules, shape.rules().as_bytes());
        let (log, _, bad) = shape.mess();
        place.write("log", &log);
        let ran = place.run(&format!("check {rules} --sample log"));
        ran.assert(0, &[]);
        // The jump of the clock is found only in a replay.
        assert!(ran.said.contains(&format!(" {}  unreadable", bad - 1)), "{ran:?}");
        place.run(&format!("explain --rules {rules} --log log web")).assert(0, &[]);
        let lines = log.split(|byte| *byte == b'\n').count();
        for line in (1..=lines).step_by(3) {
            let ran = place.run(&format!("explain --rules {rules} --log log --record log:{line}"));
            assert!(matches!(ran.code, Some(0 | 1)), "line {line}: {ran:?}");
            assert!(!ran.complained.contains("panicked"), "line {line}: {ran:?}");
        }
        // No field is a time in all of it.
        let ran = place.run("init log");
        assert!(
            ran.code == Some(0) || ran.complained.contains("no rules can be guessed"),
            "{ran:?}"
        );
    }
}

/// What a condition asks for may be anything, or missing: it is counted, and the next is judged.
#[test]
fn a_condition_that_fails_on_a_record_is_counted() {
    let place = Place::new();
    let rules = r#"version: 1
sources:
  given:
    format: FORMAT
    time: { field: ts, unit: s }
    subject: { field: host }
    source: { const: s }
    type: { const: t }
signals:
  state:
    states:
      high: CONDITION
      other: data.ts != data.host
rules: [{ name: r, signal: state }]
"#;
    let values = ["null", "true", "\"text\"", "[1]", "{\"a\":1}", "1e308", "-1", "3"];
    for (condition, errors) in [
        // Numbers are comparable, and nothing else is.
        ("data.x > 2", 6),
        ("data.x.startsWith(\"t\")", 8),
        ("data.x[0] == 1", 8),
        ("data.x.a == 1", 8),
        ("data.x + 1 > 2", 7),
        ("int(data.x) > 2", 7),
        ("data.x % 2 == 1", 7),
        ("data.x", 8),
        ("data.missing.deeper == 1", 9),
        ("has(data.x) && data.x == \"text\"", 0),
    ] {
        let rules = rules.replace("CONDITION", condition).replace("FORMAT", "json");
        place.write("given.yaml", rules.as_bytes());
        let line = |(number, value): (usize, &str)| {
            format!("{{\"ts\":{},\"host\":\"web\",\"x\":{value}}}\n", 1_767_225_600 + number)
        };
        let mut log: String = values.iter().copied().enumerate().map(line).collect();
        log.push_str("{\"ts\":1767225700,\"host\":\"web\"}\n");
        place.write("log", log.as_bytes());
        place.run("replay --rules given.yaml --log log --out out").assert(0, &[]);
        let outputs = place.outputs("out");
        let counts = ["records", "used", "condition_errors", "dead_letters"];
        let counts = counts.map(|name| count(&outputs, name));
        assert_eq!(counts, [9, 9, errors, 0], "{condition}");
    }
    // What is read of rows is text.
    let rules = rules.replace("CONDITION", "int(data.x) > 2").replace("FORMAT", "csv");
    place.write("given.yaml", rules.as_bytes());
    let rows = ["3", "", "x", "99999999999999999999", " 3", "-1"];
    let row = |(number, x): (usize, &&str)| format!("{},web,{x}\n", 1_767_225_600 + number);
    let log: String = rows.iter().enumerate().map(row).collect();
    place.write("log", format!("ts,host,x\n{log}").as_bytes());
    place.run("replay --rules given.yaml --log log --out out").assert(0, &[]);
    let outputs = place.outputs("out");
    assert_eq!((count(&outputs, "used"), count(&outputs, "condition_errors")), (6, 4));
}

/// Numbers as times: what no nanosecond of 64 bits stands for is a dead letter.
#[test]
fn absurd_numbers_are_no_times() {
    let place = Place::new();
    let rules = |unit: &str| {
        format!(
            "version: 1
sources:
  given:
    format: json
    time: {{ field: ts, unit: {unit} }}
    subject: {{ field: host }}
    source: {{ const: s }}
    type: {{ const: t }}
signals: {{ state: {{ states: {{ up: 'true' }} }} }}
rules: [{{ name: r, signal: state }}]
"
        )
    };
    let absurd: [Value; 13] = [
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(-1e308),
        json!(1e19),
        json!("NaN"),
        json!(""),
        json!("99999999999999999999999"),
        json!(null),
        json!([1]),
        json!({"a": 1}),
        json!(true),
    ];
    for unit in ["s", "ms", "us", "ns"] {
        place.write("given.yaml", rules(unit).as_bytes());
        let line = |ts: &Value| format!("{{\"ts\":{ts},\"host\":\"web\"}}\n");
        place.write("log", absurd.iter().map(line).collect::<String>().as_bytes());
        place.run("replay --rules given.yaml --log log --out out").assert(0, &[]);
        let outputs = place.outputs("out");
        let lines: Vec<u64> =
            rows(&outputs.dead_letters).iter().map(|row| row["line"].as_u64().expect("")).collect();
        let wanted: Vec<u64> = match unit {
            // 64 bits of nanoseconds are all of them times.
            "ns" => (3..=13).collect(),
            _ => (1..=13).collect(),
        };
        assert_eq!(lines, wanted, "{unit}: {:?}", rows(&outputs.dead_letters));
    }
}
