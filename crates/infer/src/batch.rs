//! Which texts go through the model together.

/// Puts texts of these lengths (in tokens) into batches: positions, every one exactly once. The longest come
/// first, and neighbours in length share a batch, so that little is spent on padding. A batch of `n` texts whose
/// longest has `t` tokens counts as `n * t` tokens; that is at most `batch_tokens_max` unless it holds one text.
pub fn plan_batches(lengths: &[usize], batch_tokens_max: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(lengths[at]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for at in order {
        match batches.last_mut() {
            // The first of a batch is its longest.
            Some(batch) if (batch.len() + 1).saturating_mul(lengths[batch[0]]) <= batch_tokens_max => {
                batch.push(at);
            }
            _ => batches.push(vec![at]),
        }
    }
    batches
}

/// How many of the waiting requests, of these sizes in tokens, the next batch takes from the front: as many as
/// fit, at least one.
pub(crate) fn plan_next(waiting: impl Iterator<Item = usize>, batch_tokens_max: usize) -> usize {
    let sums = waiting.scan(0usize, |sum, tokens| {
        *sum = sum.saturating_add(tokens);
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= batch_tokens_max).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_in_length_share_a_batch() {
        assert_eq!(plan_batches(&[3, 10, 4, 9, 1], 20), [vec![1, 3], vec![2, 0, 4]]);
        assert_eq!(plan_batches(&[100, 1], 20), [vec![0], vec![1]]);
        assert!(plan_batches(&[], 20).is_empty());
    }

    #[test]
    fn the_next_batch_takes_what_fits_from_the_front() {
        let next = |sizes: &[usize]| plan_next(sizes.iter().copied(), 10);
        assert_eq!(next(&[4, 4, 4]), 2);
        assert_eq!(next(&[5, 5]), 2);
        assert_eq!(next(&[11, 1]), 1);
        assert_eq!(next(&[4, 7, 1]), 1, "nobody overtakes");
    }

    proptest! {
        #[test]
        fn every_text_once_and_no_batch_above_the_limit(
            lengths in prop::collection::vec(0usize..600, 0..200), limit in 1usize..2000,
        ) {
            let batches = plan_batches(&lengths, limit);
            let mut all: Vec<usize> = batches.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                let longest = batch.iter().map(|&at| lengths[at]).max().unwrap_or(0);
                prop_assert!(batch.len() == 1 || batch.len() * longest <= limit);
            }
            // Another text would not have fitted: no two neighbours could be one batch.
            for pair in batches.windows(2) {
                prop_assert!((pair[0].len() + 1) * lengths[pair[0][0]] > limit);
            }
        }
    }
}
