//! The limit program: what can be reached for one rule by a program that does nothing else.
//!
//! It reads the flap workload in its flat shape and evaluates the rule of the benchmark: lateness
//! 5 s, hold 30 s for both states. Its rows are those of the contract.
//!
//!     cargo bench --bench limit -- FILE... --out OUT.ndjson [--threads N]
//!                                  [--parse-only | --parse-lazily]
//!     cargo bench --bench limit -- --generate FILE [--events N] [--entities N] [--seed N]
//!                                  [--disorder SECONDS] [--cloudevents]
//!     cargo bench --bench limit -- FILE --split N       writes FILE.0 and so on, by entity
//!     cargo bench --bench limit -- --self-test
//!
//! Several files are partitions, each with its own arrival, and share no entity; every file has its
//! own thread. One file and several threads share the work chunk by chunk.
//!
//! It judges every line as a whole, as the contract says, and finds repeats by the bytes of the
//! whole line, which it looks up in the file. `--parse-only` judges the lines and reads the fields,
//! no more; `--parse-lazily` reads the same four fields with a library that skips the others, on one
//! thread. What it relies on beyond the contract: times are whole milliseconds in digits, entities
//! are strings, sequences are numbers of at most 62 bits, and the files stay as they are while they
//! are read.

#![allow(
    unsafe_code,
    reason = "wide loads whose bounds are argued, mapped files, and the system's own counters"
)]
#![allow(missing_docs, reason = "a program, not a library")]

mod fold;
mod input;
mod lazy;
mod report;
mod scan;
mod self_test;

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Barrier, RwLock};

use limbeck::bench::workload::Workload;

use fold::{Counts, Key, Record, Table};
use input::{Block, Map};
use scan::{Fields, Layout, Line, scan};

/// So many records wait for the cache lines of their entities at a time.
const BATCH: usize = 32;

/// What the command line asks for.
#[derive(Default)]
struct Args {
    files: Vec<PathBuf>,
    out: Option<PathBuf>,
    threads: usize,
    parse_only: bool,
    parse_lazily: bool,
    split: usize,
    generate: Option<PathBuf>,
    cloudevents: bool,
    self_test: bool,
    workload: Workload,
}

impl Args {
    fn read() -> Result<Self, String> {
        let mut read = Self::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text}: no number"));
            match arg.as_str() {
                // Cargo says that this is a bench.
                "--bench" => {}
                "--out" => read.out = Some(value()?.into()),
                "--threads" => read.threads = number(value()?)? as usize,
                "--parse-only" => read.parse_only = true,
                "--parse-lazily" => read.parse_lazily = true,
                "--split" => read.split = number(value()?)? as usize,
                "--generate" => read.generate = Some(value()?.into()),
                "--cloudevents" => read.cloudevents = true,
                "--events" => read.workload.events = number(value()?)?,
                "--entities" => read.workload.entities = number(value()?)? as u32,
                "--seed" => read.workload.seed = number(value()?)?,
                "--disorder" => {
                    read.workload.disorder_ns = number(value()?)? as i64 * 1_000_000_000;
                }
                "--self-test" => read.self_test = true,
                file if !file.starts_with('-') => read.files.push(file.into()),
                other => return Err(format!("{other}: no such option")),
            }
        }
        Ok(read)
    }
}

fn main() -> ExitCode {
    let start = report::Start::now();
    let done = Args::read().and_then(|args| {
        if args.self_test {
            return self_test::run().map_err(|e| e.to_string());
        }
        if let Some(path) = &args.generate {
            return generate(path, &args).map_err(|e| format!("{}: {e}", path.display()));
        }
        // Without a file there is nothing to measure; `cargo bench` runs every bench so.
        if args.files.is_empty() {
            return Ok(());
        }
        if args.split > 0 {
            return split(&args.files[0], args.split).map_err(|e| e.to_string());
        }
        if args.parse_lazily {
            let events = lazy::parse(&args.files[0]).map_err(|e| e.to_string())?;
            start.report(events);
            return Ok(());
        }
        let events = run(&args).map_err(|e| e.to_string())?;
        start.report(events);
        Ok(())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("limit: {message}");
            ExitCode::FAILURE
        }
    }
}

