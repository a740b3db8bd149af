//! Precision: the share of the first k that is relevant.
//!
//! ```text
//! precision@k = (relevant documents among the first k) / k
//! ```
//!
//! As trec_eval's `P`: the divisor is `k` also when fewer documents were retrieved.

use crate::JudgedRanking;

/// Precision over the first `k` ranks. 0 for `k` = 0.
pub fn precision(ranking: &JudgedRanking, k: usize) -> f64 {
    if k == 0 {
        0.0
    } else {
        ranking.relevant_within(k) as f64 / k as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judgments;

    #[test]
    fn worked_by_hand() {
        let judgments: Judgments = [("a", 1), ("b", 2)].map(|(d, g)| (d.into(), g)).into();
        let ranking = JudgedRanking::new(&["a", "x", "b"], &judgments);
        assert_eq!(precision(&ranking, 2), 0.5);
        assert_eq!(precision(&ranking, 10), 0.2);
        assert_eq!(precision(&ranking, 0), 0.0);
    }
}
