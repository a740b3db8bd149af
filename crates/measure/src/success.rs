//! Success: whether the first k hold anything relevant.
//!
//! ```text
//! success@k = 1 when a relevant document is among the first k, else 0
//! ```
//!
//! As trec_eval's `success`; also called hit rate or top-k accuracy.

use crate::JudgedRanking;

/// Success over the first `k` ranks.
pub fn success(ranking: &JudgedRanking, k: usize) -> f64 {
    if ranking.relevant_within(k) > 0 { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judgments;

    #[test]
    fn worked_by_hand() {
        let judgments: Judgments = [("b", 2)].map(|(d, g)| (d.into(), g)).into();
        let ranking = JudgedRanking::new(&["a", "b"], &judgments);
        assert_eq!(success(&ranking, 1), 0.0);
        assert_eq!(success(&ranking, 2), 1.0);
    }
}
