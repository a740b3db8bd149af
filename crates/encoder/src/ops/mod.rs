//! The operations of the encoder, each with a gradient.
//!
//! [`plain`] composes them from candle's differentiable operations and works on every device and number type.
//! The fused versions serve the CPU in f32; tests hold them to the plain ones, values and gradients.

pub mod plain;

use candle_core::{DType, Tensor};

use crate::pass::Dropout;
use crate::{Activation, Result};

/// How the texts of a batch lie in a matrix of hidden states.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Back to back without padding: the lengths of the texts.
    Packed(std::sync::Arc<[usize]>),
    /// Each text in a block of the same size: the mask (batch, tokens), 1 on tokens.
    Padded(Tensor),
}

/// The sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// True: a token attends to itself and what is on its left.
    pub causal: bool,
}

/// Whether tensors like this one take the fused operations.
pub fn is_fused(device: &candle_core::Device, dtype: DType) -> bool {
    device.is_cpu() && dtype == DType::F32
}

/// `x Wᵀ + b`: x (rows, in), weight (out, in), bias (out) to (rows, out).
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    plain::linear(x, weight, bias)
}

/// The activation of [`linear`].
pub fn linear_activated(x: &Tensor, weight: &Tensor, bias: &Tensor, act: Activation) -> Result<Tensor> {
    plain::activate(&plain::linear(x, weight, bias)?, act)
}

/// Layer norm over the last dimension with weight and bias (Ba et al. 2016): x (rows, width).
pub fn norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    plain::norm(x, weight, bias, eps)
}

/// Layer norm of `residual + dropout(x)`: both (rows, width).
pub fn residual_norm(
    x: &Tensor,
    residual: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    plain::residual_norm(x, residual, (weight, bias), eps, dropout)
}

/// Drops values of x of any shape.
pub fn dropout(x: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
    plain::dropout(x, dropout)
}

/// Self-attention (Vaswani et al. 2017, section 3.2): qkv (rows, 3 hidden), queries, keys and values of all heads
/// side by side, to (rows, hidden). The dropout is on the attention weights.
pub fn attention(qkv: &Tensor, rows: &Rows, heads: Heads, dropout: Option<Dropout>) -> Result<Tensor> {
    plain::attention(qkv, rows, heads, dropout)
}
