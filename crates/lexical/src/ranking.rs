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
use serde::{Deserialize, Serialize};
use tantivy::postings::BlockSegmentPostings;

use crate::query::{Clause, Kind, Occur, PREFIX_TERMS_MAX};
use crate::{LexicalError, Postings, Query};

/// The settings of BM25.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bm25 {
    /// How soon more of the same term stops to count: 0 (at once) to 10.
    pub k1: f32,
    /// How much the length of a passage counts: 0 (not at all) to 1.
    pub b: f32,
}

impl Default for Bm25 {
    /// 1.2 and 0.75, as in Lucene.
    fn default() -> Self {
        Self { k1: 1.2, b: 0.75 }
    }
}

impl Bm25 {
    /// Accepts settings in their ranges.
    ///
    /// # Errors
    /// [`LexicalError::Bm25`] for the first that is not.
    pub fn check(self) -> Result<(), LexicalError> {
        for (name, value, most, accepted) in [("k1", self.k1, 10.0, "0 to 10"), ("b", self.b, 1.0, "0 to 1")]
        {
            if !(0.0..=most).contains(&value) {
                return Err(LexicalError::Bm25 {
                    name,
                    value,
                    accepted,
                });
            }
        }
        Ok(())
    }
}

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

/// The weights of a query's terms. Terms that no live row has are left out.
///
/// A phrase scores as its terms do, in the rows that have it; a prefix as the terms that it stands for.
#[derive(Debug, Clone)]
pub struct Ranking {
    clauses: Vec<Weighed>,
    k1: f32,
    /// `k1 · (1 - b + b · length / average)` for each code of a length.
    norms: Vec<f32>,
}

/// A clause of the query.
#[derive(Debug, Clone)]
struct Weighed {
    occur: Occur,
    terms: Vec<Weighted>,
    /// Where it is a phrase: its terms with their places.
    phrase: Option<Vec<(u32, String)>>,
}

#[derive(Debug, Clone)]
struct Weighted {
    term: String,
    repeats: u32,
    document_frequency: u64,
    idf: f32,
}

impl Ranking {
    /// Weighs the terms over all parts; `totals` is the sum of the parts' own.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn new(parts: &[Part<'_>], totals: Totals, query: &Query, bm25: Bm25) -> Result<Self, LexicalError> {
        let weigh = |clause: &Clause| weigh(parts, totals, clause);
        Ok(Self {
            clauses: query.clauses.iter().map(weigh).collect::<Result<_, _>>()?,
            k1: bm25.k1,
            norms: norms(totals, bm25),
        })
    }

    /// Whether no live row can have a score.
    pub fn is_empty(&self) -> bool {
        let never = |clause: &Weighed| clause.terms.is_empty();
        let positive = |clause: &&Weighed| clause.occur != Occur::MustNot;
        let required = |clause: &&Weighed| clause.occur == Occur::Must;
        self.clauses.iter().filter(positive).all(never) || self.clauses.iter().filter(required).any(never)
    }

    /// The score of every row, deleted ones included; 0 for the rows that have none of the terms, or not those that
    /// the query requires.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn scores(&self, postings: &Postings) -> Result<Vec<f32>, LexicalError> {
        let mut scores = vec![0.0_f32; postings.rows() as usize];
        for clause in &self.clauses {
            if clause.occur == Occur::Should && clause.phrase.is_none() {
                self.add_scores(clause, postings, &mut scores)?;
            }
        }
        let mut kept = vec![true; scores.len()];
        for clause in &self.clauses {
            if clause.occur == Occur::Should && clause.phrase.is_none() {
                continue;
            }
            let mut own = vec![0.0_f32; scores.len()];
            self.add_scores(clause, postings, &mut own)?;
            if let Some(phrase) = &clause.phrase {
                let rows = postings.phrase_rows(phrase)?;
                let outside = (0..).zip(&mut own).filter(|(row, _)| !rows.contains(*row));
                outside.for_each(|(_, score)| *score = 0.0);
            }
            if clause.occur != Occur::MustNot {
                scores.iter_mut().zip(&own).for_each(|(score, own)| *score += own);
            }
            if clause.occur != Occur::Should {
                let wanted = clause.occur == Occur::Must;
                kept.iter_mut()
                    .zip(&own)
                    .for_each(|(kept, own)| *kept &= (*own > 0.0) == wanted);
            }
        }
        for (score, kept) in scores.iter_mut().zip(kept) {
            *score = if kept { *score } else { 0.0 };
        }
        Ok(scores)
    }

    fn add_scores(
        &self,
        clause: &Weighed,
        postings: &Postings,
        scores: &mut [f32],
    ) -> Result<(), LexicalError> {
        for term in &clause.terms {
            let Some(blocks) = postings.blocks(&term.term)? else {
                continue;
            };
            for_each(blocks, |row, frequency| {
                let norm = self.norms[usize::from(postings.length_code(row))];
                scores[row as usize] += self.score(term, frequency, norm);
            });
        }
        Ok(())
    }

    fn score(&self, term: &Weighted, frequency: u32, norm: f32) -> f32 {
        let frequency = frequency as f32;
        term.repeats as f32 * term.idf * (self.k1 + 1.0) * frequency / (frequency + norm)
    }

    /// What each term adds to the score of a row that has one; the terms that it does not have are left out.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn explain(&self, postings: &Postings, row: u32) -> Result<Vec<TermScore>, LexicalError> {
        let mut explained = Vec::new();
        for clause in self
            .clauses
            .iter()
            .filter(|clause| clause.occur != Occur::MustNot)
        {
            if let Some(phrase) = &clause.phrase
                && !postings.phrase_rows(phrase)?.contains(row)
            {
                continue;
            }
            for term in &clause.terms {
                explained.extend(self.explain_term(term, postings, row)?);
            }
        }
        Ok(explained)
    }

    fn explain_term(
        &self,
        term: &Weighted,
        postings: &Postings,
        row: u32,
    ) -> Result<Option<TermScore>, LexicalError> {
        let Some(mut blocks) = postings.blocks(&term.term)? else {
            return Ok(None);
        };
        let place = blocks.seek(row);
        if place >= blocks.block_len() || blocks.doc(place) != row {
            return Ok(None);
        }
        let frequency = blocks.freq(place);
        let norm = self.norms[usize::from(postings.length_code(row))];
        Ok(Some(TermScore {
            term: term.term.clone(),
            frequency,
            document_frequency: term.document_frequency,
            idf: term.idf,
            score: self.score(term, frequency, norm),
        }))
    }
}

