//! Loops over slices that are compiled for each instruction set and chosen at run time, and the functions of one
//! number that they need. A reduction keeps [`LANES`] partial sums, since the compiler may not reorder additions.

use crate::Activation;

/// Partial results that a reduction keeps: one AVX-512 register of f32.
pub(super) const LANES: usize = 16;

/// Declares functions whose body is compiled once per instruction set (through `pulp`, which checks at run time
/// what the processor has). A body that names its vectors takes them as `[simd]` before its arguments.
macro_rules! dispatched {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident $([$simd:ident])? ($($arg:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        #[allow(clippy::needless_lifetimes, reason = "the types of the arguments name it")]
        $vis fn $name<'a>($($arg: $ty),*) {
            struct Call<'a> {
                $($arg: $ty,)*
                life: std::marker::PhantomData<&'a ()>,
            }
            impl<'a> pulp::WithSimd for Call<'a> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _simd: S) {
                    let Self { $($arg,)* life: _ } = self;
                    $(let $simd = _simd;)?
                    $body
                }
            }
            pulp::Arch::new().dispatch(Call { $($arg,)* life: std::marker::PhantomData })
        }
    )*};
}
pub(super) use dispatched;

/// A `for` loop as an expression. `for_each` would call a function of the standard library that is compiled for the
/// oldest processor, where `mul_add` is a call.
macro_rules! each {
    ($item:pat in $all:expr => $step:expr) => {
        for $item in $all {
            $step;
        }
    };
}
pub(super) use each;

/// Sum of `f(a, b)` over two slices of equal length.
#[inline(always)]
pub(super) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for at in 0..LANES {
            lanes[at] += f(a[at], b[at]);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += f(a, b);
    }
    let mut sum = 0.0;
    each!(lane in lanes => sum += lane);
    sum
}

/// Sum of `f(a)`.
#[inline(always)]
pub(super) fn sum1(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(a, a, |a, _| f(a))
}

/// The largest value; minus infinity for none.
#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for at in 0..LANES {
            lanes[at] = larger(chunk[at], lanes[at]);
        }
    }
    let mut largest = f32::NEG_INFINITY;
    each!(lane in lanes => largest = larger(lane, largest));
    each!(&value in rest => largest = larger(value, largest));
    largest
}

/// `eˣ` with a relative error below 2e-7; x below -87 gives about e⁻⁸⁷, above 88 e⁸⁸ (Cephes `expf`).
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "coefficients as published")]
pub(super) fn exp(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer in the low bits
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = n.mul_add(-0.693_359_375, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_150_0e-4f32;
    let p = p.mul_add(r, 1.398_199_950_7e-3);
    let p = p.mul_add(r, 8.333_451_907_3e-3);
    let p = p.mul_add(r, 4.166_579_589_4e-2);
    let p = p.mul_add(r, 1.666_666_545_9e-1);
    let p = p.mul_add(r, 5.000_000_120_1e-1);
    let value = p.mul_add(r * r, r) + 1.0;
    let power = shifted.to_bits().wrapping_sub(SHIFT.to_bits()).wrapping_add(127) << 23;
    value * f32::from_bits(power)
}

/// Error function with an absolute error below 1e-7: a polynomial near zero, `1 - exp(polynomial)` elsewhere (the
/// two-part minimax form of N. Juffa's `erff`).
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "coefficients as published")]
pub(super) fn erf(x: f32) -> f32 {
    let (t, s) = (x.abs(), x * x);
    let r = (-1.728_534_70e-5f32).mul_add(t, 3.831_971_26e-4);
    let u = (-3.883_964_38e-3f32).mul_add(t, 2.425_462_19e-2);
    let r = r.mul_add(s, u);
    let r = r.mul_add(t, -1.067_778_77e-1);
    let r = r.mul_add(t, -6.348_466_87e-1);
    let r = r.mul_add(t, -1.287_175_12e-1);
    let far = (1.0 - exp(r.mul_add(t, -t))).copysign(x);
    let r = (-5.967_617_03e-4f32).mul_add(s, 4.991_194_23e-3);
    let r = r.mul_add(s, -2.676_813_49e-2);
    let r = r.mul_add(s, 1.128_199_25e-1);
    let r = r.mul_add(s, -3.761_253_36e-1);
    let r = r.mul_add(s, 1.283_791_66e-1);
    let near = r.mul_add(x, x);
    if t > 0.927_734_375 { far } else { near }
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `Φ(x) + x φ(x)`.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    let density = 0.398_942_3 * exp(-0.5 * x * x);
    (0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2) + 0.5) + x * density
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x)))
}

