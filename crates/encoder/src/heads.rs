//! What is put on the hidden states: one head per task.

use candle_core::{Tensor, Var};

use crate::bert::{Linear, Norm};
use crate::{Batch, Bert, Config, Init, Parameters, Pass, Result};

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
        let x = self.dense.activated(hidden, self.config.hidden_act, pass)?;
        let x = self.norm.forward(&x, pass)?;
        crate::ops::linear(&x, &pass.weight(&self.decoder), &pass.weight(&self.bias))
    }
}

/// An encoder with its masked-language-model head.
#[derive(Debug, Clone)]
pub struct MaskedLm {
    /// The encoder.
    pub bert: Bert,
    /// The head.
    pub head: MlmHead,
}

impl MaskedLm {
    /// Takes its weights from `params`, with the encoder under `bert`.
    pub fn new(params: &Parameters, config: &Config) -> Result<Self> {
        let bert = Bert::new(params, "bert", config)?;
        let head = MlmHead::new(params, &bert)?;
        Ok(Self { bert, head })
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
}
