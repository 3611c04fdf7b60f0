//! An external sort of updates that consolidates them, in bounded memory.
//!
//! Guarantee: what comes out depends on what was pushed alone, not on its order or on the memory:
//! each item once, by rising order, with the sum of its diffs, unless that is 0. `Ord` must tell
//! all items apart that differ.
//!
//! Memory: while it is [saved](Sorter::save), what is being written comes on top. The items take at most `memory_bytes_max` as the caller measures them (what an allocator
//! adds to each is not in it). Merging takes, for each of at most 64 runs, two blocks of 64 KiB or
//! of one item if that is larger: about 8 MiB. Open files: one for each level of runs; a level
//! holds 64 times what the one before it holds.

use std::iter::FusedIterator;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::OutputError;
use super::run::{KeptRun, Merge, Part, Run, RunFile, SavedRun, add_diffs};
use crate::durable::Disk;

/// How many runs are merged at once, at most.
const FAN_IN_MAX: usize = 64;

/// Room for this many items is made at first.
const ITEMS_MIN: usize = 64;

/// Runs of about equal size.
struct Level {
    file: RunFile,
    runs: Vec<Run>,
}

/// Takes updates in any order and gives them back sorted and consolidated.
///
/// ```
/// # fn main() -> Result<(), limbeck::sinks::OutputError> {
/// use limbeck::sinks::Sorter;
///
/// let mut sorter = Sorter::new(&std::env::temp_dir(), 1 << 20, String::len);
/// sorter.push("b".to_owned(), 1)?;
/// sorter.push("a".to_owned(), 1)?;
/// sorter.push("b".to_owned(), -1)?;
/// let sorted = sorter.finish()?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(sorted, [("a".to_owned(), 1)]);
/// # Ok(())
/// # }
/// ```
pub struct Sorter<T> {
    dir: PathBuf,
    memory_bytes_max: usize,
    heap_bytes_of: fn(&T) -> usize,
    items: Vec<(T, i64)>,
    /// The sum of `heap_bytes_of` the items.
    heap_bytes: usize,
    levels: Vec<Level>,
    /// What was saved, mostly the larger before the smaller.
    kept: Vec<KeptRun>,
    /// What is being saved, and will be the last of these.
    unwritten: Option<Receiver<Result<KeptRun, OutputError>>>,
    /// How many runs have ever been saved.
    saves: u64,
}

/// Where what was saved of a sort is found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSort {
    runs: Vec<SavedRun>,
    saves: u64,
}

impl SavedSort {
    /// The names of its files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.runs.iter().map(|run| run.name.as_str())
    }
}

impl<T: Ord + Serialize + DeserializeOwned> Sorter<T> {
    const ITEM_BYTES: usize = size_of::<(T, i64)>();

    /// A sort that sets aside on disk, in `dir`, what does not fit in `memory_bytes_max`.
    /// `heap_bytes_of` says how much an item owns besides its own size.
    pub fn new(dir: &Path, memory_bytes_max: usize, heap_bytes_of: fn(&T) -> usize) -> Self {
        Self {
            dir: dir.to_owned(),
            memory_bytes_max,
            heap_bytes_of,
            items: Vec::new(),
            heap_bytes: 0,
            levels: Vec::new(),
            kept: Vec::new(),
            unwritten: None,
            saves: 0,
        }
    }

    /// Hands over all that it has, to be written to files of a folder while it goes on, so that it
    /// can be [gone on with](Self::restore). What has been saved before mostly stays in its files;
    /// those that it leaves are not removed. Waits for what was handed over before.
    ///
    /// # Errors
    /// [`OutputError`], if that could not be written. The sort is of no more use then.
    pub fn save(&mut self, disk: &Disk, dir: &Path, name: &str) -> Result<Unsaved<T>, OutputError> {
        self.await_written()?;
        let stored = self.levels.iter().flat_map(|level| &level.runs).map(|run| run.bytes);
        let mut bytes = stored.sum::<u64>() + (self.items.len() * Self::ITEM_BYTES) as u64;
        let unwritten = (bytes > 0).then(|| {
            let mut stored = self.stored_parts();
            // As large as the next: so few files that nothing is written often.
            while let Some(last) = self.kept.pop_if(|last| last.saved.bytes <= 2 * bytes) {
                bytes += last.saved.bytes;
                stored.push(Part::File(last.reader()));
            }
            self.saves += 1;
            let path = dir.join(format!("{name}-{}.run", self.saves));
            let (written, receiver) = sync_channel(1);
            self.unwritten = Some(receiver);
            self.levels.clear();
            self.heap_bytes = 0;
            let (items, dir, disk) = (mem::take(&mut self.items), self.dir.clone(), disk.clone());
            Unwritten { items, stored, dir, disk, path, written }
        });
        let runs = self.kept.iter().map(|kept| kept.saved.clone()).collect();
        Ok(Unsaved { saved: SavedSort { runs, saves: self.saves }, unwritten })
    }

