//! Loss curves of PyTorch, followed step by step: the same weights, batches, optimizer and schedule.
//!
//! `tests/reference/train_curves.py` writes the golden files. Its arithmetic is f64, ours f32: the limit of 1e-4 is
//! what roundings may grow to in 200 steps.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stderr, reason = "tells how close the curves are")]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use encoder::{
    Batch, Config, MaskedLm, ModelFiles, PairScorer, Parameters, Pass, Pooling, SentenceEncoder, SpanReader,
    StoredWeights,
};
use serde::Deserialize;
use trainer::optimizer::{self, AdamW};
use trainer::schedule::{Decay, Schedule};
use trainer::{Result, loss};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/curves");

#[derive(Deserialize)]
struct Golden {
    settings: Settings,
    batches: Vec<Texts>,
    losses: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Settings {
    steps: u64,
    warmup: f64,
    scale: f64,
    #[serde(flatten)]
    optimizer: BTreeMap<String, f64>,
}

/// Texts and what each task asks about them.
#[derive(Deserialize)]
struct Texts {
    rows: Vec<Vec<u32>>,
    types: Vec<Vec<u32>>,
    places: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    labels: Vec<u32>,
    starts: Vec<u32>,
    ends: Vec<u32>,
    others: Vec<Vec<u32>>,
}

impl Texts {
    fn batch(&self) -> Batch {
        Batch::new(&self.rows, Some(&self.types), 0, &Device::Cpu).unwrap()
    }
}

impl Settings {
    fn optimizer(&self) -> optimizer::Settings {
        let value = |name: &str| self.optimizer[name];
        optimizer::Settings {
            learning_rate: value("learning_rate"),
            beta1: value("beta1"),
            beta2: value("beta2"),
            epsilon: value("epsilon"),
            weight_decay: value("weight_decay"),
            clip_norm: value("clip_norm"),
            ..optimizer::Settings::default()
        }
    }
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(format!("{GOLDEN}/run.json")).unwrap()).unwrap()
}

fn parameters() -> (Config, Parameters) {
    let files = ModelFiles::folder(GOLDEN).unwrap();
    let weights = StoredWeights::open(&files, "model.safetensors").unwrap();
    (
        Config::open(&files).unwrap(),
        Parameters::stored(weights, &Device::Cpu),
    )
}

fn ids(values: &[u32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// Trains for all steps of the golden run and compares the loss before each with that of `name`.
fn follow(name: &str, vars: Vec<(String, Var)>, loss_of: impl Fn(&Texts) -> Result<Tensor>) {
    let Golden {
        settings,
        batches,
        losses,
    } = golden();
    let adam = AdamW::new(vars, settings.optimizer()).unwrap();
    let schedule = Schedule {
        steps: settings.steps,
        warmup: settings.warmup,
        decay: Decay::Linear,
        ..Schedule::default()
    };
    let expected = &losses[name];
    assert_eq!(expected.len() as u64, settings.steps);
    let mut worst = 0f64;
    for (step, expected) in expected.iter().enumerate() {
        let loss = loss_of(&batches[step % batches.len()]).unwrap();
        let found = f64::from(loss.to_scalar::<f32>().unwrap());
        let error = (found - expected).abs() / expected;
        assert!(error <= 1e-4, "{name}, step {step}: {found}, PyTorch {expected}");
        worst = worst.max(error);
        let gradients = adam.gradients(&mut loss.backward().unwrap()).unwrap();
        let rate = settings.optimizer().learning_rate * schedule.factor(schedule.progress(step as u64, 0.0));
        adam.step(&gradients, step as u64 + 1, rate).unwrap();
    }
    let (first, last) = (expected[0], expected[expected.len() - 1]);
    assert!(
        last < 0.9 * first,
        "{name}: a curve that does not fall, {first} to {last}"
    );
    eprintln!("{name}: {first:.4} to {last:.4}, largest relative difference {worst:.1e}");
}

#[test]
fn masked_language_model() {
    let (config, params) = parameters();
    let model = MaskedLm::new(&params, &config).unwrap();
    follow("mlm", model.vars(), |texts| {
        let batch = texts.batch();
        let mut pass = Pass::train(0);
        let hidden = model.bert.forward(&batch, &mut pass)?.flatten(0, 1)?;
        let rows = texts.places.iter().enumerate();
        let places = rows.flat_map(|(row, places)| {
            let first = (row * batch.tokens()) as u32;
            places.iter().map(move |place| first + place)
        });
        let places = ids(&places.collect::<Vec<_>>());
        let logits = model.head.forward(&hidden.index_select(&places, 0)?, &pass)?;
        loss::cross_entropy(&logits, &ids(&texts.targets.concat()))
    });
}

#[test]
fn classifier() {
    let (config, params) = parameters();
    let model = PairScorer::new(&params, &config).unwrap();
    follow("classify", model.vars(), |texts| {
        let logits = model.forward(&texts.batch(), &mut Pass::train(0))?;
        loss::cross_entropy(&logits, &ids(&texts.labels))
    });
}

#[test]
fn reader() {
    let (config, params) = parameters();
    let model = SpanReader::new(&params, &config).unwrap();
    follow("reader", model.vars(), |texts| {
        let batch = texts.batch();
        let logits = model.forward(&batch, &mut Pass::train(0))?;
        let absent = batch.mask().to_dtype(DType::F32)?.affine(1e9, -1e9)?;
        let part = |at: usize, targets: &[u32]| {
            let logits = logits.narrow(2, at, 1)?.squeeze(2)?;
            loss::cross_entropy(&(logits + &absent)?, &ids(targets))
        };
        Ok(((part(0, &texts.starts)? + part(1, &texts.ends)?)? * 0.5)?)
    });
}

#[test]
fn in_batch_negatives() {
    let (config, params) = parameters();
    let model = SentenceEncoder::fresh(&params, &config, Pooling::Mean, None, true).unwrap();
    let scale = golden().settings.scale;
    follow("pairs", model.vars(), |texts| {
        let mut pass = Pass::train(0);
        let mut embed =
            |rows: &[Vec<u32>]| model.forward(&Batch::new(rows, None, 0, &Device::Cpu)?, &mut pass);
        let similarities = embed(&texts.rows)?.matmul(&embed(&texts.others)?.t()?)?;
        let owner: Vec<u32> = (0..texts.rows.len() as u32).collect();
        loss::contrastive(&similarities, &ids(&owner), scale)
    });
}
