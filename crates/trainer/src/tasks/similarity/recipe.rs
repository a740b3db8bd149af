//! The recipe of a sentence encoder that learns from scored pairs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optimizer;
use crate::recipe::{Compute, Saving, Shape};
use crate::schedule::Schedule;
use crate::start::Start;

/// A run on pairs of texts with scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilarityRecipe {
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
    /// Width of the projection after mean pooling; none leaves the encoder's own width.
    #[serde(default)]
    pub dense: Option<usize>,
    /// Where it computes.
    #[serde(default)]
    pub compute: Compute,
    /// What to read.
    pub data: SimilarityData,
    /// What to optimize.
    #[serde(default)]
    pub loss: SimilarityLoss,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    #[serde(default)]
    pub saving: Saving,
}

/// Scored pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilarityData {
    /// Lines of `{"text1": ..., "text2": ..., "score": ...}`, `.jsonl` with `.zst` if compressed.
    pub scored: PathBuf,
    /// The like that is not trained on: Spearman's correlation of scores and cosines is the run's score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<PathBuf>,
    /// The score of texts that have nothing in common.
    #[serde(default)]
    pub score_min: f64,
    /// The score of texts that say the same.
    #[serde(default = "one")]
    pub score_max: f64,
    /// Pairs in one batch.
    pub batch: usize,
    /// Longer texts are cut to this many tokens.
    pub tokens: usize,
}

fn one() -> f64 {
    1.0
}

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimilarityLoss {
    /// Which one.
    pub kind: SimilarityKind,
    /// What cosines are multiplied by in CoSENT.
    pub scale: f64,
    /// How far apart pairs that are not alike shall be, in the contrastive loss.
    pub margin: f64,
}

/// The losses of scored pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimilarityKind {
    /// The order of the scores.
    #[default]
    Cosent,
    /// The scores themselves, stretched to 0..1.
    Regression,
    /// Alike or not: above the middle of the scores, or not.
    Contrastive,
}

impl Default for SimilarityLoss {
    fn default() -> Self {
        Self {
            kind: SimilarityKind::Cosent,
            scale: 20.0,
            margin: 0.5,
        }
    }
}
