//! Hidden states, logits and vectors against those of PyTorch (`tests/reference/encoder_golden.py`), in a ragged
//! batch and text by text. The limit of 1e-5 is about a hundred roundings of f32 at the size of these values.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use crate::{
    Batch, MaskedLm, ModelFiles, NextSentence, PairScorer, Pass, PreTraining, Result, SentenceEncoder,
    SpanReader, TokenTagger,
};

const LIMIT: f32 = 1e-5;

#[derive(Deserialize)]
struct Inputs {
    rows: Vec<Vec<u32>>,
    types: Vec<Vec<u32>>,
}

/// A model folder with its inputs and expected outputs.
struct Case {
    files: ModelFiles,
    inputs: Inputs,
    expected: HashMap<String, Tensor>,
}

fn case(name: &str) -> Case {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let files = ModelFiles::folder(&folder).unwrap();
    let inputs = serde_json::from_slice(&files.read("inputs.json").unwrap()).unwrap();
    let expected = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
    Case {
        files,
        inputs,
        expected,
    }
}

fn batch(rows: &[Vec<u32>], types: &[Vec<u32>]) -> Batch {
    Batch::new(rows, Some(types), 0, &Device::Cpu).unwrap()
}

/// Largest difference in the part of `out` that the text of this length fills; both (tokens, ...) or (...).
fn difference(out: &Tensor, expected: &Tensor, length: Option<usize>) -> f32 {
    let part = |x: &Tensor| length.map_or_else(|| x.clone(), |length| x.narrow(0, 0, length).unwrap());
    let (out, expected) = (part(out), part(expected));
    let difference = (out - expected)
        .unwrap()
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    difference
        .into_iter()
        .fold(0.0, |a, b| if b.is_nan() { f32::INFINITY } else { a.max(b) })
}

impl Case {
    /// Compares `forward` in one batch and text by text; `by_token` when outputs have a row per token.
    fn check(&self, key: &str, by_token: bool, forward: impl Fn(&Batch) -> Result<Tensor>) {
        let Inputs { rows, types } = &self.inputs;
        let together = forward(&batch(rows, types)).unwrap();
        for (at, row) in rows.iter().enumerate() {
            let expected = self.expected[key].get(at).unwrap();
            let length = by_token.then_some(row.len());
            let alone = forward(&batch(&rows[at..=at], &types[at..=at])).unwrap();
            for out in [together.get(at).unwrap(), alone.get(0).unwrap()] {
                let error = difference(&out, &expected, length);
                assert!(error <= LIMIT, "{} text {at}: {error}", self.files.describe());
            }
        }
    }
}

#[test]
fn hidden_states() {
    for name in ["bidirectional", "left_to_right", "gelu_tanh", "relu"] {
        let case = case(name);
        let model = SentenceEncoder::open(&case.files, &Device::Cpu).unwrap();
        case.check("hidden", true, |batch| {
            model.bert().forward(batch, &mut Pass::infer())
        });
    }
}

#[test]
fn heads() {
    let golden = case("masked_lm");
    let model = MaskedLm::open(&golden.files, &Device::Cpu).unwrap();
    golden.check("logits", true, |batch| model.forward(batch, &mut Pass::infer()));
    let golden = case("next_sentence");
    let model = NextSentence::open(&golden.files, &Device::Cpu).unwrap();
    golden.check("logits", false, |batch| model.forward(batch, &mut Pass::infer()));
    let golden = case("pre_training");
    let model = PreTraining::open(&golden.files, &Device::Cpu).unwrap();
    let both = |batch: &Batch, places: &[u32]| model.logits_at(batch, places, &mut Pass::infer());
    golden.check("pair", false, |batch| Ok(both(batch, &[0])?.1));
    let Inputs { rows, types } = &golden.inputs;
    for (at, row) in rows.iter().enumerate() {
        let places: Vec<u32> = (0..row.len() as u32).collect();
        let blanks = both(&batch(&rows[at..=at], &types[at..=at]), &places).unwrap().0;
        let expected = golden.expected["logits"].get(at).unwrap();
        let expected = expected.narrow(0, 0, row.len()).unwrap();
        let error = difference(&blanks, &expected, None);
        assert!(error <= LIMIT, "text {at}: {error}");
    }
    let golden = case("sequence");
    let model = PairScorer::open(&golden.files, &Device::Cpu).unwrap();
    golden.check("logits", false, |batch| model.forward(batch, &mut Pass::infer()));
    let golden = case("token");
    let model = TokenTagger::open(&golden.files, &Device::Cpu).unwrap();
    golden.check("logits", true, |batch| model.forward(batch, &mut Pass::infer()));
    let golden = case("span");
    let model = SpanReader::open(&golden.files, &Device::Cpu).unwrap();
    golden.check("logits", true, |batch| model.forward(batch, &mut Pass::infer()));
}

#[test]
fn sentence_vectors() {
    for (name, dimension) in [("sentence_cls", 24), ("sentence_mean", 10), ("sentence_max", 24)] {
        let case = case(name);
        let model = SentenceEncoder::open(&case.files, &Device::Cpu).unwrap();
        assert_eq!(
            (model.dimension(), model.normalizes()),
            (dimension, dimension == 10)
        );
        case.check("vectors", false, |batch| model.forward(batch, &mut Pass::infer()));
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "says why it checks nothing")]
fn all_minilm_l6_v2() {
    let Some(folder) = std::env::var_os("CLOZE_MINILM_DIR") else {
        eprintln!("skipped: CLOZE_MINILM_DIR does not name a folder of all-MiniLM-L6-v2");
        return;
    };
    let case = Case {
        files: ModelFiles::folder(folder).unwrap(),
        ..case("all_minilm_l6_v2")
    };
    let model = SentenceEncoder::open(&case.files, &Device::Cpu).unwrap();
    case.check("vectors", false, |batch| model.forward(batch, &mut Pass::infer()));
    case.check("first", false, |batch| {
        Ok(model
            .bert()
            .forward(batch, &mut Pass::infer())?
            .narrow(1, 0, 1)?
            .squeeze(1)?)
    });
}
