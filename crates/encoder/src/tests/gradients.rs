//! Every variable of every head gets a finite, non-zero gradient that agrees with central differences.

use candle_core::{DType, Device, Tensor, Var};

use crate::{
    Batch, Bert, Config, MaskedLm, MlmHead, NextSentence, PairScorer, Parameters, Pass, Pooling, PreTraining,
    Result, SentenceEncoder, SpanReader, TokenTagger,
};

/// Small, with sizes that differ from each other so that a transposed use shows.
pub(super) fn small() -> Config {
    Config {
        vocab_size: 23,
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 20,
        max_position_embeddings: 9,
        initializer_range: 0.4,
        layer_norm_eps: 1e-6,
        ..Config::tiny()
    }
}

/// Ragged texts that use every token, position and segment id.
pub(super) fn ragged() -> Batch {
    let rows = vec![
        (0..9).collect(),
        vec![9, 10, 11, 12],
        (13..20).collect(),
        vec![20, 21, 22],
    ];
    let types: Vec<Vec<u32>> = rows
        .iter()
        .map(|row: &Vec<u32>| row.iter().map(|id| id % 2).collect())
        .collect();
    Batch::new(&rows, Some(&types), 0, &Device::Cpu).unwrap()
}

/// A loss that weighs every output differently.
pub(super) fn loss(out: &Tensor) -> Result<Tensor> {
    let weights: Vec<f64> = (0..out.elem_count()).map(|at| (at as f64 * 0.7).sin()).collect();
    let weights = Tensor::from_vec(weights, out.dims(), &Device::Cpu)?.to_dtype(out.dtype())?;
    Ok((out * weights)?.sum_all()?)
}

/// Compares the gradient of each variable with central differences in f64. The differences have an error of about
/// step² + 1e-16 / step, so 1e-6 of the largest gradient is ample for a step of 1e-5.
pub(super) fn check(vars: &[(String, Var)], forward: impl Fn() -> Result<Tensor>) {
    let step = 1e-5;
    let grads = forward().unwrap().backward().unwrap();
    for (name, var) in vars {
        let grad = grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let grad = grad.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let largest = grad.iter().fold(0f64, |a, g| a.max(g.abs()));
        assert!(
            grad.iter().all(|g| g.is_finite()) && largest > 0.0,
            "{name}: gradient {grad:?}"
        );
        let values = var.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for at in (0..values.len()).step_by(values.len().div_ceil(6)) {
            let shifted = |by: f64| {
                let mut values = values.clone();
                values[at] += by;
                var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap())
                    .unwrap();
                forward().unwrap().to_scalar::<f64>().unwrap()
            };
            let expected = (shifted(step) - shifted(-step)) / (2.0 * step);
            shifted(0.0);
            let error = (grad[at] - expected).abs();
            assert!(
                error <= 1e-6 * largest.max(1.0),
                "{name}[{at}]: {} against {expected}",
                grad[at]
            );
        }
    }
}

fn params() -> Parameters {
    Parameters::fresh_as(7, &Device::Cpu, DType::F64)
}

#[test]
fn masked_language_model() {
    for is_decoder in [false, true] {
        let config = Config {
            is_decoder,
            ..small()
        };
        let params = params();
        let bert = Bert::new(&params, "bert", &config).unwrap();
        let head = MlmHead::new(&params, &bert).unwrap();
        let batch = ragged();
        let mask = batch.mask().to_dtype(DType::F64).unwrap().unsqueeze(2).unwrap();
        check(&params.vars(), || {
            let hidden = bert.forward(&batch, &mut Pass::train(3))?.broadcast_mul(&mask)?;
            loss(&head.forward(&hidden.reshape(((), 12))?, &Pass::train(3))?)
        });
    }
}

#[test]
fn sentence_encoder() {
    for pooling in [Pooling::Cls, Pooling::Mean, Pooling::Max] {
        let model = SentenceEncoder::fresh(&params(), &small(), pooling, Some(5), true).unwrap();
        let batch = ragged();
        // With the first token alone, the last layer's other positions still count through attention.
        check(&model.vars(), || {
            loss(&model.forward(&batch, &mut Pass::train(3))?)
        });
    }
}

