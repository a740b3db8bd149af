//! Writing a segment, document by document.

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::path::{Path, PathBuf};

use corpus::{DocumentId, PreparedDocument, StoreError, TitleUse};
use lexical::{Analyzer, Part, Postings, PostingsWriter};
use roaring::RoaringBitmap;
use vectors::{Codes, Graph, GraphSettings, Vectors, VectorsWriter};

use super::documents::DocumentsWriter;
use crate::disk;
use crate::error;
use crate::manifest::SegmentEntry;
use crate::{Settings, WriterSettings};

/// A segment that is not closed yet.
pub(crate) struct SegmentWriter {
    id: u64,
    folder: PathBuf,
    settings: Settings,
    limits: WriterSettings,
    documents: DocumentsWriter,
    vectors: VectorsWriter,
    /// None for a segment of others, whose postings are merged.
    postings: Option<PostingsWriter>,
    /// The live document of each id in this segment.
    numbers: HashMap<DocumentId, u32>,
    deleted: RoaringBitmap,
    text_bytes: u64,
}

impl SegmentWriter {
    pub(crate) fn create(
        folder: PathBuf,
        id: u64,
        settings: &Settings,
        limits: &WriterSettings,
        analyzer: &Analyzer,
    ) -> Result<Self, StoreError> {
        let mut writer = Self::create_merged(folder, id, settings, limits)?;
        let postings = PostingsWriter::create(&writer.folder.join("postings"), analyzer);
        writer.postings = Some(postings.map_err(error::lexical)?);
        Ok(writer)
    }

    /// For the live documents of other segments; [`SegmentWriter::finish_merged`] closes it.
    pub(crate) fn create_merged(
        folder: PathBuf,
        id: u64,
        settings: &Settings,
        limits: &WriterSettings,
    ) -> Result<Self, StoreError> {
        disk::create_folder(&folder)?;
        let vectors = VectorsWriter::create(&folder.join("vectors"), settings.dimension);
        Ok(Self {
            id,
            documents: DocumentsWriter::create(&folder)?,
            vectors: vectors.map_err(|e| error::vector(e, None, &folder))?,
            postings: None,
            settings: settings.clone(),
            limits: limits.clone(),
            folder,
            numbers: HashMap::new(),
            deleted: RoaringBitmap::new(),
            text_bytes: 0,
        })
    }

    /// Adds a document that was checked, with the hash of its content; an earlier one of its id in this segment is deleted. Says whether there
    /// was one. After an error the segment cannot be used.
    pub(crate) fn push(&mut self, prepared: &PreparedDocument, hash: u64) -> Result<bool, StoreError> {
        let PreparedDocument { document, passages } = prepared;
        let number = self.documents.push(prepared, hash)?;
        for passage in passages {
            let vector = self.vectors.push(&passage.vector);
            vector.map_err(|e| error::vector(e, Some(&document.id), &self.folder))?;
            let text = &document.text[passage.span.clone()];
            let titles = match self.settings.titles {
                TitleUse::Join => self.settings.title_weight as usize,
                TitleUse::Ignore => 0,
            };
            let texts = iter::repeat_n(document.title.as_str(), titles).chain([text]);
            if let Some(postings) = &mut self.postings {
                postings.push(texts).map_err(error::lexical)?;
            }
            self.text_bytes += (titles * document.title.len() + text.len()) as u64;
        }
        self.text_bytes += document.text.len() as u64;
        let replaced = self.delete(&document.id);
        self.numbers.insert(document.id.clone(), number);
        Ok(replaced)
    }

    pub(crate) fn has(&self, id: &DocumentId) -> bool {
        self.numbers.contains_key(id)
    }

    /// Deletes the live document of that id, if there is one.
    pub(crate) fn delete(&mut self, id: &DocumentId) -> bool {
        let number = self.numbers.remove(id);
        if let Some(number) = number {
            self.deleted.insert_range(self.documents.rows(number));
        }
        number.is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.documents.passages() >= self.limits.segment_passages_max
            || self.text_bytes >= self.limits.segment_bytes_max
            || self.memory_bytes() >= self.limits.segment_memory_max
    }

    /// Bytes of memory that it takes, about.
    fn memory_bytes(&self) -> u64 {
        let postings = self.postings.as_ref().map_or(0, PostingsWriter::memory_bytes);
        // Their ids are held twice, with places and hashes, until the segment is closed.
        (postings + 250 * self.numbers.len()) as u64
    }

    /// Closes a segment of others, of which all live documents were added in their order.
    pub(crate) fn finish_merged(
        self,
        parts: &[Part<'_>],
    ) -> Result<Option<(SegmentEntry, RoaringBitmap, u32)>, StoreError> {
        if !self.numbers.is_empty() {
            Postings::merge(parts, &self.folder.join("postings")).map_err(error::lexical)?;
        }
        self.finish()
    }

    /// Closes the files and lists them with their checksums; beside them the deleted rows and the number of live
    /// documents. `None` when every document was deleted again.
    pub(crate) fn finish(self) -> Result<Option<(SegmentEntry, RoaringBitmap, u32)>, StoreError> {
        if self.numbers.is_empty() {
            drop((self.documents, self.vectors, self.postings));
            disk::remove(&self.folder)?;
            return Ok(None);
        }
        let passages = self.documents.passages();
        let documents = self.documents.finish()?;
        self.vectors
            .finish()
            .map_err(|e| error::vector(e, None, &self.folder))?;
        if let Some(postings) = self.postings {
            postings.finish().map_err(error::lexical)?;
        }
        if passages >= self.limits.graph_passages_min {
            build_graph(&self.folder, self.limits.threads)?;
        }
        let files = list(&self.folder)?;
        let entry = SegmentEntry {
            id: self.id,
            documents,
            passages,
            files,
            deletes: None,
        };
        Ok(Some((entry, self.deleted, self.numbers.len() as u32)))
    }
}

fn build_graph(folder: &Path, threads: usize) -> Result<(), StoreError> {
    let settings = GraphSettings {
        threads,
        ..GraphSettings::default()
    };
    let build = || {
        let vectors = Vectors::open(&folder.join("vectors"))?;
        let path = folder.join("codes");
        Codes::write(&vectors, &path)?;
        Graph::build(&vectors, &Codes::open(&path)?, &settings)?.write(&folder.join("graph"))
    };
    build().map_err(|e| error::vector(e, None, &folder.join("graph")))
}

/// Files with checksums of their own, which are verified as they are read.
const SEALED: [&str; 3] = ["vectors", "codes", "graph"];

/// Sizes and checksums of the files of a segment; its folders are made durable.
fn list(folder: &Path) -> Result<BTreeMap<String, disk::FileSum>, StoreError> {
    let mut files = BTreeMap::new();
    for name in disk::list(folder)? {
        let path = folder.join(&name);
        if path.is_dir() {
            for inner in disk::list(&path)? {
                files.insert(format!("{name}/{inner}"), disk::sum(&path.join(&inner))?);
            }
            disk::sync_folder(&path)?;
        } else {
            let mut sum = disk::sum(&path)?;
            if SEALED.contains(&name.as_str()) {
                sum.seal = Some(disk::seal(&path)?);
            }
            files.insert(name, sum);
        }
    }
    disk::sync_folder(folder)?;
    Ok(files)
}
