//! Reciprocal rank; its mean over queries is MRR.
//!
//! ```text
//! RR@k = 1 / (rank of the first relevant document), 0 when there is none among the first k
//! ```
//!
//! Voorhees 1999 (TREC-8 question answering); trec_eval's `recip_rank` is the form without `k`.

use crate::JudgedRanking;

/// Reciprocal rank over the first `k` ranks, or over all of them.
pub fn reciprocal_rank(ranking: &JudgedRanking, k: Option<usize>) -> f64 {
    let first = ranking
        .grades()
        .iter()
        .take(k.unwrap_or(usize::MAX))
        .position(|&grade| grade > 0);
    first.map_or(0.0, |position| 1.0 / (position + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judgments;

    #[test]
    fn worked_by_hand() {
        let judgments: Judgments = [("a", 0), ("b", 1)].map(|(d, g)| (d.into(), g)).into();
        let ranking = JudgedRanking::new(&["a", "x", "b"], &judgments);
        assert_eq!(reciprocal_rank(&ranking, None), 1.0 / 3.0);
        assert_eq!(reciprocal_rank(&ranking, Some(3)), 1.0 / 3.0);
        assert_eq!(reciprocal_rank(&ranking, Some(2)), 0.0);
    }
}
