//! Inner products.

use crate::*;
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
