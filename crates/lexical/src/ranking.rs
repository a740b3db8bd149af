//! BM25 (Robertson et al. 1994, in the form of Lucene 8 and later) over several segments at once.
//!
//! ```text
//! score(row) = Σ over the query's terms, repeated ones counted each time, of
//!              idf · (k1 + 1) · f / (f + k1 · (1 - b + b · length / average length))
//! idf        = ln(1 + (N - n + 0.5) / (n + 0.5))
//! ```
//!
//! A phrase counts as one term, and so do all terms that begin with a prefix, and all ways to say the same.
//!
//! `f` is the term's frequency in the row, `n` the number of live rows that have it, `N` the number of live rows.
//! Lengths are in terms (stop words do not count) and quantised as in Lucene and tantivy: exact up to 40, then in
//! steps of 4 to 12 %; the average is that of the quantised lengths. Deleted rows count nowhere, so the scores
//! are those of an index that never had them, however the rows are cut into segments.

use std::iter::Sum;

use corpus::TermScore;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use tantivy::postings::BlockSegmentPostings;

use crate::query::{Ask, Clause, Occur};
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

/// BM25 over the segments that are searched together.
#[derive(Debug)]
pub struct Ranking<'a> {
    parts: &'a [Part<'a>],
    /// Live rows of all parts.
    rows: u64,
    k1: f32,
    /// `k1 · (1 - b + b · length / average)` for each code of a length.
    norms: Vec<f32>,
}

/// A clause of the query that live rows have.
struct Weighed {
    rows: Rows,
    document_frequency: u64,
    idf: f32,
    repeats: f32,
}

/// Rows with frequencies.
enum Rows {
    /// Of a single term they are read where they are needed.
    Term(String),
    /// For each part, in order.
    Gathered(Vec<Vec<(u32, u32)>>),
}

