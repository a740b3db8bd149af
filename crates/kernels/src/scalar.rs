//! What every kernel computes, written so that it can be checked by eye. The fast forms must give these bits.

/// Partial sums that an inner product keeps side by side.
///
/// 64 of them fill four AVX-512 or eight AVX2 registers, enough to hide the latency of an addition.
pub const LANES: usize = 64;

/// The inner product of two slices of one length.
///
/// Product `i`, rounded to `f32`, is added to partial sum `i % LANES`; the partial sums are then added in a tree:
/// the second half to the first, until one is left.
///
/// ```
/// assert_eq!(kernels::scalar::dot(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 32.0);
/// ```
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        sums[i % LANES] += x * y;
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}
