//! The inner loop of every matrix product: a few rows times a few vectors of columns, all sums in registers.
//!
//! Each sum adds its products in the order of the inner dimension, in one accumulator. So a result has the same
//! bits whatever the size of the tile that it was computed in.

use crate::simd::Simd;

/// Most rows of a tile: with four vectors of columns, what 32 registers hold without spilling.
pub(crate) const ROWS_MAX: usize = 5;

/// How the factors of one number type are multiplied and added.
pub(crate) trait Arithmetic<S: Simd>: Copy {
    type Sum: Copy;
    fn zero(s: S) -> Self::Sum;
    /// `sum` plus the products of one unit of a row with a unit of each column.
    fn add(s: S, sum: Self::Sum, x: S::I, w: S::I) -> Self::Sum;
    /// The sum as f32; from integers, `offset` is taken off first.
    fn value(s: S, sum: Self::Sum, offset: S::I) -> S::F;
}

#[derive(Clone, Copy)]
pub(crate) struct Floats;
#[derive(Clone, Copy)]
pub(crate) struct Halves;
#[derive(Clone, Copy)]
pub(crate) struct Bytes;

impl<S: Simd> Arithmetic<S> for Floats {
    type Sum = S::F;
    #[inline(always)]
    fn zero(s: S) -> S::F {
        s.splat(0.0)
    }
    #[inline(always)]
    fn add(s: S, sum: S::F, x: S::I, w: S::I) -> S::F {
        s.fma(s.as_f32(x), s.as_f32(w), sum)
    }
    #[inline(always)]
    fn value(_: S, sum: S::F, _: S::I) -> S::F {
        sum
    }
}

impl<S: Simd> Arithmetic<S> for Halves {
    type Sum = S::F;
    #[inline(always)]
    fn zero(s: S) -> S::F {
        s.splat(0.0)
    }
    #[inline(always)]
    fn add(s: S, sum: S::F, x: S::I, w: S::I) -> S::F {
        s.dot_bf16(sum, x, w)
    }
    #[inline(always)]
    fn value(_: S, sum: S::F, _: S::I) -> S::F {
        sum
    }
}

impl<S: Simd> Arithmetic<S> for Bytes {
    type Sum = S::I;
    #[inline(always)]
    fn zero(s: S) -> S::I {
        s.splat_unit(0)
    }
    #[inline(always)]
    fn add(s: S, sum: S::I, x: S::I, w: S::I) -> S::I {
        s.dot_u8i8(sum, x, w)
    }
    #[inline(always)]
    fn value(s: S, sum: S::I, offset: S::I) -> S::F {
        s.to_f32(s.sub_int(sum, offset))
    }
}

/// A row-major factor of units: where it begins and units from one row to the next.
#[derive(Clone, Copy)]
pub(crate) struct Factor {
    pub(crate) at: *const u32,
    pub(crate) stride: usize,
}

/// `ROWS` rows of `x` times `VECTORS` vectors of columns of `w`, over `units`.
///
/// # Safety
/// `x` has `ROWS` rows of `units`, and `w` `units` rows of `VECTORS * S::N`.
#[inline(always)]
#[allow(unsafe_code, reason = "the inner loop, without bounds checks")]
pub(crate) unsafe fn multiply<S: Simd, A: Arithmetic<S>, const ROWS: usize, const VECTORS: usize>(
    s: S,
    x: Factor,
    w: Factor,
    units: usize,
) -> [[A::Sum; VECTORS]; ROWS] {
    let mut sums = [[A::zero(s); VECTORS]; ROWS];
    let mut unit = 0;
    while unit < units {
        // SAFETY: `unit` is below `units`, `row` below `ROWS` and `vector` below `VECTORS`, as the caller promises.
        unsafe {
            let w = w.at.add(unit * w.stride);
            let mut columns = [s.splat_unit(0); VECTORS];
            let mut vector = 0;
            while vector < VECTORS {
                columns[vector] = s.load_units(w.add(vector * S::N));
                vector += 1;
            }
            let mut row = 0;
            while row < ROWS {
                let broadcast = s.splat_unit(*x.at.add(row * x.stride + unit));
                let mut vector = 0;
                while vector < VECTORS {
                    sums[row][vector] = A::add(s, sums[row][vector], broadcast, columns[vector]);
                    vector += 1;
                }
                row += 1;
            }
        }
        unit += 1;
    }
    sums
}

/// Calls `$body` with the constant `$rows` of the number of rows, 1 to [`ROWS_MAX`].
macro_rules! with_rows {
    ($count:expr, $rows:ident => $body:expr) => {
        match $count {
            1 => {
                const $rows: usize = 1;
                $body
            }
            2 => {
                const $rows: usize = 2;
                $body
            }
            3 => {
                const $rows: usize = 3;
                $body
            }
            4 => {
                const $rows: usize = 4;
                $body
            }
            _ => {
                const $rows: usize = 5;
                $body
            }
        }
    };
}
pub(crate) use with_rows;

/// Cuts `rows` into as few tiles as possible, of sizes that differ by one at most: the size of tile `at`.
#[inline(always)]
pub(crate) fn tile_rows(rows: usize, at: usize) -> usize {
    let tiles = rows.div_ceil(ROWS_MAX);
    rows / tiles + usize::from(at < rows % tiles)
}
