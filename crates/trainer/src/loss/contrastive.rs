//! In-batch negatives: of all passages in the batch, a query's own must be the most similar.
//!
//! Optimizes: the log-probability of the right passage under a softmax over the batch's passages, "multiple
//! negatives ranking" (Henderson et al. 2017, section 4; InfoNCE of van den Oord et al. 2018). Needs: queries,
//! the number of each one's passage. Queries of the same passage share its column, so no query ever pushes
//! its own passage away. The scale is what cosines are multiplied by before the softmax (20 to 30; its inverse
//! is called temperature elsewhere). Prefer the symmetric form when passages also search for queries, or
//! batches are small.

use candle_core::{DType, Tensor};

use super::cross_entropy;
use crate::error::Result;

/// similarities (queries, passages) of unit vectors, owner (queries) u32: the column of each query's passage.
///
/// # Errors
/// When the tensor library refuses.
pub fn contrastive(similarities: &Tensor, owner: &Tensor, scale: f64) -> Result<Tensor> {
    cross_entropy(&(similarities * scale)?, owner)
}

/// The mean of [`contrastive`] and of its mirror: for each query, its passage must find it among the queries
/// of other passages. Other queries of the same passage do not count as wrong.
///
/// # Errors
/// When the tensor library refuses.
pub fn contrastive_symmetric(similarities: &Tensor, owner: &Tensor, scale: f64) -> Result<Tensor> {
    let forward = contrastive(similarities, owner, scale)?;
    // Row q: the similarities of q's passage to every query.
    let mirrored = (similarities.t()?.contiguous()?.index_select(owner, 0)? * scale)?;
    let queries = owner.dim(0)?;
    let itself = Tensor::arange(0, queries as u32, owner.device())?;
    let shape = (queries, queries);
    let same = owner
        .unsqueeze(1)?
        .broadcast_as(shape)?
        .eq(&owner.unsqueeze(0)?.broadcast_as(shape)?)?;
    let other = itself
        .unsqueeze(1)?
        .broadcast_as(shape)?
        .ne(&itself.unsqueeze(0)?.broadcast_as(shape)?)?;
    let sibling = (same.to_dtype(DType::F32)? * other.to_dtype(DType::F32)?)?;
    let mirrored = (mirrored + (sibling * -1e9)?)?;
    Ok(((forward + cross_entropy(&mirrored, &itself)?)? * 0.5)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    /// Both directions written as loops.
    fn oracle(s: &[[f32; 2]], owner: &[u32], scale: f32) -> (f32, f32) {
        let n = s.len() as f32;
        let (mut there, mut back) = (0.0, 0.0);
        for (q, row) in s.iter().enumerate() {
            let own = owner[q] as usize;
            let all: f32 = row.iter().map(|x| (x * scale).exp()).sum();
            there -= ((row[own] * scale).exp() / all).ln() / n;
            let rivals: f32 = (0..s.len())
                .filter(|&r| r == q || owner[r] != owner[q])
                .map(|r| (s[r][own] * scale).exp())
                .sum();
            back -= ((row[own] * scale).exp() / rivals).ln() / n;
        }
        (there, (there + back) / 2.0)
    }

    #[test]
    fn agrees_with_the_loops() {
        let rows = [[0.9f32, 0.1], [0.3, 0.4], [-0.2, 0.8]];
        let owner = [0u32, 0, 1];
        let similarities = Tensor::new(&rows, &Device::Cpu).unwrap();
        let columns = Tensor::new(&owner, &Device::Cpu).unwrap();
        let (there, both) = oracle(&rows, &owner, 5.0);
        let loss = contrastive(&similarities, &columns, 5.0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((loss - there).abs() < 1e-5, "{loss} {there}");
        let loss = contrastive_symmetric(&similarities, &columns, 5.0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((loss - both).abs() < 1e-5, "{loss} {both}");
    }
}
