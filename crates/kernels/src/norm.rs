//! Layer norm (Ba et al. 2016, <https://arxiv.org/abs/1607.06450>).

use crate::simd::{InstructionSet, Simd, Task, in_vectors};

/// Weight, bias and what is added to the variance.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

impl LayerNorm {
    /// A norm over rows as wide as `weight`.
    ///
    /// # Panics
    /// When weight and bias are not of one length.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, eps: f32) -> Self {
        assert_eq!(weight.len(), bias.len(), "a bias for each weight");
        Self { weight, bias, eps }
    }

    /// Replaces each row of `x` by the norm of `x + residual`.
    ///
    /// # Panics
    /// When `x` and `residual` are not of one length, or not whole rows.
    pub fn apply(&self, set: InstructionSet, x: &mut [f32], residual: &[f32]) {
        assert_eq!(x.len(), residual.len(), "a residual for each value");
        if self.weight.is_empty() {
            return;
        }
        assert_eq!(x.len() % self.weight.len(), 0, "whole rows");
        set.run(Norm {
            norm: self,
            x,
            residual,
        });
    }
}

struct Norm<'a> {
    norm: &'a LayerNorm,
    x: &'a mut [f32],
    residual: &'a [f32],
}

impl Task for Norm<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.norm.weight.len();
        for (x, residual) in self
            .x
            .chunks_exact_mut(width)
            .zip(self.residual.chunks_exact(width))
        {
            norm_row(s, self.norm, x, residual);
        }
    }
}

#[inline(always)]
#[allow(unsafe_code, reason = "vectors at positions within slices of one length")]
fn norm_row<S: Simd>(s: S, norm: &LayerNorm, x: &mut [f32], residual: &[f32]) {
    let width = x.len();
    assert!(residual.len() == width && norm.weight.len() == width && norm.bias.len() == width);
    let (to, added) = (x.as_mut_ptr(), residual.as_ptr());
    let (weight, bias) = (norm.weight.as_ptr(), norm.bias.as_ptr());
    let mut sum = s.splat(0.0);
    in_vectors!(S, width, |at, n| {
        // SAFETY: `at + n` is at most `width`, here and below.
        unsafe {
            let value = s.add(s.load_some(to.add(at), n), s.load_some(added.add(at), n));
            s.store_some(to.add(at), value, n);
            sum = s.add(sum, value);
        }
    });
    let mean = s.splat(s.sum(sum) / width as f32);
    let mut squares = s.splat(0.0);
    in_vectors!(S, width, |at, n| {
        // SAFETY: as above.
        let off = unsafe { s.first(s.sub(s.load_some(to.add(at), n), mean), n) };
        squares = s.fma(off, off, squares);
    });
    let variance = s.sum(squares) / width as f32;
    let inverse = s.splat(1.0 / (variance + norm.eps).sqrt());
    in_vectors!(S, width, |at, n| {
        // SAFETY: as above.
        unsafe {
            let off = s.sub(s.load_some(to.add(at), n), mean);
            let (weight, bias) = (s.load_some(weight.add(at), n), s.load_some(bias.add(at), n));
            s.store_some(to.add(at), s.fma(s.mul(off, inverse), weight, bias), n);
        }
    });
}
