//! Why a replay has no outputs.

use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::Damaged;
use crate::sinks::OutputError;
use crate::sources::InputError;

/// Why a replay has no outputs.
#[derive(Debug)]
pub enum Failure {
    /// A log cannot be read at all.
    Input(InputError),
    /// The checkpoint is damaged.
    Checkpoint(Damaged),
    /// The checkpoint in this folder is of other logs.
    OtherCheckpoint(PathBuf),
    /// The checkpoint in this folder is not the one of the process that has those of all.
    CheckpointElsewhere(PathBuf),
    /// The outputs cannot be created or written.
    Output(OutputError),
    /// The workers could not be started.
    Start(String),
    /// Another process did not come, cannot take part, or was lost.
    Processes(String),
    /// A worker stopped: a broken invariant, which is a defect.
    Worker(String),
}

impl Failure {
    /// The exit code of the contract.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(error) => error.exit_code(),
            Self::Output(error) => error.exit_code(),
            Self::Checkpoint(_) => 65,
            Self::OtherCheckpoint(_) | Self::CheckpointElsewhere(_) => 73,
            Self::Start(_) | Self::Processes(_) => 69,
            Self::Worker(_) => 70,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::Output(error) => error.fmt(f),
            Self::Checkpoint(damaged) => damaged.fmt(f),
            Self::OtherCheckpoint(dir) => write!(
                f,
                "the checkpoint is of other logs: {}; name those, or another folder",
                dir.display()
            ),
            Self::CheckpointElsewhere(dir) => write!(
                f,
                "the checkpoint here is not that of process 0, whose folder has those of all: {}; \
                 start as process 0 where they were made, or remove it",
                dir.display()
            ),
            Self::Start(detail) => write!(f, "the workers cannot be started: {detail}"),
            Self::Processes(detail) => {
                write!(f, "the processes cannot replay together: {detail}")
            }
            Self::Worker(detail) => {
                write!(f, "a worker stopped on a defect of limbeck: {detail}; nothing was output")
            }
        }
    }
}

impl std::error::Error for Failure {}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}
