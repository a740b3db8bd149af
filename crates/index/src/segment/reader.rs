//! Reading a segment.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use corpus::{Filter, PreparedDocument, PreparedPassage, StoreError};
use lexical::Postings;
use roaring::RoaringBitmap;
use vectors::{Codes, Effort, Exact, Graph, Nearest, Neighbour, VectorError, Vectors, Walk};

use super::Documents;
use crate::disk::{self, FileSum};
use crate::error::{self, damaged};
use crate::manifest::SegmentEntry;

/// How many filters a segment remembers the matching rows of.
const FILTERS_KEPT: usize = 32;

/// The files of a segment. Which rows are deleted is said elsewhere, so the same segment serves many commits.
pub(crate) struct Segment {
    pub(crate) folder: PathBuf,
    pub(crate) documents: Documents,
    pub(crate) vectors: Vectors,
    /// None for a small segment.
    graph: Option<(Codes, Graph)>,
    pub(crate) postings: Postings,
    /// Filters, as text, with the rows that fulfil them; the latest last.
    filters: Mutex<Vec<(String, Arc<RoaringBitmap>)>>,
}

impl Segment {
    /// Compares size and checksum of every file, then opens them. Of files with checksums of their own the content
    /// is verified when it is read.
    pub(crate) fn open(folder: PathBuf, entry: &SegmentEntry, dimension: usize) -> Result<Self, StoreError> {
        for (name, expected) in &entry.files {
            check_sum(&folder.join(name), expected)?;
        }
        let path = folder.join("vectors");
        let vectors = Vectors::open(&path).map_err(|e| error::vector(e, None, &path))?;
        if vectors.dimension() != dimension {
            let reason = format!(
                "vectors of {} values in an index of {dimension}",
                vectors.dimension()
            );
            return Err(damaged(&path, reason));
        }
        let graph = open_graph(&folder, entry, &vectors)?;
        let postings = Postings::open(&folder.join("postings")).map_err(error::lexical)?;
        for (path, rows) in [(path, vectors.len()), (folder.join("postings"), postings.rows())] {
            if rows != entry.passages {
                return Err(damaged(
                    &path,
                    format!("{rows} rows for {} passages", entry.passages),
                ));
            }
        }
        let documents = Documents::open(&folder, entry.documents, entry.passages)?;
        Ok(Self {
            folder,
            documents,
            vectors,
            graph,
            postings,
            filters: Mutex::default(),
        })
    }

    /// A document with its passages and their vectors.
    pub(crate) fn document(&self, number: u32) -> Result<PreparedDocument, StoreError> {
        let passage = |row| {
            Ok(PreparedPassage {
                span: self.documents.place(row)?.span,
                vector: self.vectors.row(row).to_vec(),
            })
        };
        let passages = self
            .documents
            .rows(number)?
            .map(passage)
            .collect::<Result<_, StoreError>>()?;
        self.check_vectors()?;
        Ok(PreparedDocument {
            document: self.documents.document(number)?,
            passages,
        })
    }

    /// The nearest rows by cosine; see [`Nearest::nearest`].
    pub(crate) fn nearest(
        &self,
        vector: &[f32],
        k: usize,
        allowed: Option<&RoaringBitmap>,
        recall: f64,
    ) -> Result<Vec<Neighbour>, StoreError> {
        let found = match &self.graph {
            Some((codes, graph)) if recall < 1.0 => {
                let walk = Walk::new(&self.vectors, codes, graph, Effort::Recall(recall));
                walk.and_then(|walk| self.with_exact_scores(vector, walk.nearest(vector, k, allowed)?))
            }
            _ => Exact::new(&self.vectors).nearest(vector, k, allowed),
        };
        found.map_err(|e| error::vector(e, None, &self.folder.join("vectors")))
    }

    /// Neighbours in the order of their exact scores, so that those of all segments compare.
    fn with_exact_scores(
        &self,
        vector: &[f32],
        mut found: Vec<Neighbour>,
    ) -> Result<Vec<Neighbour>, VectorError> {
        for near in &mut found {
            near.score = kernels::dot(vector, self.vectors.row(near.row));
        }
        found.sort_unstable();
        self.vectors.check()?;
        Ok(found)
    }

    /// Refuses a segment of whose vectors a damaged part was read.
    pub(crate) fn check_vectors(&self) -> Result<(), StoreError> {
        let check = self.vectors.check();
        check.map_err(|e| error::vector(e, None, &self.folder.join("vectors")))
    }

    /// Verifies every vector, code and link.
    pub(crate) fn verify_vectors(&self) -> Result<(), VectorError> {
        self.vectors.verify()?;
        match &self.graph {
            Some((codes, graph)) => codes.verify().and_then(|()| graph.verify()),
            None => Ok(()),
        }
    }

    /// The rows whose document fulfils a filter, deleted ones included. Remembers the latest filters.
    pub(crate) fn fulfilling(&self, filter: &Filter) -> Result<Arc<RoaringBitmap>, StoreError> {
        let key = serde_json::Value::from(filter.clone()).to_string();
        let known = |filters: &Vec<(String, Arc<RoaringBitmap>)>| {
            filters
                .iter()
                .find(|(known, _)| *known == key)
                .map(|(_, rows)| Arc::clone(rows))
        };
        let lock = || self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = known(&lock()) {
            return Ok(rows);
        }
        let mut rows = RoaringBitmap::new();
        for document in 0..self.documents.len() {
            if filter.matches(&self.documents.metadata(document)?) {
                rows.insert_range(self.documents.rows(document)?);
            }
        }
        let rows = Arc::new(rows);
        let mut filters = lock();
        if filters.len() == FILTERS_KEPT {
            filters.remove(0);
        }
        filters.push((key, Arc::clone(&rows)));
        Ok(rows)
    }
}

fn open_graph(
    folder: &Path,
    entry: &SegmentEntry,
    vectors: &Vectors,
) -> Result<Option<(Codes, Graph)>, StoreError> {
    if !entry.files.contains_key("graph") {
        return Ok(None);
    }
    let path = folder.join("graph");
    let open = || {
        let codes = Codes::open(&folder.join("codes"))?;
        let graph = Graph::open(&path)?;
        Walk::new(vectors, &codes, &graph, Effort::Ef(1))?;
        Ok(Some((codes, graph)))
    };
    open().map_err(|e| error::vector(e, None, &path))
}

/// Refuses a file that is not what was written, naming it. Of a file with a seal, only size and seal are looked at.
pub(crate) fn check_sum(path: &Path, expected: &FileSum) -> Result<(), StoreError> {
    let bytes = disk::len(path)?;
    if bytes != expected.bytes {
        let offset = bytes.min(expected.bytes);
        let reason = format!(
            "byte {offset}: the file has {bytes} bytes instead of {}",
            expected.bytes
        );
        return Err(damaged(path, reason));
    }
    let (recorded, found) = match &expected.seal {
        Some(seal) => (seal, disk::seal(path)?),
        None => (&expected.xxh3, disk::sum(path)?.xxh3),
    };
    if *recorded != found {
        let reason = format!("checksum {recorded} is recorded, its bytes have {found}");
        return Err(damaged(path, reason));
    }
    Ok(())
}
