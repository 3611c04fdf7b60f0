//! A log as it is on disk at one moment: what its manifest lists, and the frames behind that.
//!
//! Guarantee: the frames are those that follow the segments, whether somebody appends and seals
//! meanwhile or not. State: where the frames are.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::follow::Follower;
use super::frames::{Frame, FrameFile, Mark, Rest, What};
use super::manifest::{Manifest, Partition};
use crate::sources::InputError;

/// A partition of a log on disk.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The folder.
    pub dir: Arc<PathBuf>,
    /// Which of its partitions it is.
    pub number: usize,
    /// What the manifest says of it.
    pub partition: Arc<Partition>,
    /// What follows its segments.
    pub(crate) active: Arc<Active>,
    /// Whether to go on behind what cannot be read.
    pub skip_corrupt: bool,
    /// What is appended meanwhile, if that is read too.
    pub(crate) follower: Option<Arc<Mutex<Follower>>>,
}

/// What was appended to a log and is in no segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Active {
    /// By partition, its frames.
    pub(super) frames: Vec<Vec<FrameFile>>,
    /// What is known of each partition behind them.
    pub(super) ends: Vec<End>,
    /// The number of the last file, where it ends, and what stands there.
    pub(super) last: Option<(u64, u64)>,
    /// How many bytes a crash has left behind the last frame.
    pub(super) torn_bytes: u64,
    /// What cannot be read.
    pub(super) damaged: Vec<InputError>,
    /// The last arrival that was stamped.
    pub(super) stamped_ns: Option<i64>,
}

/// What is known of a partition behind its frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    /// How many lines it has.
    pub lines: u64,
    /// Whether it was declared ended.
    pub ended: bool,
}

impl End {
    /// Takes in what a frame says.
    pub(super) fn pass(&mut self, what: &What) {
        match what {
            What::Lines(lines) => {
                *self = Self { lines: lines.first + lines.count - 1, ended: false };
            }
            What::Mark(Mark::End) => self.ended = true,
            What::Mark(_) => {}
        }
    }
}

impl Stored {
    /// The partitions of a log.
    ///
    /// # Errors
    /// As [`Manifest::read`], and [`InputError::ReadFailed`] where the frames cannot be read.
    pub fn all(dir: &Path, skip_corrupt: bool) -> Result<Vec<Self>, InputError> {
        let (manifest, active) = read(dir, skip_corrupt)?;
        let (dir, active) = (Arc::new(dir.to_owned()), Arc::new(active));
        let stored = |(number, partition)| Self {
            dir: Arc::clone(&dir),
            number,
            partition: Arc::new(partition),
            active: Arc::clone(&active),
            skip_corrupt,
            follower: None,
        };
        Ok(manifest.partitions.into_iter().enumerate().map(stored).collect())
    }
}

impl Stored {
    /// The partitions of a log, to be read until they are declared ended.
    ///
    /// # Errors
    /// As [`Stored::all`].
    pub fn follow(dir: &Path, skip_corrupt: bool) -> Result<Vec<Self>, InputError> {
        let mut all = Self::all(dir, skip_corrupt)?;
        if let Some(first) = all.first() {
            let follower = Follower::new(&first.dir, &first.active).map_err(|error| {
                let input = dir.display().to_string();
                InputError::Unreadable { input, detail: error.to_string() }
            })?;
            let follower = Arc::new(Mutex::new(follower));
            all.iter_mut().for_each(|stored| stored.follower = Some(Arc::clone(&follower)));
        }
        Ok(all)
    }

    /// What is known of it behind all that it has.
    pub(super) fn end(&self) -> End {
        self.active.ends.get(self.number).copied().unwrap_or_default()
    }

    /// The last arrival in the log that was stamped.
    pub(super) fn stamped_ns(&self) -> Option<i64> {
        self.active.stamped_ns
    }

    /// How many bytes stand behind what was appended to the log that are no whole frame.
    pub fn torn_bytes(&self) -> u64 {
        self.active.torn_bytes
    }

    /// Whether all that it had from an instant on is there; from its beginning, if none is said.
    ///
    /// # Errors
    /// [`InputError::Removed`].
    pub fn has_all_from(&self, from_ns: Option<i64>) -> Result<(), InputError> {
        let Some(removed) = self.partition.removed else { return Ok(()) };
        // A replay begins with a record: dead letters before the first are no part of it.
        let has_all = from_ns.is_some_and(|from| removed.until.is_none_or(|until| from > until.0));
        match has_all {
            true => Ok(()),
            false => Err(InputError::Removed { input: self.name(), detail: removed.to_string() }),
        }
    }

