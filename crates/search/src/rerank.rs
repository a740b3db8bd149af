//! Reordering the best candidates by a cross-encoder, within a time.

use std::time::Duration;

use infer::{InferError, Rerank};

use crate::Clock;
use crate::fusion::weighted::min_max;

/// Passages scored between two looks at the clock.
const BATCH_PASSAGES: usize = 16;

/// Scores of the first passages, as many as the time allowed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reranked {
    /// One for each passage that was scored.
    pub(crate) scores: Vec<f32>,
    /// Why some were not.
    pub(crate) degraded: Option<String>,
}

/// Scores `passages` in order. With a budget no batch is begun after it; the first one always is.
pub(crate) fn score(
    model: &dyn Rerank,
    query: &str,
    passages: &[&str],
    budget_ms: Option<u64>,
    clock: &dyn Clock,
) -> Result<Reranked, InferError> {
    let Some(budget_ms) = budget_ms else {
        let scores = model.score(query, passages)?;
        return Ok(Reranked {
            scores,
            degraded: None,
        });
    };
    let until = clock.now() + Duration::from_millis(budget_ms);
    let mut scores = Vec::with_capacity(passages.len());
    for batch in passages.chunks(BATCH_PASSAGES) {
        if !scores.is_empty() && clock.now() >= until {
            break;
        }
        scores.extend(model.score(query, batch)?);
    }
    let degraded = (scores.len() < passages.len()).then(|| {
        format!(
            "{} of {} passages were reranked within the budget of {budget_ms} ms",
            scores.len(),
            passages.len()
        )
    });
    Ok(Reranked { scores, degraded })
}

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
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Every batch takes 10 ms of a clock that only it moves.
    #[derive(Default)]
    struct Slow(AtomicU64);

    impl Clock for Slow {
        fn now(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    impl Rerank for Slow {
        fn score(&self, _: &str, passages: &[&str]) -> Result<Vec<f32>, InferError> {
            self.0.fetch_add(10, Ordering::Relaxed);
            Ok(passages.iter().map(|passage| passage.len() as f32).collect())
        }

        fn fingerprint(&self) -> &str {
            "slow"
        }
    }

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

    #[test]
    fn a_budget_ends_it_between_batches() {
        let passages = ["a"; 50];
        for (budget_ms, scored) in [
            (Some(1), 16),
            (Some(10), 16),
            (Some(11), 32),
            (Some(40), 50),
            (None, 50),
        ] {
            let slow = Slow::default();
            let done = score(&slow, "q", &passages, budget_ms, &slow).unwrap();
            assert_eq!(done.scores.len(), scored, "{budget_ms:?}");
            assert_eq!(done.degraded.is_some(), scored < 50, "{budget_ms:?}");
        }
    }
}
