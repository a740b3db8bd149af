//! What is put on the hidden states: one head per task, under the names that Hugging Face gives the weights.

use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use crate::bert::{Hidden, Linear, Norm};
use crate::folder::{open_weights, save_weights};
use crate::ops;
use crate::{Batch, Bert, Config, Init, ModelFiles, Parameters, Pass, Pooling, Result};

/// Masked-language-model head (Devlin et al. 2018, section 3.1): dense, activation, layer norm, then the token
/// embeddings as decoder, with a bias of its own.
#[derive(Debug, Clone)]
pub struct MlmHead {
    dense: Linear,
    norm: Norm,
    decoder: Var,
    bias: Var,
    config: Config,
}

impl MlmHead {
    /// Takes its weights from `params` under `cls.predictions`; the decoder is shared with `bert`.
    pub fn new(params: &Parameters, bert: &Bert) -> Result<Self> {
        let config = bert.config().clone();
        let width = config.hidden_size;
        let name = "cls.predictions";
        Ok(Self {
            dense: Linear::new(
                params,
                &format!("{name}.transform.dense"),
                [width, width],
                &config,
            )?,
            norm: Norm::new(params, &format!("{name}.transform.LayerNorm"), &config)?,
            decoder: bert.word_embeddings().clone(),
            bias: params.get(&format!("{name}.bias"), &[config.vocab_size], Init::Zeros)?,
            config,
        })
    }

    /// Hidden states (n, hidden) to logits (n, vocabulary).
    pub fn forward(&self, hidden: &Tensor, pass: &Pass) -> Result<Tensor> {
        let x = self.transform(hidden, pass)?;
        ops::widened(&ops::linear(
            &x,
            &pass.weight(&self.decoder),
            &pass.weight(&self.bias),
        )?)
    }

    /// Mean cross-entropy of [`MlmHead::forward`]: hidden states (n, hidden), targets (n) u32; a scalar.
    pub fn loss(&self, hidden: &Tensor, targets: &Tensor, pass: &Pass) -> Result<Tensor> {
        let x = self.transform(hidden, pass)?;
        ops::decode_loss(&x, &pass.weight(&self.decoder), &pass.weight(&self.bias), targets)
    }

    fn transform(&self, hidden: &Tensor, pass: &Pass) -> Result<Tensor> {
        let x = ops::as_activations(hidden)?;
        let x = self.dense.activated(&x, self.config.hidden_act, pass)?;
        self.norm.forward(&x, pass)
    }
}

/// An encoder with its masked-language-model head.
#[derive(Debug, Clone)]
pub struct MaskedLm {
    /// The encoder.
    pub bert: Bert,
    /// The head.
    pub head: MlmHead,
    params: Parameters,
}

impl MaskedLm {
    /// Takes its weights from `params`, with the encoder under `bert`.
    pub fn new(params: &Parameters, config: &Config) -> Result<Self> {
        let bert = Bert::new(params, "bert", config)?;
        let head = MlmHead::new(params, &bert)?;
        Ok(Self {
            bert,
            head,
            params: params.clone(),
        })
    }

    /// Mean cross-entropy of the hidden tokens: `places` says where, counted over texts with padding (text × tokens +
    /// token), each at most once, and `targets` what they were.
    pub fn loss(&self, batch: &Batch, places: &[u32], targets: &[u32], pass: &mut Pass) -> Result<Tensor> {
        let states = self.bert.hidden(batch, pass)?.at(batch, places)?;
        self.head
            .loss(&states, &Tensor::new(targets, batch.device())?, pass)
    }

    /// Logits (batch, tokens, vocabulary).
    pub fn forward(&self, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
        let hidden = self.bert.forward(batch, pass)?;
        let (size, tokens, width) = hidden.dims3()?;
        let logits = self
            .head
            .forward(&hidden.reshape((size * tokens, width))?, pass)?;
        let vocab = logits.dim(1)?;
        Ok(logits.reshape((size, tokens, vocab))?)
    }

    /// Logits (places, vocabulary) of some tokens only, at places as in [`MaskedLm::loss`].
    ///
    /// # Errors
    /// As [`Bert::forward`], and for a place that the batch does not have.
    pub fn logits_at(&self, batch: &Batch, places: &[u32], pass: &mut Pass) -> Result<Tensor> {
        let states = self.bert.hidden(batch, pass)?.at(batch, places)?;
        self.head.forward(&states, pass)
    }
}

