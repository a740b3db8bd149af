//! Inner products of vectors that are kept in 8 bits.

use crate::arch;
use crate::simd::{InstructionSet, Simd, Task};

/// Bytes to which rows are padded: whole vectors of every instruction set, whole lines of the cache.
const LINE_BYTES: usize = 64;

/// What stands for 0 in a row.
const ZERO: u8 = 128;

/// Added to a number below 2^22 and taken away again, it leaves the nearest whole number, ties going to the even one.
const TIES_EVEN: f32 = 12_582_912.0;

/// How many rows ahead of the one at work are asked for.
const AHEAD: usize = 4;

/// Vectors in 8 bits, and in 16 for a closer look.
///
/// Value `x` of a row is near `scale * (high + low / 256)`, where the scale takes the row's greatest magnitude to
/// 127; `high` and `low` are kept as bytes, 128 standing for 0, each in a plane of its own. Sums are of integers, so
/// inner products have the same bits on every machine. Of vectors of unit length with `d` values of similar
/// magnitude, they are off by about `0.01 / sqrt(d)` in 8 bits and 200 times less in 16.
#[derive(Debug, Clone, Copy)]
pub struct ByteRows<'a> {
    /// Bytes of a row in a plane.
    width: usize,
    scales: &'a [f32],
    high: &'a [u8],
    low: &'a [u8],
}

/// A vector to compare with [`ByteRows`].
#[derive(Debug, Default, Clone)]
pub struct ByteQuery {
    high: Vec<i8>,
    low: Vec<i8>,
    /// What the offset of the rows' bytes adds to every sum of products with `high` and with `low`.
    excess: [i32; 2],
    scale: f32,
}

impl<'a> ByteRows<'a> {
    /// Bytes of a row of `dimension` values in each of its two planes.
    pub fn width(dimension: usize) -> usize {
        dimension.next_multiple_of(LINE_BYTES)
    }

    /// Rounds a row of finite values into its two planes of [`ByteRows::width`] bytes, and returns its scale.
    ///
    /// # Panics
    /// When a plane is shorter than the row.
    pub fn round(row: &[f32], high: &mut [u8], low: &mut [u8]) -> f32 {
        let scale = scale_of(row);
        let (high, high_rest) = high.split_at_mut(row.len());
        let (low, low_rest) = low.split_at_mut(row.len());
        for ((&value, high), low) in row.iter().zip(high).zip(low) {
            let (h, l) = halves(value, scale);
            *high = h as u8 ^ ZERO;
            *low = l as u8 ^ ZERO;
        }
        high_rest.fill(ZERO);
        low_rest.fill(ZERO);
        scale
    }

    /// Rows that [`ByteRows::round`] wrote one after the other, with the scales it gave.
    ///
    /// # Panics
    /// When the planes are not as long as the rows are.
    pub fn new(dimension: usize, scales: &'a [f32], high: &'a [u8], low: &'a [u8]) -> ByteRows<'a> {
        let width = ByteRows::width(dimension);
        let bytes = scales.len() * width;
        assert!(
            high.len() == bytes && low.len() == bytes,
            "a plane has a byte for every value"
        );
        ByteRows {
            width,
            scales,
            high,
            low,
        }
    }

    /// Makes the query of a row, in 8 bits, to compare it with others.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn take(&self, row: u32, query: &mut ByteQuery) {
        let start = row as usize * self.width;
        let codes = &self.high[start..start + self.width];
        query.high.resize(self.width, 0);
        query.low.clear();
        let high = &mut query.high;
        let excess = InstructionSet::best().run(Take { codes, high });
        query.excess = [excess, 0];
        query.scale = self.scales[row as usize];
    }

    /// Asks the processor to bring a row close.
    #[inline]
    pub fn prefetch(&self, row: u32) {
        let start = row as usize * self.width;
        if let Some(codes) = self.high.get(start..start + self.width) {
            arch::prefetch(codes);
        }
    }

    /// The inner products of a query and some rows in 8 bits, in their order.
    ///
    /// # Panics
    /// When there is no such row, or the query has another dimension.
    pub fn dots(&self, query: &ByteQuery, rows: &[u32], dots: &mut Vec<f32>) {
        self.dots_on(InstructionSet::best(), false, query, rows, dots);
    }