    /// Waits for what is being saved.
    fn await_written(&mut self) -> Result<(), OutputError> {
        let Some(written) = self.unwritten.take() else { return Ok(()) };
        let gone = |_| Err(OutputError::write_failed(&self.dir, &"what was to be saved was not"));
        self.kept.push(written.recv().unwrap_or_else(gone)?);
        Ok(())
    }

    /// Goes on with what was saved in a folder; nothing may have been pushed yet.
    ///
    /// # Errors
    /// [`OutputError`], if it is not there any more.
    pub fn restore(&mut self, dir: &Path, saved: SavedSort) -> Result<(), OutputError> {
        let runs = saved.runs.into_iter();
        self.kept = runs.map(|run| KeptRun::open(dir, run)).collect::<Result<_, _>>()?;
        self.saves = saved.saves;
        Ok(())
    }

    /// Adds what was saved in a folder, as something else; what it is not is left out.
    ///
    /// # Errors
    /// [`OutputError`], if it is not there any more, or as [`push`](Self::push).
    pub fn add(
        &mut self,
        dir: &Path,
        saved: SavedSort,
        map: impl Fn(T) -> Option<T>,
    ) -> Result<(), OutputError> {
        let part = |run| Ok(Part::File(KeptRun::open(dir, run)?.reader()));
        let parts = saved.runs.into_iter().map(part).collect::<Result<_, _>>()?;
        for item in Merge::new(parts, &self.dir)?.items() {
            let (item, diff) = item?;
            if let Some(item) = map(item) {
                self.push(item, diff)?;
            }
        }
        Ok(())
    }

    /// What is in the files of the levels.
    fn stored_parts(&self) -> Vec<Part<T>> {
        let of_level = |level: &Level| {
            let runs = level.runs.iter().map(|run| Part::File(level.file.reader(*run)));
            runs.collect::<Vec<_>>()
        };
        self.levels.iter().flat_map(of_level).collect()
    }

    /// Adds an update.
    ///
    /// # Errors
    /// [`OutputError`], if memory is full and the items cannot be set aside on disk. The sort is of
    /// no more use then.
    pub fn push(&mut self, item: T, diff: i64) -> Result<(), OutputError> {
        if diff == 0 {
            return Ok(());
        }
        let heap_bytes = (self.heap_bytes_of)(&item);
        if !self.has_room(heap_bytes) {
            self.make_room()?;
        }
        self.heap_bytes += heap_bytes;
        self.items.push((item, diff));
        Ok(())
    }

    /// Gives back all updates, sorted and consolidated.
    ///
    /// # Errors
    /// [`OutputError`], if what was set aside on disk cannot be read or merged.
    pub fn finish(mut self) -> Result<Sorted<T>, OutputError> {
        self.await_written()?;
        self.consolidate();
        let mut lowest = 0;
        while self.levels.iter().map(|level| level.runs.len()).sum::<usize>() > FAN_IN_MAX {
            if self.levels[lowest].runs.len() > 1 {
                self.merge_level(lowest)?;
            }
            lowest += 1;
        }
        let mut parts = self.stored_parts();
        parts.push(Part::Memory(mem::take(&mut self.items).into_iter()));
        parts.extend(self.kept.iter().map(|kept| Part::File(kept.reader())));
        Ok(Sorted { merge: Some(Merge::new(parts, &self.dir)?) })
    }

    /// Whether one more item fits; makes the vector longer if that keeps within the limit.
    fn has_room(&mut self, heap_bytes: usize) -> bool {
        let (len, capacity) = (self.items.len(), self.items.capacity());
        let heap_bytes = self.heap_bytes + heap_bytes;
        if len == 0 {
            return true;
        }
        if len < capacity {
            return capacity * Self::ITEM_BYTES + heap_bytes <= self.memory_bytes_max;
        }
        // As many items of the average size as fit in all.
        let fitting = self.memory_bytes_max / (Self::ITEM_BYTES + heap_bytes / (len + 1)).max(1);
        let grown = (2 * capacity).max(ITEMS_MIN).min(fitting);
        // A little longer would soon be too short again.
        let worth_it = grown > capacity + capacity / 8;
        if worth_it {
            self.items.reserve_exact(grown - len);
        }
        worth_it
    }

