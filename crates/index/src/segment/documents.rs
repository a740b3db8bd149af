//! The documents of a segment and their passages.
//!
//! ```text
//! ids         record per document: the id
//! texts       record per document: zstd frame with a checksum of (u32 bytes of title, title, text)
//! metadata    record per document, see `metadata.rs`
//! documents   20 bytes per document: u64 content hash, u32 first passage, u32 passages,
//!             u32 n: the document that is number n when they are sorted by (id, document)
//! passages    12 bytes per passage: u32 document, u32 start and u32 end in the text
//! ```
//! Mark and version of [`crate::disk::end`] follow in each.
//!
//! A document is deleted when its first passage is; there is always one. One id may stand here several times, of
//! which at most one is not deleted.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::ops::Range;
use std::path::Path;

use corpus::{Document, DocumentId, Metadata, PreparedDocument, StoreError};
use roaring::RoaringBitmap;

use super::metadata;
use super::records::{Records, RecordsWriter};
use crate::disk::Output;
use crate::error::damaged;
use crate::map::Map;

const DOCUMENT_BYTES: usize = 20;
const PASSAGE_BYTES: usize = 12;
const ZSTD_LEVEL: i32 = 3;

/// The longest text with its title, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 30;

pub(crate) struct DocumentsWriter {
    ids: RecordsWriter,
    texts: RecordsWriter,
    metadata: RecordsWriter,
    documents: Output,
    passages: Output,
    entries: Vec<Entry>,
    passages_len: u32,
}

/// What is kept in memory of each document until the segment is closed.
struct Entry {
    id: DocumentId,
    hash: u64,
    first: u32,
    passages: u32,
}

impl DocumentsWriter {
    pub(crate) fn create(folder: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            ids: RecordsWriter::create(folder.join("ids"))?,
            texts: RecordsWriter::create(folder.join("texts"))?,
            metadata: RecordsWriter::create(folder.join("metadata"))?,
            documents: Output::create(folder.join("documents"))?,
            passages: Output::create(folder.join("passages"))?,
            entries: Vec::new(),
            passages_len: 0,
        })
    }

    pub(crate) fn passages(&self) -> u32 {
        self.passages_len
    }

    /// The rows of the passages of a document.
    pub(crate) fn rows(&self, document: u32) -> Range<u32> {
        let entry = &self.entries[document as usize];
        entry.first..entry.first + entry.passages
    }

    /// Adds a document whose spans were checked, with the hash of its content; returns its number.
    pub(crate) fn push(&mut self, prepared: &PreparedDocument, hash: u64) -> Result<u32, StoreError> {
        let PreparedDocument { document, passages } = prepared;
        let number = self.entries.len() as u32;
        let mut text = Vec::with_capacity(4 + document.title.len() + document.text.len());
        text.extend_from_slice(&(document.title.len() as u32).to_le_bytes());
        text.extend_from_slice(document.title.as_bytes());
        text.extend_from_slice(document.text.as_bytes());
        self.texts.push(&compress(&text)?)?;
        self.ids.push(document.id.as_str().as_bytes())?;
        self.metadata.push(&metadata::encode(&document.metadata))?;
        for passage in passages {
            let record = [number, passage.span.start as u32, passage.span.end as u32];
            self.passages.write(&record.map(u32::to_le_bytes).concat())?;
        }
        self.entries.push(Entry {
            id: document.id.clone(),
            hash,
            first: self.passages_len,
            passages: passages.len() as u32,
        });
        self.passages_len += passages.len() as u32;
        Ok(number)
    }

    pub(crate) fn finish(mut self) -> Result<u32, StoreError> {
        let entries = &self.entries;
        let mut sorted: Vec<u32> = (0..entries.len() as u32).collect();
        sorted.sort_by_key(|&n| (entries[n as usize].id.as_str(), n));
        for (entry, sorted) in entries.iter().zip(sorted) {
            self.documents.write(&entry.hash.to_le_bytes())?;
            self.documents.write(
                &[entry.first, entry.passages, sorted]
                    .map(u32::to_le_bytes)
                    .concat(),
            )?;
        }
        for records in [self.ids, self.texts, self.metadata] {
            records.finish()?;
        }
        self.documents.finish_marked()?;
        self.passages.finish_marked()?;
        Ok(self.entries.len() as u32)
    }
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    thread_local! {
        static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    }
    let compressed = ZSTD.with_borrow_mut(|slot| {
        if slot.is_none() {
            let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
            compressor.include_checksum(true)?;
            *slot = Some(compressor);
        }
        slot.as_mut()
            .map_or_else(|| Ok(Vec::new()), |compressor| compressor.compress(bytes))
    });
    compressed.map_err(|e| StoreError::Settings(format!("text cannot be compressed: {e}")))
}

/// Title and text as stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// A passage's document and its span there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) document: u32,
    pub(crate) span: Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Documents {
    ids: Records,
    texts: Records,
    metadata: Records,
    documents: Map,
    passages: Map,
}