fn generate(path: &Path, args: &Args) -> io::Result<()> {
    let mut file = File::create(path)?;
    if args.cloudevents {
        args.workload.write_cloudevents(&mut file)
    } else {
        args.workload.write_flat(&mut file)
    }
}

/// Writes the lines of each entity, in their order, to one of several files. Lines without an
/// entity go to the first.
fn split(path: &Path, parts: usize) -> io::Result<()> {
    let part_path = |part: usize| format!("{}.{part}", path.display());
    let mut outs = (0..parts)
        .map(|part| {
            File::create(part_path(part)).map(|file| BufWriter::with_capacity(1 << 20, file))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let file = Map::open(path)?;
    for chunk in file.chunks() {
        for line in chunk.lines().split_inclusive(|byte| *byte == b'\n') {
            let mut part = 0;
            scan::read(line, &mut Layout::unknown(), &mut |line| {
                if let Line::Matched(fields) = line {
                    part = (Key::new(fields.entity).hash() % parts as u64) as usize;
                }
            });
            outs[part].write_all(line)?;
        }
    }
    outs.iter_mut().try_for_each(|out| out.flush())
}

/// Runs what was asked for; the number of records read.
fn run(args: &Args) -> io::Result<u64> {
    let threads = args.threads.max(1);
    let files = args.files.iter().map(|path| Map::open(path)).collect::<io::Result<Vec<_>>>()?;
    let (tables, clock_ms, counts) = if files.len() > 1 || threads == 1 {
        run_files(&files, args.parse_only)
    } else {
        run_chunks(&files[0], threads, args.parse_only)
    };
    if let (Some(out), false) = (&args.out, args.parse_only) {
        report::write_episodes(out, tables, clock_ms)?;
    }
    Ok(counts.used + counts.late + counts.duplicates + counts.unmatched + counts.dead)
}

type Outcome<'a> = (Vec<Table<'a>>, i64, Counts);

fn join(outcomes: Vec<(Table<'_>, i64)>) -> Outcome<'_> {
    let mut tables = Vec::new();
    let mut clock_ms = i64::MIN;
    let mut counts = Counts::default();
    for (table, last_ms) in outcomes {
        clock_ms = clock_ms.max(last_ms);
        counts.add(&table.counts);
        tables.push(table);
    }
    (tables, clock_ms, counts)
}

/// Every file with a thread of its own; a single one with this thread.
fn run_files(files: &[Map], parse_only: bool) -> Outcome<'_> {
    let run_file = if parse_only { parse_file } else { evaluate_file };
    if let [file] = files {
        return join(vec![run_file(file)]);
    }
    join(std::thread::scope(|scope| {
        let threads: Vec<_> =
            files.iter().map(|file| scope.spawn(move || run_file(file))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    }))
}

/// Uses every field, so that none of the reading can be left out.
#[inline]
fn consume(sum: u64, fields: &Fields<'_>) -> u64 {
    let entity =
        fields.entity.len() as u64 + u64::from(fields.entity.first().copied().unwrap_or(0));
    sum.wrapping_add(fields.time_ms as u64)
        .wrapping_add(fields.sequence)
        .wrapping_add(u64::from(fields.unready))
        .wrapping_add(entity)
}

/// Judges the lines and reads the fields: the floor of every evaluation.
fn parse_file(file: &Map) -> (Table<'_>, i64) {
    let mut table = Table::new(file.bytes());
    let mut layout = Layout::unknown();
    let mut sum = 0;
    for chunk in file.chunks() {
        scan(chunk, &mut layout, &mut |line| match line {
            Line::Matched(fields) => {
                sum = consume(sum, &fields);
                table.counts.used += 1;
            }
            other => _ = table.counts.count(&other),
        });
    }
    black_box(sum);
    (table, i64::MIN)
}

/// Evaluates the rule on one file. Records wait in a batch while the cache lines of their entities
/// are on the way.
fn evaluate_file(file: &Map) -> (Table<'_>, i64) {
    let mut table = Table::new(file.bytes());
    let mut layout = Layout::unknown();
    let mut clock_ms = i64::MIN;
    let mut batch = Vec::with_capacity(BATCH);
    let mut text = Vec::new();
    for chunk in file.chunks() {
        scan(chunk, &mut layout, &mut |line| match line {
            Line::Matched(fields) => {
                clock_ms = clock_ms.max(fields.time_ms);
                let record = Record::new(&fields, file.bytes(), &mut text, clock_ms);
                table.prefetch(record.hash);
                batch.push(record);
                if batch.len() == BATCH {
                    table.apply_all(&batch, &text, i64::MIN);
                    batch.clear();
                    text.clear();
                }
            }
            other => clock_ms = clock_ms.max(table.counts.count(&other)),
        });
    }
    table.apply_all(&batch, &text, i64::MIN);
    (table, clock_ms)
}

/// What one thread has read of one chunk, by the thread that keeps the entity.
struct Read {
    records: Vec<Vec<Record>>,
    text: Vec<u8>,
    clock_ms: i64,
}

/// Evaluates the rule on one file with several threads. In every round each reads one chunk and
/// hands the records to the threads that keep their entities; these take them in, chunk by chunk in
/// the order of the file. Two sets of buffers make one meeting a round enough.
fn run_chunks(file: &Map, threads: usize, parse_only: bool) -> Outcome<'_> {
    let empty = || {
        let records = vec![Vec::new(); threads];
        RwLock::new(Read { records, text: Vec::new(), clock_ms: i64::MIN })
    };
    let sets: [Vec<_>; 2] = std::array::from_fn(|_| (0..threads).map(|_| empty()).collect());
    let barrier = Barrier::new(threads);
    let work = |me: usize| {
        let mut table = Table::new(file.bytes());
        let mut layout = Layout::unknown();
        let (mut clock_ms, mut sum) = (i64::MIN, 0);
        for round in 0..file.count().div_ceil(threads) {
            let set = &sets[round % 2];
            let chunk = file.chunk(round * threads + me);
            if parse_only {
                scan(chunk, &mut layout, &mut |line| match line {
                    Line::Matched(fields) => {
                        sum = consume(sum, &fields);
                        table.counts.used += 1;
                    }
                    other => _ = table.counts.count(&other),
                });
                continue;
            }
            let mut mine = set[me].write().expect("no thread panics");
            mine.refill(chunk, file.bytes(), &mut layout, &mut table);
            drop(mine);
            barrier.wait();
            for read in set {
                let read = read.read().expect("no thread panics");
                for batch in read.records[me].chunks(BATCH) {
                    batch.iter().for_each(|record| table.prefetch(record.hash));
                    table.apply_all(batch, &read.text, clock_ms);
                }
                clock_ms = clock_ms.max(read.clock_ms);
            }
        }
        black_box(sum);
        (table, clock_ms)
    };
    let work = &work;
    join(std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|me| scope.spawn(move || work(me))).collect();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    }))
}

impl Read {
    /// Reads a chunk. Its clock starts anew: what came before is known when it is taken in.
    fn refill(
        &mut self,
        chunk: Block<'_>,
        file: &[u8],
        layout: &mut Layout,
        table: &mut Table<'_>,
    ) {
        self.records.iter_mut().for_each(Vec::clear);
        self.text.clear();
        let mut clock_ms = i64::MIN;
        let keepers = self.records.len() as u64;
        scan(chunk, layout, &mut |line| match line {
            Line::Matched(fields) => {
                clock_ms = clock_ms.max(fields.time_ms);
                let record = Record::new(&fields, file, &mut self.text, clock_ms);
                // The table uses the high bits of the hash.
                let keeper = (record.hash as u32 as u64 * keepers) >> 32;
                self.records[keeper as usize].push(record);
            }
            other => clock_ms = clock_ms.max(table.counts.count(&other)),
        });
        self.clock_ms = clock_ms;
    }
}