#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    let t = tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x));
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x)
}

dispatched! {
    /// Applies the activation to `x + bias` for each row of `bias.len()` values; leaves `x + bias` in x.
    pub(in crate::ops) fn bias_activate(x: &'a mut [f32], bias: &'a [f32], out: &'a mut [f32], act: Activation) {
        for (x, out) in x.chunks_exact_mut(bias.len()).zip(out.chunks_exact_mut(bias.len())) {
            for (x, &bias) in x.iter_mut().zip(bias) {
                *x += bias;
            }
            map(x, out, act);
        }
    }

    /// Applies the activation to `x + bias` in place.
    pub(in crate::ops) fn bias_activate_in_place(x: &'a mut [f32], bias: &'a [f32], act: Activation) {
        for x in x.chunks_exact_mut(bias.len()) {
            let pairs = x.iter_mut().zip(bias);
            match act {
                Activation::Gelu => each!((x, bias) in pairs => *x = gelu(*x + bias)),
                Activation::GeluTanh => each!((x, bias) in pairs => *x = gelu_tanh(*x + bias)),
                Activation::Relu => each!((x, bias) in pairs => *x = (*x + bias).max(0.0)),
            }
        }
    }

    /// Adds `bias` to each row.
    pub(in crate::ops) fn add_bias(x: &'a mut [f32], bias: &'a [f32]) {
        for x in x.chunks_exact_mut(bias.len()) {
            for (x, &bias) in x.iter_mut().zip(bias) {
                *x += bias;
            }
        }
    }

    /// `out = grad · activation'(x)`.
    pub(in crate::ops) fn activation_slope(x: &'a [f32], grad: &'a [f32], out: &'a mut [f32], act: Activation) {
        let all = out.iter_mut().zip(x).zip(grad);
        match act {
            Activation::Gelu => each!(((out, x), grad) in all => *out = grad * gelu_slope(*x)),
            Activation::GeluTanh => each!(((out, x), grad) in all => *out = grad * gelu_tanh_slope(*x)),
            Activation::Relu => each!(((out, x), grad) in all => *out = if *x > 0.0 { *grad } else { 0.0 }),
        }
    }

    /// Adds every row of x to `sums`.
    pub(in crate::ops) fn add_rows(x: &'a [f32], sums: &'a mut [f32]) {
        for x in x.chunks_exact(sums.len()) {
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += x;
            }
        }
    }
}

#[inline(always)]
fn map(x: &[f32], out: &mut [f32], act: Activation) {
    let all = out.iter_mut().zip(x);
    match act {
        Activation::Gelu => each!((out, x) in all => *out = gelu(*x)),
        Activation::GeluTanh => each!((out, x) in all => *out = gelu_tanh(*x)),
        Activation::Relu => each!((out, x) in all => *out = x.max(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error function by its series in f64, enough terms for |x| < 4.
    fn exact_erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    fn points() -> impl Iterator<Item = f32> {
        (-40_000..=40_000).map(|at| at as f32 * 1e-4)
    }

    #[test]
    fn erf_is_close() {
        for x in points() {
            assert!((f64::from(erf(x)) - exact_erf(f64::from(x))).abs() < 1e-7, "{x}");
        }
        assert_eq!((erf(9.0), erf(-1e9)), (1.0, -1.0));
    }

    #[test]
    fn exp_is_close() {
        for x in points().map(|x| 20.0 * x) {
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) - expected).abs() < 2e-7 * expected, "{x}");
        }
        assert!(exp(-1e30) < 1e-37 && exp(1e30).is_finite() && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn gelu_and_its_slope_are_close() {
        for x in points() {
            let exact = f64::from(x);
            let phi = 0.5 * (1.0 + exact_erf(exact / 2f64.sqrt()));
            let error = (f64::from(gelu(x)) - exact * phi).abs();
            // The roundings of f32 after erf come on top of its error.
            assert!(error < 1e-7 + 1.5e-7 * exact.abs(), "{x}: {error}");
            let slope = phi + exact * (-0.5 * exact * exact).exp() / std::f64::consts::TAU.sqrt();
            assert!((f64::from(gelu_slope(x)) - slope).abs() < 4e-7, "{x}");
        }
    }

    #[test]
    fn slope_of_the_tanh_form_is_its_derivative() {
        for x in points().step_by(100) {
            let step = 1e-2;
            let expected = (gelu_tanh(x + step) - gelu_tanh(x - step)) / (2.0 * step);
            assert!((gelu_tanh_slope(x) - expected).abs() < 2e-4, "{x}");
        }
    }
}
