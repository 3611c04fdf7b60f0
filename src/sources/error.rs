//! Why an input cannot be read, or not to its end.

use std::error::Error;
use std::fmt;

/// What went wrong with an input: each has a *what*, a *detail* and a *hint*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputError {
    /// Nothing is there.
    Missing {
        /// The input as the user named it.
        input: String,
    },
    /// A directory stands where a file is needed.
    Directory {
        /// The input as the user named it.
        input: String,
    },
    /// Something is there, but it may not or cannot be opened.
    Unreadable {
        /// The input as the user named it.
        input: String,
        /// What the system said.
        detail: String,
    },
    /// A kind of archive that is not read.
    Unsupported {
        /// The input as the user named it.
        input: String,
        /// The kind of archive.
        format: &'static str,
    },
    /// The header of the columns cannot be read.
    Header {
        /// The input as the user named it.
        input: String,
        /// The line it stands in.
        line: u64,
        /// Where in the line, in bytes from 1.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
    /// The header lacks a column that the rule file maps.
    Misfit {
        /// The input as the user named it.
        input: String,
        /// The line of the header.
        line: u64,
        /// Which columns, and what is nearest to them.
        detail: String,
    },
    /// The archive is truncated or corrupt. What was whole before it has been delivered.
    Damaged {
        /// The input as the user named it.
        input: String,
        /// Where the damage was noticed, in bytes of the input as it is stored.
        offset: u64,
        /// What is wrong there.
        detail: String,
        /// The line that the damage cut off, which is not a record; `None` if it cut none.
        line: Option<u64>,
    },
    /// The file has become shorter while it was read. What was there has been delivered.
    Shrunk {
        /// The input as the user named it.
        input: String,
        /// Where it ends now, in bytes.
        offset: u64,
        /// How long it was when it was opened.
        size_bytes: u64,
        /// The line that was cut off, which is not a record; `None` if none was.
        line: Option<u64>,
    },
    /// A signal asked not to read on. What came before it has been delivered.
    Interrupted {
        /// The input as the user named it.
        input: String,
        /// How many bytes of the input as it is stored had been read.
        offset: u64,
        /// The number of the signal.
        signal: i32,
        /// The line that was cut off, which is not a record; `None` if none was.
        line: Option<u64>,
    },
    /// The manifest of a replay log is not what this version writes.
    Manifest {
        /// The log as the user named it.
        input: String,
        /// What is wrong with it.
        detail: String,
    },
    /// What shall be appended to a partition of a replay log is not read as that is.
    Changed {
        /// The log as the user named it, and the partition.
        input: String,
        /// What differs.
        detail: String,
    },
    /// The beginning of a replay log is kept no more.
    Removed {
        /// The log as the user named it, and the partition.
        input: String,
        /// Until when, and when the replay would begin.
        detail: String,
    },
    /// A segment of a replay log is missing, or not what was written. What came before it has been
    /// delivered.
    Segment {
        /// The log as the user named it.
        input: String,
        /// The file in it.
        segment: String,
        /// What is wrong with it.
        detail: String,
    },
    /// What a replay log was imported from could not be read to its end. What there was has been
    /// delivered.
    Imported {
        /// The log as the user named it, and what was imported.
        input: String,
        /// Why.
        detail: String,
    },
    /// The input is not the one that a checkpoint goes on with.
    Another {
        /// The input as the user named it.
        input: String,
        /// How that shows.
        detail: String,
    },
    /// Reading failed on the way. What came before it has been delivered.
    ReadFailed {
        /// The input as the user named it.
        input: String,
        /// How many bytes of the input as it is stored could be read.
        offset: u64,
        /// What the system said.
        detail: String,
        /// The line that the failure cut off, which is not a record; `None` if it cut none.
        line: Option<u64>,
    },
}

impl InputError {
    /// The input as the user named it.
    pub fn input(&self) -> &str {
        match self {
            Self::Missing { input }
            | Self::Directory { input }
            | Self::Unreadable { input, .. }
            | Self::Unsupported { input, .. }
            | Self::Header { input, .. }
            | Self::Misfit { input, .. }
            | Self::Damaged { input, .. }
            | Self::Shrunk { input, .. }
            | Self::Interrupted { input, .. }
            | Self::Manifest { input, .. }
            | Self::Changed { input, .. }
            | Self::Removed { input, .. }
            | Self::Segment { input, .. }
            | Self::Imported { input, .. }
            | Self::Another { input, .. }
            | Self::ReadFailed { input, .. } => input,
        }
    }

