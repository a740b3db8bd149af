//! Recipes: everything that decides what a run learns, in one TOML file.

use std::path::{Path, PathBuf};

use encoder::{Activation, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, io};
use crate::optimizer;
use crate::schedule::Schedule;

/// The shape of a new encoder; its vocabulary is the tokenizer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Width of the hidden states.
    pub hidden: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads; divides `hidden`.
    pub heads: usize,
    /// Width between the halves of a feed-forward block.
    pub intermediate: usize,
    /// Longest text in tokens.
    pub positions: usize,
    /// Probability of dropping a hidden value or an attention weight in training.
    #[serde(default)]
    pub dropout: f64,
    /// Attention to the left only, as an experiment.
    #[serde(default)]
    pub left_to_right: bool,
}

impl Shape {
    /// The encoder's configuration for a vocabulary of this size.
    pub fn config(&self, vocabulary: usize, pad: u32) -> Config {
        Config {
            vocab_size: vocabulary,
            hidden_size: self.hidden,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            intermediate_size: self.intermediate,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: self.dropout,
            attention_probs_dropout_prob: self.dropout,
            max_position_embeddings: self.positions,
            pad_token_id: pad,
            is_decoder: self.left_to_right,
            ..Config::tiny()
        }
    }
}

/// When to write checkpoints and the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Saving {
    /// A checkpoint after every so many steps; the last two are kept.
    pub checkpoint_steps: u64,
    /// A line of the log after every so many steps.
    pub log_steps: u64,
}

impl Default for Saving {
    fn default() -> Self {
        Self {
            checkpoint_steps: 500,
            log_steps: 10,
        }
    }
}

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
    /// The encoder.
    pub model: Shape,
    /// Weights to start from, where names and shapes agree; all others start fresh.
    #[serde(default)]
    pub initial_weights: Option<PathBuf>,
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
    /// The encoder.
    pub model: Shape,
    /// Width of the projection after mean pooling; none leaves the encoder's own width.
    #[serde(default)]
    pub dense: Option<usize>,
    /// Weights to start from, where names and shapes agree; all others start fresh. From a masked-language
    /// model, or token vectors that `teach-vocabulary` computed.
    #[serde(default)]
    pub initial_weights: Option<PathBuf>,
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

/// Reads a recipe and applies overrides of the form `a.b=value`, where the value is TOML or else a string.
///
/// # Errors
/// When the file is missing, is not TOML, or has a key that is not known.
pub fn read<R: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<R> {
    let text = std::fs::read_to_string(path).map_err(io(path))?;
    parse(&text, &path.display().to_string(), overrides)
}

/// [`read`] on the recipe's text; `name` stands for the file in errors.
///
/// # Errors
/// As [`read`].
pub fn parse<R: DeserializeOwned>(text: &str, name: &str, overrides: &[String]) -> Result<R> {
    let refuse = |reason: String| Error::Recipe {
        recipe: name.to_owned(),
        reason,
    };
    if overrides.is_empty() {
        // From the text itself, so that errors carry the line.
        return toml::from_str(text).map_err(|e| refuse(e.to_string()));
    }
    let mut table: toml::Table = toml::from_str(text).map_err(|e| refuse(e.to_string()))?;
    for change in overrides {
        set(&mut table, change)?;
    }
    table
        .try_into()
        .map_err(|e: toml::de::Error| refuse(format!("with {overrides:?}: {e}")))
}

fn set(table: &mut toml::Table, change: &str) -> Result<()> {
    let refuse = |reason: &str| Error::Recipe {
        recipe: format!("--set {change}"),
        reason: reason.to_owned(),
    };
    let (path, value) = change
        .split_once('=')
        .ok_or_else(|| refuse("expected key=value"))?;
    let literal = toml::from_str::<toml::Table>(&format!("v = {value}")).ok();
    let value = literal
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| value.into());
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut at = table;
    for key in keys {
        let inner = at
            .entry(key)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = inner
            .as_table_mut()
            .ok_or_else(|| refuse("a key of the path is not a table"))?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    const RECIPE: &str = r#"
        seed = 1
        tokenizer = "tok"
        out = "out"
        model = { hidden = 8, layers = 1, heads = 2, intermediate = 16, positions = 32 }
        data = { texts = ["a.txt"], tokens = 32, batch = 4 }
        schedule = { steps = 10 }
    "#;

    #[test]
    fn overrides_reach_nested_keys() {
        let changes = [
            "schedule.steps=99",
            "out=elsewhere/x",
            "optimizer.learning_rate=1e-3",
        ];
        let recipe: MlmRecipe = parse(RECIPE, "r", &changes.map(str::to_owned)).unwrap();
        assert_eq!(recipe.schedule.steps, 99);
        assert_eq!(recipe.out, PathBuf::from("elsewhere/x"));
        assert_eq!(recipe.optimizer.learning_rate, 1e-3);
        assert_eq!(recipe.data.masked, 0.15);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = parse::<MlmRecipe>(&RECIPE.replace("seed", "sead"), "r", &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("sead"), "{error}");
        let change = ["schedule.stepps=3".to_owned()];
        let error = parse::<MlmRecipe>(RECIPE, "r", &change).unwrap_err().to_string();
        assert!(error.contains("stepps"), "{error}");
        let error = parse::<MlmRecipe>(RECIPE, "r", &["seed".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("key=value"), "{error}");
    }
}