/// An encoder with both heads of BERT's pre-training (Devlin et al. 2018, section 3.1): fill in the blanks, and say
/// how two segments belong together.
#[derive(Debug, Clone)]
pub struct PreTraining {
    /// The encoder.
    pub bert: Bert,
    /// The head that fills in blanks.
    pub head: MlmHead,
    pair: PairHead,
    params: Parameters,
}

impl PreTraining {
    /// Takes its weights from `params`, with the encoder under `bert`.
    pub fn new(params: &Parameters, config: &Config) -> Result<Self> {
        let bert = Bert::new(params, "bert", config)?;
        Ok(Self {
            head: MlmHead::new(params, &bert)?,
            pair: PairHead::new(params, config)?,
            bert,
            params: params.clone(),
        })
    }

    /// Mean cross-entropy of the hidden tokens, as [`MaskedLm::loss`], and logits (batch, 2) of the pairs, as
    /// [`NextSentence::forward`].
    ///
    /// # Errors
    /// As [`MaskedLm::loss`].
    pub fn loss(
        &self,
        batch: &Batch,
        places: &[u32],
        targets: &[u32],
        pass: &mut Pass,
    ) -> Result<(Tensor, Tensor)> {
        let hidden = self.bert.hidden(batch, pass)?;
        let targets = Tensor::new(targets, batch.device())?;
        let blanks = self.head.loss(&hidden.at(batch, places)?, &targets, pass)?;
        Ok((blanks, self.pair.forward(&hidden, batch, pass)?))
    }

    /// Logits of some tokens, as [`MaskedLm::logits_at`], and of the pairs, as [`NextSentence::forward`].
    ///
    /// # Errors
    /// As [`MaskedLm::logits_at`].
    pub fn logits_at(&self, batch: &Batch, places: &[u32], pass: &mut Pass) -> Result<(Tensor, Tensor)> {
        let hidden = self.bert.hidden(batch, pass)?;
        let blanks = self.head.forward(&hidden.at(batch, places)?, pass)?;
        Ok((blanks, self.pair.forward(&hidden, batch, pass)?))
    }
}

/// Opening and writing, which all models with a head share.
macro_rules! folder {
    ($model:ty, $architecture:expr) => {
        impl $model {
            /// Opens a model folder.
            ///
            /// # Errors
            /// A file that is missing or damaged, weights that do not fit the configuration.
            pub fn open(files: &ModelFiles, device: &Device) -> Result<Self> {
                let (config, params) = open_weights(files, device)?;
                Self::new(&params, &config)
            }

            /// Writes `config.json` and `model.safetensors`, weights in the type `dtype`. The tokenizer's files are
            /// not among them.
            pub fn save(&self, folder: &Path, dtype: DType) -> Result<()> {
                let config = self.bert.config();
                let architecture: fn(&Config) -> &'static str = $architecture;
                save_weights(folder, config, architecture(config), &self.params, dtype)
            }

            /// Every trainable variable, sorted by name.
            pub fn vars(&self) -> Vec<(String, Var)> {
                self.params.vars()
            }
        }
    };
}

folder!(MaskedLm, |config| match config.is_decoder {
    true => "BertLMHeadModel",
    false => "BertForMaskedLM",
});
folder!(PreTraining, |_| "BertForPreTraining");
folder!(NextSentence, |_| "BertForNextSentencePrediction");
folder!(PairScorer, |_| "BertForSequenceClassification");
folder!(TokenTagger, |_| "BertForTokenClassification");
folder!(SpanReader, |_| "BertForQuestionAnswering");

/// The first token's state through a dense layer and tanh (Devlin et al. 2018, section 3.1).
#[derive(Debug, Clone)]
struct Pooler(Linear);

impl Pooler {
    fn new(params: &Parameters, config: &Config) -> Result<Self> {
        let width = config.hidden_size;
        Ok(Self(Linear::new(
            params,
            "bert.pooler.dense",
            [width, width],
            config,
        )?))
    }

    /// (batch, hidden).
    fn forward(&self, hidden: &Hidden, batch: &Batch, pass: &Pass) -> Result<Tensor> {
        let first = Pooling::Cls.forward(hidden, batch)?;
        Ok(self.0.forward(&first, pass)?.tanh()?)
    }
}

/// Does the second segment follow the first one (NSP, Devlin et al. 2018), or are the two in order (SOP, Lan et
/// al. 2019)? The head is the same; the examples differ.
#[derive(Debug, Clone)]
pub struct NextSentence {
    /// The encoder.
    pub bert: Bert,
    pair: PairHead,
    params: Parameters,
}

