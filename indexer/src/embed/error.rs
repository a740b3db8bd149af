//! Why vectors cannot be put where they belong.

use std::io;
use std::path::{Path, PathBuf};

use data::{DataError, Reason};
use thiserror::Error;

/// Why vectors could not be put where they belong.
#[derive(Debug, Error)]
pub enum OutputError {
    /// There is an output already.
    #[error("{}: there is such a file already; accepted: another --output, or --overwrite", .0.display())]
    Exists(PathBuf),
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output would be read as input when the run goes on.
    #[error("{}: the output lies in the input {}; accepted: a place outside", .output.display(), .input.display())]
    WithinInput {
        /// The output.
        output: PathBuf,
        /// The folder or file that is read.
        input: PathBuf,
    },
    /// Another process writes the same output.
    #[error("{}: another process is writing to this output", .0.display())]
    Locked(PathBuf),
    /// The folder of parts holds something else.
    #[error("{}: this is not of an interrupted run; accepted: a folder of parts alone, or none", .0.display())]
    Foreign(PathBuf),
    /// The interrupted run was another one.
    #[error("{}: the interrupted run had {was}, this one has {now}; repeat that one, or begin anew with --restart", .folder.display())]
    Otherwise {
        /// The folder of parts.
        folder: PathBuf,
        /// How the parts were made.
        was: String,
        /// How they would be made now.
        now: String,
    },
    /// The input is not what the parts were made of.
    #[error("{}: records {first} to {last} of the input are not what the interrupted run read; give the same input and options, or begin anew with --restart", .folder.display())]
    Changed {
        /// The folder of parts.
        folder: PathBuf,
        /// The first record of the part that differs, from 1.
        first: u64,
        /// Its last record.
        last: u64,
    },
    /// A file of the folder is not what was written.
    #[error("{}: damaged: {reason}; begin anew with --restart", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The vectors cannot be written down.
    #[error("{0}")]
    Data(DataError),
}

impl OutputError {
    /// Whether the same command can go on once the cause is mended.
    pub(crate) fn may_go_on(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

impl From<DataError> for OutputError {
    fn from(error: DataError) -> Self {
        let path = error.place.file.to_path_buf();
        match *error.reason {
            Reason::Io(source) => Self::Io { path, source },
            _ => Self::Data(error),
        }
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OutputError {
    let path = path.to_owned();
    |source| OutputError::Io { path, source }
}
