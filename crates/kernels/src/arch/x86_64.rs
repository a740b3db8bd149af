//! AVX2 and AVX-512.
#![allow(
    unsafe_code,
    reason = "functions for instruction sets that were detected first"
)]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use crate::{Dot, lanes};

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// The inner products that this machine can run, the widest last, with their names.
pub(crate) fn dots() -> Vec<(&'static str, Dot)> {
    let mut found: Vec<(&'static str, Dot)> = Vec::new();
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2, which was just asked.
        found.push(("avx2", |a, b| unsafe { dot_avx2(a, b) }));
    }
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has AVX-512F, which was just asked.
        found.push(("avx512", |a, b| unsafe { dot_avx512(a, b) }));
    }
    found
}

#[target_feature(enable = "avx2")]
fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    lanes::dot(a, b)
}

#[target_feature(enable = "avx512f")]
fn dot_avx512(a: &[f32], b: &[f32]) -> f32 {
    lanes::dot(a, b)
}

/// As [`crate::prefetch`].
#[inline]
pub(crate) fn prefetch<T>(values: &[T]) {
    for line in values.chunks((LINE_BYTES / size_of::<T>()).max(1)) {
        // SAFETY: SSE is part of x86-64, and a prefetch reads nothing that a program can observe.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}
