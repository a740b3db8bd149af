//! Regression of the cosine: the similarity of two texts is to be the score.
//!
//! Optimizes: the squared difference of cosine and score (Reimers and Gurevych 2019, section 3, "regression objective
//! function"). Needs: scores on the scale of cosines, -1 to 1. Prefer CoSENT when only their order means something.

use candle_core::Tensor;

use crate::error::Result;

/// Mean over the pairs: cosines and scores, both (pairs).
///
/// # Errors
/// When the tensor library refuses.
pub fn regression(cosines: &Tensor, scores: &Tensor) -> Result<Tensor> {
    Ok((cosines - scores)?.sqr()?.mean_all()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_sum_worked_out() {
        let of = |x: [f32; 2]| Tensor::new(&x, &Device::Cpu).unwrap();
        let loss = regression(&of([0.5, -0.5]), &of([1.0, -0.4]))
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((loss - 0.13).abs() < 1e-6, "{loss}");
    }
}
