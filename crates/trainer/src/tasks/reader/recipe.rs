//! The recipe of an extractive reader.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optimizer;
use crate::recipe::{Compute, Saving, Shape};
use crate::schedule::Schedule;
use crate::start::Start;
use crate::tuning::Tuning;

/// A run that trains a reader: questions, and texts that answer them or do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderRecipe {
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
    pub data: ReaderData,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    #[serde(default)]
    pub saving: Saving,
}

/// Questions of a reader's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderData {
    /// Files in the JSON of SQuAD 1.1 or 2.0, `.zst` or `.gz` if compressed.
    pub squad: Vec<PathBuf>,
    /// Files of the same kind that the model is judged by and never learns from.
    #[serde(default)]
    pub held_out: Vec<PathBuf>,
    /// How many of those questions count, spread evenly over the files; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_questions: Option<usize>,
    /// Windows in one batch.
    pub batch: usize,
    /// Tokens of a question with a window of its text, special tokens included.
    pub tokens: usize,
    /// Tokens that a window shares with the one before it.
    pub overlap: usize,
    /// Longer questions are cut to this many tokens.
    pub question_tokens: usize,
    /// The longest answer that is given, in tokens.
    #[serde(default = "default_answer_tokens")]
    pub answer_tokens: usize,
    /// Questions without an answer that are made, as a share of those with one: the question with another
    /// paragraph of its article that has none of its answers.
    #[serde(default)]
    pub unanswerable: f64,
    /// The share of them that gets the paragraph with the most of the question's rare words, and not just any.
    #[serde(default = "default_near")]
    pub unanswerable_near: f64,
    /// Questions without an answer that are made by changing one thing in a question, as a share of those with one:
    /// a name or a number becomes another one of its article, or an English word its opposite.
    #[serde(default)]
    pub unanswerable_altered: f64,
}

fn default_answer_tokens() -> usize {
    30
}

fn default_near() -> f64 {
    0.5
}
