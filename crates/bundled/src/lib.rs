//! The models that ship inside the program, so that every command works without a network.
//!
//! All three share one tokenizer, which lies with the encoder. Their weights have 8 bits (see [`encoder::store()`]).

use encoder::{ModelFiles, Result};

/// The name under which commands and indexes know the bundled models.
pub const NAME: &str = "bundled";

/// Pairs of a file's name and its content, which lies in a folder of `models`.
macro_rules! files {
    ($($folder:literal: $($name:literal),+;)+) => {
        &[$($(($name, include_bytes!(concat!("../models/", $folder, "/", $name)))),+),+]
    };
}

type Files = &'static [(&'static str, &'static [u8])];

/// Embeds queries and passages; its card is `models/encoder/README.md`.
static ENCODER: Files = files!(
    "encoder": "config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json",
        "special_tokens_map.json", "modules.json", "sentence_bert_config.json",
        "config_sentence_transformers.json", "1_Pooling/config.json", "precision.json";
);

/// Scores pairs of a query and a passage; its card is `models/reranker/README.md`.
static RERANKER: Files = files!(
    "reranker": "config.json", "model.safetensors", "tokenizer_config.json", "precision.json";
    "encoder": "tokenizer.json", "vocab.txt", "special_tokens_map.json";
);

/// Finds answers in passages; its card is `models/reader/README.md`.
static READER: Files = files!(
    "reader": "config.json", "model.safetensors", "tokenizer_config.json", "reader.json";
    "encoder": "tokenizer.json", "vocab.txt", "special_tokens_map.json";
);

/// The bundled bi-encoder.
pub fn encoder() -> ModelFiles {
    ModelFiles::embedded(NAME, ENCODER)
}

/// The bundled cross-encoder.
pub fn reranker() -> ModelFiles {
    ModelFiles::embedded("bundled reranker", RERANKER)
}

/// The bundled reader.
pub fn reader() -> ModelFiles {
    ModelFiles::embedded("bundled reader", READER)
}

/// The bi-encoder of that name: [`NAME`], or a folder.
///
/// # Errors
/// There is no such folder.
pub fn open(name: &str) -> Result<ModelFiles> {
    named(name, encoder)
}

/// The cross-encoder of that name: [`NAME`], or a folder.
///
/// # Errors
/// There is no such folder.
pub fn open_reranker(name: &str) -> Result<ModelFiles> {
    named(name, reranker)
}

/// The reader of that name: [`NAME`], or a folder.
///
/// # Errors
/// There is no such folder.
pub fn open_reader(name: &str) -> Result<ModelFiles> {
    named(name, reader)
}

fn named(name: &str, bundled: fn() -> ModelFiles) -> Result<ModelFiles> {
    if name == NAME {
        Ok(bundled())
    } else {
        ModelFiles::folder(name)
    }
}
