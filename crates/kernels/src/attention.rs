//! Self-attention of one text (Vaswani et al. 2017, section 3.2, <https://arxiv.org/abs/1706.03762>).
//!
//! A few queries at a time meet all keys, so that their scores stay in the cache. The number type of the factors
//! is that of the input; scores, softmax and sums are f32.

use std::ops::Range;

use crate::functions::exp2;
use crate::lines::{LINE, Line};
use crate::rows::{Precision, Rows};
use crate::simd::{InstructionSet, Simd, Task, in_vectors};
use crate::tile::{Arithmetic, Factor, Floats, Halves, ROWS_MAX, multiply, tile_rows, with_rows};

/// Vectors of columns of a narrow panel. Registers for sums are few: a wide panel of twice as many, or twice as many
/// rows, only fit where a machine has 32.
const VECTORS: usize = 2;
/// Sums of powers between these are exact enough: no power overflowed, and none that counts vanished.
const SUM_MIN: f32 = 1.0 / (1u64 << 60) as f32;
const SUM_MAX: f32 = (1u128 << 100) as f32;

/// Queries that meet the keys together.
const QUERIES: usize = 2 * ROWS_MAX;

/// Columns of the panel of keys that begins at `column`.
#[inline(always)]
fn panel_columns<S: Simd>(tokens: usize, column: usize) -> usize {
    let narrow = VECTORS * S::N;
    let is_wide = S::N == 16 && tokens - column > narrow;
    if is_wide { 2 * narrow } else { narrow }
}

/// Room for the scores of one query.
#[inline(always)]
fn score_stride<S: Simd>(tokens: usize) -> usize {
    tokens.next_multiple_of(2 * VECTORS * S::N)
}

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
    assert!(
        heads.count > 0 && hidden.is_multiple_of(heads.count),
        "heads of one width"
    );
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

