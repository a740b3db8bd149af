//! The slow, obvious store: everything in memory, every passage compared with every query.
//!
//! It defines what the traits of `corpus` mean, and tests the pipeline without a disk. Words are those of
//! Unicode Standard Annex 29 in lower case; there are no stop words and no stemming.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use corpus::{
    Commit, Document, DocumentId, FacetCount, FacetCounter, Filter, MatchingQuery, NearestQuery, Passage,
    PassageRef, PreparedDocument, QueryText, ReadStore, Scored, StoreError, StoreInfo, Syntax, TermScore,
    TitleUse, WriteStore,
};
use unicode_segmentation::UnicodeSegmentation;

/// Saturation of BM25's term frequency.
const K1: f32 = 1.2;
/// How far BM25 takes the length of a passage into account.
const B: f32 = 0.75;

/// A store without files. What is added is visible after [`WriteStore::commit`].
#[derive(Debug, Clone)]
pub struct MemoryStore {
    info: StoreInfo,
    written: BTreeMap<DocumentId, PreparedDocument>,
    committed: BTreeMap<DocumentId, PreparedDocument>,
    rows: Vec<Row>,
}

/// A committed passage; its place among the rows is its [`PassageRef`].
#[derive(Debug, Clone)]
struct Row {
    passage: Passage,
    vector: Vec<f32>,
    words: Vec<String>,
}

impl MemoryStore {
    /// An empty store for vectors of `dimension` components, made by the model of this fingerprint.
    pub fn new(dimension: usize, fingerprint: impl Into<String>, titles: TitleUse) -> Self {
        Self {
            info: StoreInfo {
                documents: 0,
                passages: 0,
                dimension,
                fingerprint: fingerprint.into(),
                titles,
                generation: 0,
            },
            written: BTreeMap::new(),
            committed: BTreeMap::new(),
            rows: Vec::new(),
        }
    }

    fn row(&self, passage: PassageRef) -> Result<&Row, StoreError> {
        let row = usize::try_from(passage.0).ok().and_then(|at| self.rows.get(at));
        row.ok_or(StoreError::UnknownPassage(passage))
    }

    /// The best `k` rows among those that have a score, by the order that the traits promise.
    fn best(&self, k: usize, filter: Option<&Filter>, score: impl Fn(&Row) -> Option<f32>) -> Vec<Scored> {
        let allowed = |row: &Row| filter.is_none_or(|filter| filter.matches(&row.passage.metadata));
        let rows = self.rows.iter().enumerate().filter(|(_, row)| allowed(row));
        let mut scored: Vec<(Scored, &Passage)> = rows
            .filter_map(|(at, row)| {
                let passage = PassageRef(at as u64);
                Some((
                    Scored {
                        passage,
                        score: score(row)?,
                    },
                    &row.passage,
                ))
            })
            .collect();
        scored.sort_by(|(a, at_a), (b, at_b)| {
            let by_score = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
            by_score.then_with(|| (&at_a.document, at_a.chunk).cmp(&(&at_b.document, at_b.chunk)))
        });
        scored.into_iter().take(k).map(|(scored, _)| scored).collect()
    }

    fn term_scores(&self, text: &str, row: &Row) -> Vec<TermScore> {
        let terms: BTreeSet<String> = words(text).map(|(_, word)| word).collect();
        let scores = terms.into_iter().map(|term| self.term_score(term, row));
        scores.filter(|term| term.frequency > 0).collect()
    }

    /// BM25 as of Robertson and Zaragoza 2009, with the logarithm that is never negative.
    fn term_score(&self, term: String, row: &Row) -> TermScore {
        let frequency_in = |row: &Row| row.words.iter().filter(|word| **word == term).count();
        let frequency = frequency_in(row);
        let document_frequency = self.rows.iter().filter(|row| frequency_in(row) > 0).count();
        let idf = self.idf(document_frequency);
        let length = row.words.len() as f32 / self.average_words();
        let tf = frequency as f32;
        TermScore {
            frequency: u32::try_from(frequency).unwrap_or(u32::MAX),
            document_frequency: document_frequency as u64,
            idf,
            score: idf * tf * (K1 + 1.0) / (tf + K1 * (1.0 - B + B * length)),
            term,
        }
    }

    fn idf(&self, document_frequency: usize) -> f32 {
        let (n, df) = (self.rows.len() as f32, document_frequency as f32);
        (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
    }

    fn average_words(&self) -> f32 {
        let all: usize = self.rows.iter().map(|row| row.words.len()).sum();
        (all as f32 / self.rows.len().max(1) as f32).max(1.0)
    }

    fn check(&self, prepared: &PreparedDocument) -> Result<(), StoreError> {
        let Document { id, text, .. } = &prepared.document;
        if prepared.passages.is_empty() || text.trim().is_empty() {
            return Err(StoreError::NoText(id.clone()));
        }
        for (chunk, passage) in prepared.passages.iter().enumerate() {
            check_vector(&passage.vector, self.info.dimension, Some(id))?;
            if text.get(passage.span.clone()).is_none_or(str::is_empty) {
                return Err(StoreError::Span {
                    document: id.clone(),
                    chunk,
                    start: passage.span.start,
                    end: passage.span.end,
                    bytes: text.len(),
                });
            }
        }
        Ok(())
    }
}

impl ReadStore for MemoryStore {
    fn info(&self) -> StoreInfo {
        self.info.clone()
    }

