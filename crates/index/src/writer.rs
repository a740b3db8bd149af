//! Adding and deleting documents.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corpus::{Commit, DocumentId, PreparedDocument, StoreError, WriteStore};
use lexical::{Analyzer, Synonyms};
use roaring::RoaringBitmap;

use crate::error;
use crate::live::read_deletes;
use crate::manifest::{Manifest, SegmentEntry, segment_folder};
use crate::segment::{Segment, SegmentWriter, TEXT_BYTES_MAX};
use crate::{Snapshot, WriterSettings, content_hash};

/// The one who writes to an index; holds its lock until it is dropped. What was not committed by then is gone.
///
/// Memory: the postings of the open segment and about 100 bytes per document in it, and the deleted rows; texts
/// and vectors go to disk as they come. Closed segments are memory-mapped. Nothing grows with the index but the
/// list of segments.
///
/// An error of the disk takes back everything since the last commit, and says so by being returned; the writer
/// can be used again, unless something could not be made durable: then it is to be dropped for a new one. A document
/// that is refused takes back nothing.
pub struct Writer {
    pub(crate) index: PathBuf,
    pub(crate) limits: WriterSettings,
    pub(crate) analyzer: Analyzer,
    /// The last commit.
    pub(crate) manifest: Manifest,
    pub(crate) next_segment: u64,
    /// The closed segments, committed and not.
    pub(crate) closed: Vec<Closed>,
    pub(crate) open: Option<SegmentWriter>,
    /// Whether there is something to commit.
    pub(crate) changed: bool,
    /// Segments of the last commit that are not opened, because they are damaged, and that the next commit drops.
    pub(crate) left_out: Vec<SegmentEntry>,
    /// What could not be made durable, and why: nothing is written after that.
    ended: Option<(PathBuf, String)>,
    /// Has some of the segments open already.
    known: Option<Arc<Snapshot>>,
    /// Whether the state is to be read from disk again, because an error left it half done.
    stale: bool,
    _lock: File,
}

/// A closed segment, as the writer sees it.
#[derive(Clone)]
pub(crate) struct Closed {
    pub(crate) segment: Arc<Segment>,
    pub(crate) entry: SegmentEntry,
    pub(crate) deleted: RoaringBitmap,
    pub(crate) deleted_documents: u32,
    /// Whether rows were deleted that no file says so of.
    pub(crate) dirty: bool,
}

impl Closed {
    pub(crate) fn live_passages(&self) -> u32 {
        self.entry.passages - self.deleted.len() as u32
    }

    pub(crate) fn open(index: &Path, entry: &SegmentEntry, dimension: usize) -> Result<Self, StoreError> {
        let folder = segment_folder(index, entry.id);
        Self::of(index, Arc::new(Segment::open(folder, entry, dimension)?), entry)
    }

    fn of(index: &Path, segment: Arc<Segment>, entry: &SegmentEntry) -> Result<Self, StoreError> {
        let deleted = read_deletes(&segment_folder(index, entry.id), entry)?;
        Ok(Self {
            segment,
            entry: entry.clone(),
            deleted,
            deleted_documents: entry.deletes.as_ref().map_or(0, |deletes| deletes.documents),
            dirty: false,
        })
    }

    pub(crate) fn delete(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        let documents = &self.segment.documents;
        let Some(document) = documents.find(id.as_str(), &self.deleted)? else {
            return Ok(false);
        };
        self.deleted.insert_range(documents.rows(document)?);
        self.deleted_documents += 1;
        self.dirty = true;
        Ok(true)
    }
}

impl Writer {
    /// Opens an index; segments that a snapshot has open are shared with it.
    pub(crate) fn open(
        index: &Path,
        limits: WriterSettings,
        known: Arc<Snapshot>,
    ) -> Result<Self, StoreError> {
        let lock = lock(index)?;
        Self::open_locked(index, limits, lock, Some(known), |_| false)
    }

