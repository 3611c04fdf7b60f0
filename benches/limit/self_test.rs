//! The rows of the limit program against those of the contract read literally: keep every record,
//! sort, look at every run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use limbeck::bench::workload::Workload;
use limbeck::model::time::format_rfc3339;
use limbeck_operators::hash::xxh3_128;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Value, json};

use super::fold::{Counts, HOLD_MS, LATENESS_MS};
use super::input::Map;
use super::{Outcome, evaluate_file, join, parse_file, report, run_chunks};

pub(crate) fn run() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.ndjson");
    let standard = Workload { entities: 200, events: 50_000, ..Workload::default() };
    for disorder_ns in [0, 5_000_000_000, 60_000_000_000] {
        let mut log = Vec::new();
        Workload { disorder_ns, ..standard.clone() }.write_flat(&mut log)?;
        check(&path, &log)?;
        check(&path, &disturbed(&log))?;
    }
    for log in
        ["", "\n", "{}", "{\"ts\":1,\"entity\":\"a\",\"kind\":\"readiness\",\"state\":\"ready\"}"]
    {
        check(&path, log.as_bytes())?;
    }
    judges(&path)?;
    eprintln!("limit: the rows are those of the reference");
    Ok(())
}

/// Compares the rows and counts with those of the reference; returns the counts.
fn check(path: &Path, log: &[u8]) -> io::Result<Counts> {
    fs::write(path, log)?;
    let (counts, rows) = reference(log);
    let compare = |(tables, clock_ms, found): Outcome, threads: usize| {
        assert_eq!(counts, found, "{threads} threads");
        let found_rows = report::episodes(tables, clock_ms);
        let found_rows = String::from_utf8_lossy(&found_rows);
        let first = rows.lines().zip(found_rows.lines()).find(|(a, b)| a != b);
        assert_eq!(first, None, "{threads} threads");
        assert_eq!(rows.lines().count(), found_rows.lines().count(), "{threads} threads");
    };
    let file = Map::open(path)?;
    compare(join(vec![evaluate_file(&file)]), 1);
    for threads in [2, 3] {
        compare(run_chunks(&file, threads, false), threads);
    }
    let (_, _, parsed) = join(vec![parse_file(&file)]);
    let matched = counts.used + counts.late + counts.duplicates;
    assert_eq!(parsed, Counts { used: matched, late: 0, duplicates: 0, ..counts }, "parsed only");
    Ok(counts)
}

