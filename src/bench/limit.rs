//! The limit program beside the replay: the same file, in turn, and the same rows.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::measure::{Cost, program};
use super::table::{Ratio, Row};
use super::whole::Replays;
use super::{Bench, Failure};

const PARTS: usize = 2;

/// What the limit program says of itself when it ends.
#[derive(Deserialize)]
struct Said {
    events: u64,
    cpu_seconds: f64,
    peak_rss_bytes: u64,
}

/// Measures the replay of a file and the limit program with one thread; and both on the file in
/// two parts, where the limit program has two threads. What it does with what it reads is held
/// against reading alone, its own and a library's.
pub(super) fn in_turn(
    bench: &mut Bench<'_>,
    replays: &Replays,
    limit: &Path,
) -> Result<(), Failure> {
    program(Command::new(limit).arg(replays.log()).args(["--split", &PARTS.to_string()]))?;
    let part = |number| PathBuf::from(format!("{}.{number}", replays.log().display()));
    let parts: Vec<_> = (0..PARTS).map(part).collect();
    let of_parts = replays.of_parts(parts.clone());
    let whole = [replays.log().to_owned()];
    let out = bench.place.dir.join("limit.ndjson");
    let events = bench.settings.workload.events;
    let mut costs: [Vec<Cost>; 6] = Default::default();
    for _ in 0..bench.settings.runs {
        // What an earlier run wrote must not pass for what this one has.
        let _ = fs::remove_file(&out);
        costs[0].push(replays.run()?);
        costs[1].push(run(limit, &whole, &["--out".as_ref(), out.as_os_str()], events)?);
        compare(&replays.episodes(), &out)?;
        let _ = fs::remove_file(&out);
        costs[2].push(of_parts.run()?);
        costs[3].push(run(limit, &parts, &["--out".as_ref(), out.as_os_str()], events)?);
        compare(&of_parts.episodes(), &out)?;
        costs[4].push(run(limit, &whole, &["--parse-only".as_ref()], events)?);
        costs[5].push(run(limit, &whole, &["--parse-lazily".as_ref()], events)?);
    }
    let workers = bench.settings.workers;
    let [whole, limit_whole, in_parts, limit_parts, parsing, lazy] = costs;
    let rows = [
        Row::new("end-to-end/flat", Some(workers), whole),
        Row::new("limit, 1 thread", Some(1), limit_whole),
        Row::new("end-to-end/flat in 2 files", Some(workers), in_parts),
        Row::new("limit, 2 threads on 2 files", Some(2), limit_parts),
        Row::new("limit, only parsing", Some(1), parsing),
        Row::new("4 fields by sonic-rs, lazily", Some(1), lazy),
    ];
    bench.ratios.push(Ratio::new(&rows[0], &rows[1]));
    bench.ratios.push(Ratio::new(&rows[2], &rows[3]));
    bench.ratios.push(Ratio::new(&rows[1], &rows[4]));
    bench.ratios.push(Ratio::new(&rows[1], &rows[5]));
    bench.rows.extend(rows);
    Ok(())
}

fn run(limit: &Path, logs: &[PathBuf], args: &[&OsStr], events: u64) -> Result<Cost, Failure> {
    let (cost, output) = program(Command::new(limit).args(logs).args(args))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.lines().last().and_then(|line| serde_json::from_str(line).ok()) {
        Some(Said { events: read, .. }) if read != events => {
            Err(Failure::RowsDiffer(format!("the limit program read {read} of {events} events")))
        }
        Some(Said { cpu_seconds, peak_rss_bytes, .. }) => {
            Ok(Cost { cpu_seconds, peak_bytes: Some(peak_rss_bytes), ..cost })
        }
        None => Err(Failure::Program(format!("{} said: {said}", limit.display()))),
    }
}

/// What a row of either program says.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Episode {
    since: String,
    entity: String,
    state: String,
    until: Option<String>,
    decided: String,
}

#[derive(Deserialize)]
struct Published {
    data: Episode,
}

/// Whether both programs found the same.
fn compare(episodes: &Path, limit: &Path) -> Result<(), Failure> {
    let ours = rows(episodes, |line| serde_json::from_str(line).map(|p: Published| p.data))?;
    let theirs = rows(limit, |line| serde_json::from_str(line))?;
    if ours == theirs {
        return Ok(());
    }
    let differing = ours.iter().zip(&theirs).find(|(one, other)| one != other);
    let counts = (ours.len(), theirs.len());
    Err(Failure::RowsDiffer(format!(
        "the replay and the limit program differ: {counts:?} rows; the first that differ (if not \
         at the end): {differing:?}"
    )))
}

fn rows(
    path: &Path,
    read: impl Fn(&str) -> Result<Episode, serde_json::Error>,
) -> Result<Vec<Episode>, Failure> {
    let text = fs::read_to_string(path).map_err(Failure::file(path))?;
    let rows = text.lines().map(read).collect::<Result<Vec<_>, _>>();
    let mut rows =
        rows.map_err(|error| Failure::RowsDiffer(format!("{}: no row: {error}", path.display())))?;
    rows.sort();
    Ok(rows)
}
