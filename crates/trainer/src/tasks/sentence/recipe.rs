//! The recipe of a sentence encoder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optimizer;
use crate::recipe::{Compute, Saving, Shape};
use crate::schedule::Schedule;
use crate::start::Start;

/// A sentence-embedding run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentenceRecipe {
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
    /// Weights to start from, where names and shapes agree; all others start fresh. From a masked-language
    /// model, or token vectors that `teach-vocabulary` computed.
    #[serde(default)]
    pub initial_weights: Option<PathBuf>,
    /// Where it computes.
    #[serde(default)]
    pub compute: Compute,
    /// What to read.
    pub data: SentenceData,
    /// What to optimize.
    pub loss: SentenceLoss,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    #[serde(default)]
    pub saving: Saving,
}

/// Pairs of a sentence-embedding run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentenceData {
    /// Lines of `{"query": ..., "positive": ...}`, `.jsonl` with `.zst` if compressed.
    pub pairs: PathBuf,
    /// The teacher's vectors of the queries, one row a line of `pairs` (NPY, f16 or f32).
    #[serde(default)]
    pub query_vectors: Option<PathBuf>,
    /// The teacher's vectors of the positives, one row a line of `pairs`.
    #[serde(default)]
    pub positive_vectors: Option<PathBuf>,
    /// Different positives in one step.
    pub positives: usize,
    /// Queries of each positive in one step, at most.
    pub queries_per_positive: usize,
    /// Longer queries are cut to this many tokens.
    pub query_tokens: usize,
    /// Longer positives are cut to this many tokens.
    pub positive_tokens: usize,
}

/// The parts of the sentence loss and their weights; a part of weight 0 is not computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentenceLoss {
    /// Weight of the in-batch negatives.
    pub contrastive: f64,
    /// What cosines are multiplied by there (the inverse of the temperature).
    pub scale: f64,
    /// Whether positives also search for their queries.
    pub symmetric: bool,
    /// Weight of the regression onto the teacher's vectors.
    pub teacher_vectors: f64,
    /// Weight of the divergence from the teacher's rows of similarities.
    pub teacher_rows: f64,
    /// What cosines are multiplied by there.
    pub teacher_scale: f64,
}

impl Default for SentenceLoss {
    fn default() -> Self {
        Self {
            contrastive: 1.0,
            scale: 20.0,
            symmetric: false,
            teacher_vectors: 0.0,
            teacher_rows: 0.0,
            teacher_scale: 20.0,
        }
    }
}
