//! BM25 (Robertson et al. 1994, in the form of Lucene 8 and later) over several segments at once.
//!
//! ```text
//! score(row) = Σ over the query's terms, repeated ones counted each time, of
//!              idf · (k1 + 1) · f / (f + k1 · (1 - b + b · length / average length))
//! idf        = ln(1 + (N - n + 0.5) / (n + 0.5))
//! ```
//!
//! `f` is the term's frequency in the row, `n` the number of live rows that have it, `N` the number of live rows.
//! Lengths are in terms (stop words do not count) and quantised as in Lucene and tantivy: exact up to 40, then in
//! steps of 4 to 12 %; the average is that of the quantised lengths. Deleted rows count nowhere, so the scores
//! are those of an index that never had them, however the rows are cut into segments.

use std::collections::BTreeMap;
use std::iter::Sum;

use corpus::TermScore;
use roaring::RoaringBitmap;
use tantivy::postings::BlockSegmentPostings;

use crate::{Analyzer, LexicalError, Postings};

/// How soon more of the same term stops to count.
pub const K1: f32 = 1.2;
/// How much the length of a passage counts, from 0 to 1.
pub const B: f32 = 0.75;

/// The live rows of one or more segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// How many.
    pub rows: u64,
    /// The sum of their quantised lengths.
    pub terms: u64,
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |a, b| Self {
            rows: a.rows + b.rows,
            terms: a.terms + b.terms,
        })
    }
}

/// One of the segments that are searched together.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its postings.
    pub postings: &'a Postings,
    /// The rows that are deleted.
    pub deleted: &'a RoaringBitmap,
}

/// The terms of a query, each with how often it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    terms: BTreeMap<String, u32>,
}

impl Query {
    /// Analyses any text at all.
    pub fn new(analyzer: &Analyzer, text: &str) -> Self {
        let mut terms = BTreeMap::new();
        for token in analyzer.tokens(text) {
            *terms.entry(token.term).or_insert(0) += 1;
        }
        Self { terms }
    }
}

/// The weights of a query's terms. Terms that no live row has are left out.
#[derive(Debug, Clone)]
pub struct Ranking {
    terms: Vec<Weighted>,
    /// `k1 · (1 - b + b · length / average)` for each code of a length.
    norms: Vec<f32>,
}

#[derive(Debug, Clone)]
struct Weighted {
    term: String,
    repeats: u32,
    document_frequency: u64,
    idf: f32,
}

impl Weighted {
    fn score(&self, frequency: u32, norm: f32) -> f32 {
        let frequency = frequency as f32;
        self.repeats as f32 * self.idf * (K1 + 1.0) * frequency / (frequency + norm)
    }
}

impl Ranking {
    /// Weighs the terms over all parts; `totals` is the sum of the parts' own.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn new(parts: &[Part<'_>], totals: Totals, query: &Query) -> Result<Self, LexicalError> {
        let mut terms = Vec::with_capacity(query.terms.len());
        for (term, &repeats) in &query.terms {
            let mut document_frequency = 0;
            for part in parts {
                document_frequency += live_frequency(part, term)?;
            }
            if document_frequency > 0 {
                let idf = idf(document_frequency, totals.rows);
                terms.push(Weighted {
                    term: term.clone(),
                    repeats,
                    document_frequency,
                    idf,
                });
            }
        }
        Ok(Self {
            terms,
            norms: norms(totals),
        })
    }

    /// Whether no live row has any of the terms.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The score of every row, deleted ones included; 0 for the rows that have none of the terms.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn scores(&self, postings: &Postings) -> Result<Vec<f32>, LexicalError> {
        let mut scores = vec![0.0_f32; postings.rows() as usize];
        for term in &self.terms {
            let Some(blocks) = postings.blocks(&term.term)? else {
                continue;
            };
            for_each(blocks, |row, frequency| {
                let norm = self.norms[usize::from(postings.length_code(row))];
                scores[row as usize] += term.score(frequency, norm);
            });
        }
        Ok(scores)
    }

    /// What each term adds to the score of a row; the terms that it does not have are left out.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn explain(&self, postings: &Postings, row: u32) -> Result<Vec<TermScore>, LexicalError> {
        let mut explained = Vec::new();
        for term in &self.terms {
            let Some(mut blocks) = postings.blocks(&term.term)? else {
                continue;
            };
            let place = blocks.seek(row);
            if place >= blocks.block_len() || blocks.doc(place) != row {
                continue;
            }
            let frequency = blocks.freq(place);
            let norm = self.norms[usize::from(postings.length_code(row))];
            explained.push(TermScore {
                term: term.term.clone(),
                frequency,
                document_frequency: term.document_frequency,
                idf: term.idf,
                score: term.score(frequency, norm),
            });
        }
        Ok(explained)
    }
}

fn idf(document_frequency: u64, rows: u64) -> f32 {
    let (n, total) = (document_frequency as f64, rows as f64);
    // ln_1p keeps the idf of a term that nearly every row has above zero.
    ((total - n + 0.5) / (n + 0.5)).ln_1p() as f32
}

fn norms(totals: Totals) -> Vec<f32> {
    let average = totals.terms as f32 / totals.rows as f32;
    let norm = |code| K1 * (1.0 - B + B * Postings::length_of(code) as f32 / average);
    (0..=u8::MAX).map(norm).collect()
}

fn live_frequency(part: &Part<'_>, term: &str) -> Result<u64, LexicalError> {
    let Some(blocks) = part.postings.blocks(term)? else {
        return Ok(0);
    };
    if part.deleted.is_empty() {
        return Ok(u64::from(blocks.doc_freq()));
    }
    let mut live = 0;
    for_each(blocks, |row, _| live += u64::from(!part.deleted.contains(row)));
    Ok(live)
}

fn for_each(mut blocks: BlockSegmentPostings, mut visit: impl FnMut(u32, u32)) {
    while blocks.block_len() > 0 {
        for (&row, &frequency) in blocks.docs().iter().zip(blocks.freqs()) {
            visit(row, frequency);
        }
        blocks.advance();
    }
}
