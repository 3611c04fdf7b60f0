//! What it costs to bring a batch of records elsewhere: moved to another thread, or encoded and
//! decoded for another process.
//!
//!     cargo bench --bench codec [-- --records N --runs N]
//!
//! Between threads records are moved; between processes timely encodes them with bincode. Files of
//! the engine are postcard. abomonation, which timely once used, is here for comparison alone, and
//! can be nowhere else: it is unsound by design (RUSTSEC-2021-0120, no version is patched). It
//! writes memory as it is, padding included, and takes any bytes for values; what it decodes are
//! references into the buffer, and to own a record it must be cloned.
//!
//! The plain record is the engine's own with `String` for its inline text, for which abomonation
//! has an implementation; the sighting is the engine's own.

#![allow(missing_docs, reason = "a program, not a library")]
#![allow(deprecated, reason = "the macro of abomonation 0.7 is; its successor derives the same")]
#![allow(
    unsafe_code,
    reason = "abomonation has no safe function; it reads only what it wrote here"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use abomonation::{Abomonation, unsafe_abomonate};
use limbeck::model::sighting::{Match, Position, Sighting};
use limbeck::model::tie::Tie;
use limbeck::model::{Id, Sequence};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Records of one batch, as many as the engine's.
const BATCH: usize = 2_400;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Plain {
    entity: String,
    source: String,
    logical_ns: i64,
    arrival_ns: i64,
    partition: u32,
    line: u64,
    event_time_ns: i64,
    fingerprint: (u64, u64),
    content: u64,
    sequence: u64,
    id: u64,
    rule: u16,
    state: u16,
    diff: i64,
}

unsafe_abomonate!(Plain: entity, source);

/// What the engine exchanges.
type Update = ((SmolStr, Sighting), i64, isize);

fn plain(line: u64) -> Plain {
    let event_time_ns = 1_767_225_600_000_000_000 + line as i64 * 1_800_000;
    let mixed = line.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Plain {
        entity: format!("pod-{:06}", mixed % 10_000),
        source: "probe".to_owned(),
        logical_ns: event_time_ns / 100_000_000 * 100_000_000,
        arrival_ns: event_time_ns + 2_000_000_000,
        partition: 0,
        line,
        event_time_ns,
        fingerprint: (mixed, mixed.rotate_left(32)),
        content: mixed ^ 0xabcd,
        sequence: line / 10_000,
        id: mixed ^ 0x1234,
        rule: 0,
        state: (mixed >> 40) as u16 % 2,
        diff: 1,
    }
}

fn sighting(line: u64) -> Update {
    let plain = plain(line);
    let sighting = Sighting {
        arrival_ns: plain.arrival_ns,
        position: Position::new(plain.partition as usize, line),
        event_time_ns: plain.event_time_ns,
        fingerprint: plain.fingerprint,
        content: plain.content,
        tie: Tie::new(&plain.source, &Sequence::Number(plain.sequence), &Id::Content(plain.id)),
        matches: Match { rule: plain.rule, state: plain.state }.into(),
    };
    ((SmolStr::new(&plain.entity), sighting), plain.logical_ns, 1)
}

fn number(name: &str, default: usize) -> Result<usize, String> {
    let args: Vec<String> = std::env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == name) else { return Ok(default) };
    let value = args.get(at + 1).ok_or_else(|| format!("{name} needs a value"))?;
    value.parse().map_err(|_| format!("{value}: no number"))
}

fn main() -> ExitCode {
    let (records, runs) = match (number("--records", 2_400_000), number("--runs", 7)) {
        (Ok(records), Ok(runs)) if runs > 0 => (records, runs),
        (records, runs) => {
            eprintln!("codec: {:?} {:?}", records.err(), runs.err());
            return ExitCode::FAILURE;
        }
    };
    let bench = Bench { batches: (records / BATCH).max(1), runs };
    println!(
        "{} batches of {BATCH} records; ns per record, median of {runs} runs [least, most]\n",
        bench.batches
    );
    println!("{:<32} {:<20} {:<20} bytes", "", "encode", "decode");
    let plains: Vec<Plain> = (0..BATCH as u64).map(plain).collect();
    let sightings: Vec<Update> = (0..BATCH as u64).map(sighting).collect();
    bench.abomonation("plain record, abomonation", &plains);
    bench.bincode("plain record, bincode", &plains);
    bench.postcard("plain record, postcard", &plains);
    bench.moved("plain record, moved to a thread", &plains);
    bench.bincode("sighting, bincode", &sightings);
    bench.postcard("sighting, postcard", &sightings);
    bench.moved("sighting, moved to a thread", &sightings);
    ExitCode::SUCCESS
}

