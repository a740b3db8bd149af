//! The recipe of a tagger.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optimizer;
use crate::recipe::{Compute, Saving, Shape};
use crate::schedule::Schedule;
use crate::start::Start;
use crate::tuning::Tuning;

/// A run that trains a tagger of entities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagRecipe {
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
    pub data: TagData,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    #[serde(default)]
    pub saving: Saving,
}

/// Tagged sentences of a tagger's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagData {
    /// Files in CoNLL columns: a line a word, first the word and last its BIO tag, an empty line after each
    /// sentence; `.zst` if compressed.
    pub train: Vec<PathBuf>,
    /// Files of the same kind that the model is judged by and never learns from.
    #[serde(default)]
    pub held_out: Vec<PathBuf>,
    /// Sentences in one batch.
    pub batch: usize,
    /// Longer sentences are cut to this many tokens, special tokens included; the words after that have no tag.
    pub tokens: usize,
}