    /// Opens an index, whose lock is held, without some of its segments, which the next commit drops.
    pub(crate) fn open_locked(
        index: &Path,
        limits: WriterSettings,
        lock: File,
        known: Option<Arc<Snapshot>>,
        mut leave_out: impl FnMut(&SegmentEntry) -> bool,
    ) -> Result<Self, StoreError> {
        limits.check()?;
        let manifest = Manifest::read(index)?;
        let mut writer = Self {
            index: index.to_owned(),
            limits,
            analyzer: manifest.settings.analyzer()?,
            left_out: manifest
                .segments
                .iter()
                .filter(|&entry| leave_out(entry))
                .cloned()
                .collect(),
            manifest,
            next_segment: 0,
            closed: Vec::new(),
            open: None,
            changed: false,
            known,
            ended: None,
            stale: true,
            _lock: lock,
        };
        writer.refresh()?;
        Ok(writer)
    }

    /// Replaces the synonyms of the index, which [`lexical::Synonyms`] describes; visible with the next commit. An empty
    /// text removes them.
    ///
    /// # Errors
    /// [`StoreError::Settings`] with the line that is not understood; then they stay as they were.
    pub fn set_synonyms(&mut self, text: &str) -> Result<(), StoreError> {
        self.refresh()?;
        Synonyms::parse(&self.analyzer, text).map_err(error::lexical)?;
        if self.manifest.synonyms != text {
            self.manifest.synonyms = text.to_owned();
            self.changed = true;
        }
        Ok(())
    }

    /// Goes back to the last commit when an error left the state half done.
    fn refresh(&mut self) -> Result<(), StoreError> {
        if let Some((path, reason)) = &self.ended {
            return Err(StoreError::Sync {
                path: path.clone(),
                source: std::io::Error::other(reason.clone()),
            });
        }
        if !self.stale {
            return Ok(());
        }
        self.open = None;
        let manifest = Manifest::read(&self.index)?;
        Manifest::clean(&self.index, &[&manifest])?;
        let dimension = manifest.settings.dimension;
        let opened = manifest
            .segments
            .iter()
            .filter(|entry| !self.left_out.contains(entry))
            .map(
                |entry| match self.known.as_ref().and_then(|known| known.segment(entry)) {
                    Some(segment) => Closed::of(&self.index, segment, entry),
                    None => Closed::open(&self.index, entry, dimension),
                },
            );
        self.closed = opened.collect::<Result<_, _>>()?;
        self.next_segment = manifest.next_segment;
        self.manifest = manifest;
        self.changed = false;
        self.stale = false;
        Ok(())
    }

