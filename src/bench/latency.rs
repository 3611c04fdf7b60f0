//! How long it takes from a change to the row that tells it, where a replay follows its input.
//!
//! The replay is a process of its own, with nothing left out: what comes through a pipe is appended
//! to a log, durably, and followed from there; rows are read from the file of the updates so far.
//! First events come as fast as they are taken, which is the peak; then at a share of it, each at the
//! instant at which it is due, whether or not the pipe had room then. So what has to wait for the
//! replay counts as its delay. A row tells no sooner than when the tick is over in which its event
//! arrived, which is half a tick on the average; and an event that arrives within the tick in which it
//! happened is told with the next, so that events are dated as an agent sends them, a little earlier.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use memchr::memmem::Finder;
use serde::Serialize;

use super::lines::push_dated;
use super::measure::{Machine, Span, pause, unix_ns};
use super::workload::Workload;
use super::{Failure, Settings};
use crate::model::time::parse_rfc3339;

const RULES: &str = include_str!("latency.yaml");
/// The grid of logical times.
const TICK: &str = "10ms";
/// At which share of the peak.
const SHARE: f64 = 0.5;
/// For how long, and how much of it does not count: until as much is remembered as will be.
const PACED_SECONDS: f64 = 26.0;
const WARM_UP_NS: i64 = 6_000_000_000;
/// How long before an event is due it has happened.
const AGE_NS: i64 = 20_000_000;
/// How often what is due is written, and the updates are looked at.
const WRITE_EVERY: Duration = Duration::from_micros(500);
const LOOK_EVERY: Duration = Duration::from_micros(250);
const CHUNK_BYTES: usize = 1 << 16;
/// Of the delays, in nanoseconds: a quantile is off by one in a thousand at most.
const DIGITS: u8 = 3;
/// What stands before the path of the updates so far.
const SO_FAR: &str = "updates so far are in ";

/// One round.
#[derive(Debug, Serialize)]
struct Round {
    /// As fast as they are taken.
    peak_events_per_second: f64,
    /// As they came then.
    events_per_second: f64,
    rows: u64,
    median_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of the replay, of a second.
    cpu_seconds: f64,
    peak_rss_bytes: Option<u64>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    tick: &'static str,
    entities: u32,
    workers: usize,
    rounds: Vec<Round>,
}

/// Measures, and says what came of it.
pub(super) fn run(
    settings: &Settings,
    dir: &Path,
    machine: Machine,
    progress: &dyn Fn(&str),
) -> Result<String, Failure> {
    let rules = dir.join("latency.yaml");
    fs::write(&rules, RULES).map_err(Failure::file(&rules))?;
    let mut rounds = Vec::new();
    for _ in 0..settings.runs {
        progress("latency, as fast as can be");
        let replay = Replay::start(&rules, dir, settings.workers)?;
        let span = Span::start();
        let rest = replay.feed(&settings.workload, None)?;
        rest.end(settings.workload.events)?;
        let peak = settings.workload.events as f64 / span.end().seconds;

        progress("latency, paced");
        let rate = peak * SHARE;
        let events = (rate * PACED_SECONDS) as u64;
        let workload = Workload { events, ..settings.workload.clone() };
        let span = Span::start();
        let replay = Replay::start(&rules, dir, settings.workers)?;
        let told = replay.feed(&workload, Some(rate))?.end(events)?;
        let cost = span.end();
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        let at = |quantile| milliseconds(told.delays.value_at_quantile(quantile));
        rounds.push(Round {
            peak_events_per_second: peak.round(),
            events_per_second: rate.round(),
            rows: told.delays.len(),
            median_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: milliseconds(told.delays.max()),
            cpu_seconds: cost.cpu_seconds / cost.seconds,
            peak_rss_bytes: told.peak_rss_bytes,
        });
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine,
        tick: TICK,
        entities: settings.workload.entities,
        workers: settings.workers,
        rounds,
    };
    if let Some(path) = &settings.json {
        let mut json = serde_json::to_vec_pretty(&report).expect("plain values encode");
        json.push(b'\n');
        fs::write(path, json).map_err(Failure::file(path))?;
    }
    Ok(text(&report))
}

/// A replay that follows its standard input.
struct Replay {
    child: Child,
    out: PathBuf,
    looking: Looking,
}

