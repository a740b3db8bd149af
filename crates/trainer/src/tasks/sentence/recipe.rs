//! The recipe of a sentence encoder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
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

/// What a file of texts says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Lines of a query and a text that answers it.
    #[default]
    Pairs,
    /// Single texts. Each has to find itself, embedded again with other values dropped (SimCSE, Gao, Yao and Chen
    /// 2021, section 3).
    Texts,
}

/// Pairs of a sentence-embedding run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentenceData {
    /// Lines of `{"query": ..., "positive": ..., "negatives": [...], "scores": [...]}`, `.jsonl` with `.zst` if
    /// compressed. Negatives may be missing; so may scores, a teacher's for the positive and each negative.
    pub pairs: PathBuf,
    /// What the lines of `pairs` are.
    #[serde(default)]
    pub form: Form,
    /// Pairs that are not trained on: MRR and recall of their positives are the run's scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<PathBuf>,
    /// Lines of `{"text1": ..., "text2": ..., "score": ...}`: Spearman's correlation with the cosines is a score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<PathBuf>,
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
    /// Negatives of each query in one step, at most.
    #[serde(default)]
    pub negatives: usize,
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
    /// Weight of the margins between a query's positive and negatives that a teacher's scores have.
    pub teacher_margins: f64,
    /// Weight of the divergence from the distribution over positive and negatives that a teacher's scores have.
    pub teacher_scores: f64,
    /// Weight of the margin between the positive and each negative of the query's own.
    pub triplet: f64,
    /// By how much the cosine of the positive is to be greater.
    pub triplet_margin: f64,
    /// Shorter vectors for which the loss is computed as well, with their weights.
    pub matryoshka: Vec<Short>,
    /// Whether vectors are compared as an index in 8 bits has them.
    pub int8: bool,
    /// Whether the batches that `optimizer.accumulate` joins to a step share their passages, so that a query has
    /// the negatives of all of them in the memory of one.
    pub across_batches: bool,
}

/// The first components of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Short {
    /// How many.
    pub dimension: usize,
    /// Weight of the loss on them; the whole vectors have 1.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

impl SentenceRecipe {
    /// How many batches share their passages.
    pub(super) fn joined(&self) -> u64 {
        match self.loss.across_batches {
            true => self.optimizer.accumulate.max(1),
            false => 1,
        }
    }

    /// Refuses settings that a model with vectors of this length, dropout and so many positives cannot follow.
    pub(super) fn check(&self, dimension: usize, dropout: f64, positives: usize) -> Result<()> {
        let refuse = |field, value: String, accepted: String| {
            Err(Error::Setting {
                field,
                value,
                accepted,
            })
        };
        let most = positives / self.joined() as usize;
        if self.data.positives < 2 || self.data.positives > most {
            return refuse(
                "data.positives",
                self.data.positives.to_string(),
                format!("2 to {most}, for {positives} different positives of the pairs file"),
            );
        }
        if self.data.form == Form::Texts && dropout <= 0.0 {
            return refuse(
                "data.form",
                "texts with a model without dropout".into(),
                "a dropout above 0, which tells the two embeddings of a text apart".into(),
            );
        }
        let shorts = &self.loss.matryoshka;
        if let Some(short) = shorts
            .iter()
            .find(|short| !(1..dimension).contains(&short.dimension))
        {
            return refuse(
                "loss.matryoshka.dimension",
                short.dimension.to_string(),
                format!(
                    "1 to {}, less than the model's {dimension}",
                    dimension.saturating_sub(1)
                ),
            );
        }
        Ok(())
    }
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
            teacher_margins: 0.0,
            teacher_scores: 0.0,
            triplet: 0.0,
            triplet_margin: 0.2,
            matryoshka: Vec::new(),
            int8: false,
            across_batches: false,
        }
    }
}