fn units_of(lines: &mut [Line]) -> &mut [u32] {
    bytemuck::cast_slice_mut(lines)
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
        let units = self.head_units();
        let mut keys = std::mem::take(&mut self.scratch.keys);
        reserve(&mut keys, score_stride::<S>(self.tokens) * units);
        let packed = units_of(&mut keys);
        let mut column = 0;
        while column < self.tokens {
            let columns = panel_columns::<S>(self.tokens, column);
            let panel = &mut packed[column * units..][..columns * units];
            let count = columns.min(self.tokens - column);
            for at in 0..count {
                for (unit, &value) in self.part(column + at, 1, head).iter().enumerate() {
                    panel[unit * columns + at] = value;
                }
            }
            // The columns after the last key are read, so they must hold numbers.
            if count < columns {
                for row in panel.chunks_exact_mut(columns) {
                    row[count..].fill(0);
                }
            }
            column += columns;
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
        let row = score_stride::<S>(self.tokens);
        reserve(&mut self.scratch.scores, QUERIES * row);
        reserve(&mut self.scratch.weights, QUERIES * row);
        for token in (0..self.tokens).step_by(QUERIES) {
            let count = QUERIES.min(self.tokens - token);
            let mut inverse = [0.0; QUERIES];
            let mut at = 0;
            let mut tile = 0;
            while at < count {
                let rows = tile_rows(count, tile);
                with_rows!(rows, ROWS => self.scores::<S, A, ROWS>(s, head, token, at));
                at += rows;
                tile += 1;
            }
            for (at, inverse) in inverse[..count].iter_mut().enumerate() {
                *inverse = self.weigh(s, at, token + at);
            }
            if count == QUERIES && S::N == 16 {
                self.mix::<S, A, QUERIES>(s, head, token, 0, &inverse);
                continue;
            }
            let mut at = 0;
            let mut tile = 0;
            while at < count {
                let rows = tile_rows(count, tile);
                with_rows!(rows, ROWS => self.mix::<S, A, ROWS>(s, head, token, at, &inverse));
                at += rows;
                tile += 1;
            }
        }
    }

    /// Scores of `ROWS` queries from the `from`-th of those that begin at `token`.
    #[inline(always)]
    #[allow(unsafe_code, reason = "products over packed keys")]
    fn scores<S: Simd, A: Arithmetic<S>, const ROWS: usize>(
        &mut self,
        s: S,
        head: usize,
        token: usize,
        from: usize,
    ) {
        let row = score_stride::<S>(self.tokens);
        let units = self.head_units();
        let queries = Factor {
            at: self.part(token + from, 0, head).as_ptr(),
            stride: self.qkv.stride(),
        };
        let scores = units_of(&mut self.scratch.scores)[from * row..]
            .as_mut_ptr()
            .cast::<f32>();
        let mut column = 0;
        while column < self.tokens {
            let columns = panel_columns::<S>(self.tokens, column);
            // SAFETY: `ROWS` queries begin at `token + from`; the panel of keys from `column` on is full; a row of
            // scores has room for whole panels.
            unsafe {
                let keys = Factor {
                    at: self.scratch.keys.as_ptr().cast::<u32>().add(column * units),
                    stride: columns,
                };
                if columns == VECTORS * S::N {
                    let sums = multiply::<S, A, ROWS, VECTORS>(s, queries, keys, units);
                    store::<S, A, ROWS, VECTORS>(s, &sums, scores.add(column), row);
                } else {
                    let sums = multiply::<S, A, ROWS, { 2 * VECTORS }>(s, queries, keys, units);
                    store::<S, A, ROWS, { 2 * VECTORS }>(s, &sums, scores.add(column), row);
                }
            }
            column += columns;
        }
    }

    /// Turns the scores of row `at` into weights that are not yet divided by their sum; returns one over the sum.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, s: S, at: usize, token: usize) -> f32 {
        let row = score_stride::<S>(self.tokens);
        let seen = if self.heads.causal { token + 1 } else { self.tokens };
        let mut sum = self.powers(s, at, seen, 0.0);
        // Only where powers of the scores themselves overflow or vanish is the greatest score looked for.
        if !(SUM_MIN..SUM_MAX).contains(&sum) {
            let scores: &[f32] =
                bytemuck::cast_slice(&units_of(&mut self.scratch.scores)[at * row..][..seen]);
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            sum = self.powers(s, at, seen, largest);
        }
        // What is read after the last weight counts nothing; mostly there is nothing.
        let weights = &mut units_of(&mut self.scratch.weights)[at * row..][..row];
        let per_unit = self.qkv.precision().per_unit();
        if seen < self.tokens.next_multiple_of(per_unit) {
            match self.qkv.precision() {
                Precision::Bf16 => {
                    let halves: &mut [u16] = bytemuck::cast_slice_mut(weights);
                    halves[seen..self.tokens.next_multiple_of(per_unit)].fill(0);
                }
                Precision::F32 | Precision::Int8 => weights[seen..self.tokens].fill(0),
            }
        }
        1.0 / sum
    }

    /// Writes the powers of the first `seen` scores of row `at`, less `largest`, as weights; returns their sum.
    #[inline(always)]
    #[allow(unsafe_code, reason = "vectors within a row of scores")]
    fn powers<S: Simd>(&mut self, s: S, at: usize, seen: usize, largest: f32) -> f32 {
        let row = score_stride::<S>(self.tokens);
        let is_bf16 = self.qkv.precision() == Precision::Bf16;
        let scores = units_of(&mut self.scratch.scores)[at * row..][..row]
            .as_ptr()
            .cast::<f32>();
        let weights = units_of(&mut self.scratch.weights)[at * row..][..row].as_mut_ptr();
        let factor = std::f32::consts::LOG2_E / (self.width as f32).sqrt();
        let (factor, shift) = (s.splat(factor), s.splat(-largest * factor));
        let mut sum = s.splat(0.0);
        in_vectors!(S, seen, |from, n| {
            // SAFETY: `from + n` is at most `seen`, which is within both rows.
            unsafe {
                let power = s.fma(s.load_some(scores.add(from), n), factor, shift);
                // Weights that bf16 rounds anyway need no better power.
                let weight = exp2(s, power, !is_bf16);
                if is_bf16 {
                    s.store_bf16(weights.cast::<u16>().add(from), weight, n);
                } else {
                    s.store_some(weights.cast::<f32>().add(from), weight, n);
                }
                sum = s.add(sum, s.first(weight, n));
            }
        });
        s.sum(sum)
    }

    /// The weighted means of the values, for `ROWS` queries from the `from`-th of those that begin at `token`.
    #[inline(always)]
    #[allow(unsafe_code, reason = "products over packed values")]
    fn mix<S: Simd, A: Arithmetic<S>, const ROWS: usize>(
        &mut self,
        s: S,
        head: usize,
        token: usize,
        from: usize,
        inverse: &[f32; QUERIES],
    ) {
        let columns = VECTORS * S::N;
        let weights = &mut self.scratch.weights;
        let row = score_stride::<S>(self.tokens);
        let weights = Factor {
            at: units_of(weights)[from * row..].as_ptr(),
            stride: row,
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
                for (at, sums) in sums.iter().enumerate() {
                    let out = (token + from + at) * self.hidden + head * self.width;
                    let out = self.out[out..].as_mut_ptr();
                    for (vector, &sum) in sums.iter().enumerate() {
                        let first = column + vector * S::N;
                        if first < self.width {
                            let value = A::value(s, sum, s.splat_unit(0));
                            let value = s.mul(value, s.splat(inverse[from + at]));
                            s.store_some(out.add(first), value, S::N.min(self.width - first));
                        }
                    }
                }
            }
            column += columns;
        }
    }
}

/// Writes the sums of a tile to rows that are `stride` apart.
///
/// # Safety
/// There is room for `ROWS` rows of `VECTORS` vectors.
#[inline(always)]
#[allow(unsafe_code, reason = "writes where the caller has room")]
unsafe fn store<S: Simd, A: Arithmetic<S>, const ROWS: usize, const VECTORS: usize>(
    s: S,
    sums: &[[A::Sum; VECTORS]; ROWS],
    to: *mut f32,
    stride: usize,
) {
    for (at, sums) in sums.iter().enumerate() {
        for (vector, &sum) in sums.iter().enumerate() {
            let value = A::value(s, sum, s.splat_unit(0));
            // SAFETY: the caller's promise.
            unsafe { s.store_some(to.add(at * stride + vector * S::N), value, S::N) };
        }
    }
}
