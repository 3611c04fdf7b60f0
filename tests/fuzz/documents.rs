//! Documents of tools, mutated: what is read of them depends on no size of a read, every record comes
//! once with a place that is in the document, and places rise.

use std::io::{self, Read};
use std::ops::ControlFlow;

use limbeck::rules::{Attribute, RecordView, Rules};
use limbeck::sources::Opened;
use limbeck::sources::intake::{Matcher, Partition, records};

use super::mutate::Corpus;
use super::oracle::logs::Random;
use super::{Executing, executions, kind, random, report};

/// Gives a few bytes at once.
struct Drops(io::Cursor<Vec<u8>>, usize);

impl Read for Drops {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let some = out.len().min(self.1);
        self.0.read(&mut out[..some])
    }
}

/// All that can be seen of the records: a line for each.
fn read(rules: &Rules, matcher: &Matcher, document: &[u8], drops: usize) -> String {
    let stored = Box::new(Drops(io::Cursor::new(document.to_vec()), drops));
    let opened = Opened::from_reader("log".to_owned(), stored, None).expect("it is no archive");
    let partition = Partition::new(0, 0, opened, rules).expect("it needs no header");
    let id = rules.paths.as_slice().iter().position(|path| *path == Attribute::Id);
    let (mut outcome, mut last) = (String::new(), (1, 0));
    let lines: Vec<&[u8]> = document.split(|byte| *byte == b'\n').collect();
    let read = records(partition, matcher, |seen| {
        let element = seen.element.unwrap_or_default();
        assert!(seen.line >= last.0, "line {} behind {}", seen.line, last.0);
        assert!(seen.line > last.0 || element == 0 || element > last.1, "{} {element}", seen.line);
        let before = if seen.line > last.0 { 0 } else { last.1 };
        last = (seen.line, element.max(before));
        let line = lines.get(seen.line as usize - 1).expect("the document has the line");
        let told = match &seen.record {
            Ok(record) => {
                let text = str::from_utf8(seen.text).expect("a record is text");
                let parsed = serde_json::from_str::<serde::de::IgnoredAny>(text);
                assert!(parsed.is_ok() && text.starts_with('{'), "{parsed:?}: {text}");
                format!("{record:?} {:?}", id.map(|id| seen.view.slot(id)))
            }
            Err(error) => {
                // A byte order mark is no part of the first line.
                assert!((1..=line.len() + 1).contains(&error.column), "{error:?} in {line:?}");
                assert!(!error.reason.is_empty());
                format!("{error:?}")
            }
        };
        let text = String::from_utf8_lossy(seen.text);
        outcome += &format!("{told} '{} {element} {text}\n", seen.line);
        ControlFlow::Continue(())
    });
    assert_eq!(read, Ok(()), "nothing is damaged");
    outcome
}

