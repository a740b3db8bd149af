//! `log(1 + exp(x))`, which all losses through a sigmoid are made of.

use candle_core::Tensor;

use crate::error::Result;

/// `log(1 + exp(x))` of each value, without overflow; differentiable.
///
/// # Errors
/// When the tensor library refuses.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    // max(x, 0) + log(1 + exp(-|x|))
    let rest = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok((x.relu()? + rest)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_slope_is_the_sigmoid_everywhere() {
        let x = [-100f32, -3.0, -0.1, 0.0, 0.1, 3.0, 100.0];
        let var = Var::from_tensor(&Tensor::new(&x, &Device::Cpu).unwrap()).unwrap();
        let y = softplus(&var).unwrap();
        let slope = y.sum_all().unwrap().backward().unwrap().remove(&var).unwrap();
        let (y, slope) = (y.to_vec1::<f32>().unwrap(), slope.to_vec1::<f32>().unwrap());
        for ((x, y), slope) in x.iter().zip(y).zip(slope) {
            let x = f64::from(*x);
            assert!((f64::from(y) - (1.0 + x.exp()).ln()).abs() < 1e-5, "{x}: {y}");
            assert!(
                (f64::from(slope) - 1.0 / (1.0 + (-x).exp())).abs() < 1e-6,
                "{x}: {slope}"
            );
        }
    }
}
