//! Making a damaged index sound again out of what is intact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use corpus::{DocumentId, PreparedDocument, PreparedPassage, StoreError, WriteStore};
use roaring::RoaringBitmap;
use serde::Serialize;
use vectors::Vectors;

use crate::live::read_deletes;
use crate::manifest::{SegmentEntry, segment_folder};
use crate::segment::Documents;
use crate::writer::lock;
use crate::{Verification, Writer, WriterSettings, content_hash, verify};

/// The outcome of [`repair`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// What was found before.
    pub before: Verification,
    /// Segments that were damaged, by number, with what became of them.
    pub segments: BTreeMap<u64, Salvage>,
    /// Live documents now.
    pub documents: u64,
}

/// What was saved of a damaged segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Salvage {
    /// Documents written again, word for word and vector for vector; postings, codes and graph were built anew.
    pub kept: u32,
    /// Documents of which something is damaged that nothing else tells, by id: add them again.
    pub lost: BTreeSet<DocumentId>,
    /// Documents of which not even the id can be read.
    pub lost_unnamed: u32,
    /// Documents that had been deleted or replaced, and may be back, because the list of deletes is damaged.
    pub undeleted: u32,
}

/// Verifies an index, and writes every damaged segment again out of what is intact in it. Indexes that are sound are
/// left as they are.
///
/// Documents come from their stored texts and vectors, each checked by its checksums; what can be computed from them
/// is computed anew. All this is one commit: until it is done, the index stays as it was.
///
/// # Errors
/// When there is no index, its manifest is damaged ([`StoreError::Damaged`]: nothing else says what belongs to it),
/// someone writes to it, or the disk refuses.
pub fn repair(index: &Path, limits: WriterSettings) -> Result<Repaired, StoreError> {
    let before = verify(index)?;
    let damaged = |file: &Path| {
        before
            .problems
            .iter()
            .any(|problem| problem.file.starts_with(file))
    };
    let folder = |entry: &SegmentEntry| segment_folder(Path::new(""), entry.id);
    let mut writer = Writer::open_locked(index, limits, lock(index)?, None, |entry| damaged(&folder(entry)))?;
    let mut segments = BTreeMap::new();
    for entry in writer.left_out.clone() {
        let sound = |file: &str| !damaged(&folder(&entry).join(file));
        // Nothing else tells what a document is called, or where its passages begin and end.
        let known = Known {
            ids: sound("ids"),
            passages: sound("documents") && sound("passages"),
        };
        let salvage = salvage(index, &entry, known, &mut writer)?;
        segments.insert(entry.id, salvage);
    }
    writer.changed |= !segments.is_empty();
    let documents = writer.commit()?.documents as u64;
    Ok(Repaired {
        before,
        segments,
        documents,
    })
}

/// What can be relied on in a damaged segment.
struct Known {
    ids: bool,
    passages: bool,
}

/// Adds the documents of a damaged segment that are intact.
fn salvage(
    index: &Path,
    entry: &SegmentEntry,
    known: Known,
    writer: &mut Writer,
) -> Result<Salvage, StoreError> {
    let mut salvage = Salvage::default();
    let folder = segment_folder(index, entry.id);
    let live = entry.live_documents();
    let opened = Documents::open(&folder, entry.documents, entry.passages);
    let vectors = Vectors::open(&folder.join("vectors"));
    let (Ok(documents), true) = (opened, known.ids) else {
        salvage.lost_unnamed = live;
        return Ok(salvage);
    };
    let vectors = vectors.ok().filter(|_| known.passages);
    let deleted = read_deletes(&folder, entry);
    if deleted.is_err() {
        salvage.undeleted = entry.documents - live;
    }
    let deleted: RoaringBitmap = deleted.unwrap_or_default();
    for number in 0..documents.len() {
        let gone = documents
            .rows(number)
            .is_ok_and(|rows| deleted.contains(rows.start));
        if gone {
            continue;
        }
        match (
            whole(&documents, number, vectors.as_ref()),
            documents.document_id(number),
        ) {
            (Some(document), _) => {
                // Where the deletes are damaged, other segments may have a newer one of this id.
                if writer.has(&document.document.id)? {
                    continue;
                }
                writer.add(vec![document])?;
                salvage.kept += 1;
            }
            (None, Ok(id)) => {
                salvage.lost.insert(id);
            }
            (None, Err(_)) => salvage.lost_unnamed += 1,
        }
    }
    Ok(salvage)
}

/// A document with its passages, if all of it is as it was written.
fn whole(documents: &Documents, number: u32, vectors: Option<&Vectors>) -> Option<PreparedDocument> {
    let vectors = vectors?;
    let document = documents.document(number).ok()?;
    let hash = documents.content_hash(number).ok()?;
    if content_hash(&document) != hash {
        return None;
    }
    let rows = documents.rows(number).ok()?;
    let mut passages = Vec::with_capacity(rows.len());
    for row in rows {
        let place = documents.place(row).ok()?;
        let vector = vectors.intact(row).ok()?;
        let fits = place.document == number && document.text.get(place.span.clone()).is_some();
        if !fits {
            return None;
        }
        passages.push(PreparedPassage {
            span: place.span,
            vector: vector.to_vec(),
        });
    }
    (!passages.is_empty()).then_some(PreparedDocument { document, passages })
}
