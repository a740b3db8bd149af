//! AVX-512 with VNNI (Cascade Lake, Ice Lake), and with BF16 (Zen 4, Sapphire Rapids and later).
#![allow(unsafe_code, reason = "instructions whose presence the token proves")]

use std::arch::x86_64::*;

use super::{Simd, Task};

/// Proof that the machine has the instructions; `BF16` with products of bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
            && (!BF16 || is_x86_feature_detected!("avx512bf16"))
            && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }

    #[inline]
    pub(crate) fn call<T: Task>(self, task: T) -> T::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
        fn plain<T: Task, const BF16: bool>(set: Avx512<BF16>, task: T) -> T::Out {
            task.run(set)
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma")]
        fn with_bf16<T: Task, const BF16: bool>(set: Avx512<BF16>, task: T) -> T::Out {
            task.run(set)
        }
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe {
            match BF16 {
                true => with_bf16(self, task),
                false => plain(self, task),
            }
        }
    }
}

#[inline(always)]
fn lanes(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

/// Each block is sound because `self` exists (the instructions are there), and for pointers by the caller's promise.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: see above.
        unsafe { $call }
    };
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type F = __m512;
    type I = __m512i;
    const N: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        op!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        op!(_mm512_roundscale_ps::<0x08>(a))
    }
    #[inline(always)]
    fn scale2(self, a: __m512, n: __m512) -> __m512 {
        op!(_mm512_scalef_ps(a, n))
    }
    #[inline(always)]
    fn first(self, a: __m512, n: usize) -> __m512 {
        op!(_mm512_maskz_mov_ps(lanes(n), a))
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        op!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn sum_int(self, a: __m512i) -> i32 {
        op!(_mm512_reduce_add_epi32(a))
    }
    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        op!(_mm512_reduce_max_ps(a))
    }
    #[inline(always)]
    fn smallest(self, a: __m512) -> f32 {
        op!(_mm512_reduce_min_ps(a))
    }

    #[inline(always)]
    fn splat_unit(self, x: u32) -> __m512i {
        op!(_mm512_set1_epi32(x as i32))
    }
    #[inline(always)]
    fn sub_int(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn mul_int(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        op!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn as_f32(self, a: __m512i) -> __m512 {
        op!(_mm512_castsi512_ps(a))
    }
    #[inline(always)]
    fn dot_bf16(self, acc: __m512, x: __m512i, w: __m512i) -> __m512 {
        // SAFETY: as everywhere here, and the types are 512 bits without invalid values.
        unsafe {
            if BF16 {
                let (x, w) = (
                    std::mem::transmute::<__m512i, __m512bh>(x),
                    std::mem::transmute::<__m512i, __m512bh>(w),
                );
                return _mm512_dpbf16_ps(acc, x, w);
            }
            let high = _mm512_set1_epi32(0xFFFF_0000_u32 as i32);
            let (x_high, w_high) = (_mm512_and_si512(x, high), _mm512_and_si512(w, high));
            let (x_low, w_low) = (_mm512_slli_epi32::<16>(x), _mm512_slli_epi32::<16>(w));
            let acc = self.fma(self.as_f32(x_high), self.as_f32(w_high), acc);
            self.fma(self.as_f32(x_low), self.as_f32(w_low), acc)
        }
    }
    #[inline(always)]
    fn dot_u8i8(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        op!(_mm512_dpbusd_epi32(acc, x, w))
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        op!(_mm512_loadu_ps(at))
    }
    #[inline(always)]
    unsafe fn load_some(self, at: *const f32, n: usize) -> __m512 {
        op!(_mm512_maskz_loadu_ps(lanes(n), at))
    }
    #[inline(always)]
    unsafe fn load_units(self, at: *const u32) -> __m512i {
        op!(_mm512_loadu_si512(at.cast()))
    }
    #[inline(always)]
    unsafe fn store_some(self, at: *mut f32, a: __m512, n: usize) {
        if n == 16 {
            op!(_mm512_storeu_ps(at, a));
        } else {
            op!(_mm512_mask_storeu_ps(at, lanes(n), a));
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, at: *mut u16, a: __m512, n: usize) {
        // SAFETY: as everywhere here, and the types are 256 bits without invalid values.
        unsafe {
            let rounded = if BF16 {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(a))
            } else {
                let bits = _mm512_castps_si512(a);
                let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                let sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
                _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(sum))
            };
            if n == 16 {
                _mm256_storeu_si256(at.cast(), rounded);
            } else {
                _mm256_mask_storeu_epi16(at.cast(), lanes(n), rounded);
            }
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, at: *mut u8, a: __m512, n: usize) {
        op!(_mm512_mask_cvtusepi32_storeu_epi8(
            at.cast(),
            lanes(n),
            _mm512_cvtps_epi32(a)
        ));
    }
}
