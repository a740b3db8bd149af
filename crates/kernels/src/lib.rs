//! CPU arithmetic on slices.
//!
//! Encoders run on [`Linear`] layers over [`Rows`], [`attention()`] and [`LayerNorm`], written once over the
//! vectors of an [`InstructionSet`] and compiled for each; the portable set says what is right. On one set, the
//! result for a row has the same bits whatever rows are computed with it. Sets differ by rounding.
//!
//! For inner products of vectors ([`dot`]), [`scalar`] says what each result is, bit for bit, including the order of its sums. The `lanes` module
//! computes the same in a form that compilers turn into vector instructions, and `arch` compiles that form for
//! the instruction sets a machine may have; which one runs is asked once. All of them give the same bits: the
//! order of the sums is fixed, and products are rounded before they are added (no fused multiply-add), so a
//! score does not depend on the machine that computed it.
//!
//! This is the only library of the workspace that contains unsafe code besides memory maps.

mod arch;
mod attention;
mod bytes;
mod functions;
mod lanes;
mod linear;
mod lines;
mod norm;
mod normalize;
mod peak;
mod rows;
pub mod scalar;
mod simd;
mod tile;

#[cfg(test)]
mod dot_tests;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

pub use attention::{AttentionHeads, AttentionScratch, attention};
pub use bytes::{ByteQuery, ByteRows};
pub use functions::Activation;
pub use linear::{Linear, Target};
pub use lines::{Lines, SharedBytes};
pub use norm::LayerNorm;
pub use normalize::normalize;
pub use peak::burst;
pub use rows::{Precision, Rows};
pub use simd::InstructionSet;

type Dot = fn(&[f32], &[f32]) -> f32;

static DOT: LazyLock<Dot> = LazyLock::new(|| arch::dots().pop().map_or(lanes::dot as Dot, |(_, dot)| dot));

/// The inner product of two slices of one length, as [`scalar::dot`] defines it; 0 for empty slices.
///
/// The result is never `-0.0`. It is not a number when a product or a sum on the way is not one.
///
/// # Panics
/// When the lengths differ: that is a mistake of the caller, who knows both.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(
        a.len(),
        b.len(),
        "an inner product takes two slices of one length"
    );
    DOT(a, b)
}

/// Asks the processor to bring a slice close, because it will be read soon. Changes nothing else.
#[inline]
pub fn prefetch(values: &[f32]) {
    arch::prefetch(values);
}
