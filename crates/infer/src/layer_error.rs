//! How far hidden states of fewer bits are from exact ones, layer by layer.

/// The difference that a precision makes to the hidden states after one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerError {
    /// Length of the difference by the length of the exact states, over all tokens.
    pub relative: f64,
    /// Of the token that fares worst: the cosine between both states.
    pub cosine_min: f64,
}

/// Sums over texts, by layer.
#[derive(Debug, Default)]
pub(crate) struct LayerErrors(Vec<Sums>);

#[derive(Debug, Clone, Copy)]
struct Sums {
    difference: f64,
    exact: f64,
    cosine_min: f64,
}

impl LayerErrors {
    /// Adds the states (tokens, width) of one text, one entry for each layer.
    pub(crate) fn add(&mut self, exact: &[Vec<f32>], found: &[Vec<f32>], width: usize) {
        let none = Sums {
            difference: 0.0,
            exact: 0.0,
            cosine_min: 1.0,
        };
        self.0.resize(exact.len(), none);
        for ((sums, exact), found) in self.0.iter_mut().zip(exact).zip(found) {
            for (exact, found) in exact.chunks_exact(width).zip(found.chunks_exact(width)) {
                let pairs = || {
                    exact
                        .iter()
                        .zip(found)
                        .map(|(&a, &b)| (f64::from(a), f64::from(b)))
                };
                let (length, other) = (
                    pairs().map(|(a, _)| a * a).sum::<f64>(),
                    pairs().map(|(_, b)| b * b).sum::<f64>(),
                );
                let product: f64 = pairs().map(|(a, b)| a * b).sum();
                sums.difference += pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                sums.exact += length;
                sums.cosine_min = sums.cosine_min.min(product / (length * other).sqrt());
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<LayerError> {
        let error = |sums: Sums| LayerError {
            relative: (sums.difference / sums.exact).sqrt(),
            cosine_min: sums.cosine_min,
        };
        self.0.into_iter().map(error).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_and_the_worst_token_counts() {
        let mut errors = LayerErrors::default();
        let exact = vec![vec![3.0, 0.0, 0.0, 4.0], vec![1.0, 0.0, 0.0, 1.0]];
        let found = vec![vec![3.0, 0.0, 0.0, 4.0], vec![1.0, 0.0, 1.0, 1.0]];
        errors.add(&exact, &found, 2);
        let errors = errors.finish();
        assert_eq!(
            errors[0],
            LayerError {
                relative: 0.0,
                cosine_min: 1.0
            }
        );
        assert!((errors[1].relative - 0.5_f64.sqrt()).abs() < 1e-12);
        assert!((errors[1].cosine_min - 0.5_f64.sqrt()).abs() < 1e-12);
    }
}
