//! Every instruction set against sums in f64.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use proptest::prelude::*;

use crate::*;

/// Numbers that look random, between -1 and 1.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn rows(set: InstructionSet, precision: Precision, width: usize, values: &[f32]) -> Rows {
    let mut rows = Rows::new(precision, width);
    rows.resize(values.len() / width);
    rows.encode(set, 0, values);
    rows
}

fn exact_linear(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
    let product = |row: &[f32], weight: &[f32]| -> f64 {
        row.iter()
            .zip(weight)
            .map(|(&x, &w)| f64::from(x) * f64::from(w))
            .sum()
    };
    x.chunks(inputs)
        .flat_map(|row| {
            weight
                .chunks(inputs)
                .zip(bias)
                .map(move |(weight, &bias)| product(row, weight) + f64::from(bias))
        })
        .collect()
}

fn erf(x: f64) -> f64 {
    // The Taylor series; |x| is below 5 here.
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn exact_activation(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
    }
}

/// What one factor may be off, of values up to 1.
fn step(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-7,
        Precision::Bf16 => 1.0 / 256.0,
        Precision::Int8 => 1.0 / 100.0,
    }
}

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_product_is_the_sum_of_products(
        count in 1usize..20, inputs in 1usize..150, outputs in 1usize..150, seed in any::<u64>(),
    ) {
        let x = numbers(count * inputs, seed);
        let (weight, bias) = (numbers(inputs * outputs, seed ^ 1), numbers(outputs, seed ^ 2));
        let exact = exact_linear(&x, &weight, &bias, inputs);
        for precision in PRECISIONS {
            let linear = Linear::pack(&weight, &bias, inputs, precision);
            // Errors of the factors are independent: they grow with the root of the number of products.
            let bound = 6.0 * step(precision) * (inputs as f64).sqrt() + 1e-5;
            for &set in InstructionSet::available() {
                let coded = rows(set, precision, inputs, &x);
                let mut out = vec![f32::NAN; count * outputs];
                linear.apply(set, &coded, 0..count, None, Target::Floats(&mut out));
                for (at, (&found, &exact)) in out.iter().zip(&exact).enumerate() {
                    let off = (f64::from(found) - exact).abs();
                    prop_assert!(off <= bound, "{set} {precision:?} at {at}: {found} for {exact}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company(
        count in 2usize..40, inputs in 1usize..100, outputs in 1usize..100, seed in any::<u64>(),
    ) {
        let x = numbers(count * inputs, seed);
        let (weight, bias) = (numbers(inputs * outputs, seed ^ 1), numbers(outputs, seed ^ 2));
        for precision in PRECISIONS {
            let linear = Linear::pack(&weight, &bias, inputs, precision);
            for &set in InstructionSet::available() {
                let together = rows(set, precision, inputs, &x);
                let mut all = vec![0.0; count * outputs];
                linear.apply(set, &together, 0..count, Some(Activation::Gelu), Target::Floats(&mut all));
                let at = seed as usize % count;
                let alone = rows(set, precision, inputs, &x[at * inputs..][..inputs]);
                let mut one = vec![0.0; outputs];
                linear.apply(set, &alone, 0..1, Some(Activation::Gelu), Target::Floats(&mut one));
                prop_assert_eq!(&all[at * outputs..][..outputs], &one[..], "{} {:?}", set, precision);
            }
        }
    }

    #[test]
    fn attention_is_softmax_of_scaled_products(
        tokens in 1usize..70, heads in 1usize..4, half in 1usize..36, causal in any::<bool>(), seed in any::<u64>(),
    ) {
        let width = 2 * half;
        let hidden = heads * width;
        let qkv: Vec<f32> = numbers(tokens * 3 * hidden, seed).iter().map(|x| 2.0 * x).collect();
        let exact = exact_attention(&qkv, tokens, heads, width, causal);
        for (precision, bound) in [(Precision::F32, 2e-6), (Precision::Bf16, 0.06)] {
            for &set in InstructionSet::available() {
                let coded = rows(set, precision, 3 * hidden, &qkv);
                let mut out = vec![f32::NAN; tokens * hidden];
                let how = AttentionHeads { count: heads, causal };
                let mut scratch = AttentionScratch::default();
                attention(set, &coded, 0..tokens, how, &mut out, &mut scratch);
                for (&found, &exact) in out.iter().zip(&exact) {
                    prop_assert!((f64::from(found) - exact).abs() <= bound, "{set} {precision:?}: {found} for {exact}");
                }
            }
        }
    }

    #[test]
    fn a_norm_has_mean_zero_and_variance_one_before_weight_and_bias(
        count in 1usize..5, width in 2usize..100, seed in any::<u64>(),
    ) {
        let (x, residual) = (numbers(count * width, seed), numbers(count * width, seed ^ 1));
        let (weight, bias) = (numbers(width, seed ^ 2), numbers(width, seed ^ 3));
        let norm = LayerNorm::new(weight.clone(), bias.clone(), 1e-12);
        for &set in InstructionSet::available() {
            let mut out = x.clone();
            norm.apply(set, &mut out, &residual);
            for row in 0..count {
                let sums: Vec<f64> = (row * width..(row + 1) * width)
                    .map(|at| f64::from(x[at] + residual[at]))
                    .collect();
                let mean = sums.iter().sum::<f64>() / width as f64;
                let variance = sums.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
                prop_assume!(variance > 1e-3);
                for at in 0..width {
                    let exact = (sums[at] - mean) / variance.sqrt() * f64::from(weight[at]) + f64::from(bias[at]);
                    prop_assert!((f64::from(out[row * width + at]) - exact).abs() < 2e-5, "{set}");
                }
            }
        }
    }
}

#[test]
fn attention_holds_where_powers_overflow_or_vanish() {
    // Two units of a query, a key and a value for each token.
    let query = [200.0, 0.0];
    for (keys, expected) in [
        ([[200.0, 1.0], [-200.0, 1.0], [199.0, 1.0]], 0),
        ([[-200.0, 1.0], [-199.0, 1.0], [-198.0, 1.0]], 2),
    ] {
        let values = [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]];
        let qkv: Vec<f32> = (0..3)
            .flat_map(|token| [query, keys[token], values[token]].concat())
            .collect();
        for precision in [Precision::F32, Precision::Bf16] {
            for &set in InstructionSet::available() {
                let coded = rows(set, precision, 6, &qkv);
                let mut out = [f32::NAN; 6];
                let how = AttentionHeads {
                    count: 1,
                    causal: false,
                };
                attention(set, &coded, 0..3, how, &mut out, &mut AttentionScratch::default());
                let exact = [values[expected]; 3].concat();
                let is_near = out
                    .iter()
                    .zip(exact)
                    .all(|(found, exact)| (found / exact - 1.0).abs() < 1e-3);
                assert!(is_near, "{set} {precision:?}: {out:?}");
            }
        }
    }
}

fn exact_attention(qkv: &[f32], tokens: usize, heads: usize, width: usize, causal: bool) -> Vec<f64> {
    let hidden = heads * width;
    let at = |token: usize, which: usize, head: usize, unit: usize| {
        f64::from(qkv[token * 3 * hidden + which * hidden + head * width + unit])
    };
    let mut out = vec![0.0; tokens * hidden];
    for head in 0..heads {
        for token in 0..tokens {
            let seen = if causal { token + 1 } else { tokens };
            let score = |key: usize| -> f64 {
                let product: f64 = (0..width)
                    .map(|u| at(token, 0, head, u) * at(key, 1, head, u))
                    .sum();
                (product / (width as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (0..seen).map(score).collect();
            let sum: f64 = weights.iter().sum();
            for unit in 0..width {
                let mixed: f64 = (0..seen).map(|key| weights[key] * at(key, 2, head, unit)).sum();
                out[token * hidden + head * width + unit] = mixed / sum;
            }
        }
    }
    out
}

#[test]
fn activations_keep_their_bounds() {
    let x: Vec<f32> = (-6000..=6000).map(|at| at as f32 / 1000.0).collect();
    let weight = [1.0];
    for &set in InstructionSet::available() {
        for activation in [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Relu,
            Activation::Tanh,
        ] {
            let linear = Linear::pack(&weight, &[0.0], 1, Precision::F32);
            let mut out = vec![0.0; x.len()];
            let coded = rows(set, Precision::F32, 1, &x);
            linear.apply(
                set,
                &coded,
                0..x.len(),
                Some(activation),
                Target::Floats(&mut out),
            );
            for (&x, &found) in x.iter().zip(&out) {
                let exact = exact_activation(f64::from(x), activation);
                let bound = 3e-7 * (1.0 + f64::from(x).abs());
                assert!(
                    (f64::from(found) - exact).abs() <= bound,
                    "{set} {activation:?} of {x}: {found} for {exact}"
                );
            }
        }
        // Values that bf16 holds exactly, so that only the function errs.
        let linear = Linear::pack(&weight, &[0.0], 1, Precision::Bf16);
        let coarse: Vec<f32> = (-160..=160).map(|at| at as f32 / 32.0).collect();
        let mut out = vec![0.0; coarse.len()];
        let coded = rows(set, Precision::Bf16, 1, &coarse);
        linear.apply(
            set,
            &coded,
            0..coarse.len(),
            Some(Activation::Gelu),
            Target::Floats(&mut out),
        );
        for (&x, &found) in coarse.iter().zip(&out) {
            let exact = exact_activation(f64::from(x), Activation::Gelu);
            assert!(
                (f64::from(found) - exact).abs() <= 2e-4,
                "{set} {x}: {found} for {exact}"
            );
        }
    }
}

#[test]
fn zeros_and_constants_survive_eight_bits() {
    for &set in InstructionSet::available() {
        let linear = Linear::pack(&[0.0, 0.0, 2.0, 2.0], &[1.0, 0.5], 2, Precision::Int8);
        let coded = rows(set, Precision::Int8, 2, &[0.0, 0.0, 3.0, 3.0, -1.0, -1.0]);
        let mut out = [0.0; 6];
        linear.apply(set, &coded, 0..3, None, Target::Floats(&mut out));
        for (found, exact) in out.iter().zip([1.0, 0.5, 1.0, 12.5, 1.0, -3.5]) {
            assert!((found - exact).abs() < 1e-4, "{set}: {found} for {exact}");
        }
    }
}
