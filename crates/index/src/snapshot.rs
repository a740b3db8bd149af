//! Reading one commit.

mod read;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use corpus::{DocumentId, Filter, PassageRef, PreparedDocument, QueryText, StoreError, Syntax};
use lexical::{Analyzer, Part, Query, Ranking, Synonyms, Totals};

use crate::Settings;
use crate::error;
use crate::live::Live;
use crate::manifest::{Manifest, SegmentEntry, segment_folder};
use crate::segment::Segment;
use crate::top::{Candidate, split};

/// One commit, which stays as it is while it is held, whatever is written meanwhile.
pub struct Snapshot {
    settings: Settings,
    generation: u64,
    pub(crate) checksum: String,
    analyzer: Analyzer,
    synonyms: Arc<(String, Synonyms)>,
    pub(crate) parts: Vec<Arc<Live>>,
    totals: Totals,
}

impl Snapshot {
    /// Opens a commit; segments and deletes that `before` has open are shared with it.
    pub(crate) fn open(index: &Path, manifest: &Manifest, before: Option<&Self>) -> Result<Self, StoreError> {
        let known: HashMap<u64, &Arc<Live>> = before
            .iter()
            .flat_map(|before| &before.parts)
            .map(|live| (live.entry.id, live))
            .collect();
        let mut parts = Vec::with_capacity(manifest.segments.len());
        for entry in &manifest.segments {
            parts.push(match known.get(&entry.id) {
                Some(live) if live.entry == *entry => Arc::clone(live),
                Some(live) => Arc::new(Live::open(index, entry, Arc::clone(&live.segment))?),
                None => {
                    let folder = segment_folder(index, entry.id);
                    let segment = Segment::open(folder, entry, manifest.settings.dimension)?;
                    Arc::new(Live::open(index, entry, Arc::new(segment))?)
                }
            });
        }
        let analyzer = manifest.settings.analyzer()?;
        let synonyms = match before {
            Some(before) if before.synonyms.0 == manifest.synonyms => Arc::clone(&before.synonyms),
            _ => {
                let synonyms = Synonyms::parse(&analyzer, &manifest.synonyms).map_err(error::lexical)?;
                Arc::new((manifest.synonyms.clone(), synonyms))
            }
        };
        Ok(Self {
            settings: manifest.settings.clone(),
            generation: manifest.generation,
            checksum: manifest.checksum.clone(),
            analyzer,
            synonyms,
            totals: parts.iter().map(|live| live.totals).sum(),
            parts,
        })
    }

    /// The settings of the index.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The synonyms of queries, as they were given to [`crate::Writer::set_synonyms`].
    pub fn synonyms(&self) -> &str {
        &self.synonyms.0
    }

