//! Compares the models on a GPU with those on the CPU, values and gradients, and times a step of BERT-base by parts.
//!
//!     cargo run --release -p encoder --features cuda --example gpu_check [values]
//!
//! Each line says ‖gpu − cpu‖ / ‖cpu‖ of a model's output and of the worst of its gradients, in f32 and in bf16. The
//! program ends with 1 when one of them is above its bound. With `values` nothing is timed.

#![allow(clippy::print_stdout, reason = "its purpose is to print")]

use std::process::ExitCode;
use std::time::Instant;

use encoder::cuda::{self, Settings};
use encoder::{
    Batch, Config, DType, Device, MaskedLm, NextSentence, PairScorer, Parameters, Pass, Pooling, Result,
    SentenceEncoder, SpanReader, Tensor, TokenTagger, Var,
};

/// Lengths of texts: one token, around the sizes of tiles, and the longest.
const LENGTHS: [usize; 8] = [1, 2, 17, 64, 65, 128, 300, 512];

/// What is put on the encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Head {
    Mlm,
    Next,
    Pair,
    Tagger,
    Reader,
    Mean,
    First,
}

struct Case {
    name: &'static str,
    head: Head,
    config: Config,
    lengths: &'static [usize],
    recompute: bool,
}

fn main() -> Result<ExitCode> {
    let mut failed = false;
    for case in cases() {
        let host = outcome(&case, &Device::Cpu)?;
        for (activations, value_bound, gradient_bound) in
            [(DType::F32, 2e-5, 1e-3), (DType::BF16, 2e-2, 4e-2)]
        {
            let settings = Settings {
                activations,
                recompute: case.recompute,
            };
            let gpu = outcome(&case, &cuda::open(settings)?)?;
            let value = distance(&gpu.value, &host.value)?;
            let (worst, gradient) = worst_gradient(&gpu, &host)?;
            let good = value <= value_bound && gradient <= gradient_bound;
            failed |= !good;
            let verdict = if good { "" } else { "  ABOVE THE BOUND" };
            println!(
                "{:<28} {activations:?}: output {value:.1e}, gradient {gradient:.1e} ({worst}){verdict}",
                case.name
            );
            if !good {
                print_gradients(&gpu, &host, gradient_bound)?;
            }
        }
    }
    if failed {
        return Ok(ExitCode::FAILURE);
    }
    if std::env::args().nth(1).as_deref() == Some("values") {
        return Ok(ExitCode::SUCCESS);
    }
    time_step(128, 256)?;
    time_step(512, 64)?;
    Ok(ExitCode::SUCCESS)
}

fn cases() -> Vec<Case> {
    let sized = |layers, hidden, heads| Config {
        vocab_size: 1003,
        num_hidden_layers: layers,
        hidden_size: hidden,
        num_attention_heads: heads,
        intermediate_size: 2 * hidden,
        ..Config::tiny()
    };
    let case = |name, head, config| Case {
        name,
        head,
        config,
        lengths: &LENGTHS,
        recompute: false,
    };
    let plain = |config: Config| Config {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..config
    };
    let causal = |config: Config| Config {
        is_decoder: true,
        ..config
    };
    let short: &[usize] = &[5, 31, 7];
    vec![
        case("heads of 64, no dropout", Head::Mean, plain(sized(1, 128, 2))),
        case("heads of 32, no dropout", Head::Mean, plain(sized(1, 128, 4))),
        case("heads of 64", Head::Mean, sized(2, 128, 2)),
        case("heads of 32, causal", Head::First, causal(sized(2, 128, 4))),
        Case {
            recompute: true,
            ..case("recomputed, causal", Head::Mean, causal(sized(2, 192, 3)))
        },
        case("width 384, masked LM", Head::Mlm, sized(2, 384, 12)),
        Case {
            lengths: short,
            ..case("width 768, reader", Head::Reader, sized(1, 768, 12))
        },
        Case {
            lengths: short,
            ..case("width 1024, tagger", Head::Tagger, sized(1, 1024, 16))
        },
        case("next sentence", Head::Next, sized(1, 128, 2)),
        case("pair scorer", Head::Pair, sized(1, 128, 4)),
    ]
}

struct Outcome {
    value: Tensor,
    gradients: Vec<(String, Option<Tensor>)>,
}

/// A fixed, uneven number for a place.
fn noise(at: usize) -> f32 {
    ((at.wrapping_mul(2_654_435_761) >> 7) & 1023) as f32 / 512.0 - 1.0
}

fn rows(lengths: &[usize], vocabulary: usize) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    let ids = |(text, &length): (usize, &usize)| {
        (0..length)
            .map(|at| ((at * 37 + text * 101 + at * at) % vocabulary) as u32)
            .collect()
    };
    let types = |&length: &usize| (0..length).map(|at| u32::from(at > length / 2)).collect();
    (
        lengths.iter().enumerate().map(ids).collect(),
        lengths.iter().map(types).collect(),
    )
}

/// Output and gradients of a case on a device. Weights and dropout are the same on all of them.
fn outcome(case: &Case, device: &Device) -> Result<Outcome> {
    let (ids, types) = rows(case.lengths, case.config.vocab_size);
    let batch = Batch::new(&ids, Some(&types), 0, device)?;
    let params = Parameters::fresh(5, device);
    let mut pass = Pass::train(11);
    let (value, vars) = forward(case, &params, &batch, &mut pass)?;
    let weights: Vec<f32> = (0..value.elem_count()).map(noise).collect();
    let weights = Tensor::from_vec(weights, value.shape(), device)?;
    let loss = (&value * weights)?.sum_all()?;
    let store = encoder::backward(&loss)?;
    let host = |x: &Tensor| x.to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let gradients = vars
        .into_iter()
        .map(|(name, var)| Ok((name, store.get(&var).map(host).transpose()?)))
        .collect::<Result<_>>()?;
    Ok(Outcome {
        value: host(&value.detach())?,
        gradients,
    })
}

