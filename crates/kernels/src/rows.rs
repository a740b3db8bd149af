//! Rows of numbers in the form that a matrix product reads.

use crate::simd::{InstructionSet, Simd, Task, in_vectors};

/// Number type of the factors of a matrix product. Sums are f32 (for 8-bit factors i32, exactly).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 32-bit floats: the reference.
    #[default]
    F32,
    /// bfloat16: 8 bits of significance.
    Bf16,
    /// 8-bit integers: weights with one scale for each output, rows of input with one scale and zero point each.
    Int8,
}

impl Precision {
    /// Numbers in 32 bits.
    pub(crate) fn per_unit(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }
}

/// A matrix in row order, each row padded with zeros to whole units of 32 bits.
///
/// An 8-bit row stores `q` for `scale * (q - zero)` with the scale and zero point that its extremes need.
#[derive(Debug, Clone)]
pub struct Rows {
    precision: Precision,
    width: usize,
    stride: usize,
    units: Vec<u32>,
    scales: Vec<f32>,
    zeros: Vec<i32>,
}

impl Rows {
    /// No rows of `width` numbers.
    pub fn new(precision: Precision, width: usize) -> Self {
        Self {
            precision,
            width,
            stride: width.div_ceil(precision.per_unit()),
            units: Vec::new(),
            scales: Vec::new(),
            zeros: Vec::new(),
        }
    }

    /// Makes room for `count` rows. What they hold is not stated until they are written; memory is kept.
    pub fn resize(&mut self, count: usize) {
        if count > self.count() {
            self.units.resize(count * self.stride, 0);
            self.scales.resize(count, 0.0);
            self.zeros.resize(count, 0);
        }
    }

    /// Rows there is room for.
    pub fn count(&self) -> usize {
        self.scales.len()
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number type.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Writes rows from row `at` on: `values` are whole rows and finite.
    ///
    /// # Panics
    /// When `values` are not whole rows or there is no room for them.
    pub fn encode(&mut self, set: InstructionSet, at: usize, values: &[f32]) {
        if self.width == 0 {
            return;
        }
        assert_eq!(values.len() % self.width, 0, "whole rows");
        let count = values.len() / self.width;
        assert!(at + count <= self.count(), "room for the rows");
        set.run(Encode {
            rows: self,
            at,
            values,
        });
    }

    /// Units from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    pub(crate) fn units(&self) -> &[u32] {
        &self.units
    }

    pub(crate) fn units_mut(&mut self) -> &mut [u32] {
        &mut self.units
    }

    /// Scale and zero point of a row of 8-bit integers.
    pub(crate) fn coding(&self, row: usize) -> (f32, i32) {
        (self.scales[row], self.zeros[row])
    }
}

struct Encode<'a> {
    rows: &'a mut Rows,
    at: usize,
    values: &'a [f32],
}

impl Task for Encode<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, at, values } = self;
        for (row, values) in (at..).zip(values.chunks_exact(rows.width)) {
            let units = &mut rows.units[row * rows.stride..][..rows.stride];
            match rows.precision {
                Precision::F32 => {
                    for (unit, value) in units.iter_mut().zip(values) {
                        *unit = value.to_bits();
                    }
                }
                Precision::Bf16 => encode_bf16(s, values, units),
                Precision::Int8 => (rows.scales[row], rows.zeros[row]) = encode_int8(s, values, units),
            }
        }
    }
}

/// Rounds `values` to bf16; there is room for them in `units`.
#[inline(always)]
#[allow(unsafe_code, reason = "vectors at positions within the slices")]
fn encode_bf16<S: Simd>(s: S, values: &[f32], units: &mut [u32]) {
    assert!(values.len() <= 2 * units.len());
    let (from, to) = (values.as_ptr(), units.as_mut_ptr().cast::<u16>());
    in_vectors!(S, values.len(), |at, n| {
        // SAFETY: `at + n` is within `values`, and `units` has room for as many halves (checked above).
        unsafe { s.store_bf16(to.add(at), s.load_some(from.add(at), n), n) };
    });
}

/// Writes `values` as bytes with the scale and zero point it returns, chosen so that 0 and the extremes are
/// representable.
#[inline(always)]
#[allow(unsafe_code, reason = "vectors at positions within the slices")]
fn encode_int8<S: Simd>(s: S, values: &[f32], units: &mut [u32]) -> (f32, i32) {
    assert!(values.len() <= 4 * units.len());
    let from = values.as_ptr();
    let (mut low, mut high) = (s.splat(0.0), s.splat(0.0));
    in_vectors!(S, values.len(), |at, n| {
        // SAFETY: `at + n` is within `values`. The zeros that fill the vector are within the range anyway.
        let part = unsafe { s.load_some(from.add(at), n) };
        (low, high) = (s.min(low, part), s.max(high, part));
    });
    let (low, high) = (s.smallest(low), s.largest(high));
    let scale = (high - low) / 255.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let zero = (-low * inverse).round_ties_even().clamp(0.0, 255.0);
    let (factor, shift) = (s.splat(inverse), s.splat(zero));
    let (bottom, top) = (s.splat(0.0), s.splat(255.0));
    let to = units.as_mut_ptr().cast::<u8>();
    in_vectors!(S, values.len(), |at, n| {
        // SAFETY: `at + n` is within `values`, and `units` has room for as many bytes (checked above).
        unsafe {
            let code = s.add(s.round(s.mul(s.load_some(from.add(at), n), factor)), shift);
            s.store_bytes(to.add(at), s.min(s.max(code, bottom), top), n);
        }
    });
    (scale, zero as i32)
}

/// To the nearest bf16, halves to even; infinities stay, NaN is not accepted.
#[inline(always)]
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) as u16
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            _ => Err(format!("precision {name:?}; accepted: f32, bf16, int8")),
        }
    }
}
