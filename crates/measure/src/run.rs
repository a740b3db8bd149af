//! What a system retrieved, in trec_eval's order.
//!
//! trec_eval ignores the rank column of a run file. It sorts by score, descending, compared as 32-bit numbers,
//! and breaks ties by document id, DESCENDING in byte order. A system whose own order must survive has to
//! write strictly decreasing scores.

use std::collections::{BTreeMap, HashMap};

use crate::MeasureError;

/// The retrieved documents of many queries. Every score is a finite 32-bit number, and no document occurs
/// twice under one query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    queries: BTreeMap<String, HashMap<String, f32>>,
}

impl Run {
    /// Nothing retrieved yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one retrieved document; the score is rounded to 32 bits, as trec_eval does.
    ///
    /// # Errors
    /// [`MeasureError::Score`] when the rounded score is not finite; [`MeasureError::DuplicateDocument`] when
    /// the query has this document already.
    pub fn insert(&mut self, query: &str, document: &str, score: f64) -> Result<(), MeasureError> {
        let rounded = score as f32;
        if !rounded.is_finite() {
            return Err(MeasureError::Score {
                query: query.into(),
                document: document.into(),
                score,
            });
        }
        let scores = self.queries.entry(query.to_owned()).or_default();
        if scores.contains_key(document) {
            return Err(MeasureError::DuplicateDocument {
                query: query.into(),
                document: document.into(),
            });
        }
        scores.insert(document.to_owned(), rounded);
        Ok(())
    }

    /// The document ids of one query, best first; `None` when nothing was retrieved for it.
    pub fn ranking(&self, query: &str) -> Option<Vec<&str>> {
        let mut scored: Vec<(&str, f32)> = self
            .queries
            .get(query)?
            .iter()
            .map(|(document, score)| (document.as_str(), *score))
            .collect();
        // Scores are finite; partial_cmp rather than total_cmp makes -0 equal to +0, as in C.
        scored.sort_unstable_by(|left, right| {
            right
                .1
                .partial_cmp(&left.1)
                .unwrap_or(std::cmp::Ordering::Equal)
                .then_with(|| right.0.cmp(left.0))
        });
        Some(scored.into_iter().map(|(document, _)| document).collect())
    }

    /// The queries for which something was retrieved, in the order of their ids.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.queries.keys().map(String::as_str)
    }

    /// Number of queries for which something was retrieved.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether nothing was retrieved at all.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn ties_are_broken_by_document_id_descending() {
        let mut run = Run::new();
        for (document, score) in [("a", 1.0), ("c", 1.0), ("b", 2.0), ("z", -0.0), ("y", 0.0)] {
            run.insert("q", document, score).unwrap();
        }
        assert_eq!(run.ranking("q").unwrap(), ["b", "c", "a", "z", "y"]);
        assert_eq!(run.ranking("other"), None);
    }

    #[test]
    fn scores_that_differ_only_beyond_32_bits_are_tied() {
        let mut run = Run::new();
        run.insert("q", "a", 1.000_000_000_2).unwrap();
        run.insert("q", "b", 1.000_000_000_1).unwrap();
        assert_eq!(run.ranking("q").unwrap(), ["b", "a"]);
    }

    #[test]
    fn refuses_scores_without_a_place_and_second_entries() {
        let mut run = Run::new();
        assert!(matches!(
            run.insert("q", "d", f64::NAN),
            Err(MeasureError::Score { .. })
        ));
        assert!(matches!(
            run.insert("q", "d", 1e39),
            Err(MeasureError::Score { .. })
        ));
        assert!(run.is_empty());
        run.insert("q", "d", 1.0).unwrap();
        assert!(matches!(
            run.insert("q", "d", 2.0),
            Err(MeasureError::DuplicateDocument { .. })
        ));
    }
}
