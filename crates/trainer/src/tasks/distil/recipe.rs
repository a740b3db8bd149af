//! The recipe of a distilled encoder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::tasks::mlm::MlmRecipe;

/// A student that learns from a teacher to fill in blanks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistilRecipe {
    /// Folder of the teacher, a masked language model with the student's tokenizer.
    pub teacher: PathBuf,
    /// What to take over.
    #[serde(default)]
    pub loss: DistilLoss,
    /// Everything else: the student, its texts and its run, as a recipe of masked language modelling.
    pub student: MlmRecipe,
}

/// The parts of the loss and their weights; a part of weight 0 is not computed. The defaults are DistilBERT's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistilLoss {
    /// Weight of the divergence from the teacher's distribution over the vocabulary, at the blanks.
    pub soft: f64,
    /// What logits of both are divided by there; the loss is multiplied by its square.
    pub temperature: f64,
    /// Weight of the blanks themselves.
    pub mlm: f64,
    /// Weight of one minus the cosine of student's and teacher's last hidden states. Both have the same width.
    pub hidden: f64,
    /// Weight of the relations between queries, keys and values of the last layer.
    pub relations: f64,
    /// Heads that relations are cut into; divides both widths.
    pub relation_heads: usize,
}

impl Default for DistilLoss {
    fn default() -> Self {
        Self {
            soft: 5.0,
            temperature: 2.0,
            mlm: 2.0,
            hidden: 1.0,
            relations: 0.0,
            relation_heads: 12,
        }
    }
}
