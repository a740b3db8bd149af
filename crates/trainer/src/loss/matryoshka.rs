//! Vectors that may be cut: any loss on their first components as well.
//!
//! Optimizes: the weighted sum of a loss over several lengths, each on the first components scaled to length one
//! again (Kusupati et al. 2022, "Matryoshka Representation Learning", section 3). So the first components carry the
//! most, and an index may store short vectors of a model that was trained once.

use candle_core::{D, Tensor};

use crate::error::Result;

/// The first `dimension` components of each row, of unit length: (rows, dimension).
///
/// # Errors
/// When the rows are shorter.
pub fn shortened(vectors: &Tensor, dimension: usize) -> Result<Tensor> {
    let short = vectors.narrow(D::Minus1, 0, dimension)?;
    // Under the root, so that the gradient of a row of zeros is a number.
    let length = (short.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
    Ok(short.broadcast_div(&length)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_first_components_have_unit_length_again() {
        let vectors = Tensor::new(&[[3f32, 4.0, 12.0], [0.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let short = shortened(&vectors, 2).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(short, [[0.6, 0.8], [0.0, 0.0]]);
        assert!(shortened(&vectors, 4).is_err());
    }
}
