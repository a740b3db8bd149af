//! Self-attention of packed texts in one node. Nothing of size tokens × tokens outlives a head of a text: the
//! backward pass computes the weights again.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Heads;
use super::fused::{held, tensor, values};
use super::rows::check_lengths;
use super::simd::{LANES, each, exp, max, sum1, sum2};
use crate::pass::Dropout;

/// Argument: queries, keys and values (rows, 3 hidden).
pub(super) struct Attention {
    pub(super) lengths: Arc<[usize]>,
    pub(super) heads: Heads,
    pub(super) dropout: Option<Dropout>,
}

/// Sizes of one text.
#[derive(Clone, Copy)]
struct Text {
    number: usize,
    tokens: usize,
    /// Tokens rounded up to whole vectors.
    columns: usize,
    hidden: usize,
    /// Width of a head, and rounded up to whole vectors.
    size: usize,
    width: usize,
    heads: Heads,
    dropout: Option<Dropout>,
}

impl Attention {
    fn text(&self, number: usize, hidden: usize) -> Text {
        let tokens = self.lengths[number];
        let size = hidden / self.heads.count;
        let (columns, width) = (tokens.next_multiple_of(LANES), size.next_multiple_of(LANES));
        Text {
            number,
            tokens,
            columns,
            hidden,
            size,
            width,
            heads: self.heads,
            dropout: self.dropout,
        }
    }

    /// Cuts rows of `width` values into texts.
    fn cut<'a>(&self, mut all: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        let mut texts = Vec::with_capacity(self.lengths.len());
        for &length in self.lengths.iter() {
            let (text, rest) = all.split_at_mut(length * width);
            texts.push(text);
            all = rest;
        }
        texts
    }

    fn starts(&self) -> Vec<usize> {
        let sums = self.lengths.iter().scan(0, |sum, length| {
            *sum += length;
            Some(*sum - length)
        });
        sums.collect()
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        check_lengths(&self.lengths, rows)?;
        let hidden = width / 3;
        let qkv = values(qkv, layout)?;
        let mut out = vec![0f32; rows * hidden];
        let texts = self
            .cut(&mut out, hidden)
            .into_par_iter()
            .zip(self.starts())
            .enumerate();
        texts.for_each_init(Scratch::default, |scratch, (number, (out, start))| {
            let text = self.text(number, hidden);
            let qkv = &qkv[start * width..][..text.tokens * width];
            Arch::new().dispatch(Attend {
                text,
                qkv,
                scratch,
                out,
            });
        });
        Ok((CpuStorage::F32(out), (rows, hidden).into()))
    }

    fn bwd(&self, qkv: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (qkv, grad) = (qkv.contiguous()?, grad.contiguous()?);
        let (qkv_held, grad_held) = (qkv.storage_and_layout(), grad.storage_and_layout());
        let (values, grads) = (held(&qkv_held.0, qkv_held.1)?, held(&grad_held.0, grad_held.1)?);
        let hidden = grad.dim(1)?;
        let width = 3 * hidden;
        let mut out = vec![0f32; values.len()];
        let texts = self
            .cut(&mut out, width)
            .into_par_iter()
            .zip(self.starts())
            .enumerate();
        texts.for_each_init(Scratch::default, |scratch, (number, (out, start))| {
            let text = self.text(number, hidden);
            let qkv = &values[start * width..][..text.tokens * width];
            let grad = &grads[start * hidden..][..text.tokens * hidden];
            Arch::new().dispatch(AttendBack {
                text,
                qkv,
                grad,
                scratch,
                out,
            });
        });
        Ok(Some(tensor(out, qkv.dims())?))
    }
}

/// Matrices of one head, each padded with zeros to whole vectors in its rows. Reused from text to text.
#[derive(Default)]
struct Scratch {
    /// (tokens, width).
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// (size, columns).
    transposed: Vec<f32>,
    /// (tokens, columns): attention weights, and after dropout, and the gradient of the scores.
    weights: Vec<f32>,
    dropped: Vec<f32>,
    scores_grad: Vec<f32>,
    /// (tokens, width): gradient of the result, and a product.
    grad: Vec<f32>,
    product: Vec<f32>,
    panel: Vec<f32>,
}

/// Copies columns `from..from + size` of rows of `stride` values.
#[inline(always)]
fn gather(out: &mut Vec<f32>, rows: &[f32], stride: usize, from: usize, text: Text) {
    out.clear();
    out.resize(text.tokens * text.width, 0.0);
    for (out, row) in out.chunks_exact_mut(text.width).zip(rows.chunks_exact(stride)) {
        out[..text.size].copy_from_slice(&row[from..from + text.size]);
    }
}

