//! Layer norm with weight and bias (Ba et al. 2016), alone or over `residual + dropout(x)`, in one node.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::fused::{PIECE, add_in_order, held, tensor, values};
use super::simd::{dispatched, each, sum1, sum2};
use crate::pass::Dropout;

/// Arguments: x (rows, width), the residual of the same shape if any, weight and bias as (2, width).
#[derive(Debug, Clone, Copy)]
pub(super) struct Norm {
    pub(super) eps: f32,
    pub(super) dropout: Option<Dropout>,
}

/// Some rows of the input.
#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    /// Number of the first value, for dropout.
    first: u32,
    norm: Norm,
}

/// Where the gradients of some rows go.
struct Grads<'a> {
    x: &'a mut [f32],
    /// Absent without dropout, where it is the gradient of x.
    residual: Option<&'a mut [f32]>,
    /// Of weight, then of bias.
    affine: &'a mut [f32],
}

impl Norm {
    fn forward(self, x: &[f32], residual: Option<&[f32]>, affine: &[f32]) -> Vec<f32> {
        let piece = PIECE * affine.len() / 2;
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(piece).enumerate().for_each(|(at, out)| {
            norm_rows(
                Input::piece(x, residual, at * piece, out.len(), self),
                affine,
                out,
            );
        });
        out
    }

    /// Gradients of x, of the residual (none when it equals that of x), and of weight and bias.
    fn backward(
        self,
        x: &[f32],
        residual: Option<&[f32]>,
        affine: &[f32],
        grad: &[f32],
    ) -> (Vec<f32>, Option<Vec<f32>>, Vec<f32>) {
        let piece = PIECE * affine.len() / 2;
        let mut x_grad = vec![0f32; x.len()];
        let apart = residual.is_some() && self.dropout.is_some();
        let mut residual_grad = if apart { vec![0f32; x.len()] } else { Vec::new() };
        let pieces: Vec<Option<&mut [f32]>> = if apart {
            residual_grad.chunks_mut(piece).map(Some).collect()
        } else {
            x.chunks(piece).map(|_| None).collect()
        };
        let pieces = x_grad
            .par_chunks_mut(piece)
            .zip(pieces)
            .zip(grad.par_chunks(piece))
            .enumerate();
        let parts = pieces.map(|(at, ((x_grad, residual_grad), grad))| {
            let mut sums = vec![0f32; affine.len()];
            let input = Input::piece(x, residual, at * piece, grad.len(), self);
            norm_rows_back(
                input,
                affine,
                grad,
                Grads {
                    x: x_grad,
                    residual: residual_grad,
                    affine: &mut sums,
                },
            );
            sums
        });
        let affine_grad = add_in_order(parts.collect(), affine.len());
        (x_grad, apart.then_some(residual_grad), affine_grad)
    }
}

impl<'a> Input<'a> {
    fn piece(x: &'a [f32], residual: Option<&'a [f32]>, start: usize, len: usize, norm: Norm) -> Self {
        let part = |all: &'a [f32]| &all[start..start + len];
        Self {
            x: part(x),
            residual: residual.map(part),
            first: start as u32,
            norm,
        }
    }

    /// Writes row `at` of `residual + dropout(x)` to out.
    #[inline(always)]
    fn sum_row(&self, at: usize, out: &mut [f32]) {
        let start = at * out.len();
        let x = &self.x[start..start + out.len()];
        let first = self.first.wrapping_add(start as u32);
        match self.norm.dropout {
            Some(dropout) => drop_row(x, first, dropout, out),
            None => out.copy_from_slice(x),
        }
        if let Some(residual) = self.residual {
            for (out, &residual) in out.iter_mut().zip(&residual[start..]) {
                *out += residual;
            }
        }
    }
}

/// Multiplies values by their dropout factors.
#[inline(always)]
pub(super) fn drop_row(x: &[f32], first: u32, dropout: Dropout, out: &mut [f32]) {
    let x = &x[..out.len()];
    for at in 0..out.len() {
        out[at] = x[at] * dropout.factor(first.wrapping_add(at as u32));
    }
}

/// As [`drop_row`].
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "becomes vector instructions; enumerate would check its count"
)]
fn drop_row_in_place(x: &mut [f32], first: u32, dropout: Dropout) {
    for at in 0..x.len() {
        x[at] *= dropout.factor(first.wrapping_add(at as u32));
    }
}

