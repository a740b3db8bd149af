//! CoSENT: pairs of texts in the order of their scores.
//!
//! Optimizes: `log(1 + sum exp(scale * (cos_j - cos_i)))` over all pairs i and j of the batch of which i has the higher
//! score (Su 2022, "CoSENT", <https://kexue.fm/archives/8847>; the pairwise ranking of Sun et al. 2020, Circle Loss,
//! section 3). Needs: scores whose order means something; their distances do not count. Prefer it to the regression
//! when scores are graded by people.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// Stands in for a pair that is in no order; its exponential is 0.
const NEVER: f64 = -1e9;

/// cosines and scores, both (pairs) in f32.
///
/// # Errors
/// When the tensor library refuses.
pub fn cosent(cosines: &Tensor, scores: &Tensor, scale: f64) -> Result<Tensor> {
    let count = cosines.dim(0)?;
    let shape = (count, count);
    let column = |x: &Tensor| -> Result<Tensor> { Ok(x.unsqueeze(1)?.broadcast_as(shape)?) };
    let row = |x: &Tensor| -> Result<Tensor> { Ok(x.unsqueeze(0)?.broadcast_as(shape)?) };
    // Entry (j, i): how far pair j is above pair i.
    let above = ((column(cosines)? - row(cosines)?)? * scale)?;
    let wrong = column(scores)?.lt(&row(scores)?)?.to_dtype(DType::F32)?;
    let above = ((above * &wrong)? + (1.0 - wrong)?.affine(NEVER, 0.0)?)?.flatten_all()?;
    // The 1 inside the logarithm is the exponential of a 0 among them.
    let all = Tensor::cat(&[&above, &Tensor::zeros(1, DType::F32, cosines.device())?], 0)?;
    let greatest = all.max_keepdim(0)?.detach();
    let sum = all.broadcast_sub(&greatest)?.exp()?.sum_keepdim(0)?.log()?;
    Ok((sum + greatest)?.squeeze(0)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_loops() {
        let (cosines, scores) = ([0.9f32, 0.1, 0.5, -0.3], [3f32, 3.0, 1.0, 5.0]);
        let mut sum = 1.0;
        for (i, j) in (0..16).map(|at| (at / 4, at % 4)) {
            if scores[i] > scores[j] {
                sum += (7.0 * (cosines[j] - cosines[i])).exp();
            }
        }
        let of = |x: &[f32]| Tensor::new(x, &Device::Cpu).unwrap();
        let loss = cosent(&of(&cosines), &of(&scores), 7.0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((loss - sum.ln()).abs() < 1e-5, "{loss} {}", sum.ln());
        // All scores alike: nothing is in the wrong order. And no overflow.
        let alike = cosent(&of(&cosines), &of(&[1.0; 4]), 7.0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert_eq!(alike, 0.0);
        let large = cosent(&of(&cosines), &of(&scores), 1e3)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((large - 1200.0).abs() < 1e-2, "{large}");
    }
}
