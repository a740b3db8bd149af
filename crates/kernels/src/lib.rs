//! CPU arithmetic on slices of `f32`.
//!
//! [`scalar`] says what each result is, bit for bit, including the order of its sums. The `lanes` module
//! computes the same in a form that compilers turn into vector instructions, and `arch` compiles that form for
//! the instruction sets a machine may have; which one runs is asked once. All of them give the same bits: the
//! order of the sums is fixed, and products are rounded before they are added (no fused multiply-add), so a
//! score does not depend on the machine that computed it.
//!
//! This is the only library of the workspace that contains unsafe code besides memory maps.

mod arch;
mod lanes;
mod normalize;
pub mod scalar;

use std::sync::LazyLock;

pub use normalize::normalize;

type Dot = fn(&[f32], &[f32]) -> f32;

static DOT: LazyLock<Dot> = LazyLock::new(|| arch::dots().pop().map_or(lanes::dot as Dot, |(_, dot)| dot));

/// The inner product of two slices of one length, as [`scalar::dot`] defines it; 0 for empty slices.
///
/// The result is never `-0.0`. It is not a number when a product or a sum on the way is not one.
///
/// # Panics
/// When the lengths differ: that is a mistake of the caller, who knows both.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(
        a.len(),
        b.len(),
        "an inner product takes two slices of one length"
    );
    DOT(a, b)
}

/// Asks the processor to bring a slice close, because it will be read soon. Changes nothing else.
#[inline]
pub fn prefetch(values: &[f32]) {
    arch::prefetch(values);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forms() -> Vec<(&'static str, Dot)> {
        let mut forms = vec![("lanes", lanes::dot as Dot), ("chosen", dot as Dot)];
        forms.extend(arch::dots());
        forms
    }

    /// Pairs of every length up to a few blocks, with values of very different size.
    fn pairs() -> impl Strategy<Value = Vec<(f32, f32)>> {
        let value = prop_oneof![
            4 => -1.0_f32..1.0,
            1 => -1e18_f32..1e18,
            1 => -1e-22_f32..1e-22,
            1 => Just(0.0_f32),
            1 => Just(-0.0_f32),
        ];
        proptest::collection::vec((value.clone(), value), 0..(4 * scalar::LANES + 3))
    }

    proptest! {
        #[test]
        fn every_form_gives_the_bits_of_the_scalar_one(pairs in pairs()) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let expected = scalar::dot(&a, &b);
            prop_assert!(expected != 0.0 || expected.is_sign_positive());
            for (name, form) in forms() {
                prop_assert_eq!(form(&a, &b).to_bits(), expected.to_bits(), "{} at length {}", name, a.len());
            }
        }

        #[test]
        fn the_scalar_form_is_near_the_exact_sum(
            pairs in proptest::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..400)
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let exact: f64 = pairs.iter().map(|&(x, y)| f64::from(x) * f64::from(y)).sum();
            let size: f64 = pairs.iter().map(|&(x, y)| f64::from((x * y).abs())).sum();
            prop_assert!((f64::from(scalar::dot(&a, &b)) - exact).abs() <= 1e-6 * size + 1e-12);
        }
    }

    #[test]
    #[should_panic(expected = "one length")]
    fn different_lengths_are_a_mistake() {
        dot(&[1.0], &[1.0, 2.0]);
    }
}
