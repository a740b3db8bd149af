//! Inner products of vectors that are kept in 8 bits.

use crate::arch;
use crate::lines::{Line, Lines};
use crate::simd::{InstructionSet, Simd, Task};

/// Bytes to which rows are padded: whole vectors of every instruction set, whole lines of the cache.
const LINE_BYTES: usize = 64;

/// What stands for 0 in a row.
const ZERO: u8 = 128;

/// How many rows ahead of the one at work are asked for.
const AHEAD: usize = 4;

/// Vectors in 8 bits: value `x` of a row is kept as `128 + x / scale`, rounded, where the scale takes the row's
/// greatest magnitude to 127.
///
/// An inner product of two such vectors of unit length and `d` values of similar magnitude is off by about
/// `0.01 / sqrt(d)`; sums are of integers, so it has the same bits on every machine.
#[derive(Debug)]
pub struct ByteRows {
    /// Bytes of a row.
    width: usize,
    lines: Lines,
    scales: Vec<f32>,
}

/// A vector to compare with [`ByteRows`].
#[derive(Debug, Default, Clone)]
pub struct ByteQuery {
    values: Vec<i8>,
    /// What the offset of the rows adds to every product.
    excess: i32,
    scale: f32,
}

impl ByteRows {
    /// Rounds rows of `dimension` finite values, which stand one after the other.
    ///
    /// # Panics
    /// When the last row is not whole.
    pub fn new(values: &[f32], dimension: usize) -> ByteRows {
        let width = dimension.next_multiple_of(LINE_BYTES);
        let rows = values.chunks_exact(dimension.max(1));
        assert!(rows.remainder().is_empty(), "rows are whole");
        let mut lines = vec![Line::default(); rows.len() * (width / LINE_BYTES)];
        let codes: &mut [u8] = bytemuck::cast_slice_mut(&mut lines);
        codes.fill(ZERO);
        let mut scales = Vec::with_capacity(rows.len());
        for (row, codes) in rows.zip(codes.chunks_exact_mut(width.max(1))) {
            let scale = scale_of(row);
            for (code, &value) in codes.iter_mut().zip(row) {
                *code = (f32::from(ZERO) + (value / scale).round_ties_even()) as u8;
            }
            scales.push(scale);
        }
        ByteRows {
            width,
            lines: Lines::from(lines),
            scales,
        }
    }

    /// A row, to be compared with others.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn take(&self, row: u32, query: &mut ByteQuery) {
        let start = row as usize * self.width;
        let codes = &self.lines.bytes()[start..start + self.width];
        query.values.clear();
        query.values.extend(codes.iter().map(|&code| (code ^ ZERO) as i8));
        query.finish(self.scales[row as usize]);
    }

    /// Asks the processor to bring a row close.
    #[inline]
    pub fn prefetch(&self, row: u32) {
        let start = row as usize * self.width;
        if let Some(codes) = self.lines.bytes().get(start..start + self.width) {
            arch::prefetch(codes);
        }
    }

    /// The inner products of a query and some rows, in their order.
    ///
    /// # Panics
    /// When there is no such row, or the query has another dimension.
    pub fn dots(&self, query: &ByteQuery, rows: &[u32], dots: &mut Vec<f32>) {
        self.dots_on(InstructionSet::best(), query, rows, dots);
    }

    pub(crate) fn dots_on(&self, set: InstructionSet, query: &ByteQuery, rows: &[u32], dots: &mut Vec<f32>) {
        assert_eq!(query.values.len(), self.width, "vectors of one dimension");
        dots.clear();
        set.run(Dots {
            rows: self,
            query,
            numbers: rows,
            dots,
        });
    }
}

impl ByteQuery {
    /// Rounds a vector of finite values.
    pub fn new(vector: &[f32]) -> ByteQuery {
        let mut query = ByteQuery::default();
        let scale = scale_of(vector);
        query.values.extend(
            vector
                .iter()
                .map(|&value| (value / scale).round_ties_even() as i8),
        );
        query.values.resize(vector.len().next_multiple_of(LINE_BYTES), 0);
        query.finish(scale);
        query
    }

