//! Vectors as an index in 8 bits has them: any loss on what rounding leaves.
//!
//! Optimizes: the same loss on rounded vectors; gradients pass through the rounding unchanged (the straight-through
//! estimator of Bengio et al. 2013, section 4; Jacob et al. 2018, section 3, for training with quantisation). Each
//! row has one scale, so that its greatest component becomes 127.

use candle_core::{D, Tensor};

use crate::error::Result;

/// Each row rounded to 8 bits: (rows, dimension). The gradient is that of the rows themselves.
///
/// # Errors
/// When the tensor library refuses.
pub fn rounded(vectors: &Tensor) -> Result<Tensor> {
    let plain = vectors.detach();
    let scale = ((plain.abs()?.max_keepdim(D::Minus1)? / 127.0)? + 1e-30)?;
    let codes = plain.broadcast_div(&scale)?.round()?;
    let error = (codes.broadcast_mul(&scale)? - plain)?;
    Ok((vectors + error.detach())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn values_are_rounded_and_gradients_are_not() {
        let values = [[0.5f32, -0.25, 0.001], [0.0, 0.0, 0.0]];
        let var = Var::from_tensor(&Tensor::new(&values, &Device::Cpu).unwrap()).unwrap();
        let rounded = rounded(&var).unwrap();
        let found = rounded.to_vec2::<f32>().unwrap();
        let step = 0.5 / 127.0;
        // -0.25 is 63.5 steps, 0.001 is a quarter of one.
        let expected = [[0.5, -64.0 * step, 0.0], [0.0; 3]];
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let weights = Tensor::new(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap();
        let sum = (rounded * &weights).unwrap().sum_all().unwrap();
        let gradient = sum.backward().unwrap().remove(&var).unwrap();
        assert_eq!(
            gradient.to_vec2::<f32>().unwrap(),
            weights.to_vec2::<f32>().unwrap()
        );
    }
}
