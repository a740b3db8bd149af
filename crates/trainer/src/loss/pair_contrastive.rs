//! Contrastive pairs: like texts together, unlike ones apart up to a margin.
//!
//! Optimizes: with the distance `d = 1 - cosine`, half of `d²` for a pair that is alike and half of
//! `max(0, margin - d)²` for one that is not (Hadsell, Chopra and LeCun 2006, equation 4, with their labels turned
//! round). Needs: pairs with a yes or no. Prefer in-batch negatives when every query has a positive.

use candle_core::Tensor;

use crate::error::Result;

/// Mean over the pairs: cosines (pairs), and alike (pairs), which is 1 for a pair that is alike and else 0.
///
/// # Errors
/// When the tensor library refuses.
pub fn pair_contrastive(cosines: &Tensor, alike: &Tensor, margin: f64) -> Result<Tensor> {
    let distance = (1.0 - cosines)?;
    let together = (distance.sqr()? * alike)?;
    let apart = ((margin - distance)?.relu()?.sqr()? * (1.0 - alike)?)?;
    Ok(((together + apart)?.mean_all()? * 0.5)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_sum_worked_out() {
        let cosines = Tensor::new(&[0.8f32, 0.9, 0.2], &Device::Cpu).unwrap();
        let alike = Tensor::new(&[1f32, 0.0, 0.0], &Device::Cpu).unwrap();
        let loss = pair_contrastive(&cosines, &alike, 0.5)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        // 0.2², 0.4² and nothing, as the last is 0.8 apart.
        assert!((loss - (0.04 + 0.16) / 6.0).abs() < 1e-6, "{loss}");
    }
}
