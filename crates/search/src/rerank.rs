//! Reordering the best candidates by a cross-encoder.

use crate::fusion::weighted::min_max;

/// Passages scored between two looks at the clock.
pub(crate) const BATCH_PASSAGES: usize = 16;

/// What the order follows: the scores themselves at weight 1, else the weighted mean of them and of the scores
/// `before`, each normalised over the passages that were scored.
pub(crate) fn combine(scores: &[f32], before: &[f32], weight: f32) -> Vec<f32> {
    if weight >= 1.0 {
        return scores.to_vec();
    }
    let before = min_max(&before[..scores.len()]);
    let pairs = min_max(scores).into_iter().zip(before);
    pairs
        .map(|(score, before)| weight * score + (1.0 - weight) * before)
        .collect()
}

/// The new order of `count` candidates as positions in the old one: the scored ones first, greatest score first
/// and equal scores in the old order; then the others in the old order.
pub(crate) fn reorder(scores: &[f32], count: usize) -> Vec<usize> {
    let scored = scores.len().min(count);
    let mut order: Vec<usize> = (0..count).collect();
    order[..scored].sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_keep_their_order_and_the_rest_stays_below() {
        assert_eq!(reorder(&[1.0, 2.0, 2.0, -1.0], 6), [1, 2, 0, 3, 4, 5]);
        assert_eq!(reorder(&[], 2), [0, 1]);
    }

    #[test]
    fn scores_are_combined_by_their_weight() {
        let (scores, before) = ([-4.0, 6.0, 1.0], [0.9, 0.5, 0.1, 0.05]);
        assert_eq!(combine(&scores, &before, 1.0), scores);
        let half = combine(&scores, &before, 0.5);
        for (found, expected) in half.iter().zip([0.5, 0.75, 0.25]) {
            assert!((found - expected).abs() < 1e-6, "{half:?}");
        }
        assert_eq!(reorder(&combine(&scores, &before, 0.0), 4), [0, 1, 2, 3]);
    }
}
