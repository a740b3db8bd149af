//! Self-attention of one text (Vaswani et al. 2017, section 3.2, <https://arxiv.org/abs/1706.03762>).
//!
//! A few queries at a time meet all keys, so that their scores stay in the cache. The number type of the factors
//! is that of the input; scores, softmax and sums are f32.

use std::ops::Range;

use crate::functions::exp;
use crate::linear::{LINE, Line};
use crate::rows::{Precision, Rows, encode_bf16};
use crate::simd::{InstructionSet, Simd, Task};
use crate::tile::{Arithmetic, Factor, Floats, Halves, ROWS_MAX, multiply, tile_rows, with_rows};

/// Vectors of columns in a tile.
const VECTORS: usize = 2;

/// Memory for the keys, values and scores of one head, kept from call to call.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    keys: Vec<Line>,
    values: Vec<Line>,
    scores: Vec<Line>,
    weights: Vec<Line>,
}

/// Number of heads, and whether a token sees itself and what is on its left only.
#[derive(Debug, Clone, Copy)]
pub struct AttentionHeads {
    /// Heads; divides the width.
    pub count: usize,
    /// Left-to-right attention.
    pub causal: bool,
}

/// Attention within the rows `text` of `qkv`, which hold queries, keys and values of all heads side by side:
/// `out` receives (text, width / 3).
///
/// # Panics
/// When the sizes do not agree, the heads are not whole units wide, or the input is 8-bit.
pub fn attention(
    set: InstructionSet,
    qkv: &Rows,
    text: Range<usize>,
    heads: AttentionHeads,
    out: &mut [f32],
    scratch: &mut AttentionScratch,
) {
    let hidden = qkv.width() / 3;
    assert_eq!(3 * hidden, qkv.width(), "queries, keys and values");
    assert!(heads.count > 0 && hidden % heads.count == 0, "heads of one width");
    let width = hidden / heads.count;
    assert_eq!(width % qkv.precision().per_unit(), 0, "heads of whole units");
    assert_ne!(qkv.precision(), Precision::Int8, "attention takes f32 or bf16");
    assert!(
        text.end <= qkv.count() && out.len() == text.len() * hidden,
        "rows of the text"
    );
    if text.is_empty() || hidden == 0 {
        return;
    }
    set.run(Text {
        qkv,
        first: text.start,
        tokens: text.len(),
        hidden,
        width,
        heads,
        out,
        scratch,
    });
}

struct Text<'a> {
    qkv: &'a Rows,
    first: usize,
    tokens: usize,
    hidden: usize,
    /// Of one head.
    width: usize,
    heads: AttentionHeads,
    out: &'a mut [f32],
    scratch: &'a mut AttentionScratch,
}

impl Task for Text<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let is_bf16 = self.qkv.precision() == Precision::Bf16;
        for head in 0..self.heads.count {
            self.pack_keys::<S>(head);
            if is_bf16 {
                self.pack_values_bf16::<S>(head);
                self.attend::<S, Halves>(s, head);
            } else {
                self.pack_values_f32::<S>(head);
                self.attend::<S, Floats>(s, head);
            }
        }
    }
}

/// Makes room for `units`, whole vectors.
fn reserve(lines: &mut Vec<Line>, units: usize) {
    if lines.len() * LINE < units {
        lines.resize(units.div_ceil(LINE), Line::default());
    }
}

#[allow(unsafe_code, reason = "lines are units without padding")]
fn units_of(lines: &mut [Line]) -> &mut [u32] {
    // SAFETY: a `Line` is 16 units and nothing else, and the borrow goes on.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) }
}

