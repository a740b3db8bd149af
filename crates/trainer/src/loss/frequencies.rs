//! What can be lost without a look at the data.

use std::collections::HashMap;

/// The mean cross-entropy, in nats, of guesses by how frequent each label is: the entropy of their distribution. 0 of
/// no labels.
pub(crate) fn of_frequencies(labels: impl Iterator<Item = usize>) -> f64 {
    let mut counts: HashMap<usize, u64> = HashMap::new();
    for label in labels {
        *counts.entry(label).or_default() += 1;
    }
    let all: u64 = counts.values().sum();
    // Sorted, so that the sum has the same bits each time.
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable();
    let shares = counts.iter().map(|&count| count as f64 / all as f64);
    -shares.map(|share| share * share.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_entropy_of_the_labels() {
        let even = of_frequencies([3, 1, 3, 1].into_iter());
        assert!((even - std::f64::consts::LN_2).abs() < 1e-12, "{even}");
        let skewed = of_frequencies([0, 0, 0, 7].into_iter());
        let wanted = -(0.75f64 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((skewed - wanted).abs() < 1e-12, "{skewed}");
        assert_eq!(of_frequencies([5; 9].into_iter()).abs(), 0.0);
        assert_eq!(of_frequencies(std::iter::empty()).abs(), 0.0);
    }
}
