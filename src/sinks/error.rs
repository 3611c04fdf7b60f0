//! Why an output cannot be created or written.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// What went wrong with an output: each has a *what*, a *path*, a *detail* and a *hint*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputError {
    /// A file or directory cannot be created.
    CannotCreate {
        /// Which.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Writing failed on the way.
    WriteFailed {
        /// Where.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The directory of the outputs was there, and is no more.
    Gone {
        /// Which.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// What was set aside on disk while sorting cannot be read again, or is not what was written.
    ReadBackFailed {
        /// Where.
        path: PathBuf,
        /// What the system said, or what differs.
        detail: String,
    },
}

impl OutputError {
    pub(crate) fn cannot_create(path: &Path, detail: &dyn fmt::Display) -> Self {
        Self::CannotCreate { path: path.to_owned(), detail: detail.to_string() }
    }

    pub(crate) fn write_failed(path: &Path, detail: &dyn fmt::Display) -> Self {
        let gone = path.parent().and_then(|dir| Self::gone(dir, detail));
        gone.unwrap_or_else(|| Self::WriteFailed {
            path: path.to_owned(),
            detail: detail.to_string(),
        })
    }

    /// The error of a directory that was there, if it is no more.
    pub(super) fn gone(dir: &Path, detail: &dyn fmt::Display) -> Option<Self> {
        let gone = !dir.as_os_str().is_empty() && !dir.exists();
        gone.then(|| Self::Gone { path: dir.to_owned(), detail: detail.to_string() })
    }

    pub(super) fn read_back_failed(path: &Path, detail: &dyn fmt::Display) -> Self {
        Self::ReadBackFailed { path: path.to_owned(), detail: detail.to_string() }
    }

    /// The file or directory it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::CannotCreate { path, .. }
            | Self::WriteFailed { path, .. }
            | Self::Gone { path, .. }
            | Self::ReadBackFailed { path, .. } => path,
        }
    }

    /// What happened, in a few words.
    pub fn what(&self) -> &'static str {
        match self {
            Self::CannotCreate { .. } => "the output cannot be created",
            Self::WriteFailed { .. } => "writing the output failed",
            Self::Gone { .. } => "the output folder is gone",
            Self::ReadBackFailed { .. } => "what was set aside while sorting cannot be read again",
        }
    }

    /// What the system said.
    pub fn detail(&self) -> &str {
        match self {
            Self::CannotCreate { detail, .. }
            | Self::WriteFailed { detail, .. }
            | Self::Gone { detail, .. }
            | Self::ReadBackFailed { detail, .. } => detail,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::CannotCreate { .. } => "name a directory that exists or can be made and written",
            Self::WriteFailed { .. } => "check the free space; the output is not complete",
            Self::Gone { .. } => "it was removed meanwhile; nothing was output",
            Self::ReadBackFailed { .. } => "check the device; the output is not complete",
        }
    }

    /// The exit code of a process that ends for it, after sysexits.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CannotCreate { .. } => 73,
            Self::WriteFailed { .. } | Self::Gone { .. } | Self::ReadBackFailed { .. } => 74,
        }
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, path) = (self.what(), self.path().display());
        write!(f, "{what}: {path}: {}; {}", self.detail(), self.hint())
    }
}

impl Error for OutputError {}