#[test]
fn heads_of_texts_and_tokens() {
    let batch = ragged();
    let config = small();
    type Forward = fn(&Parameters, &Config, &Batch) -> Result<Tensor>;
    let models: [Forward; 4] = [
        |params, config, batch| NextSentence::new(params, config)?.forward(batch, &mut Pass::train(3)),
        |params, config, batch| PairScorer::new(params, config)?.forward(batch, &mut Pass::train(3)),
        |params, config, batch| TokenTagger::new(params, config)?.forward(batch, &mut Pass::train(3)),
        |params, config, batch| SpanReader::new(params, config)?.forward(batch, &mut Pass::train(3)),
    ];
    for forward in models {
        let params = params();
        forward(&params, &config, &batch).unwrap();
        check(&params.vars(), || {
            let out = forward(&params, &config, &batch)?;
            if out.rank() == 2 {
                return loss(&out);
            }
            loss(&out.broadcast_mul(&batch.mask().to_dtype(DType::F64)?.unsqueeze(2)?)?)
        });
    }
}

#[test]
fn the_loss_of_a_masked_model_is_that_of_its_logits() {
    let batch = ragged();
    let model = MaskedLm::new(&Parameters::fresh(4, &Device::Cpu), &small()).unwrap();
    // The second text has four tokens of nine.
    let (places, targets) = ([1u32, 8, 9, 12, 24], [3u32, 0, 22, 7, 7]);
    let loss = model.loss(&batch, &places, &targets, &mut Pass::infer()).unwrap();
    let logits = model.forward(&batch, &mut Pass::infer()).unwrap();
    let logits = logits.flatten(0, 1).unwrap();
    let rows = logits
        .index_select(&Tensor::new(&places, &Device::Cpu).unwrap(), 0)
        .unwrap();
    let expected = crate::ops::cross_entropy(&rows, &Tensor::new(&targets, &Device::Cpu).unwrap()).unwrap();
    let [loss, expected] = [loss, expected].map(|x| x.to_scalar::<f32>().unwrap());
    assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
    let padding = model.loss(&batch, &[13], &[0], &mut Pass::infer()).unwrap_err();
    assert!(padding.to_string().contains("place 13"), "{padding}");
}

/// Places in the first, the second and the last text, not in order.
const PLACES: [u32; 4] = [8, 29, 9, 0];

#[test]
fn both_heads_of_pre_training() {
    let (params, batch) = (params(), ragged());
    let model = PreTraining::new(&params, &small()).unwrap();
    check(&params.vars(), || {
        let (blanks, pairs) = model.logits_at(&batch, &PLACES, &mut Pass::train(3))?;
        Ok((loss(&blanks)? + loss(&pairs)?)?)
    });
}

#[test]
fn places_are_those_of_the_whole_output() {
    let (batch, config) = (ragged(), small());
    // With and without padding between the texts; fresh weights of the same name are the same.
    for dtype in [DType::F64, DType::F32] {
        let params = Parameters::fresh_as(7, &Device::Cpu, dtype);
        let numbers = |x: &Tensor| x.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        let pass = &mut Pass::infer();
        let whole = MaskedLm::new(&params, &config).unwrap();
        let rows: Vec<Vec<f64>> = whole
            .forward(&batch, pass)
            .unwrap()
            .to_dtype(DType::F64)
            .and_then(|all| all.to_vec3::<f64>())
            .unwrap()
            .concat();
        let pairs = NextSentence::new(&params, &config).unwrap();
        let pairs = numbers(&pairs.forward(&batch, pass).unwrap());
        let both = PreTraining::new(&params, &config).unwrap();
        let (blanks, related) = both.logits_at(&batch, &PLACES, pass).unwrap();
        let alone = whole.logits_at(&batch, &PLACES, pass).unwrap();
        let apart = |one: &[Vec<f64>], other: &[Vec<f64>]| {
            let pairs = one.iter().flatten().zip(other.iter().flatten());
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let expected = PLACES.map(|place| rows[place as usize].clone());
        assert!(apart(&numbers(&blanks), &expected) < 1e-5);
        assert!(apart(&numbers(&alone), &expected) < 1e-5);
        assert!(apart(&numbers(&related), &pairs) < 1e-5);
        if dtype == DType::F32 {
            assert!(
                whole.logits_at(&batch, &[13], pass).is_err(),
                "padding is no place"
            );
        }
    }
}
