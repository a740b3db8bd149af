//! Merging full segments into greater ones, beside whoever searches and writes.
//!
//! The merged segment is written in a folder that writers do not touch. Only the last step takes the right to write:
//! documents that were deleted or replaced meanwhile are deleted in it, and one commit puts it in the place of the
//! segments it was made from.

use std::path::Path;
use std::time::{Duration, Instant};

use corpus::{StoreError, WriteStore};
use lexical::Part;
use roaring::RoaringBitmap;

use crate::live::Live;
use crate::manifest::{SegmentEntry, segment_folder, segments_folder};
use crate::merge::{Size, choose, choose_all};
use crate::segment::{Documents, SegmentWriter};
use crate::writer::{Closed, TURN_LOCK, lock_file, wait_for};
use crate::{Index, Writer, WriterSettings, disk};

const FOLDER: &str = "merging";
const LOCK: &str = "merge.lock";

/// What merging may take.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeSettings {
    /// Passages of a merged segment at most. Searching takes time for each segment, merging for each passage.
    pub passages_max: u32,
    /// Go on until there are as few segments as can be, with nothing deleted in them; otherwise until there are few.
    pub all: bool,
    /// Threads that build a graph.
    pub threads: usize,
    /// Bytes of texts and vectors that are read per second at most; none for no limit.
    pub bytes_per_s: Option<u64>,
}

impl Default for MergeSettings {
    /// Up to two million passages, one thread, as fast as it goes.
    fn default() -> Self {
        Self {
            passages_max: 2_000_000,
            all: false,
            threads: 1,
            bytes_per_s: None,
        }
    }
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Segments that became one.
    pub segments: usize,
    /// Live passages in it.
    pub passages: u32,
}

impl Index {
    /// Merges some segments of about the same size into one, if there are enough; a pure choice says which. `None`
    /// when all is well, when `stop` said so, or when a writer merged some of them meanwhile.
    ///
    /// What is interrupted leaves nothing behind that is not removed by the next merge.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another merge runs; otherwise as for [`WriteStore::commit`].
    pub fn merge(
        &self,
        settings: &MergeSettings,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Merged>, StoreError> {
        let _lock = lock_file(&self.folder().join(LOCK))?;
        let folder = self.folder().join(FOLDER);
        if folder.exists() {
            disk::remove(&folder)?;
        }
        let snapshot = self.snapshot()?;
        let sizes: Vec<Size> = snapshot.parts.iter().map(|live| live.size()).collect();
        let choose = if settings.all { choose_all } else { choose };
        let Some(chosen) = choose(&sizes, settings.passages_max) else {
            return Ok(None);
        };
        let parts: Vec<&Live> = chosen.iter().map(|&i| &*snapshot.parts[i]).collect();
        let Some(entry) = self.write_merged(&folder, &parts, settings, stop)? else {
            return Ok(None);
        };
        let turn = wait_for(Duration::MAX, || lock_file(&self.folder().join(TURN_LOCK)), stop);
        let lock = turn.and_then(|turn| {
            let lock = wait_for(
                Duration::MAX,
                || lock_file(&self.folder().join("write.lock")),
                stop,
            )?;
            Ok((turn, lock))
        });
        let (_turn, lock) = match lock {
            Err(StoreError::Locked { .. }) => return Ok(None),
            lock => lock?,
        };
        let limits = WriterSettings::default();
        let writer = Writer::open_locked(self.folder(), limits, lock, Some(snapshot.clone()), |_| false)?;
        writer.take_merged(&folder, entry, &parts)
    }

    /// Writes the live documents of the segments into a folder; `None` when it was stopped.
    fn write_merged(
        &self,
        folder: &Path,
        parts: &[&Live],
        settings: &MergeSettings,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<SegmentEntry>, StoreError> {
        let limits = WriterSettings {
            threads: settings.threads,
            ..WriterSettings::default()
        };
        let mut merged = SegmentWriter::create_merged(folder.to_owned(), 0, self.settings(), &limits)?;
        let start = Instant::now();
        let mut bytes = 0_u64;
        for live in parts {
            let documents = &live.segment.documents;
            for number in 0..documents.len() {
                if stop() {
                    return Ok(None);
                }
                if live.deleted.contains(documents.rows(number)?.start) {
                    continue;
                }
                let prepared = live.segment.document(number)?;
                bytes += prepared.document.text.len() as u64;
                bytes += (4 * self.settings().dimension * prepared.passages.len()) as u64;
                merged.push(&prepared, documents.content_hash(number)?)?;
                if let Some(limit) = settings.bytes_per_s {
                    let due = Duration::from_secs_f64(bytes as f64 / limit.max(1) as f64);
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                }
            }
        }
        let parts: Vec<Part<'_>> = parts
            .iter()
            .map(|live| Part {
                postings: &live.segment.postings,
                deleted: &live.deleted,
            })
            .collect();
        Ok(merged.finish_merged(&parts)?.map(|(entry, _, _)| entry))
    }
}

impl Writer {
    /// Puts a merged segment in the place of those it was made from, if they are all still there.
    fn take_merged(
        mut self,
        folder: &Path,
        entry: SegmentEntry,
        parts: &[&Live],
    ) -> Result<Option<Merged>, StoreError> {
        self.guarded(|writer| {
            let id = writer.next_segment;
            let mut gone = Vec::new();
            for live in parts {
                let Some(at) = writer
                    .closed
                    .iter()
                    .position(|closed| closed.entry.id == live.entry.id)
                else {
                    return disk::remove(folder).map(|()| None);
                };
                let since = &writer.closed[at].deleted - &live.deleted;
                gone.extend(ids_of(&live.segment.documents, &since)?);
            }
            writer.next_segment += 1;
            disk::create_folder(&segments_folder(&writer.index))?;
            disk::rename(folder, &segment_folder(&writer.index, id))?;
            let entry = SegmentEntry { id, ..entry };
            let mut merged = Closed::open(&writer.index, &entry, writer.manifest.settings.dimension)?;
            for id in &gone {
                merged.delete(id)?;
            }
            let made_of = |closed: &Closed| parts.iter().any(|live| live.entry.id == closed.entry.id);
            writer.closed.retain(|closed| !made_of(closed));
            let passages = merged.live_passages();
            writer.closed.push(merged);
            writer.changed = true;
            writer.commit()?;
            Ok(Some(Merged {
                segments: parts.len(),
                passages,
            }))
        })
    }
}

/// The documents that have some of the rows.
fn ids_of(documents: &Documents, rows: &RoaringBitmap) -> Result<Vec<corpus::DocumentId>, StoreError> {
    let mut ids: Vec<corpus::DocumentId> = Vec::new();
    let mut before = None;
    for row in rows {
        let document = documents.place(row)?.document;
        if before.replace(document) != Some(document) {
            ids.push(documents.document_id(document)?);
        }
    }
    Ok(ids)
}
