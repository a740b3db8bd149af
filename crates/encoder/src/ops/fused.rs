//! What the fused operations share: access to the values of tensors and work split over threads.
//!
//! Work is split into pieces of a fixed size, whose partial results are added in order: the outcome does not
//! depend on the number of threads.

use candle_core::{CpuStorage, Device, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;

/// Rows of one piece of work.
pub(super) const PIECE: usize = 64;

/// The values of a contiguous f32 tensor on the CPU.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a fused operation needs contiguous input")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// As [`values`], of what [`Tensor::storage_and_layout`] gives.
pub(super) fn held<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => values(storage, layout),
        _ => bail!("a fused operation needs tensors on the CPU"),
    }
}

/// A tensor on the CPU.
pub(super) fn tensor(values: Vec<f32>, dims: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(values, dims, &Device::Cpu)
}

/// Column sums of x, rows of `width` values.
pub(super) fn column_sums(x: &[f32], width: usize) -> Vec<f32> {
    let partial = |rows: &[f32]| {
        let mut sums = vec![0f32; width];
        super::simd::add_rows(rows, &mut sums);
        sums
    };
    add_in_order(x.par_chunks(PIECE * width).map(partial).collect(), width)
}

/// The sum of vectors of length `width`.
pub(super) fn add_in_order(parts: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    let mut sums = vec![0f32; width];
    for part in parts {
        super::simd::add_rows(&part, &mut sums);
    }
    sums
}