    /// [`crate::content_hash`] of the document of that id, if there is one.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn content_hash(&self, id: &DocumentId) -> Result<Option<u64>, StoreError> {
        self.find(id)?
            .map(|(live, document)| live.segment.documents.content_hash(document))
            .transpose()
    }

    /// The passages of the document of that id, in order; none when there is no such document.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn passages_of(&self, id: &DocumentId) -> Result<Vec<PassageRef>, StoreError> {
        for (part, live) in (0..).zip(&self.parts) {
            let documents = &live.segment.documents;
            if let Some(document) = documents.find(id.as_str(), &live.deleted)? {
                let passage = |row| {
                    Candidate {
                        part,
                        row,
                        score: 0.0,
                    }
                    .passage()
                };
                return Ok(documents.rows(document)?.map(passage).collect());
            }
        }
        Ok(Vec::new())
    }

    /// The ids after `after`, in the order of their bytes, at most `limit`.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn document_ids(
        &self,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, StoreError> {
        let mut ids = Vec::new();
        for live in &self.parts {
            let documents = &live.segment.documents;
            let first = after.map_or(Ok(0), |after| documents.lower_bound(after.as_str()))?;
            let mut taken = 0;
            for n in first..documents.len() {
                if taken == limit {
                    break;
                }
                let document = documents.sorted(n)?;
                let id = documents.document_id(document)?;
                if Some(&id) != after && !live.deleted.contains(documents.rows(document)?.start) {
                    ids.push(id);
                    taken += 1;
                }
            }
        }
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    fn find(&self, id: &DocumentId) -> Result<Option<(&Live, u32)>, StoreError> {
        for live in &self.parts {
            if let Some(document) = live.segment.documents.find(id.as_str(), &live.deleted)? {
                return Ok(Some((live, document)));
            }
        }
        Ok(None)
    }

    fn live(&self, passage: PassageRef) -> Result<(&Live, u32), StoreError> {
        let (part, row) = split(passage);
        let live = self
            .parts
            .get(part)
            .filter(|live| row < live.entry.passages && !live.deleted.contains(row));
        live.map(|live| (&**live, row))
            .ok_or(StoreError::UnknownPassage(passage))
    }

    /// The document id and chunk of a candidate, by which equal scores are ordered.
    fn name(&self, candidate: &Candidate) -> Result<(&str, u32), StoreError> {
        let documents = &self.parts[candidate.part as usize].segment.documents;
        let document = documents.place(candidate.row)?.document;
        Ok((
            documents.id(document)?,
            candidate.row - documents.rows(document)?.start,
        ))
    }

    /// The segments as BM25 ranks them.
    fn searched(&self) -> Vec<Part<'_>> {
        let parts = self.parts.iter().map(|live| Part {
            postings: &live.segment.postings,
            deleted: &live.deleted,
        });
        parts.collect()
    }

    fn query(&self, words: &QueryText<'_>) -> Result<Query, StoreError> {
        let (analyzer, synonyms) = (&self.analyzer, &self.synonyms.1);
        let query = match words.syntax {
            Syntax::Plain => Ok(Query::plain(analyzer, synonyms, words.text)),
            Syntax::Query => Query::parse(analyzer, synonyms, words.text),
        };
        let query = match words.typos {
            true => query.and_then(|query| query.with_typos(&self.searched())),
            false => query,
        };
        query.map_err(error::lexical)
    }

    /// The rows of each segment that have a score and that the filter allows, with their scores.
    fn scored(
        &self,
        words: &QueryText<'_>,
        filter: Option<&Filter>,
    ) -> Result<Vec<Vec<(u32, f32)>>, StoreError> {
        let searched = self.searched();
        let ranking = Ranking::new(&searched, self.totals, self.settings.bm25);
        let scores = ranking.scores(&self.query(words)?).map_err(error::lexical)?;
        let mut found = Vec::with_capacity(scores.len());
        for (live, scores) in self.parts.iter().zip(scores) {
            let allowed = live.allowed(filter)?;
            let allowed = |row| allowed.as_ref().is_none_or(|allowed| allowed.contains(row));
            let scored = (0..).zip(scores);
            found.push(
                scored
                    .filter(|&(row, score)| score > 0.0 && allowed(row))
                    .collect(),
            );
        }
        Ok(found)
    }

    /// The open segment of an entry, if it is one of this commit.
    pub(crate) fn segment(&self, entry: &SegmentEntry) -> Option<Arc<Segment>> {
        let same = |live: &&Arc<Live>| live.entry.id == entry.id && live.entry.files == entry.files;
        self.parts.iter().find(same).map(|live| Arc::clone(&live.segment))
    }

    /// All live documents with their passages and vectors, segment by segment.
    pub fn documents(&self) -> impl Iterator<Item = Result<PreparedDocument, StoreError>> {
        self.parts.iter().flat_map(|live| {
            let live_document = |&number: &u32| {
                let rows = live.segment.documents.rows(number);
                // What cannot be read is an error of the document.
                rows.map_or(true, |rows| !live.deleted.contains(rows.start))
            };
            let numbers = (0..live.segment.documents.len()).filter(live_document);
            numbers.map(|number| live.segment.document(number))
        })
    }

    fn check_vector(&self, vector: &[f32]) -> Result<(), StoreError> {
        let checked = vectors::validate(vector, self.settings.dimension);
        checked.map_err(|e| error::vector(e, None, Path::new("")))
    }
}
