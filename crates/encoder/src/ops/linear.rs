//! Dense layers: matrix product, bias and activation in one node, so that the backward pass holds no gradient of
//! the steps between them.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::fused::{PIECE, column_sums, held, tensor, values};
use super::simd;
use crate::Activation;

/// `activation(x Wᵀ + b)`.
pub(super) struct Dense {
    activation: Option<Activation>,
    /// What the activation was applied to, when a backward pass may want it.
    inputs: Mutex<Option<Vec<f32>>>,
    keep: bool,
}

impl Dense {
    pub(super) fn new(activation: Option<Activation>, keep: bool) -> Self {
        Self {
            activation,
            inputs: Mutex::new(None),
            keep,
        }
    }

    fn finish(&self, mut product: Vec<f32>, bias: &[f32]) -> Vec<f32> {
        let piece = PIECE * bias.len();
        let Some(act) = self.activation else {
            product
                .par_chunks_mut(piece)
                .for_each(|x| simd::add_bias(x, bias));
            return product;
        };
        if !self.keep {
            product
                .par_chunks_mut(piece)
                .for_each(|x| simd::bias_activate_in_place(x, bias, act));
            return product;
        }
        let mut out = vec![0f32; product.len()];
        let pieces = product.par_chunks_mut(piece).zip(out.par_chunks_mut(piece));
        pieces.for_each(|(x, out)| simd::bias_activate(x, bias, out, act));
        *self.inputs.lock().unwrap_or_else(PoisonError::into_inner) = Some(product);
        out
    }

    /// The gradient before the activation.
    fn before_activation(&self, grad: &Tensor) -> Result<Tensor> {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(act), Some(inputs)) = (self.activation, inputs.as_ref()) else {
            return grad.contiguous();
        };
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let grads = held(&storage, layout)?;
        let mut out = vec![0f32; grads.len()];
        let piece = PIECE * layout.dims()[1];
        let pieces = out
            .par_chunks_mut(piece)
            .zip(inputs.par_chunks(piece))
            .zip(grads.par_chunks(piece));
        pieces.for_each(|((out, x), grad)| simd::activation_slope(x, grad, out, act));
        tensor(out, layout.dims())
    }
}

impl CustomOp3 for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, out) = (x_layout.dims()[0], weight_layout.dims()[0]);
        let product = product((x, x_layout), (weight, weight_layout))?;
        let finished = self.finish(product, values(bias, bias_layout)?);
        Ok((CpuStorage::F32(finished), (rows, out).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        spread_back(x, weight, &self.before_activation(grad)?)
    }
}

/// `x Wᵀ`: x (rows, in), weight (out, in).
pub(super) fn product(
    (x, x_layout): (&CpuStorage, &Layout),
    (weight, weight_layout): (&CpuStorage, &Layout),
) -> Result<Vec<f32>> {
    let (rows, input) = x_layout.shape().dims2()?;
    let (out, _) = weight_layout.shape().dims2()?;
    let transposed = weight_layout.transpose(0, 1)?;
    match x.matmul(weight, (1, rows, out, input), x_layout, &transposed)? {
        CpuStorage::F32(product) => Ok(product),
        _ => candle_core::bail!("dense takes f32"),
    }
}

/// The gradients of x, weight and bias from that of `x Wᵀ + b`, a matrix.
pub(super) fn spread_back(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let width = grad.dim(1)?;
    let sums = {
        let (storage, layout) = grad.storage_and_layout();
        column_sums(held(&storage, layout)?, width)
    };
    let x_grad = if x.track_op() {
        Some(grad.matmul(&weight.detach())?)
    } else {
        None
    };
    let weight_grad = grad.t()?.matmul(&x.detach())?;
    Ok((x_grad, Some(weight_grad), Some(tensor(sums, &[width])?)))
}
