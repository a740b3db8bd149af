//! The fused f32 operations against the plain composition in f64: values and gradients, operation by operation
//! and in whole models.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::gradients::{loss, ragged, small};
use crate::ops::{self, Heads, Rows, plain};
use crate::pass::{Dropout, mix64};
use crate::{Activation, Batch, Config, MaskedLm, Parameters, Pass, Pooling, Result, SentenceEncoder};

/// Numbers between -2 and 2 that depend on the seed alone.
fn numbers(seed: u64, shape: &[usize]) -> Var {
    let values = (0..shape.iter().product::<usize>() as u64).map(|at| {
        let bits = mix64(seed ^ mix64(at)) >> 40;
        (bits as f64 / f64::from(1 << 22) - 2.0) as f32
    });
    Var::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

fn widen(vars: &[Var]) -> Vec<Var> {
    let wide = |var: &Var| Var::from_tensor(&var.as_detached_tensor().to_dtype(DType::F64).unwrap()).unwrap();
    vars.iter().map(wide).collect()
}

/// Largest difference, relative to the largest value of the second where that is above one.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let a = a
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    let b = b
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    let largest = b.iter().fold(1f64, |m, b| m.max(b.abs()));
    let pairs = a.iter().zip(&b).map(|(a, b)| {
        if a.is_finite() {
            (a - b).abs() / largest
        } else {
            f64::MAX
        }
    });
    pairs.fold(0.0, f64::max)
}

/// Values and gradients of `fused` (f32) against `plain` (f64). The limit is about a hundred roundings of f32.
fn agree(vars: &[Var], fused: impl Fn(&[Var]) -> Result<Tensor>, plain: impl Fn(&[Var]) -> Result<Tensor>) {
    let wide = widen(vars);
    let (out, expected) = (fused(vars).unwrap(), plain(&wide).unwrap());
    assert!(
        difference(&out, &expected) < 1e-5,
        "values differ by {}",
        difference(&out, &expected)
    );
    let grads = loss(&out).unwrap().backward().unwrap();
    let expected = loss(&expected).unwrap().backward().unwrap();
    for (at, (var, wide)) in vars.iter().zip(&wide).enumerate() {
        let (grad, expected) = (grads.get(var).unwrap(), expected.get(wide).unwrap());
        let error = difference(grad, expected);
        assert!(error < 1e-5, "gradient of argument {at} differs by {error}");
    }
}

const DROP: Dropout = Dropout { p: 0.3, seed: 99 };

#[test]
fn dense_layers() {
    for (rows, input, out) in [(1, 1, 1), (3, 5, 7), (130, 33, 17)] {
        let vars = [
            numbers(1, &[rows, input]),
            numbers(2, &[out, input]),
            numbers(3, &[out]),
        ];
        agree(
            &vars,
            |v| ops::linear(&v[0], &v[1], &v[2]),
            |v| plain::linear(&v[0], &v[1], &v[2]),
        );
        for act in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            let plain = |v: &[Var]| plain::activate(&plain::linear(&v[0], &v[1], &v[2])?, act);
            agree(&vars, |v| ops::linear_activated(&v[0], &v[1], &v[2], act), plain);
            let still: Vec<Tensor> = vars.iter().map(Var::as_detached_tensor).collect();
            let inferred = ops::linear_activated(&still[0], &still[1], &still[2], act).unwrap();
            let trained = ops::linear_activated(&vars[0], &vars[1], &vars[2], act).unwrap();
            assert_eq!(difference(&inferred, &trained), 0.0);
        }
    }
}

