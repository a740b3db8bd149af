//! The recipe of a classifier.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optimizer;
use crate::recipe::{Compute, Saving, Shape};
use crate::schedule::Schedule;
use crate::start::Start;
use crate::tuning::Tuning;

/// A run that trains a classifier, or a regression, of texts or pairs of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyRecipe {
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
    pub data: ClassifyData,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    #[serde(default)]
    pub saving: Saving,
}

/// Labelled texts of a classifier's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyData {
    /// Files: columns with tabs between and their names in the first line, or `.jsonl`; `.zst` or `.gz` if compressed.
    pub train: Vec<PathBuf>,
    /// Files of the same kind that the model is judged by and never learns from.
    #[serde(default)]
    pub held_out: Vec<PathBuf>,
    /// The columns' names, for files whose first line is an example already; columns after them are passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Column (or key) of the text.
    pub text: String,
    /// Column of the second text, when it is pairs that are classified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Column of the label.
    pub label: String,
    /// What the label is.
    #[serde(default)]
    pub kind: LabelKind,
    /// The labels in the order of their numbers; when left out, those of the training files, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// How much each class counts.
    #[serde(default)]
    pub weights: ClassWeights,
    /// The score that decides, of those that are reported.
    #[serde(default)]
    pub score: Score,
    /// Texts in one batch.
    pub batch: usize,
    /// Longer texts and pairs are cut to this many tokens, special tokens included.
    pub tokens: usize,
}

/// Kinds of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// One of several names.
    #[default]
    Class,
    /// A number: the model has one output, which is brought near to it.
    Number,
}

/// How much each class counts in the loss.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every example alike.
    #[default]
    Even,
    /// Every class alike: an example counts by the inverse of how frequent its class is.
    Balanced,
    /// These weights, in the order of the labels.
    Given(Vec<f32>),
}

/// Scores of classes; numbers are always judged by Spearman's correlation first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The share that is right.
    #[default]
    Accuracy,
    /// The mean of the classes' F1.
    F1Macro,
    /// Matthews' correlation, which is 0 for whoever always says the same.
    Matthews,
}
