//! What is appended to a log while it is read.
//!
//! Guarantee: what is given of a partition, and when it ends, is what the log has of it. Frames are
//! found by looking for them, every half a millisecond where nothing else is to do. State: where the
//! frames are that no reader has taken yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use super::frames::{FrameFile, Rest};
use super::manifest::Manifest;
use super::stored::{Active, End};

/// The manifest is looked at with every so manieth look.
const LOOKS: u32 = 64;

/// Looks for what is new in a log, for all of its partitions.
#[derive(Debug)]
pub(crate) struct Follower {
    dir: Arc<PathBuf>,
    /// The number of the file that grows, and the file if it is there.
    number: u64,
    file: Option<FrameFile>,
    /// By partition: frames that are new, and what is known of it behind them.
    partitions: Vec<(VecDeque<FrameFile>, End)>,
    /// How often there was nothing more to be found.
    idle: u32,
    /// Whether the log has got a partition that it had not.
    outgrown: bool,
}

impl Follower {
    /// Goes on behind what was there at one moment.
    pub(super) fn new(dir: &Arc<PathBuf>, active: &Active) -> io::Result<Self> {
        let (number, at) = active.last.unwrap_or((1, 0));
        let mut follower = Self {
            dir: Arc::clone(dir),
            number,
            file: None,
            partitions: active.ends.iter().map(|end| (VecDeque::new(), *end)).collect(),
            idle: 0,
            outgrown: false,
        };
        follower.file = follower.open(number)?;
        if let Some(file) = &mut follower.file {
            file.go_to(at);
        }
        Ok(follower)
    }

    /// Takes the new frames of a partition; whether it goes on behind them.
    pub(super) fn take(
        &mut self,
        partition: usize,
        into: &mut VecDeque<FrameFile>,
    ) -> io::Result<bool> {
        self.look()?;
        let Some((frames, end)) = self.partitions.get_mut(partition) else { return Ok(false) };
        into.append(frames);
        Ok(!end.ended)
    }

    /// Whether the log has got a partition that it had not; it is said once.
    pub(super) fn is_outgrown(&mut self) -> bool {
        std::mem::take(&mut self.outgrown)
    }

    fn look(&mut self) -> io::Result<()> {
        loop {
            // Once there is the next file, all of this one is written.
            let next = self.open(self.number + 1)?;
            if self.file.is_none() {
                self.file = self.open(self.number)?;
            }
            while let Some(file) = &mut self.file {
                let place = file.clone();
                let Some(frame) = file.pass()? else { break };
                match self.partitions.get_mut(frame.partition as usize) {
                    None => self.outgrown = true,
                    Some((frames, end)) => {
                        end.pass(&frame.what);
                        frames.push_back(place);
                    }
                }
            }
            let Some(next) = next else { break };
            if let Some(file) = &self.file
                && file.rest()? != Rest::Nothing
            {
                let what = format!("{} is damaged at byte {}", file.name(), file.at());
                return Err(io::Error::other(what));
            }
            self.file = Some(next);
            self.number += 1;
        }
        self.idle += 1;
        match self.idle.is_multiple_of(LOOKS) && self.has_missed()? {
            true => {
                let what = "it was sealed faster than it was followed: what is in its segments \
                            meanwhile is not in the outputs; replay it anew";
                Err(io::Error::other(what))
            }
            false => Ok(()),
        }
    }

    /// Whether the next file has been made into segments before it was seen.
    fn has_missed(&self) -> io::Result<bool> {
        let missing = self.number + u64::from(self.file.is_some());
        let manifest = Manifest::read(&self.dir).map_err(io::Error::other)?;
        let is_sealed = manifest.active.is_some_and(|first| first > missing);
        Ok(is_sealed && self.open(missing)?.is_none())
    }

    fn open(&self, number: u64) -> io::Result<Option<FrameFile>> {
        match FrameFile::open(&self.dir, number) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }
}