#[test]
fn cross_entropy() {
    for (rows, classes) in [(1, 1), (3, 5), (40, 33)] {
        let targets = (0..rows as u32).map(|row| row * 7 % classes as u32);
        let targets = Tensor::from_iter(targets, &Device::Cpu).unwrap();
        let logits = numbers(1, &[rows, classes]);
        agree(
            std::slice::from_ref(&logits),
            |v| ops::cross_entropy(&v[0], &targets),
            |v| plain::cross_entropy(&v[0], &targets),
        );
        let vars = [
            numbers(2, &[rows, 6]),
            numbers(3, &[classes, 6]),
            numbers(4, &[classes]),
        ];
        agree(
            &vars,
            |v| ops::decode_loss(&v[0], &v[1], &v[2], &targets),
            |v| plain::cross_entropy(&plain::linear(&v[0], &v[1], &v[2])?, &targets),
        );
    }
}

#[test]
fn cross_entropy_of_extreme_logits_and_wrong_targets() {
    let logits = Tensor::new(&[[1e30f32, 0.0], [-1e30, 1e30]], &Device::Cpu).unwrap();
    let loss = |targets: &[u32]| {
        let targets = Tensor::new(targets, &Device::Cpu).unwrap();
        Ok::<_, crate::Error>(ops::cross_entropy(&logits, &targets)?.to_scalar::<f32>()?)
    };
    assert_eq!(loss(&[0, 1]).unwrap(), 0.0);
    assert_eq!(loss(&[1, 1]).unwrap(), 5e29);
    let error = |targets: &[u32]| loss(targets).unwrap_err().to_string();
    assert!(
        error(&[0, 2]).contains("target 2 among 2 classes"),
        "{}",
        error(&[0, 2])
    );
    assert!(error(&[0]).contains("1 targets for 2 rows"), "{}", error(&[0]));
    let broken = Tensor::new(&[[f32::NAN, 0.0]], &Device::Cpu).unwrap();
    let targets = Tensor::new(&[1u32], &Device::Cpu).unwrap();
    assert!(
        ops::cross_entropy(&broken, &targets)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
            .is_nan()
    );
}

#[test]
fn layer_norm() {
    for (rows, width) in [(1, 2), (3, 17), (70, 48)] {
        let vars = [
            numbers(1, &[rows, width]),
            numbers(2, &[width]),
            numbers(3, &[width]),
        ];
        agree(
            &vars,
            |v| ops::norm(&v[0], &v[1], &v[2], 1e-5),
            |v| plain::norm(&v[0], &v[1], &v[2], 1e-5),
        );
        let vars = [
            numbers(4, &[rows, width]),
            vars[0].clone(),
            vars[1].clone(),
            vars[2].clone(),
        ];
        for dropout in [None, Some(DROP)] {
            agree(
                &vars,
                |v| ops::residual_norm(&v[0], &v[1], (&v[2], &v[3]), 1e-5, dropout),
                |v| plain::residual_norm(&v[0], &v[1], (&v[2], &v[3]), 1e-5, dropout),
            );
        }
    }
}

#[test]
fn layer_norm_of_equal_values_is_the_bias() {
    let (x, weight, bias) = (numbers(1, &[2, 5]), numbers(2, &[5]), numbers(3, &[5]));
    let x = (x.zeros_like().unwrap() + 4.0).unwrap();
    let out = ops::norm(&x, &weight, &bias, 1e-12).unwrap();
    assert!(difference(&out, &bias.broadcast_as((2, 5)).unwrap()) < 1e-6);
}

#[test]
fn dropout_drops_its_share() {
    let x = numbers(1, &[50, 1000]);
    agree(
        std::slice::from_ref(&x),
        |v| ops::dropout(&v[0], Some(DROP)),
        |v| plain::dropout(&v[0], Some(DROP)),
    );
    let ones = x.ones_like().unwrap();
    let dropped = ops::dropout(&ones, Some(DROP))
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    let zeros = dropped.iter().filter(|&&value| value == 0.0).count() as f64;
    // Six standard deviations of 50,000 draws.
    assert!(
        (zeros / 50_000.0 - 0.3).abs() < 6.0 * (0.21f64 / 50_000.0).sqrt(),
        "{zeros}"
    );
    assert!(
        dropped
            .iter()
            .all(|&value| value == 0.0 || (value - 1.0 / 0.7).abs() < 1e-6)
    );
    let other = Dropout { seed: 100, ..DROP };
    let other = ops::dropout(&ones, Some(other))
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    let both = dropped
        .iter()
        .zip(&other)
        .filter(|(a, b)| **a == 0.0 && **b == 0.0)
        .count() as f64;
    assert!(
        (both / 50_000.0 - 0.09).abs() < 6.0 * (0.0819f64 / 50_000.0).sqrt(),
        "{both}"
    );
}

