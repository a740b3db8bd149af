//! From a stream of documents into an index: read, pass over what is unchanged, cut and embed, add, commit.
//!
//! A run that was interrupted goes on by itself: what was committed is unchanged when it is read again.

use std::sync::Arc;

use corpus::{Document, PreparedDocument, WriteStore};
use data::{DataError, Located, Meter};
use index::{Index, Settings, Snapshot, Writer, WriterSettings};
use infer::Embed;
use launch::{Interrupt, OnError, Progress};
use search::SearchError;
use search::ingest::{IngestSettings, prepare};

use crate::failure::{Cause, Failure};
use crate::rejects::Rejects;
use crate::seen::Seen;
use crate::summary::{Pending, Summary};

/// A group of documents is embedded together; it is closed at this many documents or bytes of text.
const GROUP_DOCUMENTS_MAX: usize = 64;
const GROUP_BYTES_MAX: usize = 128 << 10;

/// How to index.
#[derive(Debug, Clone)]
pub struct Indexing {
    /// How documents are cut and embedded.
    pub ingest: IngestSettings,
    /// What to do about a record that is not accepted.
    pub on_error: OnError,
    /// Passages after which is committed.
    pub commit_passages: usize,
    /// How segments are written.
    pub writing: WriterSettings,
}

impl Indexing {
    /// As the index was made, stopping at the first error.
    pub fn of(index: &Index) -> Self {
        Self {
            ingest: ingest_of(index.settings()),
            on_error: OnError::Stop,
            commit_passages: crate::COMMIT_PASSAGES,
            writing: WriterSettings::default(),
        }
    }
}

/// How the documents of an index are cut and embedded.
pub(crate) fn ingest_of(settings: &Settings) -> IngestSettings {
    IngestSettings {
        titles: settings.titles,
        chunk_tokens: settings.chunk_tokens,
        chunk_overlap: settings.chunk_overlap,
    }
}

/// What watches a run.
pub struct Watch {
    /// Is told how far the run is.
    pub progress: Progress,
    /// Says how many bytes were read; without it progress is counted in documents.
    pub meter: Option<Meter>,
    /// Ends the run when raised.
    pub interrupt: Interrupt,
    /// Takes the records that are not accepted.
    pub rejects: Option<Rejects>,
}

impl Watch {
    /// Nobody watches.
    pub fn none() -> Self {
        Self {
            progress: Progress::hidden(),
            meter: None,
            interrupt: Interrupt::never(),
            rejects: None,
        }
    }
}

/// Indexes documents. Memory holds one group of documents, the segment that is written, and a hash of each id.
///
/// # Errors
/// A [`Failure`] with its cause; what was accepted before it is committed, unless the index itself failed: then
/// everything up to the last commit.
pub fn index_documents(
    documents: impl Iterator<Item = Result<Located<Document>, DataError>>,
    index: &Index,
    embed: &dyn Embed,
    settings: &Indexing,
    watch: Watch,
) -> Result<Summary, Failure> {
    let opened = open(index, embed, settings).map_err(|cause| Failure {
        cause: Box::new(cause),
        summary: Summary::default(),
    });
    let (writer, before) = opened?;
    let mut run = Run {
        writer,
        before,
        embed,
        settings,
        watch,
        seen: Seen::default(),
        group: Vec::new(),
        group_bytes: 0,
        pending: Pending::default(),
        summary: Summary::default(),
        passages_done: 0,
    };
    let ended = run.all(documents);
    run.watch.progress.finish();
    let summary = run.summary;
    ended.map(|()| summary).map_err(|cause| Failure {
        cause: Box::new(cause),
        summary,
    })
}

fn open(index: &Index, embed: &dyn Embed, settings: &Indexing) -> Result<(Writer, Arc<Snapshot>), Cause> {
    index.check_fingerprint(embed.fingerprint())?;
    settings.ingest.validate(embed).map_err(Cause::Model)?;
    let writer = index.writer(settings.writing.clone())?;
    Ok((writer, index.snapshot()?))
}

struct Run<'a> {
    writer: Writer,
    /// The index as it was at the start.
    before: Arc<Snapshot>,
    embed: &'a dyn Embed,
    settings: &'a Indexing,
    watch: Watch,
    seen: Seen,
    /// Documents that were read and not yet added.
    group: Vec<Grouped>,
    group_bytes: usize,
    pending: Pending,
    summary: Summary,
    passages_done: u64,
}

struct Grouped {
    read: Located<Document>,
    replaces: bool,
}

