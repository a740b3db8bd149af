//! AVX2 with FMA, and with AVX-VNNI where `VNNI` is true.
#![allow(unsafe_code, reason = "instructions whose presence the token proves")]

use std::arch::x86_64::*;

use super::{Simd, Task};

/// Proof that the machine has the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!VNNI || is_x86_feature_detected!("avxvnni"));
        has.then_some(Self(()))
    }

    #[inline]
    pub(crate) fn call<T: Task>(self, task: T) -> T::Out {
        #[target_feature(enable = "avx2,fma")]
        fn without<T: Task, S: Simd>(set: S, task: T) -> T::Out {
            task.run(set)
        }
        #[target_feature(enable = "avx2,fma,avxvnni")]
        fn with<T: Task, S: Simd>(set: S, task: T) -> T::Out {
            task.run(set)
        }
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe {
            if VNNI {
                with(self, task)
            } else {
                without(self, task)
            }
        }
    }
}

/// Each block is sound because `self` exists (the instructions are there), and for pointers by the caller's promise.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: see above.
        unsafe { $call }
    };
}

impl<const VNNI: bool> Avx2<VNNI> {
    #[inline(always)]
    fn low(self, units: __m256i) -> __m256 {
        op!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(units)))
    }
    #[inline(always)]
    fn high(self, units: __m256i) -> __m256 {
        op!(_mm256_castsi256_ps(_mm256_and_si256(
            units,
            _mm256_set1_epi32(0xFFFF_0000_u32 as i32)
        )))
    }
    #[inline(always)]
    fn values(self, a: __m256) -> [f32; 8] {
        // SAFETY: both are 256 bits, and every pattern is an f32.
        unsafe { std::mem::transmute(a) }
    }
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type F = __m256;
    type I = __m256i;
    const N: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        op!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        op!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        op!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn scale2(self, a: __m256, n: __m256) -> __m256 {
        // SAFETY: as everywhere here.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
    }
    #[inline(always)]
    fn first(self, a: __m256, n: usize) -> __m256 {
        // SAFETY: as everywhere here.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes);
            _mm256_and_ps(a, _mm256_castsi256_ps(mask))
        }
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        let v = self.values(a);
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    #[inline(always)]
    fn sum_int(self, a: __m256i) -> i32 {
        let half = op!(_mm_add_epi32(
            _mm256_castsi256_si128(a),
            _mm256_extracti128_si256::<1>(a)
        ));
        let two = op!(_mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half)));
        op!(_mm_cvtsi128_si32(_mm_add_epi32(
            two,
            _mm_shuffle_epi32::<0b10_11_00_01>(two)
        )))
    }
    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        self.values(a).iter().fold(f32::NEG_INFINITY, |x, &y| x.max(y))
    }
    #[inline(always)]
    fn smallest(self, a: __m256) -> f32 {
        self.values(a).iter().fold(f32::INFINITY, |x, &y| x.min(y))
    }

    #[inline(always)]
    fn splat_unit(self, x: u32) -> __m256i {
        op!(_mm256_set1_epi32(x as i32))
    }
    #[inline(always)]
    fn sub_int(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_sub_epi32(a, b))
    }
    #[inline(always)]
    fn mul_int(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn to_f32(self, a: __m256i) -> __m256 {
        op!(_mm256_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn as_f32(self, a: __m256i) -> __m256 {
        op!(_mm256_castsi256_ps(a))
    }
    #[inline(always)]
    fn dot_bf16(self, acc: __m256, x: __m256i, w: __m256i) -> __m256 {
        let acc = self.fma(self.high(x), self.high(w), acc);
        self.fma(self.low(x), self.low(w), acc)
    }
    #[inline(always)]
    fn dot_u8i8(self, acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: as everywhere here.
        unsafe {
            if VNNI {
                return _mm256_dpbusd_avx_epi32(acc, x, w);
            }
            // Through 16 bits, since the 8-bit product of AVX2 saturates.
            let x_even = _mm256_and_si256(x, _mm256_set1_epi16(0xFF));
            let x_odd = _mm256_srli_epi16::<8>(x);
            let w_even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
            let w_odd = _mm256_srai_epi16::<8>(w);
            let even = _mm256_madd_epi16(x_even, w_even);
            let odd = _mm256_madd_epi16(x_odd, w_odd);
            _mm256_add_epi32(acc, _mm256_add_epi32(even, odd))
        }
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m256 {
        op!(_mm256_loadu_ps(at))
    }
    #[inline(always)]
    unsafe fn load_some(self, at: *const f32, n: usize) -> __m256 {
        let mut out = [0.0_f32; 8];
        // SAFETY: the caller's promise.
        unsafe {
            out.as_mut_ptr().copy_from_nonoverlapping(at, n);
            _mm256_loadu_ps(out.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn load_units(self, at: *const u32) -> __m256i {
        op!(_mm256_loadu_si256(at.cast()))
    }
    #[inline(always)]
    unsafe fn store_some(self, at: *mut f32, a: __m256, n: usize) {
        if n == 8 {
            op!(_mm256_storeu_ps(at, a));
        } else {
            // SAFETY: the caller's promise.
            unsafe { at.copy_from_nonoverlapping(self.values(a).as_ptr(), n) };
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, at: *mut u16, a: __m256, n: usize) {
        // SAFETY: as everywhere here.
        unsafe {
            let bits = _mm256_castps_si256(a);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
            let high = _mm256_srli_epi32::<16>(rounded);
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(high, high));
            let values: [u16; 8] = std::mem::transmute(_mm256_castsi256_si128(packed));
            at.copy_from_nonoverlapping(values.as_ptr(), n);
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, at: *mut u8, a: __m256, n: usize) {
        let values = self.values(a);
        let mut bytes = [0_u8; 8];
        for lane in 0..8 {
            bytes[lane] = values[lane] as u8;
        }
        // SAFETY: the caller's promise.
        unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), n) };
    }
}