/// Attention of packed texts, laid out with padding so that it can be compared.
fn packed_attention(v: &Tensor, lengths: &[usize], heads: Heads, dropout: Option<Dropout>) -> Result<Tensor> {
    let lengths: Arc<[usize]> = lengths.into();
    let out = ops::attention(v, &Rows::Packed(lengths.clone()), heads, dropout)?;
    ops::unpack(&out, &lengths, lengths.iter().copied().max().unwrap_or(0))
}

fn padded_attention(v: &Tensor, lengths: &[usize], heads: Heads, dropout: Option<Dropout>) -> Result<Tensor> {
    let tokens = lengths.iter().copied().max().unwrap_or(0);
    let width = v.dim(1)?;
    let mut texts = Vec::new();
    let mut start = 0;
    for &length in lengths {
        let text = v.narrow(0, start, length)?;
        texts.push(text.pad_with_zeros(0, 0, tokens - length)?);
        start += length;
    }
    let mask = lengths
        .iter()
        .flat_map(|&n| (0..tokens).map(move |at| if at < n { 1f32 } else { 0.0 }));
    let mask = Tensor::from_vec(mask.collect::<Vec<_>>(), (lengths.len(), tokens), &Device::Cpu)?;
    let out = plain::attention(&Tensor::cat(&texts, 0)?, &mask, heads, dropout)?;
    Ok(out
        .broadcast_mul(&mask.reshape(((), 1))?.to_dtype(v.dtype())?)?
        .reshape(((), width / 3))?)
}

#[test]
fn attention() {
    for causal in [false, true] {
        for (lengths, count, size) in [
            (vec![1], 1, 1),
            (vec![5, 2, 7], 3, 4),
            (vec![33, 16, 1, 40], 2, 32),
            (vec![9, 9], 2, 20),
        ] {
            let heads = Heads { count, causal };
            let rows: usize = lengths.iter().sum();
            let qkv = numbers(5, &[rows, 3 * count * size]);
            let vars = std::slice::from_ref(&qkv);
            let fused = |v: &[Var]| packed_attention(&v[0], &lengths, heads, None);
            agree(vars, fused, |v| padded_attention(&v[0], &lengths, heads, None));
        }
        let (lengths, heads) = ([19, 19, 19], Heads { count: 2, causal });
        let qkv = numbers(6, &[57, 48]);
        let fused = |v: &[Var]| packed_attention(&v[0], &lengths, heads, Some(DROP));
        agree(std::slice::from_ref(&qkv), fused, |v| {
            padded_attention(&v[0], &lengths, heads, Some(DROP))
        });
    }
}

#[test]
fn attention_survives_extreme_scores() {
    let qkv = (numbers(7, &[20, 48]).as_tensor() * 1e4).unwrap();
    let heads = Heads {
        count: 2,
        causal: false,
    };
    let (fused, plain) = (
        packed_attention(&qkv, &[20], heads, None),
        padded_attention(&qkv, &[20], heads, None),
    );
    assert!(difference(&fused.unwrap(), &plain.unwrap()) < 1e-5);
}

