//! Files that outlive a crash: the one layer through which they are written.
//!
//! Guarantee: whatever is written goes through a [`Disk`], so that a test can have it fail anywhere.
//! What has been [synced](File::sync) stays; a name that was made, changed or removed stays so once
//! its folder has been [synced](Disk::sync_dir). State: none but for tests, in `faults`.

mod faults;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use self::faults::Faults;
pub use self::faults::{ANY, Fault, Plan};

/// Where files are written; real unless it is [faulty](Self::faulty). Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    faults: Option<Arc<Mutex<Faults>>>,
}

/// A file that is written.
#[derive(Debug)]
pub struct File {
    inner: fs::File,
    /// Which file it is to the faults.
    number: u64,
    disk: Disk,
}

impl Disk {
    /// A disk that fails as planned: for tests.
    pub fn faulty(plan: Plan) -> Self {
        Self { faults: Some(Arc::new(Mutex::new(Faults::new(plan)))) }
    }

    /// Whether the fault has come about; never on a real disk.
    pub fn has_failed(&self) -> bool {
        self.faults().is_some_and(|faults| faults.has_failed())
    }

    /// Passes a point of the program that has a name, where a test may have the disk fail.
    ///
    /// # Errors
    /// The planned one, and every one after a crash.
    pub fn point(&self, name: &str) -> io::Result<()> {
        self.faults().map_or(Ok(()), |mut faults| faults.pass(name))
    }

    /// Makes a file that is not there yet, to be written and read.
    ///
    /// # Errors
    /// What the system says, [`io::ErrorKind::AlreadyExists`] among it.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        let faults = self.call()?;
        let inner = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let number = faults.map_or(0, |mut faults| faults.created(path));
        Ok(File { inner, number, disk: self.clone() })
    }

    /// Opens a file that is there, to be written at its end.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&self, path: &Path) -> io::Result<File> {
        let faults = self.call()?;
        let inner = OpenOptions::new().append(true).open(path)?;
        let len = inner.metadata()?.len();
        let number = faults.map_or(0, |mut faults| faults.opened(path, len));
        Ok(File { inner, number, disk: self.clone() })
    }

    /// Makes a folder and those above it, where they are not there; they last.
    ///
    /// # Errors
    /// What the system says.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut above = path.ancestors().filter(|dir| !dir.as_os_str().is_empty());
        let missing: Vec<&Path> = above.clone().take_while(|dir| !dir.exists()).collect();
        // Whoever made the one that is there may have died before it was sure to last.
        match above.nth(missing.len()).map_or(Ok(()), |dir| self.sync_dir(folder(dir))) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
        for dir in missing.into_iter().rev() {
            let faults = self.call()?;
            fs::create_dir_all(dir)?;
            if let Some(mut faults) = faults {
                faults.created_dir(dir);
            }
            self.sync_dir(folder(dir))?;
        }
        fs::create_dir_all(path)
    }

    /// Gives a file another name, of the same folder; one that had it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let faults = self.call()?;
        let before = faults.as_ref().and_then(|faults| faults.content(to));
        fs::rename(from, to)?;
        if let Some(mut faults) = faults {
            faults.renamed(from, to, before);
        }
        Ok(())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says, [`io::ErrorKind::NotFound`] among it.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        let faults = self.call()?;
        let before = faults.as_ref().and_then(|faults| faults.content(path));
        fs::remove_file(path)?;
        if let (Some(mut faults), Some(before)) = (faults, before) {
            faults.removed(path, before);
        }
        Ok(())
    }

    /// Removes a file, unless it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_if_there(&self, path: &Path) -> io::Result<()> {
        match self.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Makes last what has been made, renamed and removed in a folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let faults = self.call()?;
        let file = fs::File::open(dir)?;
        match faults {
            Some(mut faults) => faults.synced_dir(dir),
            None => file.sync_all()?,
        }
        Ok(())
    }

    /// Puts a file in the place of the one of this name, if there is one: whatever happens, the name
    /// has the one content or the other.
    ///
    /// # Errors
    /// What the system says. The old file is there still, or the new one without being sure to last.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let partial = partial(path);
        self.remove_if_there(&partial)?;
        let mut file = self.create(&partial)?;
        let written = file.write_all(bytes).and_then(|()| file.sync());
        if let Err(error) = written.and_then(|()| self.rename(&partial, path)) {
            // Nothing can be done about a failure here, and the name says what the file is.
            let _ = self.remove(&partial);
            return Err(error);
        }
        self.sync_dir(folder(path))
    }

    /// Begins a call; whoever holds the faults is alone on the disk.
    fn call(&self) -> io::Result<Option<MutexGuard<'_, Faults>>> {
        let mut faults = self.faults();
        faults.as_mut().map_or(Ok(()), |faults| faults.pass(ANY))?;
        Ok(faults)
    }

    fn faults(&self) -> Option<MutexGuard<'_, Faults>> {
        // Whoever panicked meanwhile has left no half of a change.
        self.faults.as_ref().map(|faults| faults.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Locks a folder, which is nobody else's as long as this is open; none where that is not possible
/// at all.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`], if another process has locked it.
pub fn lock(dir: &Path) -> io::Result<Option<fs::File>> {
    let Ok(file) = fs::File::open(dir) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name that the next content of a file has until it is whole.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

impl File {
    /// Brings all that was written to the disk.
    ///
    /// # Errors
    /// What the system says. What was written since the last time may be lost, whatever a second
    /// call says.
    pub fn sync(&self) -> io::Result<()> {
        match self.disk.call()? {
            // To the faults it is on disk, and a real disk would make thousands of tests wait.
            Some(mut faults) => faults.synced(self.number),
            None => self.inner.sync_data()?,
        }
        Ok(())
    }

    /// The same file once more, for who brings it to the disk meanwhile.
    ///
    /// # Errors
    /// What the system says.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self { inner: self.inner.try_clone()?, number: self.number, disk: self.disk.clone() })
    }

    /// When it was made, or else changed last, in nanoseconds since 1970.
    ///
    /// # Errors
    /// What the system says.
    pub fn begun_ns(&self) -> io::Result<i64> {
        let metadata = self.inner.metadata()?;
        let at = metadata.created().or_else(|_| metadata.modified())?;
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Cuts the file off.
    ///
    /// # Errors
    /// What the system says.
    pub fn cut(&self, len: u64) -> io::Result<()> {
        let faults = self.disk.call()?;
        self.inner.set_len(len)?;
        if let Some(mut faults) = faults {
            faults.cut(self.number, len);
        }
        Ok(())
    }

    /// The file itself: what is written to it from now on may be lost.
    pub fn into_inner(self) -> fs::File {
        self.inner
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(mut faults) = self.disk.call()? else { return self.inner.write(bytes) };
        let (admitted, error) = faults.admit(bytes.len());
        let written = match &bytes[..admitted] {
            [] if error.is_some() => 0,
            bytes => self.inner.write(bytes)?,
        };
        faults.wrote(self.number, written);
        match error {
            Some(error) if written == 0 => Err(error),
            _ => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