    fn nearest(&self, query: &NearestQuery<'_>) -> Result<Vec<Scored>, StoreError> {
        check_vector(query.vector, self.info.dimension, None)?;
        let cosine = |row: &Row| Some(dot(query.vector, &row.vector));
        Ok(self.best(query.k, query.filter, cosine))
    }

    fn matching(&self, query: &MatchingQuery<'_>) -> Result<Vec<Scored>, StoreError> {
        let text = plain(&query.words)?;
        let bm25 = |row: &Row| {
            let terms = self.term_scores(text, row);
            (!terms.is_empty()).then(|| terms.iter().map(|term| term.score).sum())
        };
        Ok(self.best(query.k, query.filter, bm25))
    }

    fn fetch(&self, passages: &[PassageRef]) -> Result<Vec<Passage>, StoreError> {
        let passage = |&passage: &PassageRef| self.row(passage).map(|row| row.passage.clone());
        passages.iter().map(passage).collect()
    }

    fn document(&self, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        Ok(self.committed.get(id).map(|prepared| prepared.document.clone()))
    }

    fn similarities(&self, vector: &[f32], passages: &[PassageRef]) -> Result<Vec<f32>, StoreError> {
        check_vector(vector, self.info.dimension, None)?;
        let cosine = |&passage: &PassageRef| self.row(passage).map(|row| dot(vector, &row.vector));
        passages.iter().map(cosine).collect()
    }

    fn vector(&self, passage: PassageRef) -> Result<Vec<f32>, StoreError> {
        self.row(passage).map(|row| row.vector.clone())
    }

    fn explain_matching(
        &self,
        words: &QueryText<'_>,
        passage: PassageRef,
    ) -> Result<Vec<TermScore>, StoreError> {
        Ok(self.term_scores(plain(words)?, self.row(passage)?))
    }

    fn highlight(&self, query: &QueryText<'_>, texts: &[&str]) -> Result<Vec<Vec<Range<usize>>>, StoreError> {
        let terms: BTreeSet<String> = words(plain(query)?).map(|(_, word)| word).collect();
        let marked = |text: &&str| {
            let words = words(text).filter(|(_, word)| terms.contains(word));
            words.map(|(span, _)| span).collect()
        };
        Ok(texts.iter().map(marked).collect())
    }

    fn facets(
        &self,
        fields: &[String],
        words: Option<&QueryText<'_>>,
        filter: Option<&Filter>,
    ) -> Result<Vec<Vec<FacetCount>>, StoreError> {
        let text = words.map(plain).transpose()?;
        let found = self.best(usize::MAX, filter, |row| {
            let matches = text.is_none_or(|text| !self.term_scores(text, row).is_empty());
            matches.then_some(0.0)
        });
        let mut documents = BTreeMap::new();
        for one in found {
            let passage = &self.row(one.passage)?.passage;
            documents.insert(&passage.document, &passage.metadata);
        }
        let mut counter = FacetCounter::new(fields);
        documents.into_values().for_each(|metadata| counter.add(metadata));
        Ok(counter.finish())
    }
}

fn plain<'a>(words: &QueryText<'a>) -> Result<&'a str, StoreError> {
    if words.syntax == Syntax::Plain && !words.typos {
        return Ok(words.text);
    }
    let message = "the store in memory reads plain queries only, and none with typos";
    Err(StoreError::Settings(message.to_owned()))
}

impl WriteStore for MemoryStore {
    fn add(&mut self, documents: Vec<PreparedDocument>) -> Result<(), StoreError> {
        for prepared in documents {
            self.check(&prepared)?;
            self.written.insert(prepared.document.id.clone(), prepared);
        }
        Ok(())
    }

    fn delete(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        Ok(self.written.remove(id).is_some())
    }

    fn commit(&mut self) -> Result<Commit, StoreError> {
        self.committed = self.written.clone();
        let titles = self.info.titles;
        self.rows = self
            .committed
            .values()
            .flat_map(|prepared| rows(prepared, titles))
            .collect();
        self.info.documents = self.committed.len();
        self.info.passages = self.rows.len();
        self.info.generation += 1;
        Ok(Commit {
            generation: self.info.generation,
            documents: self.info.documents,
            passages: self.info.passages,
        })
    }
}

fn rows(prepared: &PreparedDocument, titles: TitleUse) -> impl Iterator<Item = Row> {
    let Document {
        id,
        title,
        text,
        metadata,
    } = &prepared.document;
    (0..).zip(&prepared.passages).map(move |(chunk, passage)| {
        let text = &text[passage.span.clone()];
        Row {
            words: words(&titles.searchable(title, text))
                .map(|(_, word)| word)
                .collect(),
            vector: passage.vector.clone(),
            passage: Passage {
                document: id.clone(),
                chunk,
                title: title.clone(),
                text: text.to_owned(),
                span: passage.span.clone(),
                metadata: metadata.clone(),
            },
        }
    })
}

fn words(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    text.unicode_word_indices()
        .map(|(at, word)| (at..at + word.len(), word.to_lowercase()))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check_vector(vector: &[f32], dimension: usize, document: Option<&DocumentId>) -> Result<(), StoreError> {
    if vector.len() != dimension {
        return Err(StoreError::Dimension {
            document: document.cloned(),
            expected: dimension,
            found: vector.len(),
        });
    }
    let reason = match vector.iter().position(|component| !component.is_finite()) {
        Some(at) => format!("has {} as component {at}", vector[at]),
        None if vector.iter().all(|&component| component == 0.0) => "has length zero".to_owned(),
        None => return Ok(()),
    };
    Err(StoreError::NotFinite {
        document: document.cloned(),
        reason,
    })
}