/// Centres the row and returns one over its standard deviation.
#[inline(always)]
fn centre(row: &mut [f32], eps: f32) -> f32 {
    let count = row.len() as f32;
    let mean = sum1(row, |x| x) / count;
    each!(x in row.iter_mut() => *x -= mean);
    1.0 / (sum1(row, |x| x * x) / count + eps).sqrt()
}

dispatched! {
    fn norm_rows(input: Input<'a>, affine: &'a [f32], out: &'a mut [f32]) {
        let (weight, bias) = affine.split_at(affine.len() / 2);
        for (at, out) in out.chunks_exact_mut(weight.len()).enumerate() {
            input.sum_row(at, out);
            let scale = centre(out, input.norm.eps);
            for ((out, &weight), &bias) in out.iter_mut().zip(weight).zip(bias) {
                *out = (*out * scale) * weight + bias;
            }
        }
    }

    fn norm_rows_back(input: Input<'a>, affine: &'a [f32], grad: &'a [f32], grads: Grads<'a>) {
        let width = affine.len() / 2;
        let weight = &affine[..width];
        let Grads { x: x_grads, residual: mut residual_grads, affine: sums } = grads;
        let (weight_sums, bias_sums) = sums.split_at_mut(width);
        let mut normed = vec![0f32; width];
        for (at, (grad, x_grad)) in grad.chunks_exact(width).zip(x_grads.chunks_exact_mut(width)).enumerate() {
            input.sum_row(at, &mut normed);
            let scale = centre(&mut normed, input.norm.eps);
            each!(x in normed.iter_mut() => *x *= scale);
            for (((ws, bs), &g), &x) in weight_sums.iter_mut().zip(bias_sums.iter_mut()).zip(grad).zip(&normed) {
                *ws += g * x;
                *bs += g;
            }
            for ((out, &g), &w) in x_grad.iter_mut().zip(grad).zip(weight) {
                *out = g * w;
            }
            let mean = sum1(x_grad, |g| g) / width as f32;
            let slope = sum2(x_grad, &normed, |g, x| g * x) / width as f32;
            for (out, &x) in x_grad.iter_mut().zip(&normed) {
                *out = scale * (*out - mean - x * slope);
            }
            let Some(dropout) = input.norm.dropout else { continue };
            if let Some(residual_grads) = residual_grads.as_deref_mut() {
                residual_grads[at * width..][..width].copy_from_slice(x_grad);
            }
            let first = input.first.wrapping_add((at * width) as u32);
            drop_row_in_place(x_grad, first, dropout);
        }
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = self.forward(values(x, x_layout)?, None, values(affine, affine_layout)?);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (x_held, affine_held) = (x.storage_and_layout(), affine.storage_and_layout());
        let grad_held = grad.storage_and_layout();
        let (x_grad, _, affine_grad) = self.backward(
            held(&x_held.0, x_held.1)?,
            None,
            held(&affine_held.0, affine_held.1)?,
            held(&grad_held.0, grad_held.1)?,
        );
        Ok((
            Some(tensor(x_grad, x.dims())?),
            Some(tensor(affine_grad, affine.dims())?),
        ))
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "residual-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let residual = values(residual, residual_layout)?;
        let out = self.forward(
            values(x, x_layout)?,
            Some(residual),
            values(affine, affine_layout)?,
        );
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        affine: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (x_held, residual_held) = (x.storage_and_layout(), residual.storage_and_layout());
        let (affine_held, grad_held) = (affine.storage_and_layout(), grad.storage_and_layout());
        let (x_grad, residual_grad, affine_grad) = self.backward(
            held(&x_held.0, x_held.1)?,
            Some(held(&residual_held.0, residual_held.1)?),
            held(&affine_held.0, affine_held.1)?,
            held(&grad_held.0, grad_held.1)?,
        );
        let x_grad = tensor(x_grad, x.dims())?;
        let residual_grad =
            residual_grad.map_or_else(|| Ok(x_grad.clone()), |grad| tensor(grad, x.dims()))?;
        Ok((
            Some(x_grad),
            Some(residual_grad),
            Some(tensor(affine_grad, affine.dims())?),
        ))
    }
}