    /// What happened, in a few words.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "the input does not exist",
            Self::Directory { .. } => "the input is a directory, and no replay log",
            Self::Unreadable { .. } => "the input cannot be opened",
            Self::Unsupported { .. } => "the input is an archive of another kind",
            Self::Header { .. } => "the header cannot be read",
            Self::Misfit { .. } => "the header does not fit the rule file",
            Self::Damaged { .. } => "the archive is damaged",
            Self::Shrunk { .. } => "the input has become shorter while it was read",
            Self::Interrupted { .. } => "interrupted",
            Self::Manifest { .. } => "the manifest of the replay log cannot be read",
            Self::Changed { .. } => "the partition of the log was begun otherwise",
            Self::Removed { .. } => "the beginning of the log is kept no more",
            Self::Segment { .. } => "a segment of the replay log is damaged",
            Self::Imported { .. } => "the log was not imported to its end",
            Self::Another { .. } => "the input is not the one of the checkpoint",
            Self::ReadFailed { .. } => "reading the input failed",
        }
    }

    /// Where and how it happened.
    pub fn detail(&self) -> String {
        match self {
            Self::Missing { input } | Self::Directory { input } => input.clone(),
            Self::Unreadable { input, detail } => format!("{input}: {detail}"),
            Self::Unsupported { input, format } => format!("{input} looks like {format}"),
            Self::Header { input, line, column, detail } => {
                format!("{input}:{line}:{column}: {detail}")
            }
            Self::Misfit { input, line, detail } => format!("{input}:{line}: {detail}"),
            Self::Manifest { input, detail }
            | Self::Changed { input, detail }
            | Self::Removed { input, detail }
            | Self::Imported { input, detail }
            | Self::Another { input, detail } => format!("{input}: {detail}"),
            Self::Segment { input, segment, detail } => format!("{input}/{segment}: {detail}"),
            Self::Damaged { input, offset, detail, line }
            | Self::ReadFailed { input, offset, detail, line } => {
                format!("{input}: at byte {offset}: {detail}{}", cut_off(*line))
            }
            Self::Shrunk { input, offset, size_bytes, line } => {
                let cut = cut_off(*line);
                format!("{input}: it had {size_bytes} bytes, and ends at byte {offset}{cut}")
            }
            Self::Interrupted { input, offset, line, .. } => {
                format!("{input}: at byte {offset}{}", cut_off(*line))
            }
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "check the spelling; `-` means standard input",
            Self::Directory { .. } => {
                "name a file (plain, .gz or .zst), or a folder with the manifest.json of an import"
            }
            Self::Unreadable { .. } => "check the permissions of the file and its directories",
            Self::Unsupported { .. } => "unpack it first, for instance through a pipe to `-`",
            Self::Header { .. } => {
                "without it no row can be read; the first line must name the columns"
            }
            Self::Misfit { .. } => {
                "change the mapping in `sources`, or read the file by another source"
            }
            Self::Damaged { .. } => "what was whole has been read; fetch or make the archive again",
            Self::Shrunk { .. } => {
                "what was left has been read; replay a log that nobody truncates, or a copy"
            }
            Self::Interrupted { .. } => "what came before has been read",
            Self::Manifest { .. } => "import the logs again, or use the limbeck that wrote it",
            Self::Removed { .. } => "begin the replay after that, with --from",
            Self::Changed { .. } => "use the rule file that it was begun with, or another log",
            Self::Segment { .. } => {
                "what was whole before it has been read; restore the file, or go on behind it with \
                 --skip-corrupt"
            }
            Self::Imported { .. } => {
                "what there was has been read; import it again, if it is whole"
            }
            Self::Another { .. } => {
                "name the log that the checkpoint was made of, or another folder for checkpoints"
            }
            Self::ReadFailed { .. } => "what came before has been read; check the device",
        }
    }

    /// The exit code of a process that ends for it, after sysexits.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Missing { .. }
            | Self::Directory { .. }
            | Self::Unreadable { .. }
            | Self::Unsupported { .. }
            | Self::Another { .. }
            | Self::Header { .. }
            | Self::Removed { .. } => 66,
            Self::Misfit { .. } | Self::Changed { .. } => 78,
            Self::Damaged { .. }
            | Self::Shrunk { .. }
            | Self::Manifest { .. }
            | Self::Segment { .. }
            | Self::Imported { .. } => 65,
            // As a shell says it of a process that a signal ends.
            Self::Interrupted { signal, .. } => 128_u8.wrapping_add(*signal as u8),
            Self::ReadFailed { .. } => 74,
        }
    }

    /// Notes the line that was cut off, where the kind of error has one.
    pub(super) fn cut_off(&mut self, number: u64) {
        if let Self::Damaged { line, .. }
        | Self::Shrunk { line, .. }
        | Self::Interrupted { line, .. }
        | Self::ReadFailed { line, .. } = self
        {
            *line = Some(number);
        }
    }
}

fn cut_off(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line} is cut off"))
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.what(), self.detail(), self.hint())
    }
}

impl Error for InputError {}
