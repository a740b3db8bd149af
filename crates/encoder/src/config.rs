//! The configuration of a BERT model, as in the `config.json` of its folder.

use serde::{Deserialize, Serialize};

use crate::{Error, ModelFiles, Result};

/// The non-linear function between the two halves of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x Φ(x)` with the error function (Hendrycks and Gimpel 2016); BERT's own.
    #[serde(rename = "gelu")]
    Gelu,
    /// The tanh approximation of GELU.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
}

/// Sizes and settings of a BERT model. Keys that this crate does not know are kept and written back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Architecture family; `bert` is what this crate opens.
    #[serde(default = "defaults::model_type")]
    pub model_type: String,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads per layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width between the two halves of a feed-forward block.
    pub intermediate_size: usize,
    /// The function there.
    #[serde(default = "defaults::hidden_act")]
    pub hidden_act: Activation,
    /// Probability with which a hidden value is dropped in training.
    #[serde(default = "defaults::dropout")]
    pub hidden_dropout_prob: f64,
    /// Probability with which an attention weight is dropped in training.
    #[serde(default = "defaults::dropout")]
    pub attention_probs_dropout_prob: f64,
    /// Longest text in tokens.
    #[serde(default = "defaults::positions")]
    pub max_position_embeddings: usize,
    /// Number of segment ids.
    #[serde(default = "defaults::types")]
    pub type_vocab_size: usize,
    /// Standard deviation of fresh weights.
    #[serde(default = "defaults::initializer_range")]
    pub initializer_range: f64,
    /// Added to the variance in layer norm.
    #[serde(default = "defaults::layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Token id that fills short rows.
    #[serde(default)]
    pub pad_token_id: u32,
    /// True: a token sees itself and those on its left only. False: bidirectional attention.
    #[serde(default)]
    pub is_decoder: bool,
    /// Everything else in the file, unchanged.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

mod defaults {
    //! What `transformers` assumes for keys that are absent.
    pub(super) fn model_type() -> String {
        "bert".into()
    }
    pub(super) fn hidden_act() -> super::Activation {
        super::Activation::Gelu
    }
    pub(super) fn dropout() -> f64 {
        0.1
    }
    pub(super) fn positions() -> usize {
        512
    }
    pub(super) fn types() -> usize {
        2
    }
    pub(super) fn initializer_range() -> f64 {
        0.02
    }
    pub(super) fn layer_norm_eps() -> f64 {
        1e-12
    }
}

impl Config {
    /// BERT-tiny: 2 layers of 128 (Turc et al. 2019, <https://arxiv.org/abs/1908.08962>).
    pub fn tiny() -> Self {
        Self::sized(2, 128, 2)
    }

    /// BERT-mini: 4 layers of 256.
    pub fn mini() -> Self {
        Self::sized(4, 256, 4)
    }

    /// BERT-small: 4 layers of 512.
    pub fn small() -> Self {
        Self::sized(4, 512, 8)
    }

    /// BERT-medium: 8 layers of 512.
    pub fn medium() -> Self {
        Self::sized(8, 512, 8)
    }

    /// BERT-base: 12 layers of 768 (Devlin et al. 2018, section 3).
    pub fn base() -> Self {
        Self::sized(12, 768, 12)
    }

    /// BERT-large: 24 layers of 1024.
    pub fn large() -> Self {
        Self::sized(24, 1024, 16)
    }

    fn sized(layers: usize, hidden: usize, heads: usize) -> Self {
        Self {
            model_type: defaults::model_type(),
            vocab_size: 30_522,
            hidden_size: hidden,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: 4 * hidden,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
            is_decoder: false,
            extra: serde_json::Map::new(),
        }
    }

    /// Reads and validates the `config.json` of a model.
    ///
    /// # Errors
    /// The file is missing, or a value is out of its range.
    pub fn open(files: &ModelFiles) -> Result<Self> {
        const FILE: &str = "config.json";
        Self::from_json(&files.read(FILE)?, &files.label(FILE))
    }

    /// Reads and validates a `config.json`; `file` names it in errors.
    pub fn from_json(bytes: &[u8], file: &str) -> Result<Self> {
        let config: Self = serde_json::from_slice(bytes).map_err(|source| Error::Json {
            file: file.into(),
            source,
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The text of a `config.json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Checks every value against its accepted range; the error names field, value and range.
    pub fn validate(&self) -> Result<()> {
        check("model_type", &self.model_type, "bert", self.model_type == "bert")?;
        for (field, value, limit) in [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
            ("type_vocab_size", self.type_vocab_size, 1 << 10),
        ] {
            check(
                field,
                value,
                &format!("1 to {limit}"),
                (1..=limit).contains(&value),
            )?;
        }
        let heads = self.num_attention_heads;
        let divisor = format!("a divisor of hidden_size {}", self.hidden_size);
        check(
            "num_attention_heads",
            heads,
            &divisor,
            self.hidden_size.is_multiple_of(heads),
        )?;
        for (field, p) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            check(field, p, "0 <= p < 1", (0.0..1.0).contains(&p))?;
        }
        let p = self.classifier_dropout();
        check("classifier_dropout", p, "0 <= p < 1", (0.0..1.0).contains(&p))?;
        let labels = self.num_labels();
        check(
            "num_labels",
            labels,
            "1 to 65536",
            (1..=1 << 16).contains(&labels),
        )?;
        let std = self.initializer_range;
        check("initializer_range", std, "0 < s <= 1", std > 0.0 && std <= 1.0)?;
        let eps = self.layer_norm_eps;
        check("layer_norm_eps", eps, "0 < e < 1", eps > 0.0 && eps < 1.0)?;
        let pad = self.pad_token_id as usize;
        check(
            "pad_token_id",
            pad,
            &format!("below vocab_size {}", self.vocab_size),
            pad < self.vocab_size,
        )?;
        let positions = self.extra.get("position_embedding_type").and_then(|v| v.as_str());
        let positions = positions.unwrap_or("absolute");
        check(
            "position_embedding_type",
            positions,
            "absolute",
            positions == "absolute",
        )
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Dropout before a classification head: `classifier_dropout`, else that of the hidden states.
    pub fn classifier_dropout(&self) -> f64 {
        let own = self.extra.get("classifier_dropout").and_then(|v| v.as_f64());
        own.unwrap_or(self.hidden_dropout_prob)
    }

    /// The number of labels of a classification head: `num_labels`, else the entries of `id2label`, else 2.
    pub fn num_labels(&self) -> usize {
        let count = self
            .extra
            .get("num_labels")
            .and_then(|v| v.as_u64())
            .map(|n| n as usize);
        let named = self
            .extra
            .get("id2label")
            .and_then(|v| v.as_object())
            .map(|labels| labels.len());
        count.or(named).unwrap_or(2)
    }
}

fn check(field: &'static str, value: impl std::fmt::Display, accepted: &str, ok: bool) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::Setting {
        field,
        value: value.to_string(),
        accepted: accepted.into(),
    })
}
