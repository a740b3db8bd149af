//! A cross-encoder from a model folder (Nogueira and Cho 2019, <https://arxiv.org/abs/1901.04085>).

use encoder::{Config, ModelFiles, Pooling};
use kernels::{Activation, Precision};
use rayon::ThreadPool;
use rayon::prelude::*;
use serde::Deserialize;
use text::Tokenizer;

use crate::engine::{Engine, Parts, Tokens, Weights};
use crate::head::{Dense, pool};
use crate::open::{check_vocabulary, open_engine, open_tokenizer, tokenize};
use crate::{InferError, ModelSettings, Rerank, threads};

/// A sequence classification model with one label, on the CPU.
pub struct Reranker {
    engine: Engine,
    /// Pooler and classifier, one after the other on the first token.
    head: [Dense; 2],
    width: usize,
    tokenizer: Tokenizer,
    pool: ThreadPool,
    name: String,
    fingerprint: String,
    notes: Vec<String>,
    tokens_max: usize,
    has_sigmoid: bool,
    weight: f32,
}

impl Reranker {
    /// Opens a CrossEncoder folder. A pair that is longer than `model_max_length` of `tokenizer_config.json` (and
    /// `max_position_embeddings`) loses tokens at the end of the longer text. Scores are logits or, unless the
    /// configuration names the identity as activation, their sigmoids, as in sentence-transformers. `rerank_weight` of
    /// the configuration is the weight of a score, see [`Rerank::weight`].
    ///
    /// # Errors
    /// [`InferError::Open`] names the model and what is wrong with which file, also when it has more labels than
    /// one or another activation; [`InferError::Setting`] a setting out of range.
    pub fn open(files: &ModelFiles, settings: &ModelSettings) -> Result<Self, InferError> {
        let pool = threads::pool(settings.threads)?;
        let name = files.describe();
        let refuse = |reason: String| InferError::Open {
            model: name.clone(),
            reason,
        };
        let config = &Config::open(files).map_err(|e| refuse(e.to_string()))?;
        let tokenizer = open_tokenizer(files).map_err(refuse)?;
        check_vocabulary(&tokenizer, config.vocab_size).map_err(refuse)?;
        if config.num_labels() != 1 {
            return Err(refuse(format!(
                "config.json: {} labels; accepted: 1",
                config.num_labels()
            )));
        }
        let has_sigmoid = has_sigmoid(config).map_err(refuse)?;
        let weight = weight(config).map_err(refuse)?;
        let tokens_max = longest(files, config).map_err(refuse)?;
        let opened = open_engine(files, config, settings.precision).map_err(refuse)?;
        Ok(Self {
            engine: opened.engine,
            fingerprint: opened.fingerprint,
            notes: opened.notes,
            head: open_head(files, config).map_err(refuse)?,
            width: config.hidden_size,
            tokens_max,
            has_sigmoid,
            weight,
            tokenizer,
            pool,
            name,
        })
    }

    /// What somebody who opened the model should know: packed weights that could not be used, a precision that
    /// was measured to cost much.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn score_all(&self, query: &str, passages: &[&str]) -> Result<Vec<f32>, InferError> {
        let encode = |passage: &&str| {
            let pair = self.tokenizer.encode_pair(query, passage, self.tokens_max)?;
            Ok(Tokens {
                ids: pair.ids,
                types: pair.type_ids,
            })
        };
        let pairs: Result<Vec<Tokens>, _> = self.pool.install(|| passages.par_iter().map(encode).collect());
        let [pooler, classifier] = &self.head;
        let finish = |states: &[f32]| {
            let pooled = pooler.apply(self.engine.set(), &pool(Pooling::Cls, states, self.width));
            classifier.apply(self.engine.set(), &pooled)
        };
        let logits = self.engine.run(&pairs.map_err(tokenize)?, &self.pool, finish);
        let logits = logits.map_err(|reason| InferError::Run {
            model: self.name.clone(),
            reason,
        })?;
        let logits = logits.into_iter().flatten().enumerate();
        logits.map(|(at, logit)| self.activate(at, logit)).collect()
    }

    fn activate(&self, text: usize, logit: f32) -> Result<f32, InferError> {
        if !logit.is_finite() {
            return Err(InferError::NotFinite {
                model: self.name.clone(),
                text,
                found: logit.to_string(),
            });
        }
        Ok(if self.has_sigmoid {
            1.0 / (1.0 + (-logit).exp())
        } else {
            logit
        })
    }
}

impl Rerank for Reranker {
    fn score(&self, query: &str, passages: &[&str]) -> Result<Vec<f32>, InferError> {
        self.score_all(query, passages)
    }

    fn weight(&self) -> f32 {
        self.weight
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn weight(config: &Config) -> Result<f32, String> {
    let Some(value) = config.extra.get("rerank_weight") else {
        return Ok(1.0);
    };
    let weight = value.as_f64().map(|weight| weight as f32);
    weight
        .filter(|weight| *weight > 0.0 && *weight <= 1.0)
        .ok_or_else(|| format!("config.json: rerank_weight is {value}; accepted: above 0, at most 1"))
}

/// Pooler and classifier.
fn open_head(files: &ModelFiles, config: &Config) -> Result<[Dense; 2], String> {
    let mut weights = Weights::open(files, config, Precision::F32)?;
    let width = config.hidden_size;
    let mut dense = |name, outputs, activation| -> Result<Dense, String> {
        let linear = weights.linear(name, &[], [outputs, width])?;
        Ok(Dense { linear, activation })
    };
    Ok([
        dense("bert.pooler.dense", width, Some(Activation::Tanh))?,
        dense("classifier", config.num_labels(), None)?,
    ])
}

/// Whether logits become sigmoids: sentence-transformers does so for one label unless the configuration, in its
/// new or its old place, names another function.
fn has_sigmoid(config: &Config) -> Result<bool, String> {
    let new = config
        .extra
        .get("sentence_transformers")
        .and_then(|own| own.get("activation_fn"));
    let named = new.or_else(|| config.extra.get("sbert_ce_default_activation_function"));
    match named.and_then(|name| name.as_str()) {
        None => Ok(true),
        Some(name) => match name.rsplit('.').next() {
            Some("Sigmoid") => Ok(true),
            Some("Identity") => Ok(false),
            _ => Err(format!(
                "config.json: activation {name}; accepted: Identity, Sigmoid"
            )),
        },
    }
}

#[derive(Deserialize)]
struct TokenizerSettings {
    // A number so great that it means none is written as a float by some versions.
    #[serde(default)]
    model_max_length: Option<f64>,
}

fn longest(files: &ModelFiles, config: &Config) -> Result<usize, String> {
    const FILE: &str = "tokenizer_config.json";
    let positions = config.max_position_embeddings;
    if !files.has(FILE) {
        return Ok(positions);
    }
    let bytes = files.read(FILE).map_err(|error| error.to_string())?;
    let settings: TokenizerSettings =
        serde_json::from_slice(&bytes).map_err(|error| format!("{FILE}: {error}"))?;
    // Three special tokens and one of each text.
    match settings.model_max_length {
        Some(length) if length < 5.0 => Err(format!(
            "{FILE}: model_max_length is {length}; accepted: at least 5"
        )),
        Some(length) if length < positions as f64 => Ok(length as usize),
        _ => Ok(positions),
    }
}
