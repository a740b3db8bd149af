//! The kernels compiled for instruction sets that the machine may have.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{dots, prefetch};

/// None: the baseline of this architecture is what there is (on AArch64 it includes NEON).
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn dots() -> Vec<(&'static str, crate::Dot)> {
    Vec::new()
}

/// Nothing.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn prefetch<T>(_: &[T]) {}
