//! The models that ship inside the program, so that every command works without a network.

use encoder::{ModelFiles, Result};

/// The name under which commands and indexes know the bundled models.
pub const NAME: &str = "bundled";

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../models/", $folder, "/", $name)))),+]
    };
}

/// The bi-encoder: embeds queries and passages; its card is `models/encoder/README.md`.
static ENCODER: &[(&str, &[u8])] = files!("encoder":
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
);

/// The bundled bi-encoder.
pub fn encoder() -> ModelFiles {
    ModelFiles::embedded(NAME, ENCODER)
}

/// The bi-encoder of that name: [`NAME`], or a folder.
///
/// # Errors
/// There is no such folder.
pub fn open(name: &str) -> Result<ModelFiles> {
    if name == NAME {
        Ok(encoder())
    } else {
        ModelFiles::folder(name)
    }
}
