//! The recipe of a masked language model.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optimizer;
use crate::recipe::{Compute, Saving, Shape};
use crate::schedule::Schedule;
use crate::start::Start;

/// A masked-language-model run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlmRecipe {
    /// Seed of every random choice.
    pub seed: u64,
    /// Folder of the tokenizer.
    pub tokenizer: PathBuf,
    /// Folder that receives the model, the log and the checkpoints.
    pub out: PathBuf,
    /// The shape of a new encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Shape>,
    /// Or the model that it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Weights to start from, where names and shapes agree; all others start fresh.
    #[serde(default)]
    pub initial_weights: Option<PathBuf>,
    /// Where it computes.
    #[serde(default)]
    pub compute: Compute,
    /// What to read.
    pub data: MlmData,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    #[serde(default)]
    pub saving: Saving,
}

/// Texts and masking of a masked-language-model run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlmData {
    /// Files of texts: `.jsonl` or `.txt`, with `.zst` if compressed.
    pub texts: Vec<PathBuf>,
    /// Tokens of one sequence, special tokens included.
    pub tokens: usize,
    /// Sequences of one step.
    pub batch: usize,
    /// Share of the tokens to predict.
    #[serde(default = "default_masked")]
    pub masked: f64,
}

fn default_masked() -> f64 {
    0.15
}
