//! The soak: many hours of telemetry at full speed, of pods that die and are replaced, to see
//! whether memory stays where it is.
//!
//! The replay is a process of its own with all outputs, and nothing is left out of it. The log comes
//! through a pipe as it is generated, so that none is on disk; the pipe and the blocks behind it
//! hold a few seconds of it, by which the memory of an instant may belong to an earlier one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, IntoDrawingArea, IntoFont, LineSeries, SVGBackend, WHITE,
};
use serde::Serialize;

use super::lines::push_fleeting;
use super::measure::{Cost, Machine, Span};
use super::workload::{START_MS, Workload};
use super::{Failure, Settings};

const RULES: &str = include_str!("soak.yaml");
const CHUNK_BYTES: usize = 1 << 16;
const MINUTE_MS: i64 = 60_000;
const HOUR_NS: i64 = 3_600_000_000_000;
/// Memory has come to rest by the end of this hour, counted from 1, ...
const HOUR_AT_REST: usize = 2;
/// ... and is not to be more than so many times as much in the last. Sorts fill their memory and
/// empty it several times an hour: so what counts is the most of an hour.
const GROWTH_MAX: f64 = 1.05;

/// How long, and how much.
#[derive(Clone, Debug)]
pub struct Soak {
    /// Hours of event time.
    pub hours: u32,
    /// Events of a second of event time.
    pub rate: u32,
    /// Pods that are alive at one time; each lives for an hour.
    pub entities: u32,
    /// Where a chart of the memory goes, as SVG.
    pub chart: Option<PathBuf>,
}

impl Soak {
    fn workload(&self, seed: u64) -> Workload {
        Workload {
            seed,
            entities: self.entities,
            events: u64::from(self.rate) * 3_600 * u64::from(self.hours),
            changes_share: 0.1,
            span_ns: i64::from(self.hours) * HOUR_NS,
            ..Workload::default()
        }
    }
}

/// The memory of a replay behind so much of its log.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    /// Of event time, from the start.
    minutes: i64,
    rss_bytes: u64,
}

/// The samples of an hour of event time.
#[derive(Debug, Serialize)]
struct Hour {
    /// From 1.
    hour: usize,
    rss_bytes_min: u64,
    rss_bytes_median: u64,
    rss_bytes_max: u64,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    hours: u32,
    rate: u32,
    entities: u32,
    seed: u64,
    workers: usize,
    events: u64,
    seconds: f64,
    /// Of the replay, without the generator.
    cpu_seconds: f64,
    events_per_second: f64,
    peak_rss_bytes: Option<u64>,
    episodes: u64,
    updates: u64,
    /// Of all files.
    output_bytes: u64,
    by_hour: Vec<Hour>,
    /// The most of the last hour by that of the second; `None` if there is no later hour.
    growth: Option<f64>,
    samples: Vec<Sample>,
}

/// Soaks, and says what came of it.
pub(super) fn run(
    settings: &Settings,
    dir: &Path,
    machine: Machine,
    progress: &dyn Fn(&str),
) -> Result<String, Failure> {
    let out = dir.join("soak-out");
    // What an earlier run wrote must not pass for what this one has.
    let _ = fs::remove_dir_all(&out);
    let rules = dir.join("soak.yaml");
    fs::write(&rules, RULES).map_err(Failure::file(&rules))?;
    let workload = settings.soak.workload(settings.workload.seed);
    let span = Span::start();
    let mut replay = start(&rules, &out, settings.workers)?;
    let samples = feed(&mut replay, &workload, progress);
    let ended = replay.wait_with_output().map_err(|error| Failure::Program(error.to_string()))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(Failure::Program(format!("the replay ended with {}: {said}", ended.status)));
    }
    let samples = samples.map_err(|error| Failure::Program(format!("the replay: {error}")))?;
    let report = report(settings, (workload.events, span.end()), machine, samples, &out)?;
    if let Some(path) = &settings.json {
        let mut json = serde_json::to_vec_pretty(&report).expect("plain values encode");
        json.push(b'\n');
        fs::write(path, json).map_err(Failure::file(path))?;
    }
    if let Some(path) = &settings.soak.chart {
        let chart = chart(&report).map_err(|error| Failure::Program(error.to_string()))?;
        fs::write(path, chart).map_err(Failure::file(path))?;
    }
    let text = text(&report);
    match report.growth {
        Some(growth) if growth > GROWTH_MAX => Err(Failure::MemoryGrew(text)),
        _ => Ok(text),
    }
}

/// Starts a replay of standard input.
fn start(rules: &Path, out: &Path, workers: usize) -> Result<Child, Failure> {
    let limbeck = std::env::current_exe();
    let limbeck =
        limbeck.map_err(|error| Failure::Program(format!("this program is nowhere: {error}")))?;
    let mut command = Command::new(&limbeck);
    command.args(["replay", "--log", "-", "--workers", &workers.to_string()]);
    command.arg("--rules").arg(rules).arg("--out").arg(out);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn();
    child.map_err(|error| Failure::Program(format!("{}: {error}", limbeck.display())))
}

/// Writes the log, and looks at the memory of who reads it after each minute of event time.
fn feed(
    replay: &mut Child,
    workload: &Workload,
    progress: &dyn Fn(&str),
) -> io::Result<Vec<Sample>> {
    let mut pipe = replay.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 1024);
    let mut samples = Vec::new();
    let mut minutes = 0;
    for event in workload.events() {
        while event.arrival_ms >= START_MS + (minutes + 1) * MINUTE_MS {
            minutes += 1;
            samples.push(Sample { minutes, rss_bytes: rss_bytes(replay.id())? });
            if minutes % 60 == 0 {
                progress(&format!("soak, hour {}", minutes / 60));
            }
        }
        push_fleeting(&mut chunk, &event, workload.seed);
        if chunk.len() >= CHUNK_BYTES {
            pipe.write_all(&chunk)?;
            chunk.clear();
        }
    }
    pipe.write_all(&chunk)?;
    samples.push(Sample { minutes: minutes + 1, rss_bytes: rss_bytes(replay.id())? });
    Ok(samples)
}