#[inline(always)]
fn scatter(rows: &mut [f32], stride: usize, from: usize, values: &[f32], scale: f32, text: Text) {
    for (row, values) in rows.chunks_exact_mut(stride).zip(values.chunks_exact(text.width)) {
        for (out, &value) in row[from..from + text.size].iter_mut().zip(values) {
            *out = value * scale;
        }
    }
}

/// (tokens, width) to (size, columns).
#[inline(always)]
fn transpose(out: &mut Vec<f32>, x: &[f32], text: Text) {
    out.clear();
    out.resize(text.size * text.columns, 0.0);
    for (at, row) in x.chunks_exact(text.width).enumerate() {
        for (out, &value) in out[at..].iter_mut().step_by(text.columns).zip(&row[..text.size]) {
            *out = value;
        }
    }
}

/// The left side of a product: rows of values `down` apart, columns `across` apart.
#[derive(Clone, Copy)]
struct Left<'a> {
    values: &'a [f32],
    rows: usize,
    inner: usize,
    down: usize,
    across: usize,
}

/// Rows of the block of a product that is held in registers.
const TALL: usize = 4;

/// `out = left · right`, right (inner, width) and out (left.rows, width), width a multiple of [`LANES`].
#[inline(always)]
fn multiply<S: Simd>(
    simd: S,
    left: Left<'_>,
    right: &[f32],
    width: usize,
    panel: &mut Vec<f32>,
    out: &mut Vec<f32>,
) {
    out.clear();
    out.resize(left.rows * width, 0.0);
    let (right, _) = S::as_simd_f32s(right);
    let vectors = width / S::F32_LANES;
    for (block, out) in out.chunks_mut(TALL * width).enumerate() {
        pack(left, block * TALL, panel);
        let (out, _) = S::as_mut_simd_f32s(out);
        let mut at = 0;
        while at + 2 <= vectors {
            block_product::<S, 2>(simd, panel, right, vectors, at, out);
            at += 2;
        }
        if at < vectors {
            block_product::<S, 1>(simd, panel, right, vectors, at, out);
        }
    }
}

/// [`TALL`] rows of the left side with their values side by side; zeros below the last row.
#[inline(always)]
fn pack(left: Left<'_>, first: usize, panel: &mut Vec<f32>) {
    panel.clear();
    panel.resize(left.inner * TALL, 0.0);
    for row in 0..TALL.min(left.rows - first) {
        let values = left.values[(first + row) * left.down..]
            .iter()
            .step_by(left.across);
        for (out, &value) in panel.chunks_exact_mut(TALL).zip(values) {
            out[row] = value;
        }
    }
}

/// `N` vectors of each row of a block, from vector `at` on; right and out have rows of `vectors` vectors.
#[inline(always)]
fn block_product<S: Simd, const N: usize>(
    simd: S,
    panel: &[f32],
    right: &[S::f32s],
    vectors: usize,
    at: usize,
    out: &mut [S::f32s],
) {
    let mut sums = [[simd.splat_f32s(0.0); N]; TALL];
    let (panel, _) = panel.as_chunks::<TALL>();
    for (left, right) in panel.iter().zip(right.chunks_exact(vectors)) {
        let Some(right) = right[at..].first_chunk::<N>() else {
            return;
        };
        for row in 0..TALL {
            let left = simd.splat_f32s(left[row]);
            for lane in 0..N {
                sums[row][lane] = simd.mul_add_f32s(left, right[lane], sums[row][lane]);
            }
        }
    }
    for (out, sums) in out.chunks_exact_mut(vectors).zip(&sums) {
        out[at..at + N].copy_from_slice(sums);
    }
}

/// Turns scores into weights, row by row; what may not be seen gets weight 0.
#[inline(always)]
fn softmax_rows(scores: &mut [f32], text: Text) {
    let scale = 1.0 / (text.size as f32).sqrt();
    for (at, row) in scores.chunks_exact_mut(text.columns).enumerate() {
        let seen = if text.heads.causal { at + 1 } else { text.tokens };
        let (seen, unseen) = row.split_at_mut(seen);
        let largest = max(seen);
        each!(x in seen.iter_mut() => *x = exp((*x - largest) * scale));
        let sum = sum1(seen, |x| x);
        each!(x in seen.iter_mut() => *x /= sum);
        unseen.fill(0.0);
    }
}

/// Multiplies the weights by their dropout factors.
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "becomes vector instructions; enumerate would check its count"
)]
fn drop_weights(weights: &mut [f32], dropout: Dropout, text: Text) {
    for (row, weights) in weights.chunks_exact_mut(text.columns).enumerate() {
        let first = (row * text.tokens) as u32;
        for at in 0..text.tokens {
            weights[at] *= dropout.factor(first.wrapping_add(at as u32));
        }
    }
}

impl Text {
    #[inline(always)]
    fn head_dropout(&self, head: usize) -> Option<Dropout> {
        self.dropout
            .map(|dropout| dropout.part((self.number * self.heads.count + head) as u32))
    }

