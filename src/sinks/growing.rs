//! A file of the outputs that is written line by line as a replay goes on, and may be gone on with.
//!
//! Guarantee: it appears whole with the other outputs. Where the replay is saved on the way, the
//! lines go to a file beside the checkpoint first, which outlives the process; it is cut to what
//! was saved when it is gone on with.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{AtomicFile, OutputDir, OutputError};
use crate::durable::{self, Disk};

const BUFFER_BYTES: usize = 256 * 1024;

/// The file.
pub struct Growing {
    file: AtomicFile,
    kept: Option<Kept>,
}

/// The lines so far, where they stay.
struct Kept {
    path: PathBuf,
    file: BufWriter<durable::File>,
    bytes: u64,
}

impl Growing {
    /// Starts the file `name`. With a place to keep them, the lines so far stay there; so many bytes
    /// of them are gone on with.
    ///
    /// # Errors
    /// [`OutputError`], if it cannot be created, or what is to be gone on with is not there.
    pub fn new(
        out: &OutputDir,
        name: &str,
        keep: Option<(&Disk, PathBuf)>,
        bytes: Option<u64>,
    ) -> Result<Self, OutputError> {
        let file = out.file(name)?;
        let kept = keep.map(|(disk, path)| Kept::new(disk, path, bytes)).transpose()?;
        Ok(Self { file, kept })
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        match &mut self.kept {
            None => self.file.put(bytes),
            Some(kept) => {
                kept.bytes += bytes.len() as u64;
                kept.file.write_all(bytes).map_err(|error| kept.failed(&error))
            }
        }
    }

    /// Where the lines are until the file has its name.
    pub fn so_far(&self) -> &Path {
        self.kept.as_ref().map_or_else(|| self.file.partial(), |kept| &kept.path)
    }

    /// Lets what has been written be read.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`].
    pub fn put_through(&mut self) -> Result<(), OutputError> {
        match &mut self.kept {
            None => self.file.put_through(),
            Some(kept) => kept.file.flush().map_err(|error| kept.failed(&error)),
        }
    }

    /// Gives how many bytes have been written, and what is left to be done to have them saved.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`].
    pub fn save(&mut self) -> Result<(u64, Unsynced), OutputError> {
        let Some(kept) = &mut self.kept else { return Ok((0, Unsynced(None))) };
        let again = kept.file.flush().and_then(|()| kept.file.get_ref().again());
        let again = again.map_err(|error| kept.failed(&error))?;
        Ok((kept.bytes, Unsynced(Some((kept.path.clone(), again)))))
    }

    /// The whole file, yet to be put in place.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`].
    pub fn finish(mut self) -> Result<AtomicFile, OutputError> {
        if let Some(mut kept) = self.kept {
            kept.file.flush().map_err(|error| kept.failed(&error))?;
            let copied =
                File::open(&kept.path).and_then(|mut from| io::copy(&mut from, &mut self.file));
            copied.map_err(|error| OutputError::write_failed(self.file.path(), &error))?;
        }
        Ok(self.file)
    }
}

/// A file that is yet to be brought to the disk.
#[must_use]
pub struct Unsynced(Option<(PathBuf, durable::File)>);

impl Unsynced {
    /// Brings what has been written to the disk.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`].
    pub fn sync(self) -> Result<(), OutputError> {
        let Some((path, file)) = self.0 else { return Ok(()) };
        file.sync().map_err(|error| OutputError::write_failed(&path, &error))
    }
}

impl Kept {
    fn new(disk: &Disk, path: PathBuf, bytes: Option<u64>) -> Result<Self, OutputError> {
        let opened = match bytes {
            Some(bytes) => {
                let is_there = path.metadata().is_ok_and(|file| file.len() >= bytes);
                if !is_there {
                    let what = "the checkpoint goes on with it, and it is not there";
                    return Err(OutputError::read_back_failed(&path, &what));
                }
                disk.append(&path).and_then(|file| file.cut(bytes).map(|()| file))
            }
            None => disk.remove_if_there(&path).and_then(|()| disk.create(&path)),
        };
        let file = opened.map_err(|error| OutputError::cannot_create(&path, &error))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { path, file, bytes: bytes.unwrap_or_default() })
    }

    fn failed(&self, error: &io::Error) -> OutputError {
        OutputError::write_failed(&self.path, error)
    }
}
