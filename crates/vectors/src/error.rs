//! What can go wrong with vectors and their files.

use std::path::PathBuf;

use thiserror::Error;

/// An error of this library, with the values that explain it.
#[derive(Debug, Error)]
pub enum VectorError {
    /// The operating system could not make a file durable.
    #[error("{}: could not be made durable: {source}", .path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not start with the mark of its kind.
    #[error("{path}: byte 0: not a file of {kind} (starts with {found:02x?})", path = path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What was wanted.
        kind: &'static str,
        /// Its first eight bytes.
        found: [u8; 8],
    },
    /// The file was written by another version of this library.
    #[error("{path}: byte {offset}: format version {found}, this program reads version {supported}", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Where the version stands.
        offset: u64,
        /// The version it has.
        found: u32,
        /// The version that can be read.
        supported: u32,
    },
    /// The file is shorter or longer than its header says.
    #[error("{path}: byte {offset}: the file ends after {found} bytes, expected {expected}", path = path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The first byte that is missing or too many.
        offset: u64,
        /// The length it should have, in bytes.
        expected: u64,
        /// The length it has, in bytes.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error("{path}: byte {offset}: checksum {stored:016x} is stored, the bytes before it have {computed:016x}", path = path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Where the checksum stands.
        offset: u64,
        /// The checksum in the file.
        stored: u64,
        /// The checksum of the bytes.
        computed: u64,
    },
    /// A number in a file lies outside what is possible there.
    #[error("{path}: byte {offset}: {field} is {value}, accepted: {accepted}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Where the number stands.
        offset: u64,
        /// What it says.
        field: &'static str,
        /// The number.
        value: u64,
        /// The numbers that are possible.
        accepted: String,
    },
    /// A setting lies outside its range.
    #[error("{field} is {value}, accepted: {accepted}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The values that are possible.
        accepted: String,
    },
    /// A vector of another length than the others.
    #[error("a vector of {found} values, expected {expected}")]
    Dimension {
        /// Values wanted.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A value of a vector is infinite or not a number.
    #[error("value {position} of a vector is {value}")]
    NotFinite {
        /// Which value, from 0.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A vector of zeros has no direction.
    #[error("a vector of length zero has no direction")]
    ZeroLength,
    /// A vector that was not scaled to unit length.
    #[error("a vector of length {length}, expected 1 within {tolerance}")]
    NotUnit {
        /// Its Euclidean length.
        length: f64,
        /// The difference that is accepted.
        tolerance: f64,
    },
    /// The graph does not belong to the vectors.
    #[error(
        "the graph was built from vectors with checksum {built_from:016x}, not from those with {given:016x}"
    )]
    OtherVectors {
        /// Checksum of the vectors that the graph was built from.
        built_from: u64,
        /// Checksum of the vectors it was to be used with.
        given: u64,
    },
    /// A recall that is not a share.
    #[error("recall {value}; accepted: 0 to 1")]
    Recall {
        /// What was given.
        value: f64,
    },
    /// The operating system gave no threads.
    #[error("{threads} threads: {reason}")]
    Threads {
        /// Threads wanted.
        threads: usize,
        /// Why there are none.
        reason: String,
    },
    /// There are more rows than can be numbered.
    #[error("more than {limit} vectors")]
    TooManyRows {
        /// The greatest number of rows that is possible there.
        limit: u32,
    },
}
