//! Layer norm (Ba et al. 2016, <https://arxiv.org/abs/1607.06450>).

use crate::simd::{InstructionSet, Simd, Task};

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
    let mut sum = s.splat(0.0);
    let mut at = 0;
    while at < width {
        let n = S::N.min(width - at);
        // SAFETY: `at + n` is at most `width`, here and below.
        unsafe {
            let value = s.add(s.load_some(to.add(at), n), s.load_some(added.add(at), n));
            s.store_some(to.add(at), value, n);
            sum = s.add(sum, value);
        }
        at += n;
    }
    let mean = s.sum(sum) / width as f32;
    let mut squares = s.splat(0.0);
    let mut at = 0;
    while at < width {
        let n = S::N.min(width - at);
        // SAFETY: as above.
        unsafe {
            let off = s.sub(s.load_some(to.add(at), n), s.splat(mean));
            // The lanes beyond the row hold zeros, which are off the mean: their share is taken off below.
            squares = s.fma(off, off, squares);
        }
        at += n;
    }
    let beyond = (width.next_multiple_of(S::N) - width) as f32 * mean * mean;
    let variance = ((s.sum(squares) - beyond) / width as f32).max(0.0);
    let inverse = s.splat(1.0 / (variance + norm.eps).sqrt());
    let mut at = 0;
    while at < width {
        let n = S::N.min(width - at);
        // SAFETY: as above.
        unsafe {
            let off = s.sub(s.load_some(to.add(at), n), s.splat(mean));
            let weight = s.load_some(norm.weight.as_ptr().add(at), n);
            let bias = s.load_some(norm.bias.as_ptr().add(at), n);
            s.store_some(to.add(at), s.fma(s.mul(off, inverse), weight, bias), n);
        }
        at += n;
    }
}
