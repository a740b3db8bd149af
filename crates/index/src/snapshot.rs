//! Reading one commit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use corpus::{
    Document, DocumentId, FacetCount, FacetCounter, Filter, MatchingQuery, NearestQuery, Passage, PassageRef,
    PreparedDocument, QueryText, ReadStore, Scored, StoreError, StoreInfo, Syntax, TermScore,
};
use lexical::{Analyzer, Part, Query, Ranking, Synonyms, Totals};
use roaring::RoaringBitmap;
use vectors::Neighbour;

use crate::Settings;
use crate::disk;
use crate::error::{self, damaged};
use crate::manifest::{Manifest, SegmentEntry, segment_folder};
use crate::merge::Size;
use crate::segment::{Segment, Stored, check_sum};
use crate::top::{Candidate, best, split};

/// A segment with the rows that are deleted in one commit.
pub(crate) struct Live {
    pub(crate) segment: Arc<Segment>,
    pub(crate) entry: SegmentEntry,
    pub(crate) deleted: RoaringBitmap,
    totals: Totals,
}

impl Live {
    pub(crate) fn open(
        index: &Path,
        entry: &SegmentEntry,
        segment: Arc<Segment>,
    ) -> Result<Self, StoreError> {
        let deleted = read_deletes(&segment_folder(index, entry.id), entry)?;
        let totals = segment.postings.totals(&deleted);
        Ok(Self {
            segment,
            entry: entry.clone(),
            deleted,
            totals,
        })
    }

    pub(crate) fn size(&self) -> Size {
        Size {
            passages: self.entry.passages,
            live: self.entry.live_passages(),
        }
    }

    /// The rows that a query may return; none when that is every row.
    fn allowed(&self, filter: Option<&Filter>) -> Result<Option<RoaringBitmap>, StoreError> {
        match filter {
            Some(filter) => Ok(Some(&*self.segment.fulfilling(filter)? - &self.deleted)),
            None if self.deleted.is_empty() => Ok(None),
            None => {
                let mut live = RoaringBitmap::new();
                live.insert_range(0..self.entry.passages);
                Ok(Some(live - &self.deleted))
            }
        }
    }

    /// The `k` nearest rows, and every further one with the score of the last.
    fn nearest(&self, query: &NearestQuery<'_>) -> Result<Vec<Neighbour>, StoreError> {
        let allowed = self.allowed(query.filter)?;
        let mut wanted = query.k.saturating_add(1);
        loop {
            let found = self
                .segment
                .nearest(query.vector, wanted, allowed.as_ref(), query.recall)?;
            let tie_at_the_end = match (found.get(query.k - 1), found.last()) {
                (Some(last), Some(further)) => found.len() == wanted && last.score == further.score,
                _ => false,
            };
            if !tie_at_the_end {
                return Ok(found);
            }
            wanted = wanted.saturating_mul(2);
        }
    }
}

/// Reads the deleted rows of a segment.
pub(crate) fn read_deletes(folder: &Path, entry: &SegmentEntry) -> Result<RoaringBitmap, StoreError> {
    let Some(deletes) = &entry.deletes else {
        return Ok(RoaringBitmap::new());
    };
    let path = folder.join(&deletes.file);
    check_sum(&path, &deletes.sum)?;
    let bytes = disk::read(&path)?;
    let rows = RoaringBitmap::deserialize_from(disk::content(&path, &bytes)?)
        .map_err(|e| damaged(&path, e.to_string()))?;
    let fits = rows.len() == u64::from(deletes.passages) && rows.max().is_none_or(|row| row < entry.passages);
    if fits {
        Ok(rows)
    } else {
        Err(damaged(
            &path,
            format!("{} rows instead of {}", rows.len(), deletes.passages),
        ))
    }
}

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

impl ReadStore for Snapshot {
    fn info(&self) -> StoreInfo {
        let sum =
            |count: fn(&SegmentEntry) -> u32| self.parts.iter().map(|live| count(&live.entry) as usize).sum();
        StoreInfo {
            documents: sum(SegmentEntry::live_documents),
            passages: sum(SegmentEntry::live_passages),
            dimension: self.settings.dimension,
            fingerprint: self.settings.fingerprint.clone(),
            titles: self.settings.titles,
            generation: self.generation,
        }
    }

