//! Cross-entropy: the loss of choosing one class of many.
//!
//! Optimizes: the log-probability of the right class, averaged over rows. Used by the masked-language-model
//! task over the vocabulary and by the in-batch losses over the candidates of a batch.

use candle_core::Tensor;
use encoder::ops;

use crate::error::Result;

/// Logarithm of the softmax over the last dimension, any shape; differentiable.
///
/// # Errors
/// When the tensor library refuses.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    Ok(ops::plain::log_softmax(logits)?)
}

/// Mean of `-log softmax(logits)[target]`: logits (rows, classes), targets (rows) u32; a scalar.
///
/// # Errors
/// When the tensor library refuses.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    Ok(ops::cross_entropy(logits, targets)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_sum_worked_out() {
        // softmax of (0, ln 3) is (1/4, 3/4); equal logits give 1/2.
        let logits = Tensor::new(&[[0f32, 3f32.ln()], [1000.0, 1000.0]], &Device::Cpu).unwrap();
        let targets = Tensor::new(&[1u32, 0], &Device::Cpu).unwrap();
        let loss = cross_entropy(&logits, &targets)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        let expected = -((0.75f32).ln() + (0.5f32).ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    }
}
