//! Correlation of predicted scores with gold scores, as sentence-similarity tasks report it.
//!
//! ```text
//! Pearson  r   = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 * sum (y - mean y)^2)
//! Spearman rho = Pearson r of the ranks, where tied values share the mean of their ranks
//! ```

use crate::MeasureError;

/// Pearson's correlation; `None` when one side is constant or there are fewer than two pairs, where it has no
/// value.
///
/// # Errors
/// [`MeasureError::Lengths`] when the lists differ in length.
pub fn pearson(left: &[f64], right: &[f64]) -> Result<Option<f64>, MeasureError> {
    if left.len() != right.len() {
        return Err(MeasureError::Lengths {
            left: left.len(),
            right: right.len(),
        });
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let (mut product, mut left_square, mut right_square) = (0.0, 0.0, 0.0);
    for (x, y) in left.iter().zip(right) {
        let (x, y) = (x - left_mean, y - right_mean);
        product += x * y;
        left_square += x * x;
        right_square += y * y;
    }
    let norm = left_square.sqrt() * right_square.sqrt();
    Ok((norm > 0.0).then(|| (product / norm).clamp(-1.0, 1.0)))
}

/// Spearman's rank correlation; `None` and errors as [`pearson`].
///
/// # Errors
/// [`MeasureError::Lengths`] when the lists differ in length.
pub fn spearman(left: &[f64], right: &[f64]) -> Result<Option<f64>, MeasureError> {
    pearson(&ranks(left), &ranks(right))
}

/// The rank of each value from 1, ascending; tied values get the mean of the ranks that they fill.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|&left, &right| values[left] == values[right]) {
        let shared = first as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|&place| ranks[place] = shared);
        first += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
    }

    #[test]
    fn any_growing_curve_has_spearman_one_and_constants_have_none() {
        let left = [1.0, 2.0, 3.0, 4.0];
        let right = [1.0, 8.0, 27.0, 64.0];
        assert!(spearman(&left, &right).unwrap().unwrap() > 1.0 - 1e-12);
        assert!(pearson(&left, &right).unwrap().unwrap() < 0.96);
        assert_eq!(pearson(&left, &[5.0; 4]).unwrap(), None);
        assert_eq!(pearson(&[], &[]).unwrap(), None);
        assert_eq!(
            pearson(&left, &[1.0]),
            Err(MeasureError::Lengths { left: 4, right: 1 })
        );
    }
}