impl Replay {
    /// Starts one with a new log.
    fn start(rules: &Path, dir: &Path, workers: usize) -> Result<Self, Failure> {
        let (log, out) = (dir.join("latency-log"), dir.join("latency-out"));
        for left in [&log, &out] {
            let _ = fs::remove_dir_all(left);
        }
        let program = |error: io::Error| Failure::Program(format!("the replay: {error}"));
        let limbeck = std::env::current_exe().map_err(program)?;
        let mut command = Command::new(limbeck);
        command.args(["replay", "--log", "-", "--follow", "--tick", TICK]);
        command.args(["--workers", &workers.to_string()]).arg("--append").arg(&log);
        command.arg("--rules").arg(rules).arg("--out").arg(&out);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(program)?;
        let stderr =
            child.stderr.take().ok_or_else(|| program(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, out, looking: Looking::start(stderr) })
    }

    /// Writes events, so many a second or as fast as can be.
    fn feed(mut self, workload: &Workload, rate: Option<f64>) -> Result<Self, Failure> {
        let pipe = self.child.stdin.take();
        let fed = pipe.ok_or(io::ErrorKind::BrokenPipe.into());
        let fed = fed.and_then(|mut pipe| feed(&mut pipe, workload, rate));
        fed.map_err(|error| Failure::Program(format!("the replay: {error}")))?;
        Ok(self)
    }

    /// Waits until it has ended and all rows are read.
    fn end(mut self, events: u64) -> Result<Told, Failure> {
        let status = self.child.wait().map_err(|error| Failure::Program(error.to_string()))?;
        let (delays, said) = self.looking.end();
        if !status.success() {
            return Err(Failure::Program(format!("the replay ended with {status}: {said}")));
        }
        let path = self.out.join("summary.json");
        let summary = fs::read(&path).map_err(Failure::file(&path))?;
        let summary: serde_json::Value =
            serde_json::from_slice(&summary).expect("a summary is JSON");
        let delays = delays.map_err(Failure::file(&self.out))?;
        if summary["records"] != events || summary["late"] != 0 || summary["dead_letters"] != 0 {
            return Err(Failure::RowsDiffer(format!("{events} events became {summary}")));
        }
        Ok(Told { delays, peak_rss_bytes: summary["peak_rss_bytes"].as_u64() })
    }
}

fn feed(pipe: &mut ChildStdin, workload: &Workload, rate: Option<f64>) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 1024);
    let start_ns = unix_ns();
    let mut now_ns = start_ns;
    for (number, event) in workload.events().enumerate() {
        let due_ns = match rate {
            Some(rate) => start_ns + (number as f64 * 1e9 / rate) as i64,
            None => now_ns,
        };
        while due_ns > now_ns {
            if !chunk.is_empty() {
                pipe.write_all(&chunk)?;
                chunk.clear();
            }
            now_ns = unix_ns();
            if due_ns > now_ns {
                pause(WRITE_EVERY);
                now_ns = unix_ns();
            }
        }
        push_dated(&mut chunk, (due_ns - AGE_NS).cast_unsigned(), &event, workload.seed);
        if chunk.len() >= CHUNK_BYTES {
            pipe.write_all(&chunk)?;
            chunk.clear();
            now_ns = unix_ns();
        }
    }
    pipe.write_all(&chunk)
}

/// What a replay told.
struct Told {
    /// From changes to the rows that tell them, in nanoseconds.
    delays: Histogram<u64>,
    peak_rss_bytes: Option<u64>,
}

/// Looks at the updates as they come, from where a replay says that they are.
struct Looking {
    thread: JoinHandle<(io::Result<Histogram<u64>>, String)>,
    ended: Arc<AtomicBool>,
}

impl Looking {
    /// `said` is what the replay says. It does not say it before the first event has come.
    fn start(said: impl Read + Send + 'static) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut lines = BufReader::new(said).lines().map_while(Result::ok);
            let mut before = String::new();
            let path = lines.find_map(|line| {
                before += &line;
                line.split_once(SO_FAR).map(|(_, path)| PathBuf::from(path))
            });
            let delays = match path {
                Some(path) => File::open(path).and_then(|file| look(file, &stops)),
                None => Err(io::Error::other("it does not follow")),
            };
            (delays, lines.fold(before, |said, line| said + &line))
        });
        Self { thread, ended }
    }

    /// What was seen, now that nothing more is written; and what was said.
    fn end(self) -> (io::Result<Histogram<u64>>, String) {
        self.ended.store(true, Ordering::Release);
        self.thread.join().expect("it only reads")
    }
}

