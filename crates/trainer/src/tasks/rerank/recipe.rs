//! The recipe of a reranker.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optimizer;
use crate::recipe::{Compute, Saving, Shape};
use crate::schedule::Schedule;
use crate::start::Start;
use crate::tuning::Tuning;

/// A run that trains a cross-encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankRecipe {
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
    /// What of it moves, and how much.
    #[serde(default)]
    pub tuning: Tuning,
    /// Where it computes.
    #[serde(default)]
    pub compute: Compute,
    /// What to read.
    pub data: RerankData,
    /// What to optimize.
    #[serde(default)]
    pub loss: RerankLoss,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    #[serde(default)]
    pub saving: Saving,
}

/// Queries and passages of a reranker's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankData {
    /// Files of lines of `{"query", "positive", "negatives": [...]}`, with `"scores": [...]` if a teacher gave
    /// some (the positive's first), or of `{"query", "passage", "score"}`; `.zst` if compressed.
    pub lists: Vec<PathBuf>,
    /// Files of the same kind that the model is judged by and never learns from.
    #[serde(default)]
    pub held_out: Vec<PathBuf>,
    /// Queries in one batch.
    pub queries: usize,
    /// Passages of each query in a batch beside the first: negatives, drawn anew each time.
    pub negatives: usize,
    /// Longer pairs are cut to this many tokens, special tokens included, first at the end of the longer text.
    pub tokens: usize,
}

/// What a reranker optimizes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RerankLoss {
    /// The loss.
    pub kind: RerankLossKind,
    /// How often a positive counts; for `binary`.
    pub positive_weight: f64,
    /// What grades are multiplied by before their softmax; for `list_net`.
    pub scale: f64,
    /// Ranks that count; for `lambda`.
    pub k: usize,
}

impl Default for RerankLoss {
    fn default() -> Self {
        Self {
            kind: RerankLossKind::Softmax,
            positive_weight: 1.0,
            scale: 1.0,
            k: 10,
        }
    }
}

/// The losses of a reranker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RerankLossKind {
    /// Each pair by itself: relevant or not.
    Binary,
    /// The positive among its negatives.
    #[default]
    Softmax,
    /// The distances of a teacher.
    MarginMse,
    /// Every pair of passages in the right order.
    RankNet,
    /// The distribution of the best, by grades or a teacher's scores.
    ListNet,
    /// Every pair in the right order, by what it does to nDCG.
    Lambda,
}
