//! The order of sums of [`crate::scalar`], in blocks of constant size that compile to vector instructions.
//!
//! The functions are inlined into the versions for each instruction set in [`crate::arch`].

use crate::scalar::LANES;

/// As [`crate::scalar::dot`].
///
/// A last block that is not full is filled up with zeros; adding their products changes no partial sum, because
/// a partial sum is never `-0.0`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        add_products(&mut sums, x, y);
    }
    if !a_rest.is_empty() {
        add_products(&mut sums, &filled_up(a_rest), &filled_up(b_rest));
    }
    let halves: [f32; 32] = fold(&sums);
    let quarters: [f32; 16] = fold(&halves);
    let eighths: [f32; 8] = fold(&quarters);
    let four: [f32; 4] = fold(&eighths);
    let two: [f32; 2] = fold(&four);
    two[0] + two[1]
}

#[inline(always)]
fn add_products(sums: &mut [f32; LANES], x: &[f32; LANES], y: &[f32; LANES]) {
    for i in 0..LANES {
        sums[i] += x[i] * y[i];
    }
}

#[inline(always)]
fn filled_up(rest: &[f32]) -> [f32; LANES] {
    let mut block = [0.0; LANES];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// The first half plus the second; `WIDTH` is twice `HALF`.
#[inline(always)]
fn fold<const WIDTH: usize, const HALF: usize>(sums: &[f32; WIDTH]) -> [f32; HALF] {
    std::array::from_fn(|i| sums[i] + sums[i + HALF])
}