struct Bench {
    batches: usize,
    runs: usize,
}

impl Bench {
    /// Nanoseconds per record of something done to every batch: median, least, most.
    fn time(&self, mut work: impl FnMut()) -> String {
        let mut nanos: Vec<f64> = (0..self.runs)
            .map(|_| {
                #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
                let started = Instant::now();
                (0..self.batches).for_each(|_| work());
                started.elapsed().as_nanos() as f64 / (self.batches * BATCH) as f64
            })
            .collect();
        nanos.sort_by(f64::total_cmp);
        format!("{:.1} [{:.1}, {:.1}]", nanos[self.runs / 2], nanos[0], nanos[self.runs - 1])
    }

    fn row(&self, name: &str, encode: &str, decode: &str, bytes: usize) {
        println!("{name:<32} {encode:<20} {decode:<20} {}", bytes / BATCH);
    }

    fn abomonation<T>(&self, name: &str, records: &Vec<T>)
    where
        T: Abomonation + Clone + PartialEq + std::fmt::Debug,
    {
        let mut bytes = Vec::new();
        let encode = self.time(|| {
            bytes.clear();
            // SAFETY: none is given (RUSTSEC-2021-0120); what is written is read here alone.
            unsafe { abomonation::encode(black_box(records), &mut bytes) }
                .expect("a Vec takes every write");
        });
        let mut buffer = bytes.clone();
        let view = self.time(|| {
            buffer.copy_from_slice(&bytes);
            // SAFETY: as above; the bytes are those that were written, in another place.
            let decoded = unsafe { abomonation::decode::<Vec<T>>(&mut buffer) };
            black_box(decoded).expect("all of it is there");
        });
        self.row(&format!("{name} (views)"), &encode, &view, bytes.len());
        let owned = self.time(|| {
            buffer.copy_from_slice(&bytes);
            // SAFETY: as above.
            let decoded = unsafe { abomonation::decode::<Vec<T>>(&mut buffer) };
            let (decoded, _) = decoded.expect("all of it is there");
            black_box(decoded.clone());
        });
        self.row(&format!("{name} (owned)"), &encode, &owned, bytes.len());
        // SAFETY: as above.
        let decoded = unsafe { abomonation::decode::<Vec<T>>(&mut bytes) };
        assert_eq!(decoded.expect("all of it is there").0, records);
    }

    fn bincode<T>(&self, name: &str, records: &Vec<T>)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let mut bytes = Vec::new();
        let encode = self.time(|| {
            bytes.clear();
            bincode::serialize_into(&mut bytes, black_box(records)).expect("plain values encode");
        });
        let read = |bytes: &[u8]| -> Vec<T> { bincode::deserialize(bytes).expect("as written") };
        let decode = self.time(|| drop(black_box(read(black_box(&bytes)))));
        assert_eq!(&read(&bytes), records);
        self.row(name, &encode, &decode, bytes.len());
    }

    fn postcard<T>(&self, name: &str, records: &Vec<T>)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let mut bytes = Vec::new();
        let encode = self.time(|| {
            bytes.clear();
            let buffer = std::mem::take(&mut bytes);
            bytes = postcard::to_extend(black_box(records), buffer).expect("plain values encode");
        });
        let read = |bytes: &[u8]| -> Vec<T> { postcard::from_bytes(bytes).expect("as written") };
        let decode = self.time(|| drop(black_box(read(black_box(&bytes)))));
        assert_eq!(&read(&bytes), records);
        self.row(name, &encode, &decode, bytes.len());
    }

    /// Batches go round: to another thread, which moves every record once, and back. There are
    /// enough of them under way that neither thread waits for each one.
    fn moved<T: Clone + Send>(&self, name: &str, records: &[T]) {
        const UNDER_WAY: usize = 8;
        let (there, inbox) = crossbeam_channel::bounded::<Vec<T>>(UNDER_WAY);
        let (back, returned) = crossbeam_channel::bounded::<Vec<T>>(UNDER_WAY);
        let nanos = std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut kept = Vec::new();
                for mut batch in inbox {
                    kept.append(&mut batch);
                    std::mem::swap(&mut kept, &mut batch);
                    if back.send(batch).is_err() {
                        break;
                    }
                }
            });
            for _ in 0..UNDER_WAY {
                there.send(records.to_vec()).expect("the other thread listens");
            }
            let nanos = self.time(|| {
                let batch = returned.recv().expect("the other thread answers");
                there.send(batch).expect("the other thread listens");
            });
            drop(there);
            nanos
        });
        self.row(name, &nanos, "(there and back)", size_of::<T>() * BATCH);
    }
}