/// What a line is by itself and after others of its layout, when one thing in it is different.
fn judges(path: &Path) -> io::Result<()> {
    const LINE: &str = r#"{"ts":1767225600095,"source":"probe","entity":"pod-1","kind":"readiness","state":"ready","seq":1,"service":"svc-28","region":"eu-1","count":10,"message":"probe \"a\" ok"}"#;
    const USED: &[(&str, &str)] = &[
        ("ok", "OK"),
        (" ok", ""),
        ("\\\"a\\\"", ""),
        ("ok", "\\b\\f\\n\\r\\t\\/\\\\\\u00e9\\\""),
        ("ok", "\\\\"),
        ("ok", "é"),
        ("ok", "\u{7f}"),
        (
            "ok",
            "a message of more than so many bytes as are judged in one go, so that what is behind them is reached one byte after another \\\"\\\\",
        ),
        ("svc-28", ""),
        ("svc-28", "a \\\"service\\\" of more bytes than are judged in one go"),
        ("svc-28", "ü"),
        ("10", "0"),
        ("10", "-1.5e+10"),
        ("10", "null"),
        ("probe\"", "other\""),
        ("\"seq\":1", "\"seq\":0"),
        ("\"seq\":1", "\"seq\":\"1\""),
        ("\"seq\":1", "\"seq\":-1"),
        ("\"seq\":1", "\"seq\":1.5"),
        ("pod-1", "pöd-1"),
        ("\"service\"", "\"state\""),
        ("\"service\"", "\"region\""),
        ("}", " }"),
        ("\"seq\":1,", ""),
    ];
    const DEAD: &[(&str, &str)] = &[
        ("ok", "\\x"),
        ("ok", "\\u12g4"),
        ("ok", "\\u12"),
        ("ok", "\\"),
        ("ok", "\\\\\\"),
        ("ok", "\""),
        ("ok", "\\\\\""),
        ("ok", "\t"),
        ("ok", "\u{0}"),
        (
            "ok",
            "a message of more than so many bytes as are judged in one go, so that what is behind them is reached one byte after another \\x",
        ),
        ("svc-28", "svc\t28"),
        ("svc-28", "svc\u{1f}28"),
        ("svc-28", "\\x"),
        ("svc-28", "\""),
        ("probe\"", "pro\u{1}be\""),
        ("10", "01"),
        ("10", "1."),
        ("10", "1e"),
        ("10", "-"),
        ("10", ""),
        ("10", "nul"),
        ("\"seq\":1", "\"seq\":01"),
        ("\"seq\":1", "\"seq\":1x"),
        ("176722", "0176722"),
        ("1767225600095", "9999999999999"),
        ("1767225600095", "null"),
        ("\"service\"", "\"seq\""),
        ("\"service\"", "\"ts\""),
        ("\"service\"", "\"k\\u0069nd\""),
        ("readiness", "readi\u{1}ness"),
        ("pod-1", "pod\t1"),
        ("}", "}}"),
        ("}", "} x"),
        ("}", ",}"),
        ("}", ""),
        ("\"}", ""),
        ("\"}", "}"),
        ("{", "[{"),
        ("{", ""),
    ];
    const UNMATCHED: &[(&str, &str)] =
        &[("pod-1", ""), ("\"pod-1\"", "null"), ("\"readiness\"", "1"), ("\"ready\"", "\"\"")];
    let once = |from: &str, to: &str| LINE.replacen(from, to, 1).into_bytes();
    let check_line = |line: &[u8], expected: Counts| {
        for before in ["", LINE] {
            for behind in ["", "\n", "\r\n"] {
                let mut log = before.as_bytes().to_vec();
                log.extend_from_slice(if before.is_empty() { b"" } else { b"\n" });
                log.extend_from_slice(line);
                log.extend_from_slice(behind.as_bytes());
                let used = expected.used + u64::from(!before.is_empty());
                let found = check(path, &log)?;
                let text = String::from_utf8_lossy(line);
                assert_eq!(found, Counts { used, ..expected }, "{text}");
            }
        }
        io::Result::Ok(())
    };
    let none = Counts::default();
    for (from, to) in USED {
        check_line(&once(from, to), Counts { used: 1, ..none })?;
    }
    for (from, to) in DEAD {
        check_line(&once(from, to), Counts { dead: 1, ..none })?;
    }
    for (from, to) in UNMATCHED {
        check_line(&once(from, to), Counts { unmatched: 1, ..none })?;
    }
    for part in ["ok", "svc-28", "probe\"", "pod-1"] {
        let mut line = once(part, &format!("?{part}"));
        let place = line.iter().position(|byte| *byte == b'?').unwrap_or_default();
        for broken in [0xff, 0x80, 0xc3] {
            line[place] = broken;
            check_line(&line, Counts { dead: 1, ..none })?;
        }
    }
    // White space around a record is no part of it; all else is.
    let repeats = [
        (format!("{LINE}\n {LINE}\t\r\n{LINE}"), Counts { used: 1, duplicates: 2, ..none }),
        (format!("{LINE}\n{}", LINE.replace("ok", "oK")), Counts { used: 2, ..none }),
        (
            format!("{LINE}\n{0}\n{LINE}\n{0}", LINE.replace("28", "29")),
            Counts { used: 2, duplicates: 2, ..none },
        ),
        (
            format!("{LINE}\n{0}\n{LINE}\n{0}", LINE.replace("ready", "unready")),
            Counts { used: 2, duplicates: 2, ..none },
        ),
    ];
    for (log, expected) in repeats {
        assert_eq!(check(path, log.as_bytes())?, expected, "{log}");
    }
    Ok(())
}

/// Other layouts, escapes, line ends, entities of every length, and lines that are none.
fn disturbed(log: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, line) in String::from_utf8_lossy(log).lines().enumerate() {
        let record: Value = serde_json::from_str(line).expect("the generator writes JSON");
        let (ts, entity, state) = (&record["ts"], &record["entity"], &record["state"]);
        let (seq, message) = (&record["seq"], &record["message"]);
        let disturbed = match number % 24 {
            0 => format!("{record}"),
            1 => format!(
                "{{ \"message\" : {message}, \"seq\" : {seq} , \"state\":{state},\
                 \"x\":[{{\"ts\":1}}],\
                 \"kind\":\"readiness\",\t\"entity\" :{entity},\"ts\":{ts} }}\r"
            ),
            2 => line.replace("\"pod-", "\"\\u0070od-").replace("\"seq\"", "\"s\\u0065q\""),
            3 => line.replace("\"readiness\"", "\"liveness\""),
            4 => line.replace("\"ready\"", "\"unknown\""),
            5 => format!("\n{}", &line[..line.len() - number % line.len()]),
            6 => line.replace("\"pod-", "\"a-name-of-more-than-sixteen-bytes-"),
            7 => line.replace("\"pod-", "\"a-name-of-more-bytes-than-are-compared-in-one-go-"),
            8 => line.replace("\"pod-0000", "\""),
            9 => line.replace("\"pod-", "\"\\\"quoted\\\" "),
            10 => line.replace("\"seq\"", "\"sequence\""),
            11 => {
                line.replace("\"kind\":\"readiness\",", "").replace('}', ",\"kind\":\"readiness\"}")
            }
            12 => line.replace("\"state\":", "\"state\":null,\"was\":"),
            13 => line.replace(", attempt", "\\t\\\\ é"),
            // The same again but for the message: both are used.
            14 => format!("{line}\n{}", line.replace(", attempt", ", another attempt")),
            // The same again with another state: the content says which comes last.
            15 => format!("{line}\n{}", line.replace("\"ready\"", "\"unready\"")),
            _ => line.to_owned(),
        };
        out.extend_from_slice(disturbed.as_bytes());
        // A byte that is not there in UTF-8, a quote or a control character anywhere.
        if number % 24 == 16 {
            let place = out.len() - line.len() + number % line.len();
            out[place] = [0xff, b'"', 0x01, b'\\'][number / 24 % 4];
        }
        out.push(b'\n');
    }
    out.pop();
    out
}