const SEEDS: [(&str, &[&str]); 6] = [
    (
        "otlp",
        &[
            r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1767225600000000000","body":{"stringValue":"x\n"},"attributes":[{"key":"a.b","value":{"intValue":"1"}}]},{"observedTimeUnixNano":"1767225600000000000"}]}]}]}
"#,
            r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":[{"name":"m","sum":{"dataPoints":[{"timeUnixNano":"1767225600000000000","asDouble":1.5,"exemplars":[{"timeUnixNano":"1"}]}],"isMonotonic":true}}]}]}]}
{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"1","endTimeUnixNano":"1767225600000000000","events":[]}]}]}]}"#,
        ],
    ),
    (
        "prometheus",
        &[
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","a":"b"},"values":[[1767225600,"1"],[1767225615.5,"NaN"]]}]}}
{"status":"success","data":{"resultType":"scalar","result":[ 1767225600,"1"]}}"#,
            "{\n \"status\": \"error\",\n \"errorType\": \"t\",\n \"error\": \"e\"\n}\n",
        ],
    ),
    (
        "openmetrics",
        &[
            "# TYPE a counter\n# UNIT a s\na_total{b=\"c\\n\",d=\"e\"} 1.5 1767225600.5 # {f=\"g\"} 1 2\na 1\n# EOF\n",
        ],
    ),
    (
        "exposition",
        &["# HELP a b\na{b=\"c\\\\\"} +Inf 1767225600000\n{\"a.b\",c=\"d\"} 1 1767225600000\r\n"],
    ),
    (
        "kubernetes",
        &[
            "{\n  \"items\": [\n    {\n      \"kind\": \"Event\",\n      \"eventTime\": null,\n      \"lastTimestamp\": \"2026-01-01T00:00:00Z\",\n      \"involvedObject\": { \"kind\": \"Pod\", \"name\": \"a\" },\n      \"metadata\": { \"uid\": \"u\", \"resourceVersion\": \"1\" }\n    },\n    { \"note\": \"n\", \"regarding\": {}, \"eventTime\": \"2026-01-01T00:00:00.000000Z\", \"series\": { \"count\": 2 } }\n  ],\n  \"kind\": \"List\"\n}\n",
            "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Event\",\"involvedObject\":{},\"firstTimestamp\":\"2026-01-01T00:00:00Z\"}}\n[{\"kind\":\"Event\"}]",
        ],
    ),
    (
        "alertmanager",
        &[
            r#"{"receiver":"r","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A","b":"c"},"startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"f"},{"status":"resolved","labels":{},"endsAt":"2026-01-01T00:00:00Z"}],"version":"4","groupKey":"k"}
"#,
            "{\n  \"alerts\": [\n    { \"status\": \"resolved\", \"endsAt\": \"2026-01-01T00:00:00Z\" }\n  ]\n}",
        ],
    ),
];

const WORDS: &[&str] = &[
    "null",
    "{}",
    "[]",
    "\"\"",
    "[{",
    "}]",
    "}]}",
    ",",
    "\n{",
    "\n",
    "\"time\":1,",
    "\"items\":",
    "\"alerts\":[",
    "\"resource\":",
    "\"scope\":{}",
    "\"metric\":{}",
    "\"data\":{\"result\":[",
    "\"value\":[1,\"2\"]",
    "\"gauge\":{\"dataPoints\":[",
    "\"kvlistValue\":{\"values\":[]}",
    "\"a.b.c\"",
    "\\u0041",
    "\\ud800",
    "\\",
    "\u{feff}",
    "é",
    "# TYPE a gauge",
    "# {} 1",
    "NaN",
    "\"0001-01-01T00:00:00Z\"",
];

#[test]
fn documents_of_every_tool() {
    let (executions, mut random) = (executions(10), random(7));
    let (mut executed, mut good, mut kinds) = (0, 0, 0);
    for (format, seeds) in SEEDS {
        let yaml = format!(
            "version: 1\nsources: {{ s: {{ format: {format} }} }}\n\
             signals: {{ s: {{ states: {{ a: id != \"\" && data.value == 1 }} }} }}\n\
             rules: [{{ name: r, signal: s }}]\n"
        );
        let rules = Rules::parse("rules.yaml", &yaml).unwrap_or_else(|errors| panic!("{errors}"));
        let matcher = Matcher::new(&rules);
        let mut corpus = Corpus::new(seeds, WORDS);
        for _ in 0..executions / SEEDS.len() as u64 {
            let document = draw(&corpus, &mut random);
            let _executing = Executing(format, &document);
            let at_once = read(&rules, &matcher, &document, usize::MAX);
            let drops = 1 + random.below(9) as usize;
            let in_drops = read(&rules, &matcher, &document, drops);
            assert_eq!(at_once, in_drops, "in reads of {drops}");
            good += u64::from(at_once.contains("Decoded"));
            corpus.learn(&document, kind(&at_once));
            executed += 1;
        }
        kinds += corpus.kinds();
    }
    report("documents", executed, good, kinds);
}

/// A document that is not taken for an archive.
fn draw(corpus: &Corpus, random: &mut Random) -> Vec<u8> {
    loop {
        let document = corpus.draw(random);
        let first = document.first().copied().unwrap_or_default();
        if !matches!(first, 0x04 | 0x1f | 0x28 | b'B' | 0x50..=0x5f | 0xfd) {
            return document;
        }
    }
}
