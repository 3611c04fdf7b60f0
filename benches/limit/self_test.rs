//! The rows of the limit program against those of the contract read literally: keep every record,
//! sort, look at every run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use limbeck::bench::workload::Workload;
use limbeck::model::time::format_rfc3339;
use serde_json::{Value, json};

use super::fold::{Counts, HOLD_MS, LATENESS_MS};
use super::{Outcome, evaluate_file, join, report, run_chunks};

pub(crate) fn run() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.ndjson");
    let standard = Workload { entities: 200, events: 50_000, ..Workload::default() };
    for disorder_ns in [0, 5_000_000_000, 60_000_000_000] {
        let mut log = Vec::new();
        Workload { disorder_ns, ..standard.clone() }.write_flat(&mut log)?;
        check(&path, &String::from_utf8_lossy(&log))?;
        check(&path, &disturbed(&String::from_utf8_lossy(&log)))?;
    }
    for log in
        ["", "\n", "{}", "{\"ts\":1,\"entity\":\"a\",\"kind\":\"readiness\",\"state\":\"ready\"}"]
    {
        check(&path, log)?;
    }
    eprintln!("limit: the rows are those of the reference");
    Ok(())
}

fn check(path: &Path, log: &str) -> io::Result<()> {
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
    compare(join(vec![evaluate_file(path)])?, 1);
    for threads in [2, 3] {
        compare(run_chunks(path, threads, false)?, threads);
    }
    Ok(())
}

/// Other layouts, escapes, line ends, entities of every length, and lines that are none.
fn disturbed(log: &str) -> String {
    let mut out = String::new();
    for (number, line) in log.lines().enumerate() {
        let record: Value = serde_json::from_str(line).expect("the generator writes JSON");
        let (ts, entity, state) = (&record["ts"], &record["entity"], &record["state"]);
        let (seq, message) = (&record["seq"], &record["message"]);
        let disturbed = match number % 16 {
            0 => format!("{record}"),
            1 => format!(
                "{{ \"message\" : {message}, \"seq\" : {seq} , \"state\":{state},\
                 \"x\":[{{\"ts\":1}}],\
                 \"kind\":\"readiness\",\t\"entity\" :{entity},\"ts\":{ts} }}\r"
            ),
            2 => line.replace("\"pod-", "\"\\u0070od-").replace("\"seq\"", "\"s\\u0065q\""),
            3 => line.replace("\"readiness\"", "\"liveness\""),
            4 => line.replace("\"ready\"", "\"unknown\""),
            // What is cut before the last needed value: the limit program judges nothing behind it.
            5 => format!("\n{}", &line[..60]),
            6 => line.replace("\"pod-", "\"a-name-of-more-than-sixteen-bytes-"),
            7 => line.replace("\"pod-", "\"a-name-of-more-bytes-than-are-compared-in-one-go-"),
            8 => line.replace("\"pod-0000", "\""),
            9 => line.replace("\"pod-", "\"\\\"quoted\\\" "),
            10 => line.replace("\"seq\"", "\"sequence\""),
            11 => {
                line.replace("\"kind\":\"readiness\",", "").replace('}', ",\"kind\":\"readiness\"}")
            }
            12 => line.replace("\"state\":", "\"state\":null,\"was\":"),
            _ => line.to_owned(),
        };
        out.push_str(&disturbed);
        out.push('\n');
    }
    out.pop();
    out
}

/// Event time, sequence, content and state.
type Observation = (i64, Option<u64>, String, String);

fn reference(log: &str) -> (Counts, String) {
    let mut counts = Counts::default();
    let mut clock_ms = i64::MIN;
    let mut seen = BTreeSet::new();
    let mut by_entity = BTreeMap::<String, Vec<Observation>>::new();
    for line in log.lines().filter(|line| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        let (Some(time_ms), Some(kind)) = (record["ts"].as_i64(), record["kind"].as_str()) else {
            counts.dead += 1;
            continue;
        };
        clock_ms = clock_ms.max(time_ms);
        let (entity, state) = (record["entity"].as_str(), record["state"].as_str());
        let (Some(entity), Some(state @ ("ready" | "unready")), "readiness") =
            (entity, state, kind)
        else {
            counts.unmatched += 1;
            continue;
        };
        // A number that this order of keys gives to all copies alike.
        let content = (time_ms, entity.to_owned(), record["seq"].as_u64(), state.to_owned());
        if clock_ms - time_ms > LATENESS_MS {
            counts.late += 1;
        } else if !seen.insert(content) {
            counts.duplicates += 1;
        } else {
            counts.used += 1;
            let observation = (time_ms, record["seq"].as_u64(), line.to_owned(), state.to_owned());
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
