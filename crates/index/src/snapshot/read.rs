//! What a search reads of a commit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use corpus::{
    Document, DocumentId, FacetCount, FacetCounter, Filter, MatchingQuery, NearestQuery, Passage, PassageRef,
    QueryText, ReadStore, Scored, StoreError, StoreInfo, TermScore,
};
use lexical::Ranking;
use roaring::RoaringBitmap;
use vectors::Neighbour;

use super::Snapshot;
use crate::error::{self, damaged};
use crate::manifest::SegmentEntry;
use crate::segment::Stored;
use crate::top::{Candidate, best, split};

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

    fn vector(&self, passage: PassageRef) -> Result<Vec<f32>, StoreError> {
        let (live, row) = self.live(passage)?;
        let vector = live.segment.vectors.row(row).to_vec();
        live.segment.check_vectors()?;
        Ok(vector)
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
