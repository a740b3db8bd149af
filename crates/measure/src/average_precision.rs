//! Average precision; its mean over queries is MAP.
//!
//! ```text
//! AP@k = (sum over ranks i <= k that hold a relevant document of precision@i) / (number of relevant documents)
//! ```
//!
//! As trec_eval's `map` and `map_cut`: the divisor counts all relevant documents, also when there are more
//! than `k`. (Some libraries divide by min(k, relevant) under the same name.)

use crate::JudgedRanking;

/// Average precision over the first `k` ranks, or over all of them. 0 without relevant documents.
pub fn average_precision(ranking: &JudgedRanking, k: Option<usize>) -> f64 {
    if ranking.relevant_count() == 0 {
        return 0.0;
    }
    let relevant = ranking
        .grades()
        .iter()
        .take(k.unwrap_or(usize::MAX))
        .enumerate()
        .filter(|&(_, &g)| g > 0);
    let sum: f64 = relevant
        .enumerate()
        .map(|(found, (rank, _))| (found + 1) as f64 / (rank + 1) as f64)
        .sum();
    sum / ranking.relevant_count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judgments;

    /// Relevant at ranks 1 and 3, one of three missed: (1/1 + 2/3) / 3.
    #[test]
    fn worked_by_hand() {
        let judgments: Judgments = [("a", 1), ("c", 1), ("d", 1)].map(|(d, g)| (d.into(), g)).into();
        let ranking = JudgedRanking::new(&["a", "b", "c"], &judgments);
        assert!((average_precision(&ranking, None) - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        assert!((average_precision(&ranking, Some(2)) - 1.0 / 3.0).abs() < 1e-12);
    }
}
