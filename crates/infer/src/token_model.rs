//! Models that say something of each token: taggers, extractive readers, masked language models.

use encoder::{Config, ModelFiles};
use kernels::{LayerNorm, Precision};
use rayon::ThreadPool;
use text::{Encoding, Tokenizer};

use crate::engine::{Engine, Parts, Tokens, Weights};
use crate::head::{Dense, activation};
use crate::open::{check_vocabulary, open_engine, open_tokenizer, tokenize};
use crate::{InferError, ModelSettings, threads};

/// An encoder with a head on every token, on the CPU.
pub struct TokenModel {
    engine: Engine,
    fingerprint: String,
    notes: Vec<String>,
    head: Head,
    tokenizer: Tokenizer,
    pool: ThreadPool,
    name: String,
    width: usize,
    longest: usize,
}

/// From the state of a token to its logits.
struct Head {
    /// Of a masked language model: dense layer and norm before the decoder.
    transform: Option<(Dense, LayerNorm)>,
    output: Dense,
}

/// What a model says of a text or a pair of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogits {
    /// The tokens, with their places in the texts.
    pub encoding: Encoding,
    /// One row for each token.
    pub logits: Vec<Vec<f32>>,
}

impl TokenModel {
    /// Opens a tagger (token classification): a logit for each label.
    ///
    /// # Errors
    /// [`InferError::Open`] names the model and what is wrong with which file; [`InferError::Setting`] a setting
    /// out of range. So it is for the other kinds.
    pub fn tagger(files: &ModelFiles, settings: &ModelSettings) -> Result<Self, InferError> {
        let head = |weights: &mut Weights, config: &Config| {
            plain(weights, "classifier", config.num_labels(), config)
        };
        Self::open(files, settings, head)
    }

    /// Opens an extractive reader (question answering): logits of beginning and ending at a token.
    ///
    /// # Errors
    /// As [`TokenModel::tagger`].
    pub fn reader(files: &ModelFiles, settings: &ModelSettings) -> Result<Self, InferError> {
        let head = |weights: &mut Weights, config: &Config| plain(weights, "qa_outputs", 2, config);
        Self::open(files, settings, head)
    }

    /// Opens a masked language model: a logit for each entry of the vocabulary.
    ///
    /// # Errors
    /// As [`TokenModel::tagger`].
    pub fn masked_lm(files: &ModelFiles, settings: &ModelSettings) -> Result<Self, InferError> {
        Self::open(files, settings, |weights, config| {
            let width = config.hidden_size;
            let name = "cls.predictions";
            let dense = Dense {
                linear: weights.linear(&format!("{name}.transform.dense"), &[], [width, width])?,
                activation: Some(activation(config.hidden_act)),
            };
            let norm = weights.norm(&format!("{name}.transform.LayerNorm"), config)?;
            let (words, bias) = ("bert.embeddings.word_embeddings.weight", format!("{name}.bias"));
            let decoder = Dense {
                linear: weights.linear_of(words, &bias, [config.vocab_size, width])?,
                activation: None,
            };
            Ok(Head {
                transform: Some((dense, norm)),
                output: decoder,
            })
        })
    }

    fn open(
        files: &ModelFiles,
        settings: &ModelSettings,
        head: impl FnOnce(&mut Weights, &Config) -> Result<Head, String>,
    ) -> Result<Self, InferError> {
        let pool = threads::pool(settings.threads)?;
        let name = files.describe();
        let refuse = |reason: String| InferError::Open {
            model: name.clone(),
            reason,
        };
        let config = Config::open(files).map_err(|error| refuse(error.to_string()))?;
        let tokenizer = open_tokenizer(files).map_err(refuse)?;
        check_vocabulary(&tokenizer, config.vocab_size).map_err(refuse)?;
        let opened = open_engine(files, &config, settings.precision).map_err(refuse)?;
        let mut weights = Weights::open(files, &config, Precision::F32).map_err(refuse)?;
        Ok(Self {
            engine: opened.engine,
            fingerprint: opened.fingerprint,
            notes: opened.notes,
            head: head(&mut weights, &config).map_err(refuse)?,
            width: config.hidden_size,
            longest: config.max_position_embeddings,
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

    /// The logits of every token of texts, or of pairs of texts. What is longer than the model reads is cut.
    ///
    /// # Errors
    /// When the tokenizer refuses a text, or the model gives a number that is not finite.
    pub fn logits(&self, texts: &[(&str, Option<&str>)]) -> Result<Vec<TokenLogits>, InferError> {
        let encode = |(first, second): &(&str, Option<&str>)| match second {
            Some(second) => self.tokenizer.encode_pair(first, second, self.longest),
            None => self.tokenizer.encode(first, self.longest),
        };
        let encodings = texts.iter().map(encode).collect::<Result<Vec<_>, _>>();
        let encodings = encodings.map_err(tokenize)?;
        let tokens = encodings.iter().map(|encoding| Tokens {
            ids: encoding.ids.clone(),
            types: encoding.type_ids.clone(),
        });
        let rows = self.run(&tokens.collect::<Vec<_>>())?;
        let logits = encodings.into_iter().zip(rows);
        Ok(logits
            .map(|(encoding, logits)| TokenLogits { encoding, logits })
            .collect())
    }

    /// Names the model and its tokenizer by content.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The tokenizer of the model.
    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The longest text in tokens, special tokens included.
    pub(crate) fn tokens_max(&self) -> usize {
        self.longest
    }

    /// The logits of every token of texts that are ids already.
    pub(crate) fn run(&self, texts: &[Tokens]) -> Result<Vec<Vec<Vec<f32>>>, InferError> {
        let rows = self.engine.run(texts, &self.pool, |states| {
            states
                .chunks_exact(self.width)
                .map(|state| self.apply_head(state))
                .collect()
        });
        let rows: Vec<Vec<Vec<f32>>> = rows.map_err(|reason| InferError::Run {
            model: self.name.clone(),
            reason,
        })?;
        for (text, row) in rows.iter().enumerate() {
            if let Some(wrong) = row.iter().flatten().find(|logit| !logit.is_finite()) {
                return Err(InferError::NotFinite {
                    model: self.name.clone(),
                    text,
                    found: wrong.to_string(),
                });
            }
        }
        Ok(rows)
    }

    fn apply_head(&self, state: &[f32]) -> Vec<f32> {
        let set = self.engine.set();
        let Some((dense, norm)) = &self.head.transform else {
            return self.head.output.apply(set, state);
        };
        let mut state = dense.apply(set, state);
        let nothing = vec![0.0; state.len()];
        norm.apply(set, &mut state, &nothing);
        self.head.output.apply(set, &state)
    }
}

fn plain(weights: &mut Weights, name: &str, outputs: usize, config: &Config) -> Result<Head, String> {
    Ok(Head {
        transform: None,
        output: Dense {
            linear: weights.linear(name, &[], [outputs, config.hidden_size])?,
            activation: None,
        },
    })
}