    /// Consolidates; if that does not free half of the memory, sets the items aside on disk.
    fn make_room(&mut self) -> Result<(), OutputError> {
        self.consolidate();
        if 2 * (self.items.len() * Self::ITEM_BYTES + self.heap_bytes) <= self.memory_bytes_max {
            // What the vector has too much, since items were smaller, is room for what they own.
            self.items.shrink_to_fit();
            return Ok(());
        }
        // The vector starts anew, as the size of the items to come may be another.
        let items = mem::take(&mut self.items);
        self.heap_bytes = 0;
        let run = self.level(0)?.file.put(items.into_iter().map(Ok))?;
        self.add_run(0, run)
    }

    /// Sorts the items in memory and makes equal ones one.
    fn consolidate(&mut self) {
        consolidate(&mut self.items);
        self.heap_bytes = self.items.iter().map(|(item, _)| (self.heap_bytes_of)(item)).sum();
    }

    fn level(&mut self, number: usize) -> Result<&mut Level, OutputError> {
        while self.levels.len() <= number {
            let file = RunFile::create(&self.dir)?;
            self.levels.push(Level { file, runs: Vec::new() });
        }
        Ok(&mut self.levels[number])
    }

    fn add_run(&mut self, number: usize, run: Run) -> Result<(), OutputError> {
        let level = self.level(number)?;
        level.runs.push(run);
        if level.runs.len() == FAN_IN_MAX { self.merge_level(number) } else { Ok(()) }
    }

    /// Merges the runs of a level to one run of the next.
    fn merge_level(&mut self, number: usize) -> Result<(), OutputError> {
        self.level(number + 1)?;
        let dir = self.dir.clone();
        let (level, next) = match &mut self.levels[number..] {
            [level, next, ..] => (level, next),
            _ => unreachable!("the next level has just been made"),
        };
        let parts = level.runs.drain(..).map(|run| Part::File(level.file.reader(run))).collect();
        let run = next.file.put(Merge::<T>::new(parts, &dir)?.items())?;
        level.file.clear()?;
        self.add_run(number + 1, run)
    }
}

/// Sorts items and makes equal ones one.
fn consolidate<T: Ord>(items: &mut Vec<(T, i64)>) {
    items.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    items.dedup_by(|later, first| {
        let equal = later.0 == first.0;
        if equal {
            first.1 = add_diffs(first.1, later.1);
        }
        equal
    });
    items.retain(|(_, diff)| *diff != 0);
}

/// What is yet to be saved of a sort, which goes on meanwhile.
#[must_use]
pub struct Unsaved<T> {
    /// What is saved already.
    saved: SavedSort,
    unwritten: Option<Unwritten<T>>,
}

/// What a run is to be made of.
struct Unwritten<T> {
    items: Vec<(T, i64)>,
    stored: Vec<Part<T>>,
    dir: PathBuf,
    disk: Disk,
    path: PathBuf,
    /// Gives it to the sort.
    written: SyncSender<Result<KeptRun, OutputError>>,
}

impl<T: Ord + Serialize + DeserializeOwned> Unsaved<T> {
    /// Brings all to the disk.
    ///
    /// # Errors
    /// [`OutputError`], if it cannot be written; the sort is told, too.
    pub fn write(self) -> Result<SavedSort, OutputError> {
        let Self { mut saved, unwritten } = self;
        let Some(Unwritten { mut items, mut stored, dir, disk, path, written }) = unwritten else {
            return Ok(saved);
        };
        consolidate(&mut items);
        stored.push(Part::Memory(items.into_iter()));
        let merge = Merge::<T>::new(stored, &dir);
        let run = merge.and_then(|merge| KeptRun::write(&disk, path, merge.items()));
        // A sort that is gone needs none.
        let _ = written.send(run.clone());
        saved.runs.push(run?.saved);
        Ok(saved)
    }
}

/// The updates, sorted and consolidated. After an error it ends.
pub struct Sorted<T> {
    merge: Option<Merge<T>>,
}

impl<T: Ord + DeserializeOwned> Iterator for Sorted<T> {
    type Item = Result<(T, i64), OutputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.merge.as_mut()?.next().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.merge = None;
        }
        next
    }
}

impl<T: Ord + DeserializeOwned> FusedIterator for Sorted<T> {}
