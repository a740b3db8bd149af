//! Vectors of one instruction set behind one trait, so that each kernel is written once.
//!
//! A value of a type that implements [`Simd`] is the proof that the machine has the instructions: it is made only
//! after the processor was asked. Kernels are [`Task`]s; [`InstructionSet::run`] compiles the whole task for the
//! set, because everything in it is inlined. For that, no vector may pass through a function that is not
//! `inline(always)`, closures and iterator adapters included.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

/// Goes through `$count` values in vectors: `$body` runs with the position `$at` and the number `$n` of values there,
/// a constant for all vectors but the last.
macro_rules! in_vectors {
    ($set:ty, $count:expr, |$at:ident, $n:ident| $body:block) => {{
        let count: usize = $count;
        let mut $at = 0;
        while $at + <$set>::N <= count {
            let $n = <$set>::N;
            $body
            $at += <$set>::N;
        }
        if $at < count {
            let $n = count - $at;
            $body
        }
    }};
}
pub(crate) use in_vectors;

use std::fmt;
use std::sync::LazyLock;

/// Operations on vectors of [`Simd::N`] numbers of 32 bits. A *unit* is 32 bits of a row of numbers: one f32, two
/// bf16 or four 8-bit integers, the first in the low bits.
#[allow(unsafe_code, reason = "methods that read and write at pointers")]
pub(crate) trait Simd: Copy {
    /// f32 values.
    type F: Copy;
    /// Units or i32 values.
    type I: Copy;
    /// Numbers in a vector.
    const N: usize;
    /// Vectors that the registers hold.
    const REGISTERS: usize;

    fn splat(self, x: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// To the nearest integer, halves to even.
    fn round(self, a: Self::F) -> Self::F;
    /// `a` times two to the power of `n`, an integer from -126 to 127.
    fn scale2(self, a: Self::F, n: Self::F) -> Self::F;
    /// The first `n` values, then zeros; `n <= N`.
    fn first(self, a: Self::F, n: usize) -> Self::F;
    fn sum(self, a: Self::F) -> f32;
    /// The sum of i32 values, which must not overflow.
    fn sum_int(self, a: Self::I) -> i32;
    fn largest(self, a: Self::F) -> f32;
    fn smallest(self, a: Self::F) -> f32;

    fn splat_unit(self, x: u32) -> Self::I;
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low 32 bits of the products.
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn to_f32(self, a: Self::I) -> Self::F;
    /// The units' bits as f32.
    fn as_f32(self, a: Self::I) -> Self::F;
    /// `acc` plus the inner products of the pairs of bf16 in each unit.
    fn dot_bf16(self, acc: Self::F, x: Self::I, w: Self::I) -> Self::F;
    /// `acc` plus the inner products of the four u8 of `x` and i8 of `w` in each unit, exactly.
    fn dot_u8i8(self, acc: Self::I, x: Self::I, w: Self::I) -> Self::I;

    /// # Safety
    /// `N` values can be read at `at`.
    unsafe fn load(self, at: *const f32) -> Self::F;
    /// The first `n` values at `at`, then zeros.
    ///
    /// # Safety
    /// `n` values can be read at `at`, and `n <= N`.
    unsafe fn load_some(self, at: *const f32, n: usize) -> Self::F;
    /// # Safety
    /// `N` units can be read at `at`.
    unsafe fn load_units(self, at: *const u32) -> Self::I;
    /// Writes the first `n` values.
    ///
    /// # Safety
    /// `n` values can be written at `at`, and `n <= N`.
    unsafe fn store_some(self, at: *mut f32, a: Self::F, n: usize);
    /// Writes the first `n` values rounded to bf16, to nearest even. They must not be NaN.
    ///
    /// # Safety
    /// `n` values of 16 bits can be written at `at`, and `n <= N`.
    unsafe fn store_bf16(self, at: *mut u16, a: Self::F, n: usize);
    /// Writes the first `n` values, integers from 0 to 255, as bytes.
    ///
    /// # Safety
    /// `n` bytes can be written at `at`, and `n <= N`.
    unsafe fn store_bytes(self, at: *mut u8, a: Self::F, n: usize);
}

/// Work that is compiled for each instruction set.
pub(crate) trait Task {
    type Out;
    /// Must be `inline(always)`, as everything that it calls with vectors.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// Instructions that this machine has: there is no value of a set that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstructionSet(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2<false>),
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni(avx2::Avx2<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512<false>),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(avx512::Avx512<true>),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon<false>),
    #[cfg(target_arch = "aarch64")]
    NeonMixed(neon::Neon<true>),
}

static AVAILABLE: LazyLock<Vec<InstructionSet>> = LazyLock::new(|| {
    let mut sets = vec![InstructionSet(Kind::Portable)];
    #[cfg(target_arch = "x86_64")]
    {
        sets.extend(avx2::Avx2::<false>::detect().map(|set| InstructionSet(Kind::Avx2(set))));
        sets.extend(avx2::Avx2::<true>::detect().map(|set| InstructionSet(Kind::Avx2Vnni(set))));
        sets.extend(avx512::Avx512::<false>::detect().map(|set| InstructionSet(Kind::Avx512(set))));
        sets.extend(avx512::Avx512::<true>::detect().map(|set| InstructionSet(Kind::Avx512Bf16(set))));
    }
    #[cfg(target_arch = "aarch64")]
    {
        sets.extend(neon::Neon::<false>::detect().map(|set| InstructionSet(Kind::Neon(set))));
        sets.extend(neon::Neon::<true>::detect().map(|set| InstructionSet(Kind::NeonMixed(set))));
    }
    sets
});

impl InstructionSet {
    /// All sets that kernels exist for and this machine has, the fastest last.
    pub fn available() -> &'static [InstructionSet] {
        &AVAILABLE
    }

    /// The fastest set.
    pub fn best() -> Self {
        AVAILABLE
            .last()
            .copied()
            .unwrap_or(InstructionSet(Kind::Portable))
    }

    #[inline]
    pub(crate) fn run<T: Task>(self, task: T) -> T::Out {
        match self.0 {
            Kind::Portable => task.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(set) => set.call(task),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2Vnni(set) => set.call(task),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(set) => set.call(task),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16(set) => set.call(task),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(set) => set.call(task),
            #[cfg(target_arch = "aarch64")]
            Kind::NeonMixed(set) => set.call(task),
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2Vnni(_) => "AVX2 with AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "AVX-512 with VNNI",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16(_) => "AVX-512 with VNNI and BF16",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => "NEON with dot products",
            #[cfg(target_arch = "aarch64")]
            Kind::NeonMixed(_) => "NEON with mixed dot products",
        })
    }
}