    /// The inner products of a query and some rows in 16 bits, in their order.
    ///
    /// # Panics
    /// When there is no such row, the query has another dimension, or it was made by [`ByteRows::take`].
    pub fn close_dots(&self, query: &ByteQuery, rows: &[u32], dots: &mut Vec<f32>) {
        self.dots_on(InstructionSet::best(), true, query, rows, dots);
    }

    fn dots_on(
        &self,
        set: InstructionSet,
        close: bool,
        query: &ByteQuery,
        numbers: &[u32],
        dots: &mut Vec<f32>,
    ) {
        assert_eq!(query.high.len(), self.width, "vectors of one dimension");
        dots.clear();
        let task = Dots {
            rows: *self,
            query,
            numbers,
            dots,
        };
        if close {
            assert_eq!(query.low.len(), self.width, "a query of 16 bits");
            set.run(CloseDots(task));
        } else {
            set.run(task);
        }
    }
}

impl ByteQuery {
    /// Rounds a vector of finite values.
    pub fn new(vector: &[f32]) -> ByteQuery {
        let mut query = ByteQuery::default();
        query.set(vector);
        query
    }

    /// As [`ByteQuery::new`], in the memory of another query.
    pub fn set(&mut self, vector: &[f32]) {
        let scale = scale_of(vector);
        self.high.clear();
        self.low.clear();
        for &value in vector {
            let (high, low) = halves(value, scale);
            self.high.push(high);
            self.low.push(low);
        }
        let width = ByteRows::width(vector.len());
        self.high.resize(width, 0);
        self.low.resize(width, 0);
        self.finish(scale);
    }

    fn finish(&mut self, scale: f32) {
        self.excess = [excess(&self.high), excess(&self.low)];
        self.scale = scale;
    }
}

/// What the offset of the bytes of a row adds to its product with some values.
#[inline(always)]
fn excess(values: &[i8]) -> i32 {
    values.iter().map(|&x| i32::from(x)).sum::<i32>() * i32::from(ZERO)
}

fn scale_of(vector: &[f32]) -> f32 {
    let greatest = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    // A scale that is not a normal number would not have an inverse.
    (greatest / 127.0).max(f32::MIN_POSITIVE)
}

/// `256 * value / scale`, rounded, as `256 * high + low`.
#[inline]
fn halves(value: f32, scale: f32) -> (i8, i8) {
    let both = (value / scale * 256.0 + TIES_EVEN - TIES_EVEN) as i32;
    let high = (both + 128) >> 8;
    (high as i8, (both - (high << 8)) as i8)
}

/// Makes values of the bytes of a row; returns their [`excess`].
struct Take<'a> {
    codes: &'a [u8],
    high: &'a mut [i8],
}

impl Task for Take<'_> {
    type Out = i32;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> i32 {
        for (value, &code) in self.high.iter_mut().zip(self.codes) {
            *value = (code ^ ZERO) as i8;
        }
        excess(self.high)
    }
}

struct Dots<'a> {
    rows: ByteRows<'a>,
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
            let high = &rows.high[start..start + rows.width];
            let sum = byte_dot(s, high, &query.high) - query.excess[0];
            dots.push(sum as f32 * (query.scale * rows.scales[number as usize]));
        }
    }
}

/// [`Dots`] in 16 bits.
struct CloseDots<'a>(Dots<'a>);

impl Task for CloseDots<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Dots {
            rows,
            query,
            numbers,
            dots,
        } = self.0;
        for &number in numbers {
            let start = number as usize * rows.width;
            let (high, low) = (
                &rows.high[start..start + rows.width],
                &rows.low[start..start + rows.width],
            );
            let [of_high, of_low] = query.excess;
            let high_high = byte_dot(s, high, &query.high) - of_high;
            let high_low = byte_dot(s, high, &query.low) - of_low;
            let low_high = byte_dot(s, low, &query.high) - of_high;
            let low_low = byte_dot(s, low, &query.low) - of_low;
            let middle = i64::from(high_low) + i64::from(low_high);
            let sum = (i64::from(high_high) << 16) + (middle << 8) + i64::from(low_low);
            let scale = f64::from(query.scale) * f64::from(rows.scales[number as usize]) / 65_536.0;
            dots.push((sum as f64 * scale) as f32);
        }
    }
}

