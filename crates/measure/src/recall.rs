//! Recall: the share of the relevant documents that is among the first k.
//!
//! ```text
//! recall@k = (relevant documents among the first k) / (relevant documents)
//! ```
//!
//! As trec_eval's `recall`.

use crate::JudgedRanking;

/// Recall over the first `k` ranks. 0 without relevant documents.
pub fn recall(ranking: &JudgedRanking, k: usize) -> f64 {
    match ranking.relevant_count() {
        0 => 0.0,
        relevant => ranking.relevant_within(k) as f64 / relevant as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judgments;

    #[test]
    fn worked_by_hand() {
        let judgments: Judgments = [("a", 1), ("b", 2), ("c", 1), ("d", -1)]
            .map(|(d, g)| (d.into(), g))
            .into();
        let ranking = JudgedRanking::new(&["a", "d", "b"], &judgments);
        assert_eq!(recall(&ranking, 2), 1.0 / 3.0);
        assert_eq!(recall(&ranking, 100), 2.0 / 3.0);
    }
}
