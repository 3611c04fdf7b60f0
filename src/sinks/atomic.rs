//! Files that appear whole or not at all.
//!
//! Guarantee: the files of a set get their names only after all of them are complete and on disk,
//! the last of them (the *seal*) after the others. Wherever that breaks off, there is either no
//! seal or a seal with all its files; a seal that stood there before is removed first, so that it
//! never stands beside files that are not its own. What a killed process left under temporary names
//! is removed by the next that writes to the directory; it is locked, so that nobody else's is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::OutputError;
use crate::durable::{self, Disk};

const BUFFER_BYTES: usize = 256 * 1024;

/// The files that have their temporary names still.
static PARTIAL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Ends the process at once, and leaves no file behind that is not whole.
pub fn exit_without_outputs(code: i32) -> ! {
    // Held to the end, so that no file comes after.
    let partial = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
    for path in partial.iter() {
        let _ = fs::remove_file(path);
    }
    process::exit(code)
}

/// A directory that can be written, by nobody else as long as this lives.
#[derive(Clone, Debug)]
pub struct OutputDir {
    path: PathBuf,
    disk: Disk,
    /// None where the file system has no locks.
    _lock: Option<Arc<File>>,
}

impl OutputDir {
    /// Makes the directory if it is not there, tries that files can be made in it, and removes
    /// those that a killed process has left unfinished.
    ///
    /// # Errors
    /// [`OutputError::CannotCreate`], if it can be neither found nor made, is no directory, cannot
    /// be written, or another process writes to it.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        Self::create_on(&Disk::default(), path)
    }

    /// The same, on a disk that may be a faulty one.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_on(disk: &Disk, path: &Path) -> Result<Self, OutputError> {
        disk.create_dir_all(path).map_err(|error| match path.is_file() {
            true => OutputError::cannot_create(path, &"it is a file"),
            false => OutputError::cannot_create(path, &error),
        })?;
        let lock = durable::lock(path).map_err(|_| {
            OutputError::cannot_create(path, &"another process is writing its outputs to it")
        })?;
        let (_, probe) = create_unique(disk, path, "probe")?;
        disk.remove(&probe).map_err(|error| OutputError::cannot_create(path, &error))?;
        if lock.is_some() {
            remove_unfinished(disk, path);
        }
        let lock = lock.map(Arc::new);
        Ok(Self { path: path.to_owned(), disk: disk.clone(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a file of this directory; see [`AtomicFile::create`].
    ///
    /// # Errors
    /// [`OutputError::CannotCreate`].
    pub fn file(&self, name: &str) -> Result<AtomicFile, OutputError> {
        AtomicFile::create(&self.disk, &self.path, name)
    }

    /// Puts a set of files of this directory in place, in this order; the last is the seal. Files
    /// `without` which the set is complete are removed: they are of an earlier set.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`]. As long as nothing had been renamed, nothing has changed but
    /// that an earlier seal may be gone; in any case there is no seal.
    pub fn commit(&self, files: Vec<AtomicFile>, without: &[&str]) -> Result<(), OutputError> {
        let mut synced = Vec::with_capacity(files.len());
        for file in files {
            debug_assert_eq!(file.dir, self.path, "a set of files is of one directory");
            synced.push(file.sync()?);
        }
        let Some(seal) = synced.pop() else { return Ok(()) };
        self.remove_if_there(&seal.whole)?;
        for name in without {
            self.remove_if_there(&self.path.join(name))?;
        }
        sync_dir(&self.disk, &self.path)?;
        for file in synced {
            file.rename()?;
        }
        sync_dir(&self.disk, &self.path)?;
        seal.rename()?;
        sync_dir(&self.disk, &self.path)
    }

    fn remove_if_there(&self, path: &Path) -> Result<(), OutputError> {
        let removed = self.disk.remove_if_there(path);
        removed.map_err(|error| OutputError::write_failed(path, &error))
    }
}

/// A file that is written under a temporary name, `.NAME.partial-…`, and removed when dropped
/// without having been committed.
pub struct AtomicFile {
    dir: PathBuf,
    file: BufWriter<durable::File>,
    names: Names,
}

/// The temporary file and the name that it shall have; removes the file when dropped.
struct Names {
    disk: Disk,
    partial: PathBuf,
    whole: PathBuf,
    renamed: bool,
}

impl AtomicFile {
    /// Starts the file `name` in `dir`.
    ///
    /// # Errors
    /// [`OutputError::CannotCreate`], also if a directory has that name.
    pub fn create(disk: &Disk, dir: &Path, name: &str) -> Result<Self, OutputError> {
        let whole = dir.join(name);
        if whole.is_dir() {
            return Err(OutputError::cannot_create(&whole, &"it is a directory"));
        }
        // Not to miss it if the process exits in between.
        let mut unfinished = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, partial) = create_unique(disk, dir, name)?;
        unfinished.insert(partial.clone());
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let names = Names { disk: disk.clone(), partial, whole, renamed: false };
        Ok(Self { dir: dir.to_owned(), file, names })
    }

    /// The name that the file shall have.
    pub fn path(&self) -> &Path {
        &self.names.whole
    }

    /// The name that it has until then.
    pub fn partial(&self) -> &Path {
        &self.names.partial
    }

    /// Has what was written be seen by whoever reads it.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`].
    pub fn put_through(&mut self) -> Result<(), OutputError> {
        self.file.flush().map_err(|error| OutputError::write_failed(&self.names.whole, &error))
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file
            .write_all(bytes)
            .map_err(|error| OutputError::write_failed(&self.names.whole, &error))
    }

    /// Puts the file in place, replacing one that has its name.
    ///
    /// # Errors
    /// [`OutputError::WriteFailed`]; then the file is not in place, or not surely so.
    pub fn commit(self) -> Result<(), OutputError> {
        let (disk, dir) = (self.names.disk.clone(), self.dir.clone());
        self.sync()?.rename()?;
        sync_dir(&disk, &dir)
    }

    /// Brings all of the content to the disk.
    fn sync(self) -> Result<Names, OutputError> {
        let Self { file, names, .. } = self;
        let written = file.into_inner().map_err(io::IntoInnerError::into_error);
        written
            .and_then(|file| file.sync())
            .map_err(|error| OutputError::write_failed(&names.whole, &error))?;
        Ok(names)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Names {
    fn rename(mut self) -> Result<(), OutputError> {
        let renamed = self.disk.point("output");
        renamed
            .and_then(|()| self.disk.rename(&self.partial, &self.whole))
            .map_err(|error| OutputError::write_failed(&self.whole, &error))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing can be done about a failure here, and the name says what the file is.
            let _ = self.disk.remove(&self.partial);
        }
        PARTIAL.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.partial);
    }
}

/// Removes what nobody will finish. What cannot be removed does no harm.
fn remove_unfinished(disk: &Disk, dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_partial) {
            let _ = disk.remove(&entry.path());
        }
    }
}

/// Whether a name is one that [`create_unique`] gives.
fn is_partial(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = name.strip_prefix('.').and_then(|name| name.rsplit_once(PARTIAL_MARK));
    let numbers = numbers.and_then(|(_, numbers)| numbers.split_once('-'));
    numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

const PARTIAL_MARK: &str = ".partial-";

/// Makes a file that no one else has: `.NAME.partial-PROCESS-NUMBER`.
pub(super) fn create_unique(
    disk: &Disk,
    dir: &Path,
    name: &str,
) -> Result<(durable::File, PathBuf), OutputError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!(".{name}{PARTIAL_MARK}{}-{number}", process::id()));
        match disk.create(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                let gone = OutputError::gone(dir, &error);
                let failed = || OutputError::cannot_create(&dir.join(name), &error);
                return Err(gone.unwrap_or_else(failed));
            }
        }
    }
}

/// Makes renames last.
fn sync_dir(disk: &Disk, dir: &Path) -> Result<(), OutputError> {
    disk.sync_dir(dir).map_err(|error| {
        let gone = OutputError::gone(dir, &error);
        gone.unwrap_or_else(|| OutputError::write_failed(dir, &error))
    })
}