/// The inner product of two slices of the same whole number of lines.
#[inline(always)]
#[allow(unsafe_code, reason = "vectors are read at pointers")]
fn byte_dot<S: Simd>(s: S, codes: &[u8], values: &[i8]) -> i32 {
    const { assert!(LINE_BYTES.is_multiple_of(4 * S::N)) };
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

    /// Scales and planes of some rows.
    fn round(values: &[f32], dimension: usize) -> (Vec<f32>, Vec<u8>, Vec<u8>) {
        let width = ByteRows::width(dimension);
        let rows = values.len() / dimension;
        let (mut high, mut low) = (vec![0; rows * width], vec![0; rows * width]);
        let scales = values
            .chunks_exact(dimension)
            .zip(high.chunks_exact_mut(width).zip(low.chunks_exact_mut(width)))
            .map(|(row, (high, low))| ByteRows::round(row, high, low))
            .collect();
        (scales, high, low)
    }

    proptest! {
        #[test]
        fn every_set_gives_the_exact_product_of_the_rounded_vectors(
            (dimension, values) in (1_usize..300).prop_flat_map(|d| (Just(d), vec(-2.0_f32..2.0, 4 * d))),
        ) {
            let (scales, high, low) = round(&values[dimension..], dimension);
            let rows = ByteRows::new(dimension, &scales, &high, &low);
            let vector = &values[..dimension];
            let query = ByteQuery::new(vector);
            let rounded = |vector: &[f32], steps: f32| -> Vec<i64> {
                let scale = scale_of(vector);
                vector.iter().map(|x| (x / scale * steps).round_ties_even() as i64).collect()
            };
            let numbers = [2, 0, 1, 0];
            for &set in InstructionSet::available() {
                let (mut dots, mut close) = (Vec::new(), Vec::new());
                rows.dots_on(set, false, &query, &numbers, &mut dots);
                rows.dots_on(set, true, &query, &numbers, &mut close);
                for ((&number, &dot), &close) in numbers.iter().zip(&dots).zip(&close) {
                    let row = &values[dimension * (number as usize + 1)..][..dimension];
                    let scale = scale_of(vector) * scale_of(row);
                    let sum = |q: &[i64], r: &[i64]| q.iter().zip(r).map(|(a, b)| a * b).sum::<i64>();
                    let words = sum(&rounded(vector, 256.0), &rounded(row, 256.0));
                    let exact_words = f64::from(scale_of(vector)) * f64::from(scale_of(row)) / 65_536.0 * words as f64;
                    prop_assert_eq!(close, exact_words as f32, "{}", set);
                    let byte = |x: &i64| (x + 128) >> 8;
                    let q: Vec<i64> = rounded(vector, 256.0).iter().map(byte).collect();
                    let r: Vec<i64> = rounded(row, 256.0).iter().map(byte).collect();
                    prop_assert_eq!(dot, sum(&q, &r) as f32 * scale, "{}", set);
                    let truth: f32 = vector.iter().zip(row).map(|(a, b)| a * b).sum();
                    prop_assert!((truth - close).abs() <= 2e-4 * dimension as f32, "{} {}", truth, close);
                }
            }
            let mut taken = ByteQuery::default();
            rows.take(1, &mut taken);
            let made = ByteQuery::new(&values[2 * dimension..3 * dimension]);
            prop_assert_eq!((taken.excess[0], taken.high), (made.excess[0], made.high));
        }
    }

    #[test]
    fn extremes_and_zeros_are_kept() {
        let (scales, high, low) = round(&[0.0, 0.0, 1.0, -1.0, 1e-38, 1e-44], 2);
        let rows = ByteRows::new(2, &scales, &high, &low);
        let (mut dots, mut close) = (Vec::new(), Vec::new());
        let query = ByteQuery::new(&[1.0, -1.0]);
        rows.dots(&query, &[0, 1, 2], &mut dots);
        rows.close_dots(&query, &[0, 1, 2], &mut close);
        for dots in [dots, close] {
            assert_eq!(dots[0], 0.0);
            assert!((dots[1] - 2.0).abs() < 1e-6, "{dots:?}");
            assert!(dots[2].abs() < 1e-30, "{dots:?}");
        }
    }
}