    /// Runs something that changes the disk. When it fails the state goes back to the last commit.
    pub(crate) fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.refresh()?;
        let result = work(self);
        if let Err(StoreError::Sync { path, source }) = &result {
            self.ended = Some((path.clone(), source.to_string()));
        }
        if result.is_err() {
            self.stale = true;
            // What fails here fails again, and is reported, at the next call.
            let _ = self.refresh();
        }
        result
    }

    /// Says what is wrong with a document, before anything of it is written.
    fn check(&self, prepared: &PreparedDocument) -> Result<(), StoreError> {
        let PreparedDocument { document, passages } = prepared;
        if passages.is_empty() || document.text.trim().is_empty() {
            return Err(StoreError::NoText(document.id.clone()));
        }
        if document.title.len() + document.text.len() > TEXT_BYTES_MAX {
            let bytes = document.title.len() + document.text.len();
            let reason = format!(
                "document {} has {bytes} bytes; accepted are up to {TEXT_BYTES_MAX}",
                document.id
            );
            return Err(StoreError::Settings(reason));
        }
        for (chunk, passage) in passages.iter().enumerate() {
            if document.text.get(passage.span.clone()).is_none() {
                let (start, end) = (passage.span.start, passage.span.end);
                let (document, bytes) = (document.id.clone(), document.text.len());
                return Err(StoreError::Span {
                    document,
                    chunk,
                    start,
                    end,
                    bytes,
                });
            }
            let valid = vectors::validate(&passage.vector, self.manifest.settings.dimension);
            valid.map_err(|e| error::vector(e, Some(&document.id), &self.index))?;
        }
        Ok(())
    }

    fn push(&mut self, prepared: &PreparedDocument) -> Result<(), StoreError> {
        self.changed = true;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.start_segment()?,
        };
        if !open.push(prepared, content_hash(&prepared.document))? {
            self.delete_closed(&prepared.document.id)?;
        }
        let full = open.is_full();
        self.open = Some(open);
        if full { self.close_segment() } else { Ok(()) }
    }

    pub(crate) fn start_segment(&mut self) -> Result<SegmentWriter, StoreError> {
        let id = self.next_segment;
        self.next_segment += 1;
        SegmentWriter::create(
            segment_folder(&self.index, id),
            id,
            &self.manifest.settings,
            &self.limits,
            &self.analyzer,
        )
    }

    /// Writes the open segment out and opens it for reading.
    pub(crate) fn close_segment(&mut self) -> Result<(), StoreError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if let Some(closed) = self.opened(open.finish()?)? {
            self.closed.push(closed);
        }
        Ok(())
    }

    /// A segment that was finished, opened for reading; none when there was nothing in it.
    pub(crate) fn opened(
        &self,
        finished: Option<(SegmentEntry, RoaringBitmap, u32)>,
    ) -> Result<Option<Closed>, StoreError> {
        let Some((entry, deleted, live_documents)) = finished else {
            return Ok(None);
        };
        let mut closed = Closed::open(&self.index, &entry, self.manifest.settings.dimension)?;
        closed.dirty = !deleted.is_empty();
        closed.deleted_documents = entry.documents - live_documents;
        closed.deleted = deleted;
        Ok(Some(closed))
    }

    /// Whether there is a live document of that id.
    pub(crate) fn has(&self, id: &DocumentId) -> Result<bool, StoreError> {
        if self.open.as_ref().is_some_and(|open| open.has(id)) {
            return Ok(true);
        }
        for closed in &self.closed {
            if closed
                .segment
                .documents
                .find(id.as_str(), &closed.deleted)?
                .is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn delete_closed(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        for closed in &mut self.closed {
            if closed.delete(id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl WriteStore for Writer {
    fn add(&mut self, documents: Vec<PreparedDocument>) -> Result<(), StoreError> {
        self.refresh()?;
        for prepared in &documents {
            self.check(prepared)?;
            self.guarded(|writer| writer.push(prepared))?;
        }
        Ok(())
    }

    fn delete(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        self.guarded(|writer| {
            let found = match writer.open.as_mut().is_some_and(|open| open.delete(id)) {
                true => true,
                false => writer.delete_closed(id)?,
            };
            writer.changed |= found;
            Ok(found)
        })
    }

    fn commit(&mut self) -> Result<Commit, StoreError> {
        self.guarded(Self::commit_all)
    }
}

/// Takes the lock of an index, which the operating system gives back when the process ends, however it ends.
pub(crate) fn lock(index: &Path) -> Result<File, StoreError> {
    let write = || lock_file(&index.join("write.lock"));
    let turn = match wait_for(TURN, || lock_file(&index.join(TURN_LOCK)), &|| false) {
        // Whoever has had its turn for so long waits for the same as we do.
        Err(StoreError::Locked { .. }) => return write(),
        turn => turn?,
    };
    let lock = write();
    drop(turn);
    lock
}

/// A file whose lock is held by a merge that is about to take its turn to write: who comes later waits for it, so that
/// a merge comes to its turn however often others write.
pub(crate) const TURN_LOCK: &str = "turn.lock";
/// How long such a merge is waited for.
const TURN: Duration = Duration::from_secs(5);
/// How often a lock is tried while it is waited for.
const PAUSE: Duration = Duration::from_millis(2);

/// Takes a lock that someone has, when it is given back within some time and before `stop` says so.
pub(crate) fn wait_for<T>(
    time: Duration,
    lock: impl Fn() -> Result<T, StoreError>,
    stop: &dyn Fn() -> bool,
) -> Result<T, StoreError> {
    let start = Instant::now();
    loop {
        match lock() {
            Err(StoreError::Locked { .. }) if start.elapsed() < time && !stop() => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

/// Takes the lock that a file stands for; creates the file when it is missing.
pub(crate) fn lock_file(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = file.map_err(|e| StoreError::io(path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(e)) => Err(StoreError::io(path, e)),
    }
}
