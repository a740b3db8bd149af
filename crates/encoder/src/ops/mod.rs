//! The operations of the encoder, each with a gradient.
//!
//! [`plain`] composes them from candle's differentiable operations and works on every device and number type.
//! The fused versions serve the CPU in f32; tests hold them to the plain ones, values and gradients.

mod attention;
mod cross_entropy;
mod fused;
mod linear;
mod norm;
pub mod plain;
mod rows;
mod simd;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::pass::Dropout;
use crate::{Activation, Result};

pub(crate) use rows::NO_ROW;

/// How the texts of a batch lie in a matrix of hidden states.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Back to back without padding: the lengths of the texts.
    Packed(Arc<[usize]>),
    /// Each text in a block of the same size: the mask (batch, tokens), 1 on tokens.
    Padded(Tensor),
    /// Back to back on a GPU.
    #[cfg(feature = "cuda")]
    OnGpu(Arc<crate::cuda::Texts>),
}

/// The heads of an attention.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// True: a token attends to itself and what is on its left.
    pub causal: bool,
}

/// Whether tensors there and of this type take the fused operations.
pub fn is_fused(device: &Device, dtype: DType) -> bool {
    device.is_cpu() && dtype == DType::F32
}

fn fuses(x: &Tensor) -> bool {
    is_fused(x.device(), x.dtype())
}

/// `x Wᵀ + b`: x (rows, in), weight (out, in), bias (out) to (rows, out).
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::linear(x, weight, bias, None)?);
    }
    if fuses(x) {
        dense(x, weight, bias, None)
    } else {
        plain::linear(x, weight, bias)
    }
}

/// The activation of [`linear()`].
pub fn linear_activated(x: &Tensor, weight: &Tensor, bias: &Tensor, act: Activation) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::linear(x, weight, bias, Some(act))?);
    }
    if fuses(x) {
        return dense(x, weight, bias, Some(act));
    }
    plain::activate(&plain::linear(x, weight, bias)?, act)
}

fn dense(x: &Tensor, weight: &Tensor, bias: &Tensor, act: Option<Activation>) -> Result<Tensor> {
    let keep = x.track_op() || weight.track_op();
    Ok(x.contiguous()?
        .apply_op3(weight, bias, linear::Dense::new(act, keep))?)
}

/// Layer norm over the last dimension with weight and bias (Ba et al. 2016): x (rows, width).
pub fn norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::norm(x, weight, bias, eps)?);
    }
    if !fuses(x) {
        return plain::norm(x, weight, bias, eps);
    }
    let affine = Tensor::stack(&[weight, bias], 0)?;
    Ok(x.contiguous()?.apply_op2(
        &affine,
        norm::Norm {
            eps: eps as f32,
            dropout: None,
        },
    )?)
}

/// Layer norm of `residual + dropout(x)`: both (rows, width).
pub fn residual_norm(
    x: &Tensor,
    residual: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    if !fuses(x) {
        return plain::residual_norm(x, residual, (weight, bias), eps, dropout);
    }
    let affine = Tensor::stack(&[weight, bias], 0)?;
    let norm = norm::Norm {
        eps: eps as f32,
        dropout,
    };
    Ok(x.contiguous()?
        .apply_op3(&residual.contiguous()?, &affine, norm)?)
}

/// Drops values of x of any shape.
pub fn dropout(x: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
    match dropout {
        Some(dropout) if fuses(x) => Ok(x.contiguous()?.apply_op1(dropout)?),
        #[cfg(feature = "cuda")]
        Some(dropout) if x.device().is_cuda() => Ok(crate::cuda::dropout(x, dropout)?),
        dropout => plain::dropout(x, dropout),
    }
}

