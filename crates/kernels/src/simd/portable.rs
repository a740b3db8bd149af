//! Plain Rust: says what each operation is, and runs where nothing better is compiled.

use super::Simd;

/// The instructions that every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portable;

const N: usize = 8;

macro_rules! lanes {
    (|$($arg:ident),*| $body:expr) => {{
        let mut out = [Default::default(); N];
        for lane in 0..N {
            $(let $arg = $arg[lane];)*
            out[lane] = $body;
        }
        out
    }};
}

#[allow(unsafe_code, reason = "pointers whose bounds the callers state")]
impl Simd for Portable {
    type F = [f32; N];
    type I = [u32; N];
    const N: usize = N;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(|a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(|a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(|a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(|a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        lanes!(|a, b, c| a.mul_add(b, c))
    }
    #[inline(always)]
    fn max(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(|a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(|a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn round(self, a: [f32; N]) -> [f32; N] {
        lanes!(|a| a.round_ties_even())
    }
    #[inline(always)]
    fn scale2(self, a: [f32; N], n: [f32; N]) -> [f32; N] {
        lanes!(|a, n| a * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn first(self, mut a: [f32; N], n: usize) -> [f32; N] {
        a[n..].fill(0.0);
        a
    }
    #[inline(always)]
    fn sum(self, a: [f32; N]) -> f32 {
        a.iter().sum()
    }
    #[inline(always)]
    fn sum_int(self, a: [u32; N]) -> i32 {
        a.iter().map(|&x| x as i32).sum()
    }
    #[inline(always)]
    fn largest(self, a: [f32; N]) -> f32 {
        a.iter().fold(f32::NEG_INFINITY, |x, &y| x.max(y))
    }
    #[inline(always)]
    fn smallest(self, a: [f32; N]) -> f32 {
        a.iter().fold(f32::INFINITY, |x, &y| x.min(y))
    }

    #[inline(always)]
    fn splat_unit(self, x: u32) -> [u32; N] {
        [x; N]
    }
    #[inline(always)]
    fn sub_int(self, a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(|a, b| a.wrapping_sub(b))
    }
    #[inline(always)]
    fn mul_int(self, a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(|a, b| a.wrapping_mul(b))
    }
    #[inline(always)]
    fn to_f32(self, a: [u32; N]) -> [f32; N] {
        lanes!(|a| a as i32 as f32)
    }
    #[inline(always)]
    fn as_f32(self, a: [u32; N]) -> [f32; N] {
        lanes!(|a| f32::from_bits(a))
    }
    #[inline(always)]
    fn dot_bf16(self, acc: [f32; N], x: [u32; N], w: [u32; N]) -> [f32; N] {
        let low = |unit: u32| f32::from_bits(unit << 16);
        let high = |unit: u32| f32::from_bits(unit & 0xFFFF_0000);
        lanes!(|acc, x, w| low(x).mul_add(low(w), high(x).mul_add(high(w), acc)))
    }
    #[inline(always)]
    fn dot_u8i8(self, acc: [u32; N], x: [u32; N], w: [u32; N]) -> [u32; N] {
        lanes!(|acc, x, w| {
            let (x, w) = (x.to_le_bytes(), w.to_le_bytes());
            let mut sum = acc as i32;
            for at in 0..4 {
                sum = sum.wrapping_add(i32::from(x[at]) * i32::from(w[at] as i8));
            }
            sum as u32
        })
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> [f32; N] {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[f32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_some(self, at: *const f32, n: usize) -> [f32; N] {
        let mut out = [0.0; N];
        // SAFETY: the caller's promise.
        unsafe { out.as_mut_ptr().copy_from_nonoverlapping(at, n) };
        out
    }
    #[inline(always)]
    unsafe fn load_units(self, at: *const u32) -> [u32; N] {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[u32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_some(self, at: *mut f32, a: [f32; N], n: usize) {
        // SAFETY: the caller's promise.
        unsafe { at.copy_from_nonoverlapping(a.as_ptr(), n) };
    }
    #[inline(always)]
    unsafe fn store_bf16(self, at: *mut u16, a: [f32; N], n: usize) {
        for (lane, &value) in a[..n].iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { at.add(lane).write(crate::rows::to_bf16(value)) };
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, at: *mut u8, a: [f32; N], n: usize) {
        for (lane, &value) in a[..n].iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { at.add(lane).write(value as u8) };
        }
    }
}