    fn finish(&mut self, scale: f32) {
        let sum: i32 = self.values.iter().map(|&value| i32::from(value)).sum();
        self.excess = sum * i32::from(ZERO);
        self.scale = scale;
    }
}

fn scale_of(vector: &[f32]) -> f32 {
    let greatest = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    if greatest > 0.0 { greatest / 127.0 } else { 1.0 }
}

struct Dots<'a> {
    rows: &'a ByteRows,
    query: &'a ByteQuery,
    numbers: &'a [u32],
    dots: &'a mut Vec<f32>,
}

impl Task for Dots<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            rows,
            query,
            numbers,
            dots,
        } = self;
        for &number in numbers.iter().take(AHEAD) {
            rows.prefetch(number);
        }
        for (at, &number) in numbers.iter().enumerate() {
            if let Some(&later) = numbers.get(at + AHEAD) {
                rows.prefetch(later);
            }
            let start = number as usize * rows.width;
            let codes = &rows.lines.bytes()[start..start + rows.width];
            let sum = byte_dot(s, codes, &query.values) - query.excess;
            dots.push(sum as f32 * (query.scale * rows.scales[number as usize]));
        }
    }
}

/// The inner product of two slices of the same whole number of lines.
#[inline(always)]
#[allow(unsafe_code, reason = "vectors are read at pointers")]
fn byte_dot<S: Simd>(s: S, codes: &[u8], values: &[i8]) -> i32 {
    const { assert!(LINE_BYTES % (4 * S::N) == 0) };
    let mut sums = s.splat_unit(0);
    let (codes, _) = codes.as_chunks::<LINE_BYTES>();
    let (values, _) = values.as_chunks::<LINE_BYTES>();
    for (codes, values) in codes.iter().zip(values) {
        let mut at = 0;
        while at < LINE_BYTES {
            // SAFETY: N units from `at` on end at most where the line does, because a line is a multiple of them.
            let (x, w) = unsafe {
                let x = s.load_units(codes.as_ptr().add(at).cast());
                (x, s.load_units(values.as_ptr().add(at).cast()))
            };
            sums = s.dot_u8i8(sums, x, w);
            at += 4 * S::N;
        }
    }
    s.sum_int(sums)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_set_gives_the_exact_product_of_the_rounded_vectors(
            (dimension, values) in (1_usize..300).prop_flat_map(|d| (Just(d), vec(-2.0_f32..2.0, 4 * d))),
        ) {
            let rows = ByteRows::new(&values[dimension..], dimension);
            let vector = &values[..dimension];
            let query = ByteQuery::new(vector);
            let rounded = |vector: &[f32]| -> (f32, Vec<i32>) {
                let scale = scale_of(vector);
                (scale, vector.iter().map(|x| (x / scale).round_ties_even() as i32).collect())
            };
            let (scale, q) = rounded(vector);
            let numbers = [2, 0, 1, 0];
            for &set in InstructionSet::available() {
                let mut dots = Vec::new();
                rows.dots_on(set, &query, &numbers, &mut dots);
                for (&number, &found) in numbers.iter().zip(&dots) {
                    let row = &values[dimension * (number as usize + 1)..][..dimension];
                    let (row_scale, r) = rounded(row);
                    let sum: i32 = q.iter().zip(&r).map(|(a, b)| a * b).sum();
                    prop_assert_eq!(found, sum as f32 * (scale * row_scale), "{}", set);
                }
            }
            let mut taken = ByteQuery::default();
            rows.take(1, &mut taken);
            prop_assert_eq!(taken.values, ByteQuery::new(&values[2 * dimension..3 * dimension]).values);
        }
    }

    #[test]
    fn extremes_and_zeros_are_kept() {
        let rows = ByteRows::new(&[0.0, 0.0, 1.0, -1.0, 1e-30, 0.0], 2);
        let mut dots = Vec::new();
        rows.dots(&ByteQuery::new(&[1.0, -1.0]), &[0, 1], &mut dots);
        assert_eq!(dots[0], 0.0);
        assert!((dots[1] - 2.0).abs() < 1e-6, "{dots:?}");
    }
}