    /// Why what it was made of could not be read to its end, if so.
    pub(super) fn damage(&self) -> Option<InputError> {
        let detail = self.partition.damaged.clone()?;
        Some(InputError::Imported { input: self.name(), detail })
    }

    /// What messages call it.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.dir.display(), self.partition.name)
    }

    /// Whether what is appended meanwhile is read too.
    pub fn is_followed(&self) -> bool {
        self.follower.is_some()
    }
}

/// A log as it is now; its frames up to the first damage, unless that is skipped.
pub(super) fn read(dir: &Path, skip_corrupt: bool) -> Result<(Manifest, Active), InputError> {
    read_since(dir, Manifest::read(dir)?, skip_corrupt)
}

/// The same, if the manifest was so a moment ago.
fn read_since(
    dir: &Path,
    mut manifest: Manifest,
    skip_corrupt: bool,
) -> Result<(Manifest, Active), InputError> {
    loop {
        let active = Active::read(dir, &manifest, skip_corrupt);
        let now = Manifest::read(dir)?;
        // Files are removed once the manifest says so: what was not found behind the last file was
        // not there yet, unless that is sealed by now.
        let missed = |last: u64| now.active.is_some_and(|first| first > last + 1);
        match active {
            Ok(active) if active.last.is_none_or(|(last, _)| !missed(last)) => {
                return Ok((manifest, active));
            }
            Err(error) if error.kind() != ErrorKind::NotFound || now.active == manifest.active => {
                let input = dir.display().to_string();
                let detail = format!("what was appended cannot be read: {error}");
                return Err(InputError::Manifest { input, detail });
            }
            Ok(_) | Err(_) => manifest = now,
        }
    }
}

impl Active {
    fn read(dir: &Path, manifest: &Manifest, skip_corrupt: bool) -> io::Result<Self> {
        let ends = manifest.partitions.iter();
        let mut active = Self {
            frames: vec![Vec::new(); manifest.partitions.len()],
            ends: ends.map(|known| End { lines: known.lines, ended: known.ended }).collect(),
            stamped_ns: manifest.stamped.map(|stamped| stamped.0),
            ..Self::default()
        };
        let Some(first) = manifest.active else { return Ok(active) };
        let mut file = FrameFile::open(dir, first)?;
        for number in first.. {
            // What is written to a file was written before there is the next.
            let next = match FrameFile::open(dir, number + 1) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                opened => Some(opened?),
            };
            active.read_file(dir, &mut file, next.is_none(), skip_corrupt)?;
            active.last = Some((number, file.at()));
            let goes_on = skip_corrupt || active.damaged.is_empty();
            let Some(next) = next.filter(|_| goes_on) else { break };
            file = next;
        }
        Ok(active)
    }

    fn read_file(
        &mut self,
        dir: &Path,
        file: &mut FrameFile,
        is_last: bool,
        skip_corrupt: bool,
    ) -> io::Result<()> {
        loop {
            let mut place = file.clone();
            while let Some(frame) = file.pass()? {
                self.take(std::mem::replace(&mut place, file.clone()), &frame);
            }
            let rest = file.rest()?;
            let damaged = |detail: String| InputError::Segment {
                input: dir.display().to_string(),
                segment: file.name(),
                detail,
            };
            match rest {
                Rest::Nothing => return Ok(()),
                Rest::Torn(bytes) if is_last => {
                    self.torn_bytes = bytes;
                    return Ok(());
                }
                Rest::Torn(bytes) => {
                    let at = file.at();
                    let detail = format!("it is damaged at byte {at}, {bytes} before its end");
                    self.damaged.push(damaged(detail));
                    return Ok(());
                }
                Rest::Damaged(to) => {
                    let detail = format!("it is damaged from byte {} to {to}", file.at());
                    self.damaged.push(damaged(detail));
                    if !skip_corrupt {
                        return Ok(());
                    }
                    file.go_to(to);
                }
            }
        }
    }

    fn take(&mut self, place: FrameFile, frame: &Frame) {
        let partition = frame.partition as usize;
        // Of a partition that came after the manifest was read.
        if partition >= self.frames.len() {
            return;
        }
        self.ends[partition].pass(&frame.what);
        self.stamped_ns = self.stamped_ns.max(frame.what.stamped_ns());
        self.frames[partition].push(place);
    }
}

#[cfg(test)]
mod tests;
