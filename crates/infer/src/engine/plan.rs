//! Which texts go through the layers together.

/// Tokens after which a group is full. More would read the weights more rarely, but the hidden states of a group
/// have to stay in the cache of one core.
const GROUP_TOKENS_MAX: usize = 160;
/// Below this, threads would spend more on waiting for each other than they save.
const GROUP_TOKENS_MIN: usize = 32;

/// Puts texts of these lengths (in tokens) into groups for `threads` threads: positions, every one exactly once,
/// the longest texts first. One thread takes a whole group through all layers. A group is full when it has its
/// tokens, so it holds less than those and one text more.
pub(crate) fn plan_groups(lengths: &[usize], threads: usize) -> Vec<Vec<usize>> {
    let total: usize = lengths.iter().sum();
    let full = total
        .div_ceil(threads.max(1))
        .clamp(GROUP_TOKENS_MIN, GROUP_TOKENS_MAX);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(lengths[at]));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut tokens = full;
    for at in order {
        if tokens >= full {
            groups.push(Vec::new());
            tokens = 0;
        }
        if let Some(group) = groups.last_mut() {
            group.push(at);
        }
        tokens += lengths[at];
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_group_is_full_when_it_has_its_tokens() {
        assert_eq!(plan_groups(&[100, 3, 100, 90], 1), [vec![0, 2], vec![3, 1]]);
        assert_eq!(plan_groups(&[14], 2), [vec![0]]);
        assert_eq!(
            plan_groups(&[40, 40], 2),
            [vec![0], vec![1]],
            "a group for each thread"
        );
        assert!(plan_groups(&[], 2).is_empty());
    }

    proptest! {
        #[test]
        fn every_text_once_and_no_group_far_above_the_limit(
            lengths in prop::collection::vec(0usize..600, 0..200), threads in 0usize..9,
        ) {
            let groups = plan_groups(&lengths, threads);
            let mut all: Vec<usize> = groups.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for group in &groups {
                let before_last: usize = group[..group.len() - 1].iter().map(|&at| lengths[at]).sum();
                prop_assert!(before_last < GROUP_TOKENS_MAX);
            }
        }
    }
}
