//! The recipe of a masked language model.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::masking::Masking;
use super::pairs::Pairs;
use crate::error::{Error, Result};
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

/// Texts, sequences and objectives of a pre-training run.
///
/// With `model.left_to_right` a token sees those on its left only and there is nothing to hide: the objective is
/// then to predict every next token, and `masked` and `masking` have no meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlmData {
    /// Files of texts: `.jsonl` or `.txt`, with `.zst` if compressed.
    pub texts: Vec<PathBuf>,
    /// Texts to evaluate on, which should not be among the others.
    #[serde(default)]
    pub held_out: Vec<PathBuf>,
    /// Sequences of them that are evaluated on, at most; the same ones each time.
    #[serde(default = "default_held_out")]
    pub held_out_sequences: usize,
    /// Tokens of one sequence, special tokens included.
    #[serde(default)]
    pub tokens: Option<usize>,
    /// Sequences of one batch.
    #[serde(default)]
    pub batch: Option<usize>,
    /// Instead of `tokens` and `batch`: parts of the run with sequences of different lengths, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What may be in one sequence.
    #[serde(default)]
    pub packing: Packing,
    /// A second objective over two segments of a sequence.
    #[serde(default)]
    pub pairs: Pairs,
    /// Share of the tokens to predict.
    #[serde(default = "default_masked")]
    pub masked: f64,
    /// How they are hidden.
    #[serde(default)]
    pub masking: Masking,
}

/// A part of a run with sequences of one length (Devlin et al. 2018, appendix A.2: 128 tokens for 90 % of the steps,
/// then 512).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Tokens of one sequence, special tokens included.
    pub tokens: usize,
    /// Sequences of one batch.
    pub batch: usize,
    /// Share of the steps of the run; all shares add up to 1.
    pub share: f64,
}

/// What may be in one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// As many tokens as fit, with a separator where a document ends (Liu et al. 2019, "RoBERTa", full sentences).
    #[default]
    Across,
    /// Tokens of one document only; what is left at its end is a shorter sequence.
    Within,
}

fn default_masked() -> f64 {
    0.15
}

fn default_held_out() -> usize {
    512
}

impl MlmData {
    /// The phases of a run.
    ///
    /// # Errors
    /// Both `phases` and `tokens` with `batch`, or none of them; lengths, batches or shares out of range.
    pub fn phases(&self) -> Result<Vec<Phase>> {
        let phases = match (self.tokens, self.batch, self.phases.as_slice()) {
            (Some(tokens), Some(batch), []) => vec![Phase {
                tokens,
                batch,
                share: 1.0,
            }],
            (None, None, phases @ [_, ..]) => phases.to_vec(),
            (tokens, batch, phases) => {
                return Err(Error::Setting {
                    field: "data.tokens, data.batch and data.phases",
                    value: format!("{tokens:?}, {batch:?} and {} phases", phases.len()),
                    accepted: "both tokens and batch, or phases alone".into(),
                });
            }
        };
        if let Some(phase) = phases
            .iter()
            .find(|phase| phase.batch == 0 || phase.share.is_nan() || phase.share <= 0.0)
        {
            return Err(Error::Setting {
                field: "data.phases",
                value: format!("batch {} and share {}", phase.batch, phase.share),
                accepted: "batches of 1 or more, shares above 0".into(),
            });
        }
        let sum: f64 = phases.iter().map(|phase| phase.share).sum();
        match (sum - 1.0).abs() < 1e-6 {
            true => Ok(phases),
            false => Err(Error::Setting {
                field: "data.phases",
                value: format!("shares of {sum} together"),
                accepted: "shares that add up to 1".into(),
            }),
        }
    }
}
