//! Drawing some of many at random.

use measure::SplitMix64;

/// Which of `among` things are chosen when `count` of them are drawn at random.
pub(crate) fn chosen(among: usize, count: usize, seed: u64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..among).collect();
    let mut random = SplitMix64::new(seed);
    for at in (1..among).rev() {
        order.swap(at, random.below(at + 1));
    }
    let mut chosen = vec![false; among];
    for &at in &order[..count.min(among)] {
        chosen[at] = true;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_chosen_and_a_seed_chooses_the_same() {
        for count in [0, 3, 10, usize::MAX] {
            let chosen = chosen(10, count, 5);
            assert_eq!(chosen.iter().filter(|&&one| one).count(), count.min(10));
        }
        assert_eq!(chosen(50, 20, 5), chosen(50, 20, 5));
        assert_ne!(chosen(50, 20, 5), chosen(50, 20, 6));
    }
}
