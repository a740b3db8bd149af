//! Relevance judgments: which document answers which query, and how well.

use std::collections::BTreeMap;

use crate::MeasureError;

/// The lowest accepted grade. Negative grades (spam, in some collections) count as not relevant.
pub const GRADE_MIN: i32 = -1000;
/// The highest accepted grade; 2^1000 is still a finite gain.
pub const GRADE_MAX: i32 = 1000;

/// The judged documents of one query: document id to grade. A document is relevant from grade 1 on.
pub type Judgments = BTreeMap<String, i32>;

/// The judgments of a collection. Every query in it has at least one judged document, and each of its
/// documents one grade.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Qrels {
    queries: BTreeMap<String, Judgments>,
}

impl Qrels {
    /// No judgments yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one judgment.
    ///
    /// # Errors
    /// [`MeasureError::Grade`] outside [`GRADE_MIN`]..=[`GRADE_MAX`]; [`MeasureError::DuplicateJudgment`]
    /// when this pair is judged already, even with the same grade.
    pub fn insert(&mut self, query: &str, document: &str, grade: i64) -> Result<(), MeasureError> {
        let accepted = i32::try_from(grade)
            .ok()
            .filter(|grade| (GRADE_MIN..=GRADE_MAX).contains(grade));
        let Some(accepted) = accepted else {
            return Err(MeasureError::Grade {
                query: query.into(),
                document: document.into(),
                grade,
            });
        };
        let judgments = self.queries.entry(query.to_owned()).or_default();
        if judgments.contains_key(document) {
            return Err(MeasureError::DuplicateJudgment {
                query: query.into(),
                document: document.into(),
            });
        }
        judgments.insert(document.to_owned(), accepted);
        Ok(())
    }

    /// Leaves the queries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.queries.retain(|query, _| keep(query));
    }

    /// The judgments of one query.
    pub fn judgments(&self, query: &str) -> Option<&Judgments> {
        self.queries.get(query)
    }

    /// All queries with their judgments, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Judgments)> {
        self.queries
            .iter()
            .map(|(query, judgments)| (query.as_str(), judgments))
    }

    /// Number of judged queries.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether nothing is judged.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn refuses_a_second_judgment_and_a_grade_out_of_range() {
        let mut qrels = Qrels::new();
        qrels.insert("q", "d", 2).unwrap();
        assert!(matches!(
            qrels.insert("q", "d", 2),
            Err(MeasureError::DuplicateJudgment { .. })
        ));
        assert!(matches!(
            qrels.insert("q", "e", 1001),
            Err(MeasureError::Grade { grade: 1001, .. })
        ));
        assert!(matches!(
            qrels.insert("q", "e", i64::MIN),
            Err(MeasureError::Grade { .. })
        ));
        assert_eq!(qrels.judgments("q").unwrap().len(), 1);
    }
}
