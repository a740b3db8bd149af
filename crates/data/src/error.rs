//! What can be wrong with a file of data, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use corpus::{DocumentIdError, MetadataError};
use thiserror::Error;

/// A record together with the place it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The record.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// A place in the input: a file, and a line where the format has lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file; `-` is the standard input.
    pub file: Arc<Path>,
    /// Line from 1, for Parquet and Arrow the row from 1; none when the whole file is one document.
    pub line: Option<u64>,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: &Arc<Path>) -> Self {
        Self {
            file: Arc::clone(file),
            line: None,
        }
    }

    /// A line or row, from 1.
    pub fn line(file: &Arc<Path>, line: u64) -> Self {
        Self {
            file: Arc::clone(file),
            line: Some(line),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

/// A record, or a file, that cannot be used. Shown as `file:line:column: reason`.
#[derive(Debug, Error)]
#[error("{place}{}: {reason}", column.map(|column| format!(":{column}")).unwrap_or_default())]
pub struct DataError {
    /// Where.
    pub place: Place,
    /// Character of the line, from 1; in CSV and TSV the number of the field.
    pub column: Option<u64>,
    /// Why.
    pub reason: Box<Reason>,
    /// The record as it stands in the file, where it is text.
    pub raw: Option<Box<str>>,
}

impl DataError {
    /// An error at a place.
    pub fn new(place: Place, reason: impl Into<Reason>) -> Self {
        Self {
            place,
            column: None,
            reason: Box::new(reason.into()),
            raw: None,
        }
    }

    /// The same error with its column.
    pub(crate) fn at_column(mut self, column: Option<u64>) -> Self {
        self.column = column;
        self
    }

    /// The same error with the record that it is about.
    pub(crate) fn with_raw(mut self, raw: &str) -> Self {
        self.raw = Some(raw.into());
        self
    }
}

/// Why a record or a file cannot be used.
#[derive(Debug, Error)]
pub enum Reason {
    /// The operating system refused, or a compressed file is damaged.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The extension says nothing about the format.
    #[error("unknown format {found:?}; accepted: {accepted}")]
    Format {
        /// The extension, or the name that was given.
        found: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// Text that is not JSON.
    #[error("not valid JSON: {0}")]
    Json(String),
    /// A byte that is not UTF-8.
    #[error("byte 0x{0:02x} is not valid UTF-8; accepted: UTF-8")]
    NotUtf8(u8),
    /// More than one record may take.
    #[error("{what} of more than {bytes_max} bytes; accepted: up to {bytes_max}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it may be.
        bytes_max: usize,
    },
    /// A row with more or fewer fields than the header names.
    #[error("{found} fields; accepted: {expected}, as many as the header has")]
    Fields {
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// A field that must be there.
    #[error("field {field:?} is missing; present: {present}")]
    Missing {
        /// The field.
        field: String,
        /// The fields that are there.
        present: String,
    },
    /// A value of the wrong kind.
    #[error("field {field:?} is {found}; accepted: {accepted}")]
    Kind {
        /// The field.
        field: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        accepted: &'static str,
    },
    /// A document that has nothing to search for.
    #[error("the document has no text; accepted: at least one character that is not a space")]
    NoText,
    /// A text that cannot be an id.
    #[error("{0}")]
    Id(#[from] DocumentIdError),
    /// A value that cannot be metadata.
    #[error("field {field:?}: {source}; leave it out by naming the metadata fields that are wanted")]
    Metadata {
        /// The field.
        field: String,
        /// What is wrong with it.
        source: MetadataError,
    },
    /// A file that does not follow its format.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Settings that cannot be read.
    #[error("{0}")]
    Settings(String),
}

impl Reason {
    /// A JSON error without its position, which is told apart.
    pub(crate) fn json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let end = text.rfind(" at line ").unwrap_or(text.len());
        Self::Json(text[..end].to_owned())
    }
}
