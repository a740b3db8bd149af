//! Reciprocal rank fusion: the sum of `1 / (k + rank)` over the lists; ranks count from 1.
//!
//! Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods,
//! SIGIR 2009, with k = 60. It looks at ranks only, so the lists need no common scale.

/// What each place of a list of `len` entries adds.
pub fn reciprocal_ranks(len: usize, k: u32) -> Vec<f32> {
    (1..=len).map(|rank| 1.0 / (k as f32 + rank as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_one() {
        assert_eq!(reciprocal_ranks(3, 1), [1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0]);
        assert!(reciprocal_ranks(0, 60).is_empty());
    }
}
