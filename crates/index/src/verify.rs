//! Checking everything that can be checked about an index: every byte, and every number against every other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use corpus::{DocumentId, StoreError};
use roaring::RoaringBitmap;
use serde::Serialize;

use crate::content_hash;
use crate::disk::{self, FileSum};
use crate::live::read_deletes;
use crate::manifest::{Manifest, SegmentEntry, segment_folder, segment_name, segments_folder};
use crate::segment::{Documents, Segment};

/// The outcome of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Verification {
    /// Number of the commit that was looked at.
    pub generation: u64,
    /// Files that were read.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Live documents whose content was read and compared with its hash.
    pub documents: u64,
    /// Live passages whose spans and vectors were read.
    pub passages: u64,
    /// What is wrong; nothing when the index is sound.
    pub problems: Vec<Problem>,
    /// Files that no commit lists: left by a process that was stopped, or about to be removed by the next commit.
    pub unlisted: Vec<PathBuf>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, from the folder of the index.
    pub file: PathBuf,
    /// The byte where it shows first, if that is known.
    pub offset: Option<u64>,
    /// What kind of thing.
    pub kind: ProblemKind,
    /// In words.
    pub message: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The file is not there or cannot be read.
    Unreadable,
    /// It is shorter or longer than recorded.
    Length,
    /// Its bytes are not those that were written.
    Checksum,
    /// Its bytes are those that were written, and do not fit together: a mistake of the program that wrote them.
    Content,
    /// It was written by a newer program.
    Version,
}

/// Reads the whole index and names everything that is wrong with it.
///
/// # Errors
/// Only when there is no index in the folder.
pub fn verify(index: &Path) -> Result<Verification, StoreError> {
    let mut check = Check {
        index,
        found: Verification::default(),
        ids: HashSet::new(),
    };
    let manifest = match Manifest::read(index) {
        Ok(manifest) => manifest,
        Err(error @ StoreError::Io { .. }) => return Err(error),
        Err(error) => {
            let kind = if matches!(error, StoreError::Version { .. }) {
                ProblemKind::Version
            } else {
                ProblemKind::Checksum
            };
            check.problem(&Manifest::path(index), None, kind, error.to_string());
            return Ok(check.found);
        }
    };
    check.found.generation = manifest.generation;
    for entry in &manifest.segments {
        check.segment(entry, manifest.settings.dimension);
    }
    check.unlisted(&manifest);
    Ok(check.found)
}

struct Check<'a> {
    index: &'a Path,
    found: Verification,
    /// Live ids so far.
    ids: HashSet<DocumentId>,
}

