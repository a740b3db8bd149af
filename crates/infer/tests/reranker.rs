//! Pairs to scores with a small untrained cross-encoder.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod support;

use std::path::Path;

use encoder::ModelFiles;
use infer::{InferError, ModelSettings, Rerank, Reranker};
use serde_json::{Value, json};

fn open_with(folder: &Path, threads: usize) -> Result<Reranker, InferError> {
    Reranker::open(&ModelFiles::folder(folder).unwrap(), &ModelSettings::new(threads))
}

fn open(folder: &Path) -> Reranker {
    open_with(folder, 2).unwrap()
}

/// Changes an entry of a JSON file.
fn set(folder: &Path, file: &str, key: &str, value: Value) {
    let path = folder.join(file);
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json[key] = value;
    std::fs::write(path, json.to_string()).unwrap();
}

fn raw(folder: &Path) {
    set(
        folder,
        "config.json",
        "sentence_transformers",
        json!({"activation_fn": "torch.nn.Identity"}),
    );
}

fn passages() -> Vec<String> {
    [3, 0, 40, 1, 200, 7, 12]
        .map(|words| "rome fire nero ".repeat(words))
        .to_vec()
}

#[test]
fn a_score_depends_on_its_pair_alone() {
    let folder = support::pair_model(1);
    raw(folder.path());
    let passages = passages();
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    let model = open(folder.path());
    let alone: Vec<f32> = passages
        .iter()
        .map(|passage| model.score("nero sang", &[passage]).unwrap()[0])
        .collect();
    assert!(
        (alone[0] - alone[1]).abs() > 1e-3,
        "different passages have different scores"
    );
    assert!(
        (alone[0] - model.score("six days", &[passages[0]]).unwrap()[0]).abs() > 1e-3,
        "so have queries"
    );
    for threads in [1, 2, 3] {
        let model = open_with(folder.path(), threads).unwrap();
        let together = model.score("nero sang", &passages).unwrap();
        assert_eq!(together, alone, "bit for bit");
    }
    assert!(model.score("nero sang", &[]).unwrap().is_empty());
    assert!(
        model.score(&"rome ".repeat(500), &[passages[4]]).is_ok(),
        "both too long"
    );
}

#[test]
fn scores_are_sigmoids_unless_the_configuration_says_otherwise() {
    let folder = support::pair_model(1);
    let squashed = open(folder.path()).score("nero", &["rome"]).unwrap()[0];
    raw(folder.path());
    let logit = open(folder.path()).score("nero", &["rome"]).unwrap()[0];
    assert!((squashed - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6);
    set(folder.path(), "config.json", "sentence_transformers", Value::Null);
    let old = "sbert_ce_default_activation_function";
    set(
        folder.path(),
        "config.json",
        old,
        json!("torch.nn.modules.linear.Identity"),
    );
    assert_eq!(open(folder.path()).score("nero", &["rome"]).unwrap()[0], logit);
    set(folder.path(), "config.json", old, json!("torch.nn.Tanh"));
    let error = open_with(folder.path(), 2).err().unwrap().to_string();
    assert!(error.contains("torch.nn.Tanh"), "{error}");
}

#[test]
fn what_cannot_give_one_score_is_refused() {
    let folder = support::pair_model(3);
    let error = open_with(folder.path(), 2).err().unwrap().to_string();
    assert!(error.contains("3 labels"), "{error}");
    let folder = support::pair_model(1);
    set(
        folder.path(),
        "tokenizer_config.json",
        "model_max_length",
        json!(4),
    );
    let error = open_with(folder.path(), 2).err().unwrap().to_string();
    assert!(error.contains("model_max_length"), "{error}");
    set(
        folder.path(),
        "tokenizer_config.json",
        "model_max_length",
        json!(1e30),
    );
    assert!(open_with(folder.path(), 2).is_ok(), "a great number means none");
}