fn look(mut file: File, ended: &AtomicBool) -> io::Result<Histogram<u64>> {
    let mut delays = Histogram::new(DIGITS).expect("so many digits can be had");
    let since = Finder::new(r#","since":""#);
    let is_new = [r#","diff":1,"#, r#""until":null,"#, r#""revision":1}"#].map(Finder::new);
    let (mut bytes, mut filled) = (vec![0; 1 << 20], 0);
    let mut first_ns = None;
    loop {
        // Asked before it is read: what is read then is all.
        let is_last = ended.load(Ordering::Acquire);
        let count = file.read(&mut bytes[filled..])?;
        let now_ns = unix_ns();
        filled += count;
        let whole = memchr::memrchr(b'\n', &bytes[..filled]).map_or(0, |at| at + 1);
        for line in bytes[..whole].split(|byte| *byte == b'\n') {
            if !is_new.iter().all(|part| part.find(line).is_some()) {
                continue;
            }
            let time = since.find(line).and_then(|at| {
                line[at + since.needle().len()..].split(|byte| *byte == b'"').next()
            });
            let time = time.and_then(|time| parse_rfc3339(std::str::from_utf8(time).ok()?).ok());
            let time = time.ok_or_else(|| io::Error::other("an update has no beginning"))?;
            if time - *first_ns.get_or_insert(time) >= WARM_UP_NS {
                let delay = now_ns.saturating_sub(time + AGE_NS).max(0).cast_unsigned();
                delays.record(delay).map_err(io::Error::other)?;
            }
        }
        bytes.copy_within(whole..filled, 0);
        filled -= whole;
        match count {
            0 if is_last => return Ok(delays),
            0 => pause(LOOK_EVERY),
            _ => {}
        }
    }
}

fn text(report: &Report) -> String {
    let Machine { cores, model, load_before } = &report.machine;
    let mut text = format!(
        "limbeck {} on {cores} cores ({model}), load {load_before:.1} before\n\
         {} entities, {} workers, tick {}; from standard input through a log to the file of updates\n\n\
         {:>15} {:>13} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>8}\n",
        report.version,
        report.entities,
        report.workers,
        report.tick,
        "peak events/s",
        "paced at",
        "rows",
        "median ms",
        "p90 ms",
        "p99 ms",
        "most ms",
        "CPU s/s",
        "peak MB",
    );
    for round in &report.rounds {
        let peak = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
        text += &format!(
            "{:>15} {:>13} {:>9} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>7.2} {:>8}\n",
            round.peak_events_per_second,
            round.events_per_second,
            round.rows,
            round.median_ms,
            round.p90_ms,
            round.p99_ms,
            round.max_ms,
            round.cpu_seconds,
            round.peak_rss_bytes.map_or(String::from("-"), peak),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::format_rfc3339;

    #[test]
    fn new_episodes_behind_the_warm_up_are_counted() {
        let now_ns = unix_ns();
        let row = |diff: i32, ago_ns: i64, until: &str, revision: u32| {
            let since = format_rfc3339(now_ns - ago_ns);
            format!(
                "{{\"at\":\"-\",\"diff\":{diff},\"artifact\":{{\"data\":{{\"state\":\"ready\",\
                 \"since\":\"{since}\",\"until\":{until},\"revision\":{revision}}}}}}}\n"
            )
        };
        const HOUR_NS: i64 = 3_600_000_000_000;
        let rows = [
            row(1, 2 * HOUR_NS, "null", 1),
            row(1, HOUR_NS, "null", 1),
            row(-1, HOUR_NS, "null", 1),
            row(1, HOUR_NS, "\"-\"", 2),
            row(1, HOUR_NS, "null", 3),
        ];
        let dir = tempfile::tempdir().expect("a directory can be made");
        let path = dir.path().join("updates");
        fs::write(&path, rows.concat()).expect("it can be written");
        let said = format!("limbeck: following; {SO_FAR}{}\nand more\n", path.display());
        let (delays, said) = Looking::start(io::Cursor::new(said)).end();
        assert!(said.ends_with("and more"), "{said}");
        let delays = delays.expect("it can be read");
        assert_eq!(delays.len(), 1);
        let least = (HOUR_NS - AGE_NS).cast_unsigned();
        assert!(delays.min() >= least * 999 / 1000, "{}", delays.min());
    }
}
