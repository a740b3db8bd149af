//! One query's ranking, seen through its judgments: all that a ranking metric may look at.

use crate::Judgments;

/// The grade at each rank, and the grades that an ideal ranking would show.
///
/// A document without a judgment, and one with a negative grade, count as grade 0.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedRanking {
    grades: Vec<u32>,
    ideal: Vec<u32>,
}

impl JudgedRanking {
    /// Looks up each document of `ranking` (best first, each once) in the judgments of its query.
    pub fn new(ranking: &[&str], judgments: &Judgments) -> Self {
        let grade = |grade: i32| u32::try_from(grade).unwrap_or(0);
        let mut ideal: Vec<u32> = judgments.values().map(|&g| grade(g)).filter(|&g| g > 0).collect();
        ideal.sort_unstable_by(|left, right| right.cmp(left));
        let grades = ranking
            .iter()
            .map(|&document| judgments.get(document).map_or(0, |&g| grade(g)))
            .collect();
        Self { grades, ideal }
    }

    /// The grades of the retrieved documents, best rank first.
    pub fn grades(&self) -> &[u32] {
        &self.grades
    }

    /// The grades of all relevant documents, highest first, retrieved or not.
    pub fn ideal(&self) -> &[u32] {
        &self.ideal
    }

    /// Number of relevant documents, retrieved or not.
    pub fn relevant_count(&self) -> usize {
        self.ideal.len()
    }

    /// Number of relevant documents among the first `k`.
    pub fn relevant_within(&self, k: usize) -> usize {
        self.grades.iter().take(k).filter(|&&grade| grade > 0).count()
    }
}