impl Run<'_> {
    fn all(
        &mut self,
        documents: impl Iterator<Item = Result<Located<Document>, DataError>>,
    ) -> Result<(), Cause> {
        for read in documents {
            if self.watch.interrupt.is_raised() {
                break;
            }
            let accepted = match read {
                Ok(read) => self.take(read),
                Err(error) => self.reject(error.into(), None),
            };
            if let Err(cause) = accepted {
                return Err(self.stop(cause));
            }
        }
        self.summary.interrupted = self.watch.interrupt.is_raised();
        if !self.summary.interrupted {
            self.add_group().map_err(|cause| self.stop(cause))?;
        }
        self.commit()
    }

    /// Saves what was accepted before the record at fault.
    fn stop(&mut self, cause: Cause) -> Cause {
        if !cause.is_of_one_record() {
            return cause;
        }
        // A second failure would hide the first, which is what needs attention.
        let saved = self.add_group().and_then(|()| self.commit());
        match saved {
            Err(Cause::Store(error)) => Cause::Store(error),
            _ => cause,
        }
    }

    fn take(&mut self, read: Located<Document>) -> Result<(), Cause> {
        self.summary.documents_read += 1;
        if let Some(first) = self.seen.note(&read.value.id, &read.place) {
            let (id, second) = (read.value.id.clone(), read.place);
            return self.reject(Cause::Duplicate { id, first, second }, Some(&read.value));
        }
        let stored = self.before.content_hash(&read.value.id)?;
        if stored == Some(index::content_hash(&read.value)) {
            self.summary.documents_unchanged += 1;
            self.show_progress();
            return Ok(());
        }
        self.group_bytes += read.value.title.len() + read.value.text.len();
        let replaces = stored.is_some();
        self.group.push(Grouped { read, replaces });
        if self.group.len() >= GROUP_DOCUMENTS_MAX || self.group_bytes >= GROUP_BYTES_MAX {
            self.add_group()?;
        }
        Ok(())
    }

    fn reject(&mut self, cause: Cause, document: Option<&Document>) -> Result<(), Cause> {
        if self.settings.on_error == OnError::Stop || !cause.is_of_one_record() {
            return Err(cause);
        }
        self.summary.records_rejected += 1;
        match &mut self.watch.rejects {
            Some(rejects) => rejects.write(&cause, document),
            None => Ok(()),
        }
    }

    fn add_group(&mut self) -> Result<(), Cause> {
        let group = std::mem::take(&mut self.group);
        self.group_bytes = 0;
        let documents = group.iter().map(|grouped| grouped.read.value.clone()).collect();
        match prepare(self.embed, documents, &self.settings.ingest) {
            Ok(prepared) => {
                for (grouped, prepared) in group.iter().zip(prepared) {
                    self.add(grouped, prepared)?;
                }
            }
            // One of them is to blame; alone each one says so for itself.
            Err(_) => {
                for grouped in &group {
                    let document = vec![grouped.read.value.clone()];
                    match prepare(self.embed, document, &self.settings.ingest) {
                        Ok(prepared) => {
                            for prepared in prepared {
                                self.add(grouped, prepared)?;
                            }
                        }
                        Err(error) => self.reject_document(grouped, error)?,
                    }
                }
            }
        }
        self.show_progress();
        Ok(())
    }

    fn add(&mut self, grouped: &Grouped, prepared: PreparedDocument) -> Result<(), Cause> {
        let passages = prepared.passages.len() as u64;
        if let Err(error) = self.writer.add(vec![prepared]) {
            return self.reject_document(grouped, error.into());
        }
        match grouped.replaces {
            true => self.pending.replaced += 1,
            false => self.pending.added += 1,
        }
        self.pending.passages += passages;
        self.passages_done += passages;
        if self.pending.passages >= self.settings.commit_passages as u64 {
            self.commit()?;
        }
        Ok(())
    }

    fn reject_document(&mut self, grouped: &Grouped, error: SearchError) -> Result<(), Cause> {
        let cause = Cause::of_document(&grouped.read.place, error);
        self.reject(cause, Some(&grouped.read.value))
    }

    fn commit(&mut self) -> Result<(), Cause> {
        let commit = self.writer.commit()?;
        self.summary.commit(std::mem::take(&mut self.pending), commit);
        Ok(())
    }

    fn show_progress(&self) {
        let position = match &self.watch.meter {
            Some(meter) => meter.bytes(),
            None => self.summary.documents_read,
        };
        self.watch.progress.set(position, self.passages_done);
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
