//! Cross-entropy with a weight for each class, and the squared error of a number.
//!
//! [`weighted_cross_entropy`] makes up for classes that are rare: a row counts as much as the weight of its class.
//! [`squared_error`] is for labels that are amounts (similarity from 0 to 5) and not kinds.

use candle_core::Tensor;

use super::log_softmax;
use crate::error::Result;

/// `-log softmax(logits)[target]` averaged with the weights of the targets: logits (rows, classes), targets (rows)
/// u32, weights (classes) above 0.
///
/// # Errors
/// When the tensor library refuses.
pub fn weighted_cross_entropy(logits: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let chosen = log_softmax(logits)?
        .gather(&targets.unsqueeze(1)?, 1)?
        .squeeze(1)?;
    let weights = weights.index_select(targets, 0)?;
    Ok((chosen * &weights)?.sum_all()?.div(&weights.sum_all()?)?.neg()?)
}

/// Mean of the squared differences: both (rows).
///
/// # Errors
/// When the tensor library refuses.
pub fn squared_error(found: &Tensor, wanted: &Tensor) -> Result<Tensor> {
    Ok((found - wanted)?.sqr()?.mean_all()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agree_with_the_sums_worked_out() {
        // Softmax (1/4, 3/4) and (1/2, 1/2); the weights 1 and 3.
        let logits = Tensor::new(&[[0f32, 3f32.ln()], [2.0, 2.0]], &Device::Cpu).unwrap();
        let targets = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
        let weights = Tensor::new(&[1f32, 3.0], &Device::Cpu).unwrap();
        let loss = weighted_cross_entropy(&logits, &targets, &weights).unwrap();
        let expected = -((0.25f32).ln() + 3.0 * (0.5f32).ln()) / 4.0;
        assert!((loss.to_scalar::<f32>().unwrap() - expected).abs() < 1e-6);
        let [found, wanted] = [[1f32, 2.0], [3.0, 2.5]].map(|row| Tensor::new(&row, &Device::Cpu).unwrap());
        let loss = squared_error(&found, &wanted)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((loss - 4.25 / 2.0).abs() < 1e-6);
    }
}
