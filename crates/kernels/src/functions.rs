//! Functions of one number, on vectors.

use crate::simd::Simd;

/// What follows a matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)` (Hendrycks and Gimpel 2016, <https://arxiv.org/abs/1606.08415>). The absolute error is below
    /// `3e-7 (1 + |x|)` for f32 and below `2e-4` for the other precisions.
    Gelu,
    /// `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
}

/// `eˣ` with a relative error below 3e-7; x below -87 counts as -87, above 88 as 88 (Cephes `expf`).
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "coefficients as published")]
fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.max(x, s.splat(-87.0)), s.splat(88.0));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-0.693_359_375), x);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let p = s.splat(1.987_569_150_0e-4);
    let p = s.fma(p, r, s.splat(1.398_199_950_7e-3));
    let p = s.fma(p, r, s.splat(8.333_451_907_3e-3));
    let p = s.fma(p, r, s.splat(4.166_579_589_4e-2));
    let p = s.fma(p, r, s.splat(1.666_666_545_9e-1));
    let p = s.fma(p, r, s.splat(5.000_000_120_1e-1));
    let value = s.add(s.fma(p, s.mul(r, r), r), s.splat(1.0));
    s.scale2(value, n)
}

/// `2ʸ` with a relative error below 4e-7 plus that of `y`, or 2e-4 when it is not `exact`: minimax
/// fits of degree 5 and 3. What is below -126 counts as -126,
/// what is above 127 as 127.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "coefficients as fitted")]
pub(crate) fn exp2<S: Simd>(s: S, y: S::F, exact: bool) -> S::F {
    let y = s.min(s.max(y, s.splat(-126.0)), s.splat(127.0));
    let n = s.round(y);
    let r = s.sub(y, n);
    let p = if exact {
        let p = s.fma(s.splat(1.327646896e-03), r, s.splat(9.675541893e-03));
        let p = s.fma(p, r, s.splat(5.550713465e-02));
        let p = s.fma(p, r, s.splat(2.402212024e-01));
        let p = s.fma(p, r, s.splat(6.931469440e-01));
        s.fma(p, r, s.splat(1.000000119e+00))
    } else {
        let p = s.fma(s.splat(5.517164245e-02), r, s.splat(2.426111698e-01));
        let p = s.fma(p, r, s.splat(6.932609677e-01));
        s.fma(p, r, s.splat(9.999280572e-01))
    };
    s.scale2(p, n)
}

/// `x (1/2 + t P(v))` with `t` = x cut at ±5, where `1/2 + t P` is 0 and 1, and `v = 2 t² / 25 - 1`: a minimax fit
/// of Φ. In `v` the terms stay small beside the sum; in `t²` their rounding alone would pass the bound.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "coefficients as fitted")]
fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    let t = s.min(s.max(x, s.splat(-5.0)), s.splat(5.0));
    let v = s.fma(s.mul(t, t), s.splat(0.08), s.splat(-1.0));
    let p = s.splat(6.604612572e-04);
    let p = s.fma(p, v, s.splat(-1.667432720e-03));
    let p = s.fma(p, v, s.splat(1.608845894e-03));
    let p = s.fma(p, v, s.splat(-2.563947812e-03));
    let p = s.fma(p, v, s.splat(6.498726085e-03));
    let p = s.fma(p, v, s.splat(-1.126153022e-02));
    let p = s.fma(p, v, s.splat(1.637385786e-02));
    let p = s.fma(p, v, s.splat(-2.323555574e-02));
    let p = s.fma(p, v, s.splat(3.144548833e-02));
    let p = s.fma(p, v, s.splat(-4.044706002e-02));
    let p = s.fma(p, v, s.splat(5.152045935e-02));
    let p = s.fma(p, v, s.splat(-7.029611617e-02));
    let p = s.fma(p, v, s.splat(1.413637847e-01));
    s.mul(x, s.fma(t, p, s.splat(0.5)))
}

/// `x (1/2 + t P(t²))` with `t` = x cut at ±4, where `1/2 + t P(t²)` is 0 and 1: a minimax fit of Φ.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "coefficients as fitted")]
fn gelu_near<S: Simd>(s: S, x: S::F) -> S::F {
    let t = s.min(s.max(x, s.splat(-4.0)), s.splat(4.0));
    let u = s.mul(t, t);
    let p = s.splat(-4.844_419_865e-10);
    let p = s.fma(p, u, s.splat(5.354_006_660e-8));
    let p = s.fma(p, u, s.splat(-2.389_161_182e-6));
    let p = s.fma(p, u, s.splat(5.847_672_22e-5));
    let p = s.fma(p, u, s.splat(-8.908_594_03e-4));
    let p = s.fma(p, u, s.splat(9.071_882_81e-3));
    let p = s.fma(p, u, s.splat(-6.512_450_43e-2));
    let p = s.fma(p, u, s.splat(0.398_224_622));
    s.mul(x, s.fma(t, p, s.splat(0.5)))
}

#[inline(always)]
fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let e = exp(s, s.add(x, x));
    s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))))
}

#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let cube = s.mul(s.mul(x, x), x);
    let inner = s.mul(s.fma(cube, s.splat(0.044_715), x), s.splat(0.797_884_6));
    let half = s.mul(x, s.splat(0.5));
    s.fma(half, tanh(s, inner), half)
}

/// Applies an activation; `exact` asks for the error bounds of f32.
#[inline(always)]
pub(crate) fn activate<S: Simd>(s: S, x: S::F, activation: Option<Activation>, exact: bool) -> S::F {
    match activation {
        None => x,
        Some(Activation::Gelu) if exact => gelu(s, x),
        Some(Activation::Gelu) => gelu_near(s, x),
        Some(Activation::GeluTanh) => gelu_tanh(s, x),
        Some(Activation::Relu) => s.max(x, s.splat(0.0)),
        Some(Activation::Tanh) => tanh(s, x),
    }
}