/// The output, with rows of padding left out, and the variables.
fn forward(
    case: &Case,
    params: &Parameters,
    batch: &Batch,
    pass: &mut Pass,
) -> Result<(Tensor, Vec<(String, Var)>)> {
    let config = &case.config;
    let value = match case.head {
        Head::Mlm => {
            let places = case.lengths.iter().enumerate().flat_map(|(text, &length)| {
                (0..length)
                    .step_by(3)
                    .map(move |at| (text * batch.tokens() + at) as u32)
            });
            let places: Vec<u32> = places.collect();
            let targets: Vec<u32> = places
                .iter()
                .map(|at| at * 7 % config.vocab_size as u32)
                .collect();
            MaskedLm::new(params, config)?.loss(batch, &places, &targets, pass)?
        }
        Head::Next => NextSentence::new(params, config)?.forward(batch, pass)?,
        Head::Pair => PairScorer::new(params, config)?.forward(batch, pass)?,
        Head::Tagger => masked(TokenTagger::new(params, config)?.forward(batch, pass)?, batch)?,
        Head::Reader => masked(SpanReader::new(params, config)?.forward(batch, pass)?, batch)?,
        Head::Mean => {
            SentenceEncoder::fresh(params, config, Pooling::Mean, Some(40), false)?.forward(batch, pass)?
        }
        Head::First => {
            SentenceEncoder::fresh(params, config, Pooling::Cls, None, true)?.forward(batch, pass)?
        }
    };
    Ok((value, params.vars()))
}

fn masked(x: Tensor, batch: &Batch) -> Result<Tensor> {
    Ok(x.broadcast_mul(&batch.mask().unsqueeze(2)?)?)
}

fn distance(found: &Tensor, expected: &Tensor) -> Result<f64> {
    let norm = |x: &Tensor| Ok::<f64, candle_core::Error>(x.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt());
    let difference = norm(&(found - expected)?)?;
    let size = norm(expected)?;
    Ok(if difference == 0.0 { 0.0 } else { difference / size })
}

fn pairs<'a>(gpu: &'a Outcome, host: &'a Outcome) -> impl Iterator<Item = Result<(&'a str, f64)>> {
    gpu.gradients
        .iter()
        .zip(&host.gradients)
        .map(|((name, found), (_, expected))| {
            let distance = match (found, expected) {
                (Some(found), Some(expected)) => distance(found, expected)?,
                (None, None) => 0.0,
                _ => f64::INFINITY,
            };
            Ok((name.as_str(), distance))
        })
}

fn worst_gradient<'a>(gpu: &'a Outcome, host: &'a Outcome) -> Result<(&'a str, f64)> {
    let mut worst = ("none", 0.0);
    for pair in pairs(gpu, host) {
        let (name, distance) = pair?;
        // A number that is none is the worst of all.
        if distance.is_nan() || distance > worst.1 {
            worst = (name, distance);
        }
    }
    Ok(worst)
}

fn print_gradients(gpu: &Outcome, host: &Outcome, bound: f64) -> Result<()> {
    for pair in pairs(gpu, host) {
        let (name, distance) = pair?;
        let mark = if distance <= bound { "" } else { "  <--" };
        println!("    {name:<56} {distance:.1e}{mark}");
    }
    Ok(())
}

/// Times forward and backward passes of BERT-base as a masked language model, and where the time goes.
fn time_step(tokens: usize, texts: usize) -> Result<()> {
    const STEPS: usize = 10;
    let device = cuda::open(Settings::default())?;
    let config = Config::base();
    let params = Parameters::fresh(1, &device);
    let model = MaskedLm::new(&params, &config)?;
    let lengths = vec![tokens; texts];
    let (ids, _) = rows(&lengths, config.vocab_size);
    let places: Vec<u32> = (0..(texts * tokens) as u32).filter(|at| at % 7 == 3).collect();
    let targets: Vec<u32> = places.iter().map(|at| at % 30_000).collect();
    let forward = || {
        let batch = Batch::new(&ids, None, 0, &device)?;
        model.loss(&batch, &places, &targets, &mut Pass::train(3))
    };
    for _ in 0..3 {
        encoder::backward(&forward()?)?;
    }
    cuda::synchronize(&device)?;
    let (mut ahead, mut back) = (0.0, 0.0);
    for _ in 0..STEPS {
        let start = Instant::now();
        let loss = forward()?;
        cuda::synchronize(&device)?;
        ahead += start.elapsed().as_secs_f64();
        let start = Instant::now();
        encoder::backward(&loss)?;
        cuda::synchronize(&device)?;
        back += start.elapsed().as_secs_f64();
    }
    let [ahead, back] = [ahead, back].map(|seconds| 1e3 * seconds / STEPS as f64);
    println!("BERT-base, {texts} texts of {tokens} tokens: forward {ahead:.2} ms, backward {back:.2} ms");
    let shares = cuda::profile(|| encoder::backward(&forward()?).map(drop))?;
    for share in shares.iter().take(20) {
        println!(
            "    {:<32} {:>4} launches {:>8.3} ms",
            share.name,
            share.launches,
            1e3 * share.seconds
        );
    }
    Ok(())
}
