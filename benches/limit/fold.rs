//! The state of every entity: reorder buffer, run and episode, in one table.
//!
//! State: 128 bytes an entity at a load of at most one half; in them is room for some
//! observations, and those behind the horizon are folded only when there is no more. A record that
//! is not late finds all equal ones still there.

use std::cmp::Ordering;

use limbeck_operators::hash::{xxh3_64, xxh3_128};
use memchr::memchr;
use smallvec::SmallVec;

use super::scan::{self, Fields, Layout, Line};

pub(crate) const HOLD_MS: i64 = 30_000;
pub(crate) const LATENESS_MS: i64 = 5_000;

/// The bytes of an entity: up to 16 as they are, longer ones by hash and place in the table's text.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(crate) struct Key {
    low: u64,
    high: u64,
    len: u32,
}

const INLINE_BYTES: usize = 16;

impl Key {
    /// The key of a short entity; of a long one, `high` is still to be set.
    #[inline]
    pub(crate) fn new(entity: &[u8]) -> Self {
        let len = entity.len();
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&entity[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (low, high) = match len {
            8..=INLINE_BYTES => (word(0), word(len - 8)),
            ..8 => (entity.iter().fold(0, |low, byte| low << 8 | u64::from(*byte)), 0),
            _ => (xxh3_64(entity), 0),
        };
        Self { low, high, len: len as u32 }
    }

    /// A long entity is found by the hash in `low`; `high` says where its bytes stand.
    #[inline]
    fn high_part(&self) -> u64 {
        if self.is_long() { 0 } else { self.high }
    }

    pub(crate) fn is_long(&self) -> bool {
        self.len as usize > INLINE_BYTES
    }

    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        let product = u128::from(self.low ^ 0x243f_6a88_85a3_08d3)
            * u128::from(self.high_part() ^ u64::from(self.len) ^ 0x1319_8a2e_0370_7344);
        (product as u64 ^ (product >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// One observation, without its entity: by time, then sequence, then content is the order. The last
/// two are in the file, and looked up where the time does not decide.
#[derive(Clone, Copy)]
pub(crate) struct Observation {
    pub(crate) time_ms: i64,
    /// The lowest bit is the state, above it is where the line starts in the file.
    place_state: u64,
}

impl Observation {
    fn place(&self) -> usize {
        (self.place_state >> 1) as usize
    }

    fn state(&self) -> State {
        if self.place_state & 1 == 0 { State::Ready } else { State::Unready }
    }
}

/// Compares records of one time: by their sequences, then by the hashes of their lines.
#[cold]
fn compare_lines(line: &[u8], other: usize, file: &[u8]) -> Ordering {
    let other_len = memchr(b'\n', &file[other..]).unwrap_or(file.len() - other);
    let other_line = file[other..other + other_len].trim_ascii_end();
    let by_sequence = sequence_of(line).cmp(&sequence_of(other_line));
    by_sequence.then_with(|| xxh3_128(line).cmp(&xxh3_128(other_line)))
}

fn sequence_of(line: &[u8]) -> u64 {
    let mut sequence = 0;
    scan::read(line, &mut Layout::unknown(), &mut |line| {
        if let Line::Matched(fields) = line {
            sequence = fields.sequence;
        }
    });
    sequence
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    None,
    Ready,
    Unready,
}

/// What is known of one entity. A `key.len` of `EMPTY` is a free place.
#[repr(align(128))]
struct Entry {
    key: Key,
    run: State,
    episode: State,
    run_since_ms: i64,
    episode_since_ms: i64,
    /// In order. Those behind the horizon wait here too, until there is no more room.
    pending: SmallVec<[Observation; PENDING]>,
}

const EMPTY: u32 = u32::MAX;
/// As many as fit in two cache lines with the rest.
const PENDING: usize = 5;
const _: () = assert!(size_of::<Entry>() == 2 * CACHE_LINE_BYTES);
const CACHE_LINE_BYTES: usize = 64;

impl Default for Entry {
    fn default() -> Self {
        Self {
            key: Key { low: 0, high: 0, len: EMPTY },
            run: State::None,
            episode: State::None,
            run_since_ms: 0,
            episode_since_ms: 0,
            pending: SmallVec::new(),
        }
    }
}

/// One row of output; it is open where `until_ms` is `OPEN`.
#[derive(Clone, Copy)]
pub(crate) struct Episode {
    pub(crate) key: Key,
    pub(crate) unready: bool,
    pub(crate) since_ms: i64,
    pub(crate) until_ms: i64,
}

pub(crate) const OPEN: i64 = i64::MAX;

/// What became of the records.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    pub(crate) used: u64,
    pub(crate) late: u64,
    pub(crate) duplicates: u64,
    pub(crate) unmatched: u64,
    pub(crate) dead: u64,
}

impl Counts {
    /// Counts a line that does not reach the table, and says to where it moves the clock.
    pub(crate) fn count(&mut self, line: &Line<'_>) -> i64 {
        match line {
            Line::Unmatched { time_ms } => {
                self.unmatched += 1;
                *time_ms
            }
            Line::Dead => {
                self.dead += 1;
                i64::MIN
            }
            Line::Blank | Line::Matched(_) => i64::MIN,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.used += other.used;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.unmatched += other.unmatched;
        self.dead += other.dead;
    }
}

/// A record on its way from the scan to the table.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) hash: u64,
    pub(crate) observation: Observation,
    line_len: usize,
    /// The largest event time up to this record, as far as its reader knows.
    pub(crate) clock_ms: i64,
}

impl Record {
    /// A record of a line in `file`. Long entities are kept in `text` until the record is applied.
    #[inline]
    pub(crate) fn new(fields: &Fields<'_>, file: &[u8], text: &mut Vec<u8>, clock_ms: i64) -> Self {
        let mut key = Key::new(fields.entity);
        if key.is_long() {
            key.high = text.len() as u64;
            text.extend_from_slice(fields.entity);
        }
        let place = fields.line.as_ptr() as usize - file.as_ptr() as usize;
        let observation = Observation {
            time_ms: fields.time_ms,
            place_state: (place as u64) << 1 | u64::from(fields.unready),
        };
        Self { key, hash: key.hash(), observation, line_len: fields.line.len(), clock_ms }
    }
}

/// The table of one thread.
pub(crate) struct Table<'a> {
    /// Where the lines of the observations stand.
    file: &'a [u8],
    entries: Vec<Entry>,
    shift: u32,
    occupied: usize,
    long_keys: Vec<u8>,
    pub(crate) episodes: Vec<Episode>,
    pub(crate) counts: Counts,
}

impl<'a> Table<'a> {
    pub(crate) fn new(file: &'a [u8]) -> Self {
        const BITS: u32 = 10;
        let entries = std::iter::repeat_with(Entry::default).take(1 << BITS).collect();
        Self {
            file,
            entries,
            shift: 64 - BITS,
            occupied: 0,
            long_keys: Vec::new(),
            episodes: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The bytes of an entity.
    pub(crate) fn name<'n>(&'n self, key: &'n Key, short: &'n mut [u8; INLINE_BYTES]) -> &'n [u8] {
        let len = key.len as usize;
        match len {
            8..=INLINE_BYTES => {
                short[len - 8..len].copy_from_slice(&key.high.to_le_bytes());
                short[..8].copy_from_slice(&key.low.to_le_bytes());
                &short[..len]
            }
            ..8 => {
                short[..8].copy_from_slice(&(key.low << (8 * (8 - len) as u32 % 64)).to_be_bytes());
                &short[..len]
            }
            _ => &self.long_keys[key.high as usize..][..len],
        }
    }

    /// The key of a long entity as it stands here; `text` has its bytes at `key.high`.
    #[cold]
    fn intern(&mut self, key: &Key, text: &[u8]) -> Key {
        let entity = &text[key.high as usize..][..key.len as usize];
        let mut place = self.home(key.hash());
        loop {
            let stored = self.entries[place].key;
            if stored.len == EMPTY {
                let high = self.long_keys.len() as u64;
                self.long_keys.extend_from_slice(entity);
                return Key { high, ..*key };
            }
            if (stored.low, stored.len) == (key.low, key.len)
                && &self.long_keys[stored.high as usize..][..entity.len()] == entity
            {
                return stored;
            }
            place = (place + 1) & (self.entries.len() - 1);
        }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// Asks for the cache lines that the record will need.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let entry = self.entries.as_ptr().add(self.home(hash)).cast::<i8>();
            for at in (0..size_of::<Entry>()).step_by(CACHE_LINE_BYTES) {
                _mm_prefetch(entry.wrapping_add(at), _MM_HINT_T0);
            }
        }
    }

    /// Takes records in, in their order.
    pub(crate) fn apply_all(&mut self, records: &[Record], text: &[u8], earlier_ms: i64) {
        for record in records {
            self.apply(record, text, earlier_ms);
        }
    }

    /// Takes a record in; `earlier_ms` is the largest event time before those its reader knew,
    /// `text` holds the bytes of its reader's long entities.
    #[inline]
    fn apply(&mut self, record: &Record, text: &[u8], earlier_ms: i64) {
        let clock_ms = record.clock_ms.max(earlier_ms);
        let horizon_ms = clock_ms - LATENESS_MS;
        let observation = &record.observation;
        if observation.time_ms < horizon_ms {
            self.counts.late += 1;
            return;
        }
        let place = if record.key.is_long() {
            let key = self.intern(&record.key, text);
            self.place(&key, record.hash)
        } else {
            self.place(&record.key, record.hash)
        };
        let entry = &mut self.entries[place];
        if entry.pending.len() >= PENDING {
            entry.settle(horizon_ms, &mut self.episodes);
        }
        let pending = &entry.pending[..];
        let mut at = pending.len();
        while at > 0 && pending[at - 1].time_ms > observation.time_ms {
            at -= 1;
        }
        while at > 0 && pending[at - 1].time_ms == observation.time_ms {
            let earlier = pending[at - 1].place();
            let line = &self.file[observation.place()..][..record.line_len];
            // What starts with a whole object has only white space behind it.
            if self.file[earlier..].starts_with(line) {
                self.counts.duplicates += 1;
                return;
            }
            if compare_lines(line, earlier, self.file) == Ordering::Greater {
                break;
            }
            at -= 1;
        }
        if at == pending.len() {
            entry.pending.push(*observation);
        } else {
            entry.pending.insert(at, *observation);
        }
        self.counts.used += 1;
    }

    /// Ends the log: the clock stands at `clock_ms`.
    pub(crate) fn finish(&mut self, clock_ms: i64) {
        for entry in &mut self.entries {
            entry.settle(OPEN, &mut self.episodes);
            if entry.run != State::None && clock_ms - entry.run_since_ms >= HOLD_MS {
                entry.establish(&mut self.episodes);
            }
            if entry.episode != State::None {
                self.episodes.push(entry.closed(OPEN));
            }
        }
    }

    #[inline]
    fn place(&mut self, key: &Key, hash: u64) -> usize {
        let mut place = self.home(hash);
        loop {
            let stored = &self.entries[place].key;
            if stored == key {
                return place;
            }
            if stored.len == EMPTY {
                return self.occupy(place, key);
            }
            place = (place + 1) & (self.entries.len() - 1);
        }
    }

    #[cold]
    fn occupy(&mut self, place: usize, key: &Key) -> usize {
        self.occupied += 1;
        self.entries[place].key = *key;
        if self.occupied * 2 <= self.entries.len() {
            return place;
        }
        let larger = self.entries.len() * 2;
        let entries = std::iter::repeat_with(Entry::default).take(larger).collect();
        self.shift -= 1;
        for entry in std::mem::replace(&mut self.entries, entries) {
            if entry.key.len != EMPTY {
                let mut free = self.home(entry.key.hash());
                while self.entries[free].key.len != EMPTY {
                    free = (free + 1) & (larger - 1);
                }
                self.entries[free] = entry;
            }
        }
        self.place(key, key.hash())
    }
}

impl Entry {
    /// Folds what nothing on time can precede any more: event times before the horizon.
    #[inline(never)]
    fn settle(&mut self, horizon_ms: i64, episodes: &mut Vec<Episode>) {
        let mut settled = 0;
        while let Some(observation) = self.pending.get(settled).copied() {
            if observation.time_ms >= horizon_ms {
                break;
            }
            let state = observation.state();
            let changed = state != self.run;
            let lasted = observation.time_ms - self.run_since_ms >= HOLD_MS;
            // A run without length, or one that began less than the hold ago, is absorbed.
            if changed & lasted & (self.run != State::None) {
                self.establish(episodes);
            }
            self.run = state;
            self.run_since_ms = if changed { observation.time_ms } else { self.run_since_ms };
            settled += 1;
        }
        self.pending.copy_within(settled.., 0);
        self.pending.truncate(self.pending.len() - settled);
    }

    /// The run has lasted its hold: it opens an episode, or continues that of its state.
    fn establish(&mut self, episodes: &mut Vec<Episode>) {
        if self.episode == self.run {
            return;
        }
        if self.episode != State::None {
            episodes.push(self.closed(self.run_since_ms));
        }
        self.episode = self.run;
        self.episode_since_ms = self.run_since_ms;
    }

    fn closed(&self, until_ms: i64) -> Episode {
        Episode {
            key: self.key,
            unready: self.episode == State::Unready,
            since_ms: self.episode_since_ms,
            until_ms,
        }
    }
}