#[test]
fn a_row_without_tokens_is_finite_in_every_number_type() {
    let mask = Tensor::zeros((1, 6), DType::F32, &Device::Cpu).unwrap();
    for dtype in [DType::F64, DType::F32, DType::F16] {
        for causal in [false, true] {
            let qkv = (numbers(8, &[6, 24]).as_tensor() * 40.0)
                .unwrap()
                .to_dtype(dtype)
                .unwrap();
            let out = plain::attention(&qkv, &mask, Heads { count: 2, causal }, None).unwrap();
            let out = out
                .to_dtype(DType::F64)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f64>()
                .unwrap();
            assert!(out.iter().all(|value| value.is_finite()), "{dtype:?}");
        }
    }
}

/// Compares gradients of all variables of two models that differ in number type alone.
fn models_agree(narrow: (&Parameters, Tensor), wide: (&Parameters, Tensor)) {
    assert!(
        difference(&narrow.1, &wide.1) < 1e-5,
        "outputs differ by {}",
        difference(&narrow.1, &wide.1)
    );
    let grads = loss(&narrow.1).unwrap().backward().unwrap();
    let expected = loss(&wide.1).unwrap().backward().unwrap();
    for ((name, var), (_, wide)) in narrow.0.vars().iter().zip(wide.0.vars()) {
        let error = difference(grads.get(var).unwrap(), expected.get(&wide).unwrap());
        assert!(error < 2e-5, "gradient of {name} differs by {error}");
    }
}

#[test]
fn whole_models() {
    let level = vec![(0..9).collect(), (9..18).collect(), (14..23).collect()];
    let level = Batch::new(&level, None, 0, &Device::Cpu).unwrap();
    for (config, batch, pass) in [
        (
            Config {
                hidden_dropout_prob: 0.0,
                attention_probs_dropout_prob: 0.0,
                ..small()
            },
            ragged(),
            1,
        ),
        (
            Config {
                is_decoder: true,
                ..small()
            },
            level,
            2,
        ),
    ] {
        let masked = |dtype| {
            let params = Parameters::fresh_as(5, &Device::Cpu, dtype);
            let model = MaskedLm::new(&params, &config).unwrap();
            let mask = batch.mask().unsqueeze(2).unwrap().to_dtype(dtype).unwrap();
            let hidden = model
                .bert
                .forward(&batch, &mut Pass::train(pass))
                .unwrap()
                .broadcast_mul(&mask)
                .unwrap();
            let out = model
                .head
                .forward(&hidden.reshape(((), 12)).unwrap(), &Pass::train(pass))
                .unwrap();
            (params, out)
        };
        let (narrow, wide) = (masked(DType::F32), masked(DType::F64));
        models_agree((&narrow.0, narrow.1), (&wide.0, wide.1));
        for pooling in [Pooling::Cls, Pooling::Mean, Pooling::Max] {
            let sentence = |dtype| {
                let params = Parameters::fresh_as(5, &Device::Cpu, dtype);
                let model = SentenceEncoder::fresh(&params, &config, pooling, Some(5), true).unwrap();
                (params, model.forward(&batch, &mut Pass::train(pass)).unwrap())
            };
            let (narrow, wide) = (sentence(DType::F32), sentence(DType::F64));
            models_agree((&narrow.0, narrow.1), (&wide.0, wide.1));
        }
    }
}

#[test]
fn a_text_has_the_same_vector_alone_and_in_a_batch() {
    let params = Parameters::fresh(5, &Device::Cpu);
    let model = SentenceEncoder::fresh(&params, &small(), Pooling::Mean, None, true).unwrap();
    let rows = [vec![1, 2, 3, 4, 5], vec![6], vec![7, 8, 9, 10, 11, 12, 13, 14]];
    let vectors = |rows: &[Vec<u32>]| {
        let batch = Batch::new(rows, None, 0, &Device::Cpu).unwrap();
        model.forward(&batch, &mut Pass::infer()).unwrap()
    };
    let together = vectors(&rows);
    for (at, row) in rows.iter().enumerate() {
        let alone = vectors(std::slice::from_ref(row));
        assert!(difference(&together.narrow(0, at, 1).unwrap(), &alone) < 1e-6);
    }
}