/// The memory that a process has now, as the kernel counts it.
fn rss_bytes(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    let missing = || io::Error::other("the kernel does not say how much memory it has");
    kilobytes.map(|kilobytes: u64| kilobytes * 1024).ok_or_else(missing)
}

fn report(
    settings: &Settings,
    (events, cost): (u64, Cost),
    machine: Machine,
    samples: Vec<Sample>,
    out: &Path,
) -> Result<Report, Failure> {
    let path = out.join("summary.json");
    let summary = fs::read(&path).map_err(Failure::file(&path))?;
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("a summary is JSON");
    let number = |name: &str| summary[name].as_u64().unwrap_or_default();
    if number("records") != events || summary["late"] != 0 || summary["dead_letters"] != 0 {
        let what = format!("{events} events became {summary}");
        return Err(Failure::RowsDiffer(what));
    }
    let files = fs::read_dir(out).map_err(Failure::file(out))?.flatten();
    let output_bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let by_hour = by_hour(&samples);
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        machine,
        hours: settings.soak.hours,
        rate: settings.soak.rate,
        entities: settings.soak.entities,
        seed: settings.workload.seed,
        workers: settings.workers,
        events,
        seconds: cost.seconds,
        cpu_seconds: cost.cpu_seconds,
        events_per_second: (events as f64 / cost.seconds).round(),
        peak_rss_bytes: summary["peak_rss_bytes"].as_u64(),
        episodes: number("episodes"),
        updates: number("updates"),
        output_bytes,
        growth: growth(&by_hour),
        by_hour,
        samples,
    })
}

fn by_hour(samples: &[Sample]) -> Vec<Hour> {
    let hours = samples.chunk_by(|one, other| (one.minutes - 1) / 60 == (other.minutes - 1) / 60);
    let hours = hours.enumerate().map(|(number, samples)| {
        let mut bytes: Vec<_> = samples.iter().map(|sample| sample.rss_bytes).collect();
        bytes.sort_unstable();
        Hour {
            hour: number + 1,
            rss_bytes_min: bytes[0],
            rss_bytes_median: bytes[bytes.len() / 2],
            rss_bytes_max: bytes[bytes.len() - 1],
        }
    });
    hours.collect()
}

fn growth(by_hour: &[Hour]) -> Option<f64> {
    let at_rest = by_hour.get(HOUR_AT_REST - 1)?;
    let last = by_hour.last().filter(|last| last.hour > at_rest.hour)?;
    Some(last.rss_bytes_max as f64 / at_rest.rss_bytes_max as f64)
}

fn text(report: &Report) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mut text = format!(
        "limbeck {}, soak: {} h of event time, {} events per second, {} pods alive, seed {}\n\
         {} events on {} workers in {:.0} s: {:.3} M events/s, {:.0} CPU s\n\
         {} updates, {} episodes, {:.0} MB of outputs\n\n\
         {:>5} {:>16} {:>8} {:>8}\n",
        report.version,
        report.hours,
        report.rate,
        report.entities,
        report.seed,
        report.events,
        report.workers,
        report.seconds,
        report.events_per_second / 1e6,
        report.cpu_seconds,
        report.updates,
        report.episodes,
        megabytes(report.output_bytes),
        "hour",
        "RSS MB, median",
        "least",
        "most",
    );
    for Hour { hour, rss_bytes_min, rss_bytes_median, rss_bytes_max } in &report.by_hour {
        let [least, median, most] =
            [rss_bytes_min, rss_bytes_median, rss_bytes_max].map(|bytes| megabytes(*bytes));
        text += &format!("{hour:>5} {median:>16.1} {least:>8.1} {most:>8.1}\n");
    }
    if let Some(growth) = report.growth {
        let change = 100.0 * (growth - 1.0);
        text += &format!(
            "\nthe most of the last hour by that of hour {HOUR_AT_REST}: {change:+.1} % (at most 5)\n"
        );
    }
    text
}

/// Memory over event time.
fn chart(report: &Report) -> Result<String, Box<dyn std::error::Error>> {
    const SIZE: (u32, u32) = (900, 360);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let points = report.samples.iter();
        let points = points.map(|s| (s.minutes as f64 / 60.0, s.rss_bytes as f64 / 1e6));
        let most = points.clone().map(|(_, megabytes)| megabytes).fold(0.0, f64::max);
        let caption = format!(
            "RSS of a replay: {} events per second, {} pods alive, each for an hour",
            report.rate, report.entities
        );
        let mut chart = ChartBuilder::on(&area)
            .caption(caption, ("sans-serif", 16).into_font().color(&BLACK))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..f64::from(report.hours), 0.0..(1.2 * most))?;
        chart.configure_mesh().x_desc("hours of event time").y_desc("MB").draw()?;
        chart.draw_series(LineSeries::new(points, &BLUE))?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_the_second_hour_to_the_last() {
        let sample =
            |minutes| Sample { minutes, rss_bytes: 100 + 10 * ((minutes as u64 - 1) / 60) };
        let hours = |count: i64| by_hour(&(1..=60 * count).map(sample).collect::<Vec<_>>());
        assert_eq!(
            hours(3).iter().map(|hour| hour.rss_bytes_max).collect::<Vec<_>>(),
            [100, 110, 120]
        );
        assert_eq!(growth(&hours(2)), None);
        assert_eq!(growth(&hours(4)), Some(130.0 / 110.0));
    }
}