    /// A (tokens, width) matrix on the left side; `inner` of its columns count.
    #[inline(always)]
    fn rows<'a>(&self, values: &'a [f32], stride: usize, inner: usize) -> Left<'a> {
        Left {
            values,
            rows: self.tokens,
            inner,
            down: stride,
            across: 1,
        }
    }

    /// The transpose of a (tokens, columns) matrix on the left side.
    #[inline(always)]
    fn flipped<'a>(&self, values: &'a [f32]) -> Left<'a> {
        Left {
            values,
            rows: self.tokens,
            inner: self.tokens,
            down: 1,
            across: self.columns,
        }
    }
}

/// Attention weights of a head into `scratch.weights`; q, k and v are gathered.
#[inline(always)]
fn head_weights<S: Simd>(simd: S, text: Text, qkv: &[f32], head: usize, scratch: &mut Scratch) {
    let (stride, from) = (3 * text.hidden, head * text.size);
    gather(&mut scratch.q, qkv, stride, from, text);
    gather(&mut scratch.k, qkv, stride, text.hidden + from, text);
    gather(&mut scratch.v, qkv, stride, 2 * text.hidden + from, text);
    transpose(&mut scratch.transposed, &scratch.k, text);
    let queries = text.rows(&scratch.q, text.width, text.size);
    multiply(
        simd,
        queries,
        &scratch.transposed,
        text.columns,
        &mut scratch.panel,
        &mut scratch.weights,
    );
    softmax_rows(&mut scratch.weights, text);
}

/// Attention of one text: qkv (tokens, 3 hidden) to out (tokens, hidden).
struct Attend<'a> {
    text: Text,
    qkv: &'a [f32],
    scratch: &'a mut Scratch,
    out: &'a mut [f32],
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            text,
            qkv,
            scratch,
            out,
        } = self;
        for head in 0..text.heads.count {
            head_weights(simd, text, qkv, head, scratch);
            if let Some(dropout) = text.head_dropout(head) {
                drop_weights(&mut scratch.weights, dropout, text);
            }
            let weights = text.rows(&scratch.weights, text.columns, text.tokens);
            multiply(
                simd,
                weights,
                &scratch.v,
                text.width,
                &mut scratch.panel,
                &mut scratch.product,
            );
            scatter(out, text.hidden, head * text.size, &scratch.product, 1.0, text);
        }
    }
}

/// Gradient of qkv (tokens, 3 hidden) of one text from that of its attention, grad (tokens, hidden).
struct AttendBack<'a> {
    text: Text,
    qkv: &'a [f32],
    grad: &'a [f32],
    scratch: &'a mut Scratch,
    out: &'a mut [f32],
}

impl WithSimd for AttendBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            text,
            qkv,
            grad,
            scratch,
            out,
        } = self;
        let (stride, scale) = (3 * text.hidden, 1.0 / (text.size as f32).sqrt());
        for head in 0..text.heads.count {
            let from = head * text.size;
            head_weights(simd, text, qkv, head, scratch);
            let Scratch {
                q,
                k,
                v,
                transposed,
                weights,
                dropped,
                scores_grad,
                grad: d_out,
                product,
                panel,
            } = &mut *scratch;
            gather(d_out, grad, text.hidden, from, text);
            // Gradient of the weights after dropout, then before.
            transpose(transposed, v, text);
            let rows = text.rows(d_out, text.width, text.size);
            multiply(simd, rows, transposed, text.columns, panel, scores_grad);
            dropped.clone_from(weights);
            if let Some(dropout) = text.head_dropout(head) {
                drop_weights(dropped, dropout, text);
                drop_weights(scores_grad, dropout, text);
            }
            softmax_rows_back(weights, scores_grad, text);
            multiply(simd, text.flipped(dropped), d_out, text.width, panel, product);
            scatter(out, stride, 2 * text.hidden + from, product, 1.0, text);
            let rows = text.rows(scores_grad, text.columns, text.tokens);
            multiply(simd, rows, k, text.width, panel, product);
            scatter(out, stride, from, product, scale, text);
            multiply(simd, text.flipped(scores_grad), q, text.width, panel, product);
            scatter(out, stride, text.hidden + from, product, scale, text);
        }
    }
}

/// The gradient of the weights becomes that of the scores before scaling.
#[inline(always)]
fn softmax_rows_back(weights: &[f32], grad: &mut [f32], text: Text) {
    for (grad, weights) in grad
        .chunks_exact_mut(text.columns)
        .zip(weights.chunks_exact(text.columns))
    {
        let mean = sum2(grad, weights, |g, w| g * w);
        for (grad, &weight) in grad.iter_mut().zip(weights) {
            *grad = weight * (*grad - mean);
        }
    }
}
