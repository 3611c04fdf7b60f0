//! What is written at the end: the episodes, and what the run has cost.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use limbeck::model::time::push_rfc3339;

use super::fold::{Episode, HOLD_MS, OPEN, Table};

const DAY_MS: i64 = 86_400_000;

/// Ends the log at `clock_ms` and writes all episodes, sorted by since, entity and state.
pub(crate) fn write_episodes(path: &Path, tables: Vec<Table<'_>>, clock_ms: i64) -> io::Result<()> {
    File::create(path)?.write_all(&episodes(tables, clock_ms))
}

/// The episodes as NDJSON.
pub(crate) fn episodes(mut tables: Vec<Table<'_>>, clock_ms: i64) -> Vec<u8> {
    let mut rows = Vec::new();
    for (number, table) in tables.iter_mut().enumerate() {
        table.finish(clock_ms);
        rows.extend(std::mem::take(&mut table.episodes).into_iter().map(|row| (number, row)));
    }
    rows.sort_unstable_by(|a, b| {
        let since = a.1.since_ms.cmp(&b.1.since_ms);
        since.then_with(|| by_name(&tables, a, b)).then(a.1.unready.cmp(&b.1.unready))
    });
    let mut out = Vec::with_capacity(rows.len() * 160);
    let mut day = Day { start_ms: i64::MIN, date: Vec::new() };
    for (number, row) in rows {
        let mut short = [0; 16];
        out.extend_from_slice(b"{\"entity\":");
        push_string(&mut out, tables[number].name(&row.key, &mut short));
        out.extend_from_slice(b",\"state\":");
        out.extend_from_slice(if row.unready { b"\"unready\"" } else { b"\"ready\"" });
        out.extend_from_slice(b",\"since\":");
        day.push_time(&mut out, row.since_ms);
        out.extend_from_slice(b",\"until\":");
        match row.until_ms {
            OPEN => out.extend_from_slice(b"null"),
            until_ms => day.push_time(&mut out, until_ms),
        }
        out.extend_from_slice(b",\"decided\":");
        day.push_time(&mut out, row.since_ms + HOLD_MS);
        out.extend_from_slice(b"}\n");
    }
    out
}

fn by_name(tables: &[Table<'_>], a: &(usize, Episode), b: &(usize, Episode)) -> Ordering {
    let (mut short_a, mut short_b) = ([0; 16], [0; 16]);
    let name_a = tables[a.0].name(&a.1.key, &mut short_a);
    name_a.cmp(tables[b.0].name(&b.1.key, &mut short_b))
}

fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().all(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    } else {
        let text = String::from_utf8_lossy(text);
        serde_json::to_writer(out, &*text).expect("a Vec takes every write");
    }
}

/// The day of the last time: most times share it, and the calendar is slow.
struct Day {
    start_ms: i64,
    date: Vec<u8>,
}

impl Day {
    fn push_time(&mut self, out: &mut Vec<u8>, time_ms: i64) {
        let start_ms = time_ms.div_euclid(DAY_MS) * DAY_MS;
        if start_ms != self.start_ms {
            self.start_ms = start_ms;
            self.date.clear();
            push_rfc3339(&mut self.date, start_ms * 1_000_000);
            self.date.truncate("2026-01-01T".len());
        }
        let ms = (time_ms - start_ms) as u32;
        let digit = |number: u32| b'0' + (number % 10) as u8;
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        out.push(b'"');
        out.extend_from_slice(&self.date);
        out.extend_from_slice(&[
            digit(hour / 10),
            digit(hour),
            b':',
            digit(minute / 10),
            digit(minute),
            b':',
            digit(second / 10),
            digit(second),
            b'.',
            digit(ms / 100),
            digit(ms / 10),
            digit(ms),
        ]);
        out.extend_from_slice(b"Z\"");
    }
}

/// When the run started.
pub(crate) struct Start(Instant);

impl Start {
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Prints what the run has cost so far as one line of JSON.
    pub(crate) fn report(&self, events: u64) {
        let seconds = self.0.elapsed().as_secs_f64();
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the call fills the whole structure, which is valid as zeros in any case.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        let time = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let cpu_seconds = time(usage.ru_utime) + time(usage.ru_stime);
        eprintln!(
            "{{\"events\":{events},\"seconds\":{seconds:.4},\"events_per_second\":{:.0},\
             \"cpu_seconds\":{cpu_seconds:.4},\"peak_rss_bytes\":{}}}",
            events as f64 / seconds,
            peak_rss_bytes(),
        );
    }
}

/// The peak of this program alone: what `getrusage` says includes the program that started it.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0_u64) * 1024
}