/// Self-attention (Vaswani et al. 2017, section 3.2): qkv (rows, 3 hidden), queries, keys and values of all heads
/// side by side, to (rows, hidden). The dropout is on the attention weights.
pub fn attention(qkv: &Tensor, rows: &Rows, heads: Heads, dropout: Option<Dropout>) -> Result<Tensor> {
    match rows {
        Rows::Padded(mask) => plain::attention(qkv, mask, heads, dropout),
        #[cfg(feature = "cuda")]
        Rows::OnGpu(_) => {
            Err(candle_core::Error::Msg("attention on a GPU is part of its layer".into()).into())
        }
        Rows::Packed(lengths) => {
            let lengths = lengths.clone();
            Ok(qkv.contiguous()?.apply_op1(attention::Attention {
                lengths,
                heads,
                dropout,
            })?)
        }
    }
}

/// Sum of the rows `ids` of the three tables, each (ids, width), packed; f32 on the CPU only.
pub(crate) fn embed([word, position, segment]: [&Tensor; 3], ids: [Vec<u32>; 3]) -> Result<Tensor> {
    Ok(word.apply_op3(position, segment, rows::Embed { ids })?)
}

/// Packed rows to rows with padding of zeros: (rows, width) to (texts × tokens, width), f32.
pub(crate) fn unpack(x: &Tensor, lengths: &[usize], tokens: usize) -> Result<Tensor> {
    let mut next = 0..;
    let row = |at: usize, length: usize| if at < length { next.next() } else { None };
    let mut row = row;
    let mut taken = Vec::with_capacity(lengths.len() * tokens);
    for &length in lengths {
        taken.extend((0..tokens).map(|at| row(at, length).unwrap_or(NO_ROW)));
    }
    take_rows(x, taken, DType::F32)
}

/// The first row of each packed text: (rows, width) to (texts, width), f32.
pub(crate) fn first_rows(x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let starts = lengths.iter().scan(0u32, |sum, &length| {
        *sum += length as u32;
        Some(*sum - length as u32)
    });
    take_rows(x, starts.collect(), DType::F32)
}

/// Row `i` of the result, of type `dtype`, is row `rows[i]` of x, or zeros for [`NO_ROW`]. On a GPU no row may be taken
/// twice.
pub(crate) fn take_rows(x: &Tensor, rows: Vec<u32>, dtype: DType) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::take_rows(x, rows, dtype)?);
    }
    Ok(x.apply_op1(rows::Take { rows })?.to_dtype(dtype)?)
}

/// The mean row of each packed text: (rows, width) to (texts, width).
pub(crate) fn mean_rows(x: &Tensor, lengths: &Arc<[usize]>) -> Result<Tensor> {
    Ok(x.apply_op1(rows::MeanRows {
        lengths: lengths.clone(),
    })?)
}

/// x in the type that activations have on its device.
pub(crate) fn as_activations(x: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(x.to_dtype(crate::cuda::settings(x.device())?.activations)?);
    }
    Ok(x.clone())
}

/// x in at least 32 bits.
pub(crate) fn widened(x: &Tensor) -> Result<Tensor> {
    Ok(match x.dtype() {
        DType::F64 => x.clone(),
        _ => x.to_dtype(DType::F32)?,
    })
}

/// Mean of `-log softmax(logits)[target]`: logits (rows, classes), targets (rows) u32; a scalar.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        return Ok(crate::cuda::cross_entropy(logits, targets)?);
    }
    if fuses(logits) {
        let op = cross_entropy::CrossEntropy::new(targets.to_vec1()?);
        return Ok(logits.contiguous()?.apply_op1(op)?);
    }
    plain::cross_entropy(logits, targets)
}

/// [`cross_entropy()`] of what [`linear()`] makes of x. The logits, which may be the largest tensor of all, are kept only
/// once, and the loss can be followed back once.
pub(crate) fn decode_loss(x: &Tensor, weight: &Tensor, bias: &Tensor, targets: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(crate::cuda::decode_loss(x, weight, bias, targets)?);
    }
    if fuses(x) {
        let op = cross_entropy::CrossEntropy::new(targets.to_vec1()?);
        return Ok(x.contiguous()?.apply_op3(weight, bias, op)?);
    }
    plain::cross_entropy(&linear(x, weight, bias)?, targets)
}
