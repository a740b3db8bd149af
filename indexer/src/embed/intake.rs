//! Records in, with an account of what was read: how many, and a digest that tells whether a later run reads the
//! same.

use corpus::{Document, TitleUse};
use data::{DataError, Located};
use launch::OnError;
use xxhash_rust::xxh3::Xxh3;

use crate::Rejects;
use crate::failure::Cause;

/// How far the input was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Records from the start, good and bad.
    pub(super) records: u64,
    /// How many of them were bad.
    pub(super) rejected: u64,
    /// Digest of all of them.
    pub(super) digest: u128,
}

/// One record.
pub(super) enum Step {
    /// The input ends.
    End,
    /// It was bad, and was passed over.
    Rejected,
    /// It has a text.
    Text(Text),
}

/// A document, and the text that stands for it.
pub(super) struct Text {
    /// The number of its record, from 1.
    pub(super) record: u64,
    pub(super) document: Located<Document>,
    /// Title and text, as they are embedded.
    pub(super) embedded: String,
}

/// Reads records one after the other.
pub(super) struct Intake<I> {
    documents: I,
    titles: TitleUse,
    on_error: OnError,
    rejects: Option<Rejects>,
    records: u64,
    rejected: u64,
    digest: Xxh3,
}

impl<I: Iterator<Item = Result<Located<Document>, DataError>>> Intake<I> {
    pub(super) fn new(documents: I, titles: TitleUse, on_error: OnError, rejects: Option<Rejects>) -> Self {
        Self {
            documents,
            titles,
            on_error,
            rejects,
            records: 0,
            rejected: 0,
            digest: Xxh3::new(),
        }
    }

    /// The next record. One that is bad and ends the run is not counted as read.
    pub(super) fn step(&mut self) -> Result<Step, Cause> {
        match self.documents.next() {
            None => Ok(Step::End),
            Some(Ok(document)) => {
                let Document { id, title, text, .. } = &document.value;
                let embedded = self.titles.searchable(title, text);
                self.note("text", id.as_str(), &embedded);
                Ok(Step::Text(Text {
                    record: self.records,
                    document,
                    embedded,
                }))
            }
            Some(Err(error)) => {
                let (reason, raw) = (error.reason.to_string(), error.raw.clone());
                self.reject(error.into(), None)?;
                self.rejected += 1;
                self.note("bad", &reason, raw.as_deref().unwrap_or_default());
                Ok(Step::Rejected)
            }
        }
    }

    /// Passes over a record that is to blame, and writes it down; or returns why it is not passed over.
    pub(super) fn reject(&mut self, cause: Cause, document: Option<&Document>) -> Result<(), Cause> {
        if self.on_error == OnError::Stop || !cause.is_of_one_record() {
            return Err(cause);
        }
        match &mut self.rejects {
            Some(rejects) => rejects.write(&cause, document),
            None => Ok(()),
        }
    }

    /// Records that were read, good and bad.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Where the input stands.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            records: self.records,
            rejected: self.rejected,
            digest: self.digest.digest128(),
        }
    }

    fn note(&mut self, kind: &str, first: &str, second: &str) {
        self.records += 1;
        for field in [kind, first, second] {
            self.digest.update(&(field.len() as u64).to_le_bytes());
            self.digest.update(field.as_bytes());
        }
    }
}
