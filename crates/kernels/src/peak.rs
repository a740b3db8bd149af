//! How fast a core can multiply and add at best: the inner loop over factors that never leave the first cache.

use std::hint::black_box;

use crate::lines::Line;
use crate::rows::Precision;
use crate::simd::{InstructionSet, Simd, Task};
use crate::tile::{Arithmetic, Bytes, Factor, Floats, Halves, ROWS_MAX, multiply};

/// Units of the inner dimension: 20 kB of factors.
const UNITS: usize = 64;
/// Columns that are in a line of the weights.
const COLUMNS: usize = 64;
const TIMES: usize = 2000;

/// Multiplies and adds for some hundred microseconds on this thread; returns the operations that this took, two for
/// each product. Whoever holds a clock knows the rate.
pub fn burst(set: InstructionSet, precision: Precision) -> u64 {
    set.run(Burst(precision))
}

struct Burst(Precision);

impl Task for Burst {
    type Out = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        let products = match self.0 {
            Precision::F32 => repeat::<S, Floats>(s),
            Precision::Bf16 => repeat::<S, Halves>(s),
            Precision::Int8 => repeat::<S, Bytes>(s),
        };
        2 * (products * self.0.per_unit()) as u64
    }
}

#[inline(always)]
#[allow(unsafe_code, reason = "products of factors of known size")]
fn repeat<S: Simd, A: Arithmetic<S>>(s: S) -> usize {
    let x = vec![Line::default(); ROWS_MAX * UNITS / 16];
    let w = vec![Line::default(); UNITS * COLUMNS / 16];
    let vectors = if S::REGISTERS == 32 { 4 } else { 2 };
    for _ in 0..TIMES {
        let x = Factor {
            at: black_box(x.as_ptr()).cast(),
            stride: UNITS,
        };
        let w = Factor {
            at: black_box(w.as_ptr()).cast(),
            stride: COLUMNS,
        };
        // SAFETY: there are `ROWS_MAX` rows of `UNITS`, and `UNITS` rows of 64 columns, at least `4 * S::N`.
        unsafe {
            if S::REGISTERS == 32 {
                keep::<S, A, 4>(s, &multiply::<S, A, ROWS_MAX, 4>(s, x, w, UNITS));
            } else {
                keep::<S, A, 2>(s, &multiply::<S, A, ROWS_MAX, 2>(s, x, w, UNITS));
            }
        }
    }
    TIMES * ROWS_MAX * vectors * S::N * UNITS
}

/// Uses every sum, so that none is left out.
#[inline(always)]
fn keep<S: Simd, A: Arithmetic<S>, const VECTORS: usize>(s: S, sums: &[[A::Sum; VECTORS]; ROWS_MAX]) {
    let mut total = s.splat(0.0);
    for row in sums {
        for &sum in row {
            total = s.add(total, A::value(s, sum, s.splat_unit(0)));
        }
    }
    black_box(s.sum(total));
}