    fn nearest(&self, query: &NearestQuery<'_>) -> Result<Vec<Scored>, StoreError> {
        self.check_vector(query.vector)?;
        if query.k == 0 {
            return Ok(Vec::new());
        }
        let mut candidates = Vec::new();
        for (part, live) in (0..).zip(&self.parts) {
            let found = live.nearest(query)?.into_iter();
            candidates.extend(found.map(|Neighbour { row, score }| Candidate { part, row, score }));
        }
        best(candidates, query.k, |candidate| self.name(candidate))
    }

    fn matching(&self, query: &MatchingQuery<'_>) -> Result<Vec<Scored>, StoreError> {
        if query.k == 0 {
            return Ok(Vec::new());
        }
        let found = self.scored(&query.words, query.filter)?;
        let candidates = (0..).zip(found).flat_map(|(part, found)| {
            let candidate = move |(row, score)| Candidate { part, row, score };
            found.into_iter().map(candidate)
        });
        best(candidates.collect(), query.k, |candidate| self.name(candidate))
    }

    fn fetch(&self, passages: &[PassageRef]) -> Result<Vec<Passage>, StoreError> {
        // Passages of one document are often asked for together; its text is decompressed once.
        let mut opened: HashMap<(u64, u32), (DocumentId, Stored)> = HashMap::new();
        let mut fetched = Vec::with_capacity(passages.len());
        for &passage in passages {
            let (live, row) = self.live(passage)?;
            let documents = &live.segment.documents;
            let place = documents.place(row)?;
            let key = (live.entry.id, place.document);
            let (id, stored) = match opened.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert((
                    documents.document_id(place.document)?,
                    documents.stored(place.document)?,
                )),
            };
            let text = stored.text.get(place.span.clone()).ok_or_else(|| {
                let reason = format!(
                    "row {row} spans {:?} of a text of {} bytes",
                    place.span,
                    stored.text.len()
                );
                damaged(&live.segment.folder.join("passages"), reason)
            })?;
            fetched.push(Passage {
                document: id.clone(),
                chunk: row - documents.rows(place.document)?.start,
                title: stored.title.clone(),
                text: text.to_owned(),
                span: place.span,
                metadata: documents.metadata(place.document)?,
            });
        }
        Ok(fetched)
    }

    fn document(&self, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        self.find(id)?
            .map(|(live, document)| live.segment.documents.document(document))
            .transpose()
    }

    fn similarities(&self, vector: &[f32], passages: &[PassageRef]) -> Result<Vec<f32>, StoreError> {
        self.check_vector(vector)?;
        let cosine = |&passage| {
            let (live, row) = self.live(passage)?;
            Ok(kernels::dot(vector, live.segment.vectors.row(row)))
        };
        let cosines = passages.iter().map(cosine).collect::<Result<_, StoreError>>()?;
        for live in &self.parts {
            live.segment.check_vectors()?;
        }
        Ok(cosines)
    }

    fn explain_matching(
        &self,
        words: &QueryText<'_>,
        passage: PassageRef,
    ) -> Result<Vec<TermScore>, StoreError> {
        let (_, row) = self.live(passage)?;
        let (part, _) = split(passage);
        let searched = self.searched();
        let ranking = Ranking::new(&searched, self.totals, self.settings.bm25);
        ranking
            .explain(&self.query(words)?, part, row)
            .map_err(error::lexical)
    }

    fn highlight(&self, words: &QueryText<'_>, texts: &[&str]) -> Result<Vec<Vec<Range<usize>>>, StoreError> {
        let query = self.query(words)?;
        let texts = texts.iter();
        Ok(texts.map(|text| query.highlight(&self.analyzer, text)).collect())
    }

    fn facets(
        &self,
        fields: &[String],
        words: Option<&QueryText<'_>>,
        filter: Option<&Filter>,
    ) -> Result<Vec<Vec<FacetCount>>, StoreError> {
        let mut counter = FacetCounter::new(fields);
        let mut found = words
            .map(|words| self.scored(words, filter))
            .transpose()?
            .map(Vec::into_iter);
        for live in &self.parts {
            let rows = match &mut found {
                Some(found) => {
                    let rows = found.next().unwrap_or_default().into_iter();
                    Some(rows.map(|(row, _)| row).collect())
                }
                None => live.allowed(filter)?,
            };
            let documents = &live.segment.documents;
            for document in 0..documents.len() {
                let in_document = documents.rows(document)?;
                let counts = rows
                    .as_ref()
                    .is_none_or(|rows: &RoaringBitmap| rows.range_cardinality(in_document) > 0);
                if counts {
                    counter.add(&documents.metadata(document)?);
                }
            }
        }
        Ok(counter.finish())
    }
}
