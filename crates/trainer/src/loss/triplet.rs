//! Triplets: the positive must be nearer than the negative, by a margin.
//!
//! Optimizes: `max(0, margin - near + far)`, where near and far are the cosines of the query with its positive and
//! its negative (Schroff et al. 2015, FaceNet, section 3.1, with cosines instead of squared distances, which are
//! the same for unit vectors up to a factor of two). Needs: a negative for each query. What is far enough already
//! has no gradient, so prefer in-batch negatives unless the negatives are hard.

use candle_core::Tensor;

use crate::error::Result;

/// Mean over the triplets: cosines with the positives and with the negatives, both (triplets).
///
/// # Errors
/// When the tensor library refuses.
pub fn triplet(near: &Tensor, far: &Tensor, margin: f64) -> Result<Tensor> {
    Ok(((far - near)? + margin)?.relu()?.mean_all()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_sum_worked_out() {
        let near = Tensor::new(&[0.9f32, 0.5, 0.2], &Device::Cpu).unwrap();
        let far = Tensor::new(&[0.1f32, 0.4, 0.6], &Device::Cpu).unwrap();
        let loss = triplet(&near, &far, 0.3).unwrap().to_scalar::<f32>().unwrap();
        // 0, 0.2 and 0.7.
        assert!((loss - 0.3).abs() < 1e-6, "{loss}");
    }
}