impl NextSentence {
    /// Takes its weights from `params`, with the encoder under `bert`.
    pub fn new(params: &Parameters, config: &Config) -> Result<Self> {
        Ok(Self {
            bert: Bert::new(params, "bert", config)?,
            pair: PairHead::new(params, config)?,
            params: params.clone(),
        })
    }

    /// Logits (batch, 2): index 0 is "follows" or "in order".
    pub fn forward(&self, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
        let hidden = self.bert.hidden(batch, pass)?;
        self.pair.forward(&hidden, batch, pass)
    }
}

/// Pooler and classifier of pairs.
#[derive(Debug, Clone)]
struct PairHead {
    pooler: Pooler,
    relationship: Linear,
}

impl PairHead {
    fn new(params: &Parameters, config: &Config) -> Result<Self> {
        Ok(Self {
            pooler: Pooler::new(params, config)?,
            relationship: Linear::new(params, "cls.seq_relationship", [2, config.hidden_size], config)?,
        })
    }

    /// (batch, 2), in at least 32 bits.
    fn forward(&self, hidden: &Hidden, batch: &Batch, pass: &Pass) -> Result<Tensor> {
        let pooled = self.pooler.forward(hidden, batch, pass)?;
        ops::widened(&self.relationship.forward(&pooled, pass)?)
    }
}

/// Sequence classification or regression; over pairs of texts, with one label, it is a cross-encoder
/// (Nogueira and Cho 2019, <https://arxiv.org/abs/1901.04085>).
#[derive(Debug, Clone)]
pub struct PairScorer {
    /// The encoder.
    pub bert: Bert,
    pooler: Pooler,
    classifier: Linear,
    params: Parameters,
}

impl PairScorer {
    /// Takes its weights from `params`; the number of labels is that of the configuration.
    pub fn new(params: &Parameters, config: &Config) -> Result<Self> {
        Ok(Self {
            bert: Bert::new(params, "bert", config)?,
            pooler: Pooler::new(params, config)?,
            classifier: classifier(params, "classifier", config.num_labels(), config)?,
            params: params.clone(),
        })
    }

    /// Logits (batch, labels).
    pub fn forward(&self, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
        let hidden = self.bert.hidden(batch, pass)?;
        let pooled = self.pooler.forward(&hidden, batch, pass)?;
        classify(&self.classifier, &pooled, self.bert.config(), pass)
    }
}

/// A label for each token (named entities, parts of speech).
#[derive(Debug, Clone)]
pub struct TokenTagger {
    /// The encoder.
    pub bert: Bert,
    classifier: Linear,
    params: Parameters,
}

impl TokenTagger {
    /// Takes its weights from `params`; the number of labels is that of the configuration.
    pub fn new(params: &Parameters, config: &Config) -> Result<Self> {
        Ok(Self {
            bert: Bert::new(params, "bert", config)?,
            classifier: classifier(params, "classifier", config.num_labels(), config)?,
            params: params.clone(),
        })
    }

    /// Logits (batch, tokens, labels); those of padding mean nothing.
    pub fn forward(&self, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
        per_token(&self.bert, &self.classifier, batch, pass)
    }
}

/// Where an answer begins and ends in a text (Devlin et al. 2018, section 4.2).
#[derive(Debug, Clone)]
pub struct SpanReader {
    /// The encoder.
    pub bert: Bert,
    outputs: Linear,
    params: Parameters,
}

impl SpanReader {
    /// Takes its weights from `params`, with the encoder under `bert`.
    pub fn new(params: &Parameters, config: &Config) -> Result<Self> {
        Ok(Self {
            bert: Bert::new(params, "bert", config)?,
            outputs: classifier(params, "qa_outputs", 2, config)?,
            params: params.clone(),
        })
    }

    /// Logits (batch, tokens, 2): index 0 for beginning at a token, 1 for ending there; those of padding mean
    /// nothing.
    pub fn forward(&self, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
        per_token(&self.bert, &self.outputs, batch, pass)
    }
}

fn classifier(params: &Parameters, name: &str, labels: usize, config: &Config) -> Result<Linear> {
    Linear::new(params, name, [labels, config.hidden_size], config)
}

/// Dropout and a dense layer.
fn classify(linear: &Linear, x: &Tensor, config: &Config, pass: &mut Pass) -> Result<Tensor> {
    let dropout = pass.dropout(config.classifier_dropout());
    linear.forward(&ops::dropout(x, dropout)?, pass)
}

fn per_token(bert: &Bert, linear: &Linear, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
    let hidden = bert.hidden(batch, pass)?;
    let states = classify(linear, &hidden.states, bert.config(), pass)?;
    Hidden {
        states,
        rows: hidden.rows,
    }
    .padded(batch)
}