impl Documents {
    /// Opens the five files and compares their lengths.
    pub(crate) fn open(folder: &Path, documents: u32, passages: u32) -> Result<Self, StoreError> {
        let opened = Self {
            ids: Records::open(folder.join("ids"))?,
            texts: Records::open(folder.join("texts"))?,
            metadata: Records::open(folder.join("metadata"))?,
            documents: Map::open(folder.join("documents"))?,
            passages: Map::open(folder.join("passages"))?,
        };
        for records in [&opened.ids, &opened.texts, &opened.metadata] {
            if records.len() != documents as usize {
                let reason = format!("{} records for {documents} documents", records.len());
                return Err(damaged(records.path(), reason));
            }
        }
        for (map, len) in [
            (&opened.documents, documents as usize * DOCUMENT_BYTES),
            (&opened.passages, passages as usize * PASSAGE_BYTES),
        ] {
            if map.len() != len {
                return Err(damaged(
                    map.path(),
                    format!("{} bytes instead of {len}", map.len()),
                ));
            }
        }
        Ok(opened)
    }

    pub(crate) fn len(&self) -> u32 {
        self.ids.len() as u32
    }

    pub(crate) fn id(&self, document: u32) -> Result<&str, StoreError> {
        let bytes = self.ids.get(document)?;
        std::str::from_utf8(bytes).map_err(|e| {
            damaged(
                self.ids.path(),
                format!("id of document {document} is not UTF-8: {e}"),
            )
        })
    }

    pub(crate) fn document_id(&self, document: u32) -> Result<DocumentId, StoreError> {
        DocumentId::new(self.id(document)?).map_err(|e| damaged(self.ids.path(), e.to_string()))
    }

    pub(crate) fn stored(&self, document: u32) -> Result<Stored, StoreError> {
        let refuse = |reason: String| damaged(self.texts.path(), format!("document {document}: {reason}"));
        let frame = self.texts.get(document)?;
        // Bounded by what is accepted when writing, whatever a damaged frame claims.
        let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
        let size = size.filter(|&size| size <= (TEXT_BYTES_MAX + 4) as u64);
        let size = size.ok_or_else(|| refuse("no frame of an accepted size".into()))?;
        let bytes = decompress(frame, size as usize).map_err(|e| refuse(e.to_string()))?;
        let (title_bytes, rest) = bytes
            .split_first_chunk()
            .ok_or_else(|| refuse("too short".into()))?;
        let title_bytes = u32::from_le_bytes(*title_bytes) as usize;
        let (title, text) = rest
            .split_at_checked(title_bytes)
            .ok_or_else(|| refuse("too short".into()))?;
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|e| refuse(e.to_string()));
        Ok(Stored {
            title: utf8(title)?,
            text: utf8(text)?,
        })
    }

    pub(crate) fn metadata(&self, document: u32) -> Result<Metadata, StoreError> {
        let decoded = metadata::decode(self.metadata.get(document)?);
        decoded.ok_or_else(|| damaged(self.metadata.path(), format!("document {document}: no metadata")))
    }

    pub(crate) fn document(&self, document: u32) -> Result<Document, StoreError> {
        let Stored { title, text } = self.stored(document)?;
        let (id, metadata) = (self.document_id(document)?, self.metadata(document)?);
        Ok(Document {
            id,
            title,
            text,
            metadata,
        })
    }

    pub(crate) fn content_hash(&self, document: u32) -> Result<u64, StoreError> {
        self.documents
            .array(DOCUMENT_BYTES * document as usize)
            .map(u64::from_le_bytes)
    }

    /// Where the stored text of a document begins in `texts`.
    pub(crate) fn text_offset(&self, document: u32) -> Result<u64, StoreError> {
        self.texts.start(document)
    }

    /// The rows of the passages of a document.
    pub(crate) fn rows(&self, document: u32) -> Result<Range<u32>, StoreError> {
        let at = DOCUMENT_BYTES * document as usize + 8;
        let first = u32::from_le_bytes(self.documents.array(at)?);
        let len = u32::from_le_bytes(self.documents.array(at + 4)?);
        let end = first
            .checked_add(len)
            .filter(|&end| end as usize <= self.passages.len() / PASSAGE_BYTES);
        let end = end.ok_or_else(|| {
            damaged(
                self.documents.path(),
                format!("byte {at}: {len} rows from {first}"),
            )
        })?;
        Ok(first..end)
    }

    /// The document that is number `n` in the order of ids.
    pub(crate) fn sorted(&self, n: u32) -> Result<u32, StoreError> {
        self.documents
            .array(DOCUMENT_BYTES * n as usize + 16)
            .map(u32::from_le_bytes)
    }

    pub(crate) fn place(&self, row: u32) -> Result<Place, StoreError> {
        let at = PASSAGE_BYTES * row as usize;
        let number = |i: usize| self.passages.array(at + 4 * i).map(u32::from_le_bytes);
        Ok(Place {
            document: number(0)?,
            span: number(1)? as usize..number(2)? as usize,
        })
    }

    /// The place of the first document in the order of ids that is not before `id`.
    pub(crate) fn lower_bound(&self, id: &str) -> Result<u32, StoreError> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.id(self.sorted(middle)?)?.cmp(id) {
                Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The document of that id that is not deleted.
    pub(crate) fn find(&self, id: &str, deleted: &RoaringBitmap) -> Result<Option<u32>, StoreError> {
        for n in self.lower_bound(id)?..self.len() {
            let document = self.sorted(n)?;
            if self.id(document)? != id {
                break;
            }
            if !deleted.contains(self.rows(document)?.start) {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }
}
/// Decompresses a frame. The context is kept for each thread: making one costs more than a short text.
fn decompress(frame: &[u8], size: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    ZSTD.with_borrow_mut(|slot| match slot {
        Some(decompressor) => decompressor.decompress(frame, size),
        None => slot
            .insert(zstd::bulk::Decompressor::new()?)
            .decompress(frame, size),
    })
}