impl Check<'_> {
    fn problem(&mut self, file: &Path, offset: Option<u64>, kind: ProblemKind, message: impl Into<String>) {
        let file = file.strip_prefix(self.index).unwrap_or(file).to_owned();
        self.found.problems.push(Problem {
            file,
            offset,
            kind,
            message: message.into(),
        });
    }

    fn segment(&mut self, entry: &SegmentEntry, dimension: usize) {
        let folder = segment_folder(self.index, entry.id);
        let before = self.found.problems.len();
        for (name, sum) in &entry.files {
            self.file(&folder.join(name), sum, entry);
        }
        if let Some(deletes) = &entry.deletes {
            self.file(&folder.join(&deletes.file), &deletes.sum, entry);
        }
        // What the bytes say is of interest only when they are the ones that were written.
        if self.found.problems.len() > before {
            return;
        }
        let opened = Segment::open(folder.clone(), entry, dimension);
        match opened.and_then(|segment| Ok((segment, read_deletes(&folder, entry)?))) {
            Ok((segment, deleted)) => self.content(&segment, entry, &deleted),
            Err(error) => self.problem(&folder, None, ProblemKind::Content, error.to_string()),
        }
    }

    fn file(&mut self, path: &Path, expected: &FileSum, entry: &SegmentEntry) {
        let found = match disk::sum(path) {
            Ok(found) => found,
            Err(error) => return self.problem(path, None, ProblemKind::Unreadable, error.to_string()),
        };
        self.found.files += 1;
        self.found.bytes += found.bytes;
        if found.bytes != expected.bytes {
            let message = format!("{} bytes instead of {}", found.bytes, expected.bytes);
            self.problem(
                path,
                Some(found.bytes.min(expected.bytes)),
                ProblemKind::Length,
                message,
            );
        } else if found.xxh3 != expected.xxh3 {
            let message = format!(
                "checksum {} is recorded, the bytes have {}",
                expected.xxh3, found.xxh3
            );
            let offset = if path.ends_with("texts") {
                first_damaged_text(path, entry)
            } else {
                None
            };
            self.problem(path, offset, ProblemKind::Checksum, message);
        }
    }

    /// Compares everything in a segment whose files are as written.
    fn content(&mut self, segment: &Segment, entry: &SegmentEntry, deleted: &RoaringBitmap) {
        let wrong = |file: &str, message: String| (segment.folder.join(file), message);
        let mut problems = Vec::new();
        let mut row_next = 0;
        let mut live_documents = 0;
        let mut id_before: Option<DocumentId> = None;
        for number in 0..entry.documents {
            match document(&segment.documents, number, row_next) {
                Ok((id, rows_end)) => {
                    let gone = deleted.range_cardinality(row_next..rows_end);
                    if gone == 0 {
                        live_documents += 1;
                        if self.ids.contains(&id) {
                            problems.push(wrong("ids", format!("document {id} is live twice")));
                        }
                        self.ids.insert(id);
                    } else if gone != u64::from(rows_end - row_next) {
                        problems.push(wrong("passages", format!("document {id} is deleted in part")));
                    }
                    row_next = rows_end;
                }
                Err((file, message)) => problems.push(wrong(file, message)),
            }
            match sorted_id(&segment.documents, number) {
                Ok(id) if id_before.as_ref().is_none_or(|before| *before <= id) => id_before = Some(id),
                Ok(id) => problems.push(wrong("documents", format!("id {id} stands in the wrong place"))),
                Err(error) => problems.push(wrong("documents", error.to_string())),
            }
        }
        if row_next != entry.passages || live_documents != entry.live_documents() {
            let message = format!("{row_next} passages and {live_documents} live documents are there");
            problems.push(wrong("documents", message));
        }
        if let Err(error) = segment.verify_vectors() {
            problems.push(wrong("", error.to_string()));
        }
        for row in 0..entry.passages {
            if let Err(error) = vectors::validate(segment.vectors.row(row), segment.vectors.dimension()) {
                problems.push(wrong("vectors", format!("row {row}: {error}")));
            }
        }
        self.found.documents += u64::from(live_documents);
        self.found.passages += u64::from(entry.live_passages());
        for (file, message) in problems {
            self.problem(&file, None, ProblemKind::Content, message);
        }
    }

    fn unlisted(&mut self, manifest: &Manifest) {
        let folder = segments_folder(self.index);
        for name in disk::list(&folder).unwrap_or_default() {
            let path = folder.join(&name);
            let Some(entry) = manifest
                .segments
                .iter()
                .find(|entry| segment_name(entry.id) == name)
            else {
                self.found.unlisted.push(PathBuf::from("segments").join(name));
                continue;
            };
            for file in disk::list(&path).unwrap_or_default() {
                let deletes = entry.deletes.as_ref().is_some_and(|deletes| deletes.file == file);
                if file != "postings" && !deletes && !entry.files.contains_key(&file) {
                    self.found
                        .unlisted
                        .push(PathBuf::from("segments").join(&name).join(file));
                }
            }
        }
    }
}

/// The offset of the first text that cannot be read, in a damaged file; zstd's own checksums tell.
fn first_damaged_text(path: &Path, entry: &SegmentEntry) -> Option<u64> {
    let documents = Documents::open(path.parent()?, entry.documents, entry.passages).ok()?;
    let damaged = (0..entry.documents).find(|&number| documents.stored(number).is_err())?;
    documents.text_offset(damaged).ok()
}

/// Reads a document with its passages, which begin at `first`; returns its id and the row after its last.
fn document(
    documents: &Documents,
    number: u32,
    first: u32,
) -> Result<(DocumentId, u32), (&'static str, String)> {
    let in_file = |file| move |error: StoreError| (file, error.to_string());
    let document = documents.document(number).map_err(in_file("texts"))?;
    let hash = documents.content_hash(number).map_err(in_file("documents"))?;
    let id = document.id.clone();
    if content_hash(&document) != hash {
        return Err((
            "texts",
            format!("document {id} does not have the hash that is recorded"),
        ));
    }
    let rows = documents.rows(number).map_err(in_file("documents"))?;
    if rows.start != first || rows.is_empty() {
        return Err((
            "documents",
            format!("document {id} has the rows {rows:?}, which begin at {first}"),
        ));
    }
    for row in rows.clone() {
        let place = documents.place(row).map_err(in_file("passages"))?;
        if place.document != number || document.text.get(place.span.clone()).is_none() {
            return Err(("passages", format!("row {row} is no stretch of document {id}")));
        }
    }
    Ok((id, rows.end))
}

fn sorted_id(documents: &Documents, n: u32) -> Result<DocumentId, StoreError> {
    documents.document_id(documents.sorted(n)?)
}