/// The members of an object, in their order.
struct Members(Vec<(String, Value)>);

impl Members {
    /// Of a repeated key the first counts.
    fn get(&self, key: &str) -> &Value {
        self.0.iter().find(|member| member.0 == key).map_or(&Value::Null, |member| &member.1)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(member) = map.next_entry::<String, Value>()? {
            let attribute = ["ts", "entity", "kind", "seq"].contains(&&*member.0);
            if attribute && self.0.iter().any(|earlier| earlier.0 == member.0) {
                return Err(A::Error::custom("an attribute is repeated"));
            }
            self.0.push(member);
        }
        Ok(self)
    }
}

/// The event time in the range of nanoseconds, and the record, if it is readable.
fn readable(line: &[u8]) -> Option<(i64, Members)> {
    let record: Members = serde_json::from_slice(line).ok()?;
    let time_ms = record.get("ts").as_i64()?;
    time_ms.checked_mul(1_000_000)?;
    let kind = record.get("kind");
    (kind.is_string() || kind.is_number() || kind.is_boolean()).then_some((time_ms, record))
}

/// Event time, sequence, content and state.
type Observation = (i64, Option<u64>, u128, String);

fn reference(log: &[u8]) -> (Counts, String) {
    let mut counts = Counts::default();
    let mut clock_ms = i64::MIN;
    let mut seen = BTreeSet::new();
    let mut by_entity = BTreeMap::<String, Vec<Observation>>::new();
    let lines = log.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| !line.is_empty()) {
        let Some((time_ms, record)) = readable(line) else {
            counts.dead += 1;
            continue;
        };
        clock_ms = clock_ms.max(time_ms);
        let text = |key: &str| record.get(key).as_str();
        let (Some(entity), Some(state @ ("ready" | "unready")), Some("readiness")) =
            (text("entity").filter(|name| !name.is_empty()), text("state"), text("kind"))
        else {
            counts.unmatched += 1;
            continue;
        };
        let sequence = record.get("seq");
        let digits = sequence.as_str().and_then(|digits| digits.parse().ok());
        let sequence = sequence.as_u64().or(digits);
        if clock_ms - time_ms > LATENESS_MS {
            counts.late += 1;
        } else if !seen.insert(line) {
            counts.duplicates += 1;
        } else {
            counts.used += 1;
            let observation = (time_ms, sequence, xxh3_128(line), state.to_owned());
            by_entity.entry(entity.to_owned()).or_default().push(observation);
        }
    }
    let mut rows = BTreeMap::new();
    for (entity, mut observations) in by_entity {
        observations.sort();
        for episode in episodes(&observations, clock_ms) {
            rows.insert((episode.since_ms, entity.clone(), episode.state.clone()), episode);
        }
    }
    let rows = rows.into_iter().map(|((_, entity, _), episode)| episode.row(&entity)).collect();
    (counts, rows)
}

struct Episode {
    state: String,
    since_ms: i64,
    until_ms: Option<i64>,
}

impl Episode {
    fn row(&self, entity: &str) -> String {
        let time = |ms: i64| format_rfc3339(ms * 1_000_000);
        let until = self.until_ms.map_or("null".to_owned(), |ms| format!("\"{}\"", time(ms)));
        format!(
            "{{\"entity\":{},\"state\":\"{}\",\"since\":\"{}\",\"until\":{until},\
             \"decided\":\"{}\"}}\n",
            json!(entity),
            self.state,
            time(self.since_ms),
            time(self.since_ms + HOLD_MS),
        )
    }
}

/// The episodes of one entity from all its observations in order.
fn episodes(observations: &[Observation], clock_ms: i64) -> Vec<Episode> {
    let mut episodes = Vec::<Episode>::new();
    for run in observations.chunk_by(|a, b| a.3 == b.3) {
        let (since_ms, _, _, state) = &run[0];
        let last = &run[run.len() - 1];
        let contrary = observations.iter().find(|other| *other > last);
        let lasted = contrary.is_none_or(|(time_ms, ..)| *time_ms >= since_ms + HOLD_MS);
        if !lasted || clock_ms < since_ms + HOLD_MS {
            continue;
        }
        if let Some(open) = episodes.last_mut() {
            if open.state == *state {
                continue;
            }
            open.until_ms = Some(*since_ms);
        }
        episodes.push(Episode { state: state.clone(), since_ms: *since_ms, until_ms: None });
    }
    episodes
}
