//! Binary cross-entropy: is this passage an answer to this query, yes or no?
//!
//! Optimizes: the log-probability of the label under the sigmoid of the logit (Nogueira and Cho 2019, section 2,
//! with one logit). Needs: single pairs with a label between 0 and 1, so a soft label will do. Positives are
//! usually rarer than negatives; their weight makes up for it. Prefer it when scores should mean something by
//! themselves; for a good order alone the losses over lists do better.

use candle_core::Tensor;

use super::softplus;
use crate::error::Result;

/// Mean over all entries: logits and labels of the same shape, labels in 0 to 1; the part of the label that is
/// positive counts `positive_weight` times.
///
/// # Errors
/// When the tensor library refuses.
pub fn binary_cross_entropy(logits: &Tensor, labels: &Tensor, positive_weight: f64) -> Result<Tensor> {
    // -log sigmoid(x) is softplus(-x), and -log (1 - sigmoid(x)) is softplus(x).
    let positive = (softplus(&logits.neg()?)? * labels)?;
    let negative = (softplus(logits)? * (1.0 - labels)?)?;
    Ok(((positive * positive_weight)? + negative)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_formula() {
        let (x, y) = ([[0.3f32, -2.0], [4.0, 90.0]], [[1f32, 0.0], [0.25, 0.0]]);
        let loss = |weight| {
            let (x, y) = (Tensor::new(&x, &Device::Cpu), Tensor::new(&y, &Device::Cpu));
            let loss = binary_cross_entropy(&x.unwrap(), &y.unwrap(), weight).unwrap();
            f64::from(loss.to_scalar::<f32>().unwrap())
        };
        for weight in [1.0, 3.0] {
            let oracle = |x: f32, y: f32| {
                let (x, y) = (f64::from(x), f64::from(y));
                // 1 - sigmoid(90) is below what f64 tells from 1, so log(1 - p) is written as log(sigmoid(-x)).
                let log_sigmoid = |x: f64| -(1.0 + (-x).exp()).ln();
                -(weight * y * log_sigmoid(x) + (1.0 - y) * log_sigmoid(-x))
            };
            let pairs = x.as_flattened().iter().zip(y.as_flattened());
            let expected = pairs.map(|(&x, &y)| oracle(x, y)).sum::<f64>() / 4.0;
            assert!(
                (loss(weight) - expected).abs() < 1e-5 * expected,
                "{} {expected}",
                loss(weight)
            );
        }
    }
}
