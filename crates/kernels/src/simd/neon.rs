//! NEON with the dot products of Armv8.4 (Graviton 2, Apple M1 and later), and the mixed ones of Armv8.6.
#![allow(unsafe_code, reason = "instructions whose presence the token proves")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{Simd, Task};

/// Proof that the machine has the instructions; `MIXED` with products of u8 and i8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neon<const MIXED: bool>(());

impl<const MIXED: bool> Neon<MIXED> {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_aarch64_feature_detected!("neon")
            && is_aarch64_feature_detected!("dotprod")
            && (!MIXED || is_aarch64_feature_detected!("i8mm"));
        has.then_some(Self(()))
    }

    #[inline]
    pub(crate) fn call<T: Task>(self, task: T) -> T::Out {
        #[target_feature(enable = "neon,dotprod")]
        fn plain<T: Task, const MIXED: bool>(set: Neon<MIXED>, task: T) -> T::Out {
            task.run(set)
        }
        #[target_feature(enable = "neon,dotprod,i8mm")]
        fn mixed<T: Task, const MIXED: bool>(set: Neon<MIXED>, task: T) -> T::Out {
            task.run(set)
        }
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe {
            match MIXED {
                true => mixed(self, task),
                false => plain(self, task),
            }
        }
    }

    #[inline(always)]
    fn values(self, a: float32x4_t) -> [f32; 4] {
        // SAFETY: both are 128 bits, and every pattern is an f32.
        unsafe { std::mem::transmute(a) }
    }

    /// `acc` plus the inner products of four signed bytes, by lane.
    #[inline(always)]
    fn dot_signed(self, mut acc: uint32x4_t, x: uint32x4_t, w: uint32x4_t) -> uint32x4_t {
        // SAFETY: `self` exists, so the instruction is there; it changes nothing but `acc`.
        unsafe {
            std::arch::asm!(
                "sdot {acc:v}.4s, {x:v}.16b, {w:v}.16b",
                acc = inout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        acc
    }
}

/// Each block is sound because `self` exists (the instructions are there), and for pointers by the caller's promise.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: see above.
        unsafe { $call }
    };
}

impl<const MIXED: bool> Simd for Neon<MIXED> {
    type F = float32x4_t;
    type I = uint32x4_t;
    const N: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        op!(vdupq_n_f32(x))
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        op!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vmaxq_f32(a, b))
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vminq_f32(a, b))
    }
    #[inline(always)]
    fn round(self, a: float32x4_t) -> float32x4_t {
        op!(vrndnq_f32(a))
    }
    #[inline(always)]
    fn scale2(self, a: float32x4_t, n: float32x4_t) -> float32x4_t {
        op!({
            let exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        })
    }
    #[inline(always)]
    fn first(self, a: float32x4_t, n: usize) -> float32x4_t {
        op!({
            let lanes = vld1q_u32([0, 1, 2, 3].as_ptr());
            let mask = vcltq_u32(lanes, vdupq_n_u32(n as u32));
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), mask))
        })
    }
    #[inline(always)]
    fn sum(self, a: float32x4_t) -> f32 {
        let v = self.values(a);
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    fn sum_int(self, a: uint32x4_t) -> i32 {
        op!(vaddvq_u32(a)) as i32
    }
    #[inline(always)]
    fn largest(self, a: float32x4_t) -> f32 {
        op!(vmaxvq_f32(a))
    }
    #[inline(always)]
    fn smallest(self, a: float32x4_t) -> f32 {
        op!(vminvq_f32(a))
    }

    #[inline(always)]
    fn splat_unit(self, x: u32) -> uint32x4_t {
        op!(vdupq_n_u32(x))
    }
    #[inline(always)]
    fn sub_int(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vsubq_u32(a, b))
    }
    #[inline(always)]
    fn mul_int(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vmulq_u32(a, b))
    }
    #[inline(always)]
    fn to_f32(self, a: uint32x4_t) -> float32x4_t {
        op!(vcvtq_f32_s32(vreinterpretq_s32_u32(a)))
    }
    #[inline(always)]
    fn as_f32(self, a: uint32x4_t) -> float32x4_t {
        op!(vreinterpretq_f32_u32(a))
    }
    #[inline(always)]
    fn dot_bf16(self, acc: float32x4_t, x: uint32x4_t, w: uint32x4_t) -> float32x4_t {
        op!({
            let high = |units| vreinterpretq_f32_u32(vandq_u32(units, vdupq_n_u32(0xFFFF_0000)));
            let low = |units| vreinterpretq_f32_u32(vshlq_n_u32::<16>(units));
            vfmaq_f32(vfmaq_f32(acc, high(x), high(w)), low(x), low(w))
        })
    }
    #[inline(always)]
    fn dot_u8i8(self, mut acc: uint32x4_t, x: uint32x4_t, w: uint32x4_t) -> uint32x4_t {
        if MIXED {
            // SAFETY: as in `dot_signed`.
            unsafe {
                std::arch::asm!(
                    "usdot {acc:v}.4s, {x:v}.16b, {w:v}.16b",
                    acc = inout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            return acc;
        }
        // x = (x - 128) + 64 + 64, and each of them is an i8.
        let shifted = op!(veorq_u32(x, vdupq_n_u32(0x8080_8080)));
        let half = op!(vdupq_n_u32(0x4040_4040));
        let acc = self.dot_signed(acc, shifted, w);
        self.dot_signed(self.dot_signed(acc, half, w), half, w)
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> float32x4_t {
        op!(vld1q_f32(at))
    }
    #[inline(always)]
    unsafe fn load_some(self, at: *const f32, n: usize) -> float32x4_t {
        let mut out = [0.0_f32; 4];
        // SAFETY: the caller's promise.
        unsafe {
            out.as_mut_ptr().copy_from_nonoverlapping(at, n);
            vld1q_f32(out.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn load_units(self, at: *const u32) -> uint32x4_t {
        op!(vld1q_u32(at))
    }
    #[inline(always)]
    unsafe fn store_some(self, at: *mut f32, a: float32x4_t, n: usize) {
        if n == 4 {
            op!(vst1q_f32(at, a));
        } else {
            // SAFETY: the caller's promise.
            unsafe { at.copy_from_nonoverlapping(self.values(a).as_ptr(), n) };
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, at: *mut u16, a: float32x4_t, n: usize) {
        // SAFETY: as everywhere here.
        unsafe {
            let bits = vreinterpretq_u32_f32(a);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
            let values: [u16; 4] = std::mem::transmute(vshrn_n_u32::<16>(rounded));
            at.copy_from_nonoverlapping(values.as_ptr(), n);
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, at: *mut u8, a: float32x4_t, n: usize) {
        let bytes = self.values(a).map(|value| value as u8);
        // SAFETY: the caller's promise.
        unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), n) };
    }
}
