//! What is remembered of an interrupted run: how its vectors were made, its parts, and what they were made of.

use data::VectorRows;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// What decides the bits of a vector, beside its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MadeBy {
    pub(super) fingerprint: String,
    pub(super) precision: String,
    pub(super) role: String,
}

/// What was done since the very beginning, earlier runs included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Records that were read.
    pub(super) records_read: u64,
    /// Vectors that were made.
    pub(super) vectors: u64,
    /// Records that were passed over.
    pub(super) records_skipped: u64,
    /// Texts of more tokens than the model reads, whose end does not count.
    pub(super) texts_cut: u64,
    /// Tokens that do not count.
    pub(super) tokens_cut: u64,
}

/// A text that the model refused; it has no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    /// The number of its record, from 1.
    pub(super) record: u64,
    pub(super) reason: String,
}

/// A finished part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) rows: u64,
    /// Of its ids and vectors.
    pub(super) checksum: String,
    /// At its end.
    pub(super) tally: Tally,
    /// Digest of all records up to its end.
    pub(super) input: String,
    pub(super) refused: Vec<Refused>,
}

/// What the folder of parts holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) version: u32,
    pub(super) made_by: MadeBy,
    pub(super) parts: Vec<Part>,
}

/// Of the form of [`State`].
pub(super) const VERSION: u32 = 1;

/// The checksum of rows that come in portions.
#[derive(Default)]
pub(super) struct Checksum(Xxh3, Xxh3);

impl Checksum {
    pub(super) fn add(&mut self, rows: &VectorRows) {
        for id in &rows.ids {
            self.0.update(id.as_bytes());
            self.0.update(b"\n");
        }
        for value in &rows.values {
            self.1.update(&value.to_le_bytes());
        }
    }

    pub(super) fn hex(&self) -> String {
        format!("{:016x}{:016x}", self.0.digest(), self.1.digest())
    }
}

pub(super) fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}

/// The first option in which two runs differ: how it was, how it is.
pub(super) fn difference(was: &MadeBy, now: &MadeBy) -> Option<(String, String)> {
    let pairs = [
        ("the model", &was.fingerprint, &now.fingerprint),
        ("--precision", &was.precision, &now.precision),
        ("--role", &was.role, &now.role),
    ];
    let (name, was, now) = pairs.into_iter().find(|(_, was, now)| was != now)?;
    Some((format!("{name} {was}"), format!("{name} {now}")))
}