fn weigh(parts: &[Part<'_>], totals: Totals, clause: &Clause) -> Result<Weighed, LexicalError> {
    let mut repeats: BTreeMap<String, u32> = BTreeMap::new();
    let mut phrase = None;
    match &clause.kind {
        Kind::Term(term) => {
            repeats.insert(term.clone(), clause.repeats);
        }
        Kind::Prefix(prefix) => {
            for part in parts {
                let terms = part.postings.terms_with_prefix(prefix)?;
                repeats.extend(terms.into_iter().map(|term| (term, clause.repeats)));
            }
        }
        Kind::Phrase(terms) => {
            for (_, term) in terms {
                *repeats.entry(term.clone()).or_insert(0) += clause.repeats;
            }
            phrase = Some(terms.clone());
        }
    }
    let mut terms = Vec::with_capacity(repeats.len());
    for (term, repeats) in repeats {
        let mut document_frequency = 0;
        for part in parts {
            document_frequency += live_frequency(part, &term)?;
        }
        if document_frequency > 0 {
            let idf = idf(document_frequency, totals.rows);
            terms.push(Weighted {
                term,
                repeats,
                document_frequency,
                idf,
            });
        }
    }
    if matches!(clause.kind, Kind::Prefix(_)) && clause.occur == Occur::Should {
        // Stable: among terms of as many rows, the first in the order of the alphabet.
        terms.sort_by_key(|term| std::cmp::Reverse(term.document_frequency));
        terms.truncate(PREFIX_TERMS_MAX);
    }
    Ok(Weighed {
        occur: clause.occur,
        terms,
        phrase,
    })
}

fn idf(document_frequency: u64, rows: u64) -> f32 {
    let (n, total) = (document_frequency as f64, rows as f64);
    // ln_1p keeps the idf of a term that nearly every row has above zero.
    ((total - n + 0.5) / (n + 0.5)).ln_1p() as f32
}

fn norms(totals: Totals, Bm25 { k1, b }: Bm25) -> Vec<f32> {
    let average = totals.terms as f32 / totals.rows as f32;
    let norm = |code| k1 * (1.0 - b + b * Postings::length_of(code) as f32 / average);
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