impl<'a> Ranking<'a> {
    /// Over all parts; `totals` is the sum of the parts' own.
    pub fn new(parts: &'a [Part<'a>], totals: Totals, bm25: Bm25) -> Self {
        Self {
            parts,
            rows: totals.rows,
            k1: bm25.k1,
            norms: norms(totals, bm25),
        }
    }

    /// The score of every row, part by part, deleted ones included; 0 for the rows that have none of the terms, or not
    /// those that the query requires. Nothing at all when no row can have a score.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn scores(&self, query: &Query) -> Result<Vec<Vec<f32>>, LexicalError> {
        let blank = |part: &Part<'_>| vec![0.0_f32; part.postings.rows() as usize];
        let mut scores: Vec<Vec<f32>> = Vec::new();
        let mut out: Vec<RoaringBitmap> = Vec::new();
        for clause in &query.clauses {
            let Some(weighed) = self.weigh(clause)? else {
                match clause.occur {
                    Occur::Must => return Ok(Vec::new()),
                    Occur::Should | Occur::MustNot => continue,
                }
            };
            if clause.occur != Occur::MustNot {
                if scores.is_empty() {
                    scores = self.parts.iter().map(blank).collect();
                }
                for (part, scores) in (0..).zip(&mut scores) {
                    self.visit(&weighed, part, |row, frequency, norm| {
                        scores[row as usize] += self.score(&weighed, frequency, norm);
                    })?;
                }
            }
            if clause.occur != Occur::Should {
                out.resize_with(self.parts.len(), RoaringBitmap::new);
                for (part, out) in (0..).zip(&mut out) {
                    let mut has = RoaringBitmap::new();
                    self.visit(&weighed, part, |row, _, _| _ = has.insert(row))?;
                    if clause.occur == Occur::Must {
                        let mut all = RoaringBitmap::new();
                        all.insert_range(0..self.parts[part].postings.rows());
                        has = all - has;
                    }
                    *out |= has;
                }
            }
        }
        for (scores, out) in scores.iter_mut().zip(out) {
            out.into_iter().for_each(|row| scores[row as usize] = 0.0);
        }
        Ok(scores)
    }

    /// What each clause adds to the score of a row that fulfils the query's conditions; those that it does not have
    /// are left out.
    ///
    /// # Errors
    /// When postings cannot be read.
    pub fn explain(&self, query: &Query, part: usize, row: u32) -> Result<Vec<TermScore>, LexicalError> {
        let mut explained = Vec::new();
        for clause in &query.clauses {
            let weighed = match clause.occur {
                Occur::MustNot => None,
                Occur::Should | Occur::Must => self.weigh(clause)?,
            };
            let Some(weighed) = weighed else { continue };
            let frequency = self.frequency(&weighed, part, row)?;
            if frequency > 0 {
                let norm = self.norms[usize::from(self.parts[part].postings.length_code(row))];
                let asks: Vec<String> = clause.asks.iter().map(Ask::to_string).collect();
                explained.push(TermScore {
                    term: asks.join(" | "),
                    frequency,
                    document_frequency: weighed.document_frequency,
                    idf: weighed.idf,
                    score: self.score(&weighed, frequency, norm),
                });
            }
        }
        Ok(explained)
    }

    fn score(&self, clause: &Weighed, frequency: u32, norm: f32) -> f32 {
        let frequency = frequency as f32;
        clause.repeats * clause.idf * (self.k1 + 1.0) * frequency / (frequency + norm)
    }

    /// None when no live row has it.
    fn weigh(&self, clause: &Clause) -> Result<Option<Weighed>, LexicalError> {
        let (rows, document_frequency) = match &clause.asks[..] {
            [Ask::Term(term)] => {
                let live = self.parts.iter().map(|part| live_frequency(part, term));
                (Rows::Term(term.clone()), live.sum::<Result<_, _>>()?)
            }
            asks => {
                let rows = self.parts.iter().map(|part| gather(part.postings, asks));
                let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
                let live = |(part, rows): (&Part<'_>, &Vec<(u32, u32)>)| {
                    let live = rows.iter().filter(|(row, _)| !part.deleted.contains(*row));
                    live.count() as u64
                };
                let live = self.parts.iter().zip(&rows).map(live).sum();
                (Rows::Gathered(rows), live)
            }
        };
        Ok((document_frequency > 0).then(|| Weighed {
            rows,
            document_frequency,
            idf: idf(document_frequency, self.rows),
            repeats: clause.repeats as f32,
        }))
    }

    /// Calls `visit` with row, frequency and norm, in the order of the rows.
    fn visit(
        &self,
        clause: &Weighed,
        part: usize,
        mut visit: impl FnMut(u32, u32, f32),
    ) -> Result<(), LexicalError> {
        let postings = self.parts[part].postings;
        let norm = |row| self.norms[usize::from(postings.length_code(row))];
        match &clause.rows {
            Rows::Term(term) => {
                if let Some(blocks) = postings.blocks(term)? {
                    for_each(blocks, |row, frequency| visit(row, frequency, norm(row)));
                }
            }
            Rows::Gathered(rows) => rows[part]
                .iter()
                .for_each(|&(row, frequency)| visit(row, frequency, norm(row))),
        }
        Ok(())
    }

    /// How often a row has a clause.
    fn frequency(&self, clause: &Weighed, part: usize, row: u32) -> Result<u32, LexicalError> {
        match &clause.rows {
            Rows::Gathered(rows) => {
                let found = rows[part].binary_search_by_key(&row, |&(row, _)| row);
                Ok(found.map_or(0, |at| rows[part][at].1))
            }
            Rows::Term(term) => {
                let Some(mut blocks) = self.parts[part].postings.blocks(term)? else {
                    return Ok(0);
                };
                let place = blocks.seek(row);
                let found = place < blocks.block_len() && blocks.doc(place) == row;
                Ok(if found { blocks.freq(place) } else { 0 })
            }
        }
    }
}

/// The rows that have one of several, each with the sum of the frequencies, in order.
fn gather(postings: &Postings, asks: &[Ask]) -> Result<Vec<(u32, u32)>, LexicalError> {
    let mut rows = Vec::new();
    for ask in asks {
        let terms = match ask {
            Ask::Term(term) => vec![term.clone()],
            Ask::Prefix(prefix) => postings.terms_with_prefix(prefix)?,
            Ask::Phrase(phrase) => {
                rows.extend(postings.phrase(phrase)?);
                Vec::new()
            }
        };
        for term in terms {
            if let Some(blocks) = postings.blocks(&term)? {
                for_each(blocks, |row, frequency| rows.push((row, frequency)));
            }
        }
    }
    rows.sort_unstable_by_key(|&(row, _)| row);
    rows.dedup_by(|(row, frequency), (kept, sum)| {
        let same = row == kept;
        if same {
            *sum += *frequency;
        }
        same
    });
    Ok(rows)
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

/// How many live rows have a term.
pub(crate) fn live_frequency(part: &Part<'_>, term: &str) -> Result<u64, LexicalError> {
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
