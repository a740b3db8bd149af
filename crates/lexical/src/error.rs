//! What can go wrong in this library.

use std::io;
use std::path::{Path, PathBuf};

use tantivy::TantivyError;
use tantivy::directory::error::{OpenDirectoryError, OpenReadError, OpenWriteError};
use thiserror::Error;

use crate::analyzer;

/// Why text cannot be analysed, or postings not be written or read.
#[derive(Debug, Error)]
pub enum LexicalError {
    /// A language without an analysis.
    #[error("language {0:?} is not known; accepted: {list}", list = analyzer::languages().join(", "))]
    Language(String),
    /// A query that does not follow the syntax.
    #[error("byte {offset} of the query: accepted is {accepted}")]
    Syntax {
        /// Where.
        offset: usize,
        /// What would be right there.
        accepted: &'static str,
    },
    /// Synonyms that do not follow the format.
    #[error("line {line} of the synonyms: accepted is {accepted}")]
    Synonyms {
        /// Which line, from 1.
        line: usize,
        /// What would be right there.
        accepted: &'static str,
    },
    /// A setting of BM25 out of its range.
    #[error("BM25's {name} is {value}; accepted: {accepted}")]
    Bm25 {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: f32,
        /// What it may be.
        accepted: &'static str,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The operating system could not make a file durable.
    #[error("{}: could not be made durable: {source}", .path.display())]
    Sync {
        /// The file or the folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// Postings that are not what was written.
    #[error("{}: {reason}", .path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What tantivy says.
        reason: String,
    },
}

impl LexicalError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// The error of the operating system where there is one inside, so that a full disk can be told apart.
    pub(crate) fn at(path: &Path, error: TantivyError) -> Self {
        let (file, source) = match &error {
            TantivyError::IoError(source) => (path.to_owned(), source),
            TantivyError::OpenWriteError(OpenWriteError::IoError { io_error, filepath })
            | TantivyError::OpenReadError(OpenReadError::IoError { io_error, filepath }) => {
                (path.join(filepath), io_error)
            }
            TantivyError::OpenDirectoryError(OpenDirectoryError::IoError {
                io_error,
                directory_path,
            }) => (directory_path.clone(), io_error),
            TantivyError::OpenReadError(OpenReadError::FileDoesNotExist(file)) => {
                return Self::io(&path.join(file), io::ErrorKind::NotFound.into());
            }
            TantivyError::OpenDirectoryError(OpenDirectoryError::DoesNotExist(_)) => {
                return Self::io(path, io::ErrorKind::NotFound.into());
            }
            other => {
                return Self::Damaged {
                    path: path.to_owned(),
                    reason: other.to_string(),
                };
            }
        };
        // The shared error cannot be taken out; its number and kind are what the caller asks for.
        let source = match source.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(source.kind(), source.to_string()),
        };
        Self::Io { path: file, source }
    }
}
