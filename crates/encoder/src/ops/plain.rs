//! The operations composed from candle's own: the truth that the fused ones are held to.

use candle_core::{D, DType, Device, Tensor};

use super::Heads;
use crate::pass::Dropout;
use crate::{Activation, Result};

/// See [`super::linear()`].
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Ok(x.matmul(&weight.t()?)?.broadcast_add(bias)?)
}

/// The activation of every value.
pub fn activate(x: &Tensor, act: Activation) -> Result<Tensor> {
    Ok(match act {
        Activation::Gelu => (x * ((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)?)?.affine(0.5, 0.0)?,
        Activation::GeluTanh => {
            let inner = (x + (x.powf(3.0)? * 0.044_715)?)?;
            let tanh = (inner * (2.0 / std::f64::consts::PI).sqrt())?.tanh()?;
            (x * (tanh + 1.0)?)?.affine(0.5, 0.0)?
        }
        Activation::Relu => x.relu()?,
    })
}

/// See [`super::norm()`]. Computed in f32 when x has 16 bits.
pub fn norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = x.to_dtype(wide(dtype))?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred
        .broadcast_div(&(variance + eps)?.sqrt()?)?
        .to_dtype(dtype)?;
    Ok(normed.broadcast_mul(weight)?.broadcast_add(bias)?)
}

/// See [`super::residual_norm`].
pub fn residual_norm(
    x: &Tensor,
    residual: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
    drop: Option<Dropout>,
) -> Result<Tensor> {
    norm(&(dropout(x, drop)? + residual)?, weight, bias, eps)
}

/// See [`super::dropout`].
pub fn dropout(x: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
    let Some(dropout) = dropout else {
        return Ok(x.clone());
    };
    let factors: Vec<f32> = (0..x.elem_count() as u32).map(|at| dropout.factor(at)).collect();
    Ok((x * factor_tensor(factors, x.dims(), x)?)?)
}

fn factor_tensor(factors: Vec<f32>, dims: &[usize], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_vec(factors, dims, &Device::Cpu)?
        .to_dtype(like.dtype())?
        .to_device(like.device())?)
}

/// See [`super::attention()`], of padded rows under mask (batch, tokens).
pub fn attention(qkv: &Tensor, mask: &Tensor, heads: Heads, dropout: Option<Dropout>) -> Result<Tensor> {
    let (batch, tokens) = mask.dims2()?;
    let hidden = qkv.dim(1)? / 3;
    let size = hidden / heads.count;
    let split = qkv
        .reshape((batch, tokens, 3, heads.count, size))?
        .permute((2, 0, 3, 1, 4))?;
    let part = |at: usize| split.get(at)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let scores = (q.matmul(&k.t()?)? * (1.0 / (size as f64).sqrt()))?;
    let scores = scores.to_dtype(wide(scores.dtype()))?;
    let scores = scores.broadcast_add(&mask_bias(mask, heads.causal)?.to_dtype(scores.dtype())?)?;
    let mut weights = softmax(&scores)?.to_dtype(v.dtype())?;
    if let Some(dropout) = dropout {
        let each = (tokens * tokens) as u32;
        let parts = (0..(batch * heads.count) as u32).map(|part| dropout.part(part));
        let factors = parts
            .flat_map(|part| (0..each).map(move |at| part.factor(at)))
            .collect();
        let factors = factor_tensor(factors, weights.dims(), &weights)?;
        weights = (weights * factors)?;
    }
    Ok(weights
        .matmul(&v)?
        .transpose(1, 2)?
        .reshape((batch * tokens, hidden))?)
}

/// What is added to a score that must not count. Far below any score in f32, and a number: a row in which
/// nothing counts gets equal weights, not `NaN`. Scores are widened to f32 before, since it is minus infinity in
/// 16 bits.
const MASKED: f64 = -1e30;

/// (batch, 1, tokens, tokens) or (batch, 1, 1, tokens), f32: 0 where a key may be seen.
fn mask_bias(mask: &Tensor, causal: bool) -> Result<Tensor> {
    let (batch, tokens) = mask.dims2()?;
    let hidden = (mask.to_dtype(DType::F32)?.affine(-1.0, 1.0)? * MASKED)?;
    let hidden = hidden.reshape((batch, 1, 1, tokens))?;
    if !causal {
        return Ok(hidden);
    }
    let future = (0..tokens * tokens).map(|at| {
        if at % tokens > at / tokens {
            MASKED as f32
        } else {
            0.0
        }
    });
    let future = Tensor::from_vec(future.collect::<Vec<_>>(), (1, 1, tokens, tokens), mask.device())?;
    Ok(hidden.broadcast_minimum(&future)?)
}

/// Softmax over the last dimension.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let exp = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?)
}

/// Logarithm of the softmax over the last dimension.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    // The maximum only keeps the exponentials in range; it cancels, so it carries no gradient.
    let centred = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let total = centred.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok(centred.broadcast_sub(&total)?)
}

/// See [`super::cross_entropy()`].
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let chosen = log_softmax(logits)?.gather(&targets.unsqueeze(1)?, 1)?;
    Ok(chosen.mean_all()?.neg()?)
}

/// The type in which sums are taken: at least f32.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}