impl Text<'_> {
    /// Units of one head in a row.
    #[inline(always)]
    fn head_units(&self) -> usize {
        self.width / self.qkv.precision().per_unit()
    }

    /// Units of the weights of one query.
    #[inline(always)]
    fn token_units(&self) -> usize {
        self.tokens.div_ceil(self.qkv.precision().per_unit())
    }

    /// A head's part `which` (0 queries, 1 keys, 2 values) of the row of a token.
    #[inline(always)]
    fn part(&self, token: usize, which: usize, head: usize) -> &[u32] {
        let units = self.head_units();
        let at = (self.first + token) * self.qkv.stride() + (which * self.heads.count + head) * units;
        &self.qkv.units()[at..at + units]
    }

    /// Keys in panels of some columns: in each, one unit of all its keys after the other.
    #[inline(always)]
    fn pack_keys<S: Simd>(&mut self, head: usize) {
        let columns = VECTORS * S::N;
        let units = self.head_units();
        let mut keys = std::mem::take(&mut self.scratch.keys);
        reserve(&mut keys, self.tokens.next_multiple_of(columns) * units);
        let packed = units_of(&mut keys);
        for token in 0..self.tokens {
            let panel = &mut packed[token / columns * columns * units..][..columns * units];
            let key = self.part(token, 1, head);
            for (unit, &value) in key.iter().enumerate() {
                panel[unit * columns + token % columns] = value;
            }
        }
        // The columns after the last key are read, so they must hold numbers.
        for token in self.tokens..self.tokens.next_multiple_of(columns) {
            let panel = &mut packed[token / columns * columns * units..][..columns * units];
            for unit in 0..units {
                panel[unit * columns + token % columns] = 0;
            }
        }
        self.scratch.keys = keys;
    }

    #[inline(always)]
    fn pack_values_f32<S: Simd>(&mut self, head: usize) {
        let columns = VECTORS * S::N;
        let mut values = std::mem::take(&mut self.scratch.values);
        reserve(&mut values, self.width.next_multiple_of(columns) * self.tokens);
        let packed = units_of(&mut values);
        for token in 0..self.tokens {
            for (at, part) in self.part(token, 2, head).chunks(columns).enumerate() {
                packed[(at * self.tokens + token) * columns..][..part.len()].copy_from_slice(part);
            }
        }
        self.scratch.values = values;
    }

    /// Values of two tokens in each unit, zeros after the last.
    #[inline(always)]
    fn pack_values_bf16<S: Simd>(&mut self, head: usize) {
        let columns = VECTORS * S::N;
        let pairs = self.token_units();
        let mut values = std::mem::take(&mut self.scratch.values);
        reserve(&mut values, self.width.next_multiple_of(columns) * pairs);
        let packed = units_of(&mut values);
        for pair in 0..pairs {
            let even = self.part(2 * pair, 2, head);
            let has_odd = 2 * pair + 1 < self.tokens;
            let odd = self.part(2 * pair + usize::from(has_odd), 2, head);
            for (at, (even, odd)) in even.chunks(columns / 2).zip(odd.chunks(columns / 2)).enumerate() {
                let out = &mut packed[(at * pairs + pair) * columns..][..2 * even.len()];
                for ((out, &even), &odd) in out.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
                    let odd = if has_odd { odd } else { 0 };
                    *out = [even & 0xFFFF | odd << 16, even >> 16 | odd & 0xFFFF_0000];
                }
            }
        }
        self.scratch.values = values;
    }

    #[inline(always)]
    fn attend<S: Simd, A: Arithmetic<S>>(&mut self, s: S, head: usize) {
        let row = self.tokens.next_multiple_of(VECTORS * S::N);
        reserve(&mut self.scratch.scores, ROWS_MAX * row);
        reserve(&mut self.scratch.weights, ROWS_MAX * row);
        let mut token = 0;
        let mut tile = 0;
        while token < self.tokens {
            let count = tile_rows(self.tokens, tile);
            with_rows!(count, ROWS => self.queries::<S, A, ROWS>(s, head, token));
            token += count;
            tile += 1;
        }
    }

    /// Attention of `ROWS` queries.
    #[inline(always)]
    #[allow(unsafe_code, reason = "products over packed keys and values")]
    fn queries<S: Simd, A: Arithmetic<S>, const ROWS: usize>(&mut self, s: S, head: usize, token: usize) {
        let columns = VECTORS * S::N;
        let row = self.tokens.next_multiple_of(columns);
        let units = self.head_units();
        let queries = Factor {
            at: self.part(token, 0, head).as_ptr(),
            stride: self.qkv.stride(),
        };
        let scores = self.scratch.scores.as_mut_ptr().cast::<f32>();
        let mut column = 0;
        while column < self.tokens {
            // SAFETY: `ROWS` queries begin at `token`; the panel of keys from `column` on is full; a row of scores
            // has room for whole panels.
            unsafe {
                let keys = Factor {
                    at: self.scratch.keys.as_ptr().cast::<u32>().add(column * units),
                    stride: columns,
                };
                let sums = multiply::<S, A, ROWS, VECTORS>(s, queries, keys, units);
                for at in 0..ROWS {
                    for vector in 0..VECTORS {
                        let to = scores.add(at * row + column + vector * S::N);
                        s.store_some(to, A::value(s, sums[at][vector], s.splat_unit(0)), S::N);
                    }
                }
            }
            column += columns;
        }
        let mut inverse = [0.0; ROWS];
        for at in 0..ROWS {
            inverse[at] = self.weigh(s, at, token + at);
        }
        self.mix::<S, A, ROWS>(s, head, token, &inverse);
    }

    /// Turns the scores of row `at` into weights that are not yet divided by their sum; returns one over the sum.
    #[inline(always)]
    #[allow(unsafe_code, reason = "vectors within a row of scores")]
    fn weigh<S: Simd>(&mut self, s: S, at: usize, token: usize) -> f32 {
        let row = self.tokens.next_multiple_of(VECTORS * S::N);
        let seen = if self.heads.causal { token + 1 } else { self.tokens };
        let scores = &mut units_of(&mut self.scratch.scores)[at * row..][..row];
        let start = scores.as_mut_ptr().cast::<f32>();
        let whole = seen / S::N * S::N;
        let mut most = s.splat(f32::NEG_INFINITY);
        let mut from = 0;
        while from < whole {
            // SAFETY: whole vectors below `seen`, which is within the row.
            most = unsafe { s.max(most, s.load(start.add(from))) };
            from += S::N;
        }
        let mut largest = s.largest(most);
        for &score in &scores[whole..seen] {
            largest = largest.max(f32::from_bits(score));
        }
        let (shift, factor) = (s.splat(largest), s.splat(1.0 / (self.width as f32).sqrt()));
        let mut sum = s.splat(0.0);
        let mut from = 0;
        while from < seen {
            let n = S::N.min(seen - from);
            // SAFETY: `from + n` is at most `seen`. What is beyond is written as zero below, before it is read.
            unsafe {
                let to = start.add(from);
                s.store_some(to, exp(s, s.mul(s.sub(s.load_some(to, n), shift), factor)), n);
                sum = s.add(sum, s.load_some(to, n));
            }
            from += S::N;
        }
        scores[seen..].fill(0);
        if self.qkv.precision() == Precision::Bf16 {
            let weights = &mut units_of(&mut self.scratch.weights)[at * row..][..self.tokens.div_ceil(2)];
            // SAFETY: f32 and u32 have the same size and every pattern is valid.
            let values = unsafe { std::slice::from_raw_parts(start, self.tokens) };
            if let Some(last) = weights.last_mut() {
                *last = 0;
            }
            encode_bf16(s, values, weights);
        }
        1.0 / s.sum(sum)
    }

    /// The weighted means of the values.
    #[inline(always)]
    #[allow(unsafe_code, reason = "products over packed keys and values")]
    fn mix<S: Simd, A: Arithmetic<S>, const ROWS: usize>(
        &mut self,
        s: S,
        head: usize,
        token: usize,
        inverse: &[f32; ROWS],
    ) {
        let columns = VECTORS * S::N;
        let is_bf16 = self.qkv.precision() == Precision::Bf16;
        let weights = if is_bf16 {
            &self.scratch.weights
        } else {
            &self.scratch.scores
        };
        let weights = Factor {
            at: weights.as_ptr().cast(),
            stride: self.tokens.next_multiple_of(columns),
        };
        let units = self.token_units();
        let mut column = 0;
        while column < self.width {
            // SAFETY: `ROWS` rows of weights have `units`; the panel of values from `column` on is full; the row
            // of `out` has room for `width` values of this head.
            unsafe {
                let values = Factor {
                    at: self.scratch.values.as_ptr().cast::<u32>().add(column * units),
                    stride: columns,
                };
                let sums = multiply::<S, A, ROWS, VECTORS>(s, weights, values, units);
                for at in 0..ROWS {
                    let out = self.out[(token + at) * self.hidden + head * self.width..].as_mut_ptr();
                    for vector in 0..VECTORS {
                        let from = column + vector * S::N;
                        if from < self.width {
                            let value = A::value(s, sums[at][vector], s.splat_unit(0));
                            let value = s.mul(value, s.splat(inverse[at]));
                            s.store_some(out.add(from), value, S::N.min(self.width - from));
                        }
                    }
                }
            }
            column += columns;
        }
    }
}
