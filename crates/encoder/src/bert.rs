//! The BERT encoder (Devlin et al. 2018, section 3): embeddings and a stack of post-norm transformer layers.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use candle_core::{Tensor, Var};

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::ops::{self, Heads, Rows};
use crate::{Activation, Batch, Config, Error, Init, Parameters, Pass, Result};

/// Token, position and segment embeddings and the transformer layers.
#[derive(Debug, Clone)]
pub struct Bert {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    config: Config,
}

/// Hidden states of a batch, one row per token.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    /// (rows, hidden).
    pub(crate) states: Tensor,
    /// How the texts lie in the rows.
    pub(crate) rows: Rows,
}

/// What there is to see in an encoder beside its answer, each (batch, tokens, hidden). Rows of padding hold finite
/// values without meaning.
#[derive(Debug, Clone)]
pub struct Inside {
    /// Hidden states of the last layer.
    pub states: Tensor,
    /// Queries, keys and values of the last layer, all heads beside each other, if they were asked for.
    pub relations: Option<[Tensor; 3]>,
}

impl Bert {
    /// Takes its weights from `params` under `prefix` (`""` or `"bert"`).
    ///
    /// # Errors
    /// An unsound configuration; a weight that is missing or has another shape.
    pub fn new(params: &Parameters, prefix: &str, config: &Config) -> Result<Self> {
        config.validate()?;
        params.check_layers(config.num_hidden_layers)?;
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}.")
        };
        let embeddings = Embeddings::new(params, &format!("{prefix}embeddings"), config)?;
        let layer = |at| Layer::new(params, &format!("{prefix}encoder.layer.{at}"), config);
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        Ok(Self {
            embeddings,
            layers,
            config: config.clone(),
        })
    }

    /// Hidden states of the last layer, (batch, tokens, hidden). Rows of padding hold finite values without
    /// meaning.
    ///
    /// # Errors
    /// A text that is too long, an id that the model does not have.
    pub fn forward(&self, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
        let hidden = self.hidden(batch, pass)?;
        hidden.padded(batch)
    }

    /// Hidden states of the last layer in the rows that suit the device.
    pub(crate) fn hidden(&self, batch: &Batch, pass: &mut Pass) -> Result<Hidden> {
        let config = &self.config;
        batch.check_ids(
            config.vocab_size,
            config.type_vocab_size,
            config.max_position_embeddings,
        )?;
        #[cfg(feature = "cuda")]
        if batch.device().is_cuda() {
            return self.hidden_on_gpu(batch, pass);
        }
        let mut hidden = self.embeddings.forward(batch, config, pass)?;
        for layer in &self.layers {
            hidden.states = layer.forward(&hidden, config, pass)?;
        }
        Ok(hidden)
    }

    /// As [`Bert::hidden`], without padding and in the type of the device's activations.
    #[cfg(feature = "cuda")]
    fn hidden_on_gpu(&self, batch: &Batch, pass: &mut Pass) -> Result<Hidden> {
        let config = &self.config;
        cuda::check(config)?;
        let settings = cuda::settings(batch.device())?;
        let texts = Arc::new(cuda::Texts::new(batch)?);
        let embeddings = &self.embeddings;
        let tables = [&embeddings.word, &embeddings.position, &embeddings.segment];
        let x = cuda::embed(
            tables.map(|table| pass.weight(table)),
            &texts,
            embeddings.norm.affine(pass),
            config.layer_norm_eps,
            pass.dropout(config.hidden_dropout_prob),
            settings.activations,
        )?;
        let stack = cuda::Stack {
            texts: texts.clone(),
            heads: heads(config),
            act: config.hidden_act,
            eps: config.layer_norm_eps,
            recompute: settings.recompute,
        };
        let layers = self.layers.iter().map(|layer| layer.weights(config, pass));
        Ok(Hidden {
            states: stack.forward(&x, layers.collect())?,
            rows: Rows::OnGpu(texts),
        })
    }

    /// [`Bert::forward`], with the queries, keys and values of the last layer if they are wanted.
    ///
    /// # Errors
    /// As [`Bert::forward`]; relations on a GPU, where the layers are one operation.
    pub fn inside(&self, batch: &Batch, relations: bool, pass: &mut Pass) -> Result<Inside> {
        if !relations {
            let states = self.forward(batch, pass)?;
            let relations = None;
            return Ok(Inside { states, relations });
        }
        if batch.device().is_cuda() {
            return Err(Error::Setting {
                field: "relations",
                value: "on a GPU".into(),
                accepted: "on the CPU".into(),
            });
        }
        let config = &self.config;
        batch.check_ids(
            config.vocab_size,
            config.type_vocab_size,
            config.max_position_embeddings,
        )?;
        let mut hidden = self.embeddings.forward(batch, config, pass)?;
        let mut related = hidden.clone();
        for (at, layer) in self.layers.iter().enumerate() {
            if at + 1 == self.layers.len() {
                related.states = layer.qkv.forward(&hidden.states, pass)?;
            }
            hidden.states = layer.forward(&hidden, config, pass)?;
        }
        let related = related.padded(batch)?;
        let part = |at: usize| related.narrow(2, at * config.hidden_size, config.hidden_size);
        Ok(Inside {
            states: hidden.padded(batch)?,
            relations: Some([part(0)?, part(1)?, part(2)?]),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The token embeddings (vocabulary, hidden), which the MLM head decodes with.
    pub fn word_embeddings(&self) -> &Var {
        &self.embeddings.word
    }
}

impl Hidden {
    /// The rows of the tokens at these places, counted over texts with padding (text × tokens + token), each at most
    /// once: (places, hidden).
    pub(crate) fn at(&self, batch: &Batch, places: &[u32]) -> Result<Tensor> {
        let lengths = match &self.rows {
            Rows::Padded(_) => {
                let places = Tensor::new(places, self.states.device())?;
                return Ok(self.states.index_select(&places, 0)?);
            }
            Rows::Packed(lengths) => lengths,
            #[cfg(feature = "cuda")]
            Rows::OnGpu(texts) => texts.lengths(),
        };
        let mut rows = vec![ops::NO_ROW; batch.size() * batch.tokens()];
        let mut next = 0..;
        for (text, &length) in rows.chunks_exact_mut(batch.tokens()).zip(lengths.iter()) {
            text[..length]
                .iter_mut()
                .zip(&mut next)
                .for_each(|(row, number)| *row = number);
        }
        let row = |&place: &u32| match rows.get(place as usize) {
            Some(&row) if row != ops::NO_ROW => Ok(row),
            _ => Err(Error::Batch {
                row: place as usize / batch.tokens(),
                reason: format!("place {place} holds no token"),
            }),
        };
        let rows = places.iter().map(row).collect::<Result<_>>()?;
        ops::take_rows(&self.states, rows, self.states.dtype())
    }

    /// (batch, tokens, hidden).
    pub(crate) fn padded(&self, batch: &Batch) -> Result<Tensor> {
        let width = self.states.dim(1)?;
        let states = match &self.rows {
            Rows::Padded(_) => self.states.clone(),
            Rows::Packed(lengths) => ops::unpack(&self.states, lengths, batch.tokens())?,
            #[cfg(feature = "cuda")]
            Rows::OnGpu(texts) => ops::unpack(&self.states, texts.lengths(), batch.tokens())?,
        };
        Ok(states.reshape((batch.size(), batch.tokens(), width))?)
    }
}

/// A layer norm with weight and bias.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    weight: Var,
    bias: Var,
    eps: f64,
}

impl Norm {
    pub(crate) fn new(params: &Parameters, name: &str, config: &Config) -> Result<Self> {
        let shape = [config.hidden_size];
        let weight = params.get(&format!("{name}.weight"), &shape, Init::Ones)?;
        let bias = params.get(&format!("{name}.bias"), &shape, Init::Zeros)?;
        Ok(Self {
            weight,
            bias,
            eps: config.layer_norm_eps,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        ops::norm(x, &pass.weight(&self.weight), &pass.weight(&self.bias), self.eps)
    }

    #[cfg(feature = "cuda")]
    fn affine(&self, pass: &Pass) -> cuda::Affine {
        cuda::Affine {
            weight: pass.weight(&self.weight),
            bias: pass.weight(&self.bias),
        }
    }

    fn residual(&self, x: &Tensor, residual: &Tensor, p: f64, pass: &mut Pass) -> Result<Tensor> {
        let dropout = pass.dropout(p);
        let affine = (&pass.weight(&self.weight), &pass.weight(&self.bias));
        ops::residual_norm(x, residual, affine, self.eps, dropout)
    }
}

/// A dense layer: weight (out, in), bias (out).
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: Var,
    bias: Var,
}

impl Linear {
    pub(crate) fn new(
        params: &Parameters,
        name: &str,
        [out, input]: [usize; 2],
        config: &Config,
    ) -> Result<Self> {
        let normal = Init::TruncatedNormal(config.initializer_range);
        let weight = params.get(&format!("{name}.weight"), &[out, input], normal)?;
        let bias = params.get(&format!("{name}.bias"), &[out], Init::Zeros)?;
        Ok(Self { weight, bias })
    }

    #[cfg(feature = "cuda")]
    fn affine(&self, pass: &Pass) -> cuda::Affine {
        cuda::Affine {
            weight: pass.weight(&self.weight),
            bias: pass.weight(&self.bias),
        }
    }

    pub(crate) fn from_vars(weight: Var, bias: Var) -> Self {
        Self { weight, bias }
    }

    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        ops::linear(x, &pass.weight(&self.weight), &pass.weight(&self.bias))
    }

    pub(crate) fn activated(&self, x: &Tensor, act: Activation, pass: &Pass) -> Result<Tensor> {
        ops::linear_activated(x, &pass.weight(&self.weight), &pass.weight(&self.bias), act)
    }
}

#[derive(Debug, Clone)]
struct Embeddings {
    word: Var,
    position: Var,
    segment: Var,
    norm: Norm,
}

impl Embeddings {
    fn new(params: &Parameters, name: &str, config: &Config) -> Result<Self> {
        let width = config.hidden_size;
        let table = |what: &str, rows: usize| {
            let normal = Init::TruncatedNormal(config.initializer_range);
            params.get(
                &format!("{name}.{what}_embeddings.weight"),
                &[rows, width],
                normal,
            )
        };
        Ok(Self {
            word: table("word", config.vocab_size)?,
            position: table("position", config.max_position_embeddings)?,
            segment: table("token_type", config.type_vocab_size)?,
            norm: Norm::new(params, &format!("{name}.LayerNorm"), config)?,
        })
    }

    fn forward(&self, batch: &Batch, config: &Config, pass: &mut Pass) -> Result<Hidden> {
        let tables = [&self.word, &self.position, &self.segment].map(|table| pass.weight(table));
        let (sum, rows) = if ops::is_fused(batch.device(), tables[0].dtype()) {
            let (words, positions, segments) = batch.packed();
            let sum = ops::embed(tables.each_ref(), [words, positions, segments])?;
            (sum, Rows::Packed(batch.lengths().into()))
        } else {
            (embed_padded(&tables, batch)?, Rows::Padded(batch.mask().clone()))
        };
        let normed = self.norm.forward(&sum, pass)?;
        let states = ops::dropout(&normed, pass.dropout(config.hidden_dropout_prob))?;
        Ok(Hidden { states, rows })
    }
}

/// Sum of the three embeddings, (batch × tokens, hidden).
fn embed_padded([word, position, segment]: &[Tensor; 3], batch: &Batch) -> Result<Tensor> {
    let positions = Tensor::arange(0, batch.tokens() as u32, batch.device())?;
    let positions = positions
        .broadcast_as((batch.size(), batch.tokens()))?
        .flatten_all()?;
    let word = word.index_select(&batch.ids().flatten_all()?, 0)?;
    let position = position.index_select(&positions, 0)?;
    let segment = segment.index_select(&batch.types().flatten_all()?, 0)?;
    Ok(((word + position)? + segment)?)
}

/// One transformer layer (Devlin et al. 2018, section 3; Vaswani et al. 2017, section 3.1).
#[derive(Debug, Clone)]
struct Layer {
    qkv: Linear,
    attention: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
}

impl Layer {
    fn new(params: &Parameters, name: &str, config: &Config) -> Result<Self> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let linear = |what: &str, shape| Linear::new(params, &format!("{name}.{what}"), shape, config);
        Ok(Self {
            qkv: query_key_value(params, &format!("{name}.attention.self"), config)?,
            attention: linear("attention.output.dense", [hidden, hidden])?,
            attention_norm: Norm::new(params, &format!("{name}.attention.output.LayerNorm"), config)?,
            intermediate: linear("intermediate.dense", [wide, hidden])?,
            output: linear("output.dense", [hidden, wide])?,
            output_norm: Norm::new(params, &format!("{name}.output.LayerNorm"), config)?,
        })
    }

    fn forward(&self, hidden: &Hidden, config: &Config, pass: &mut Pass) -> Result<Tensor> {
        let x = &hidden.states;
        let qkv = self.qkv.forward(x, pass)?;
        let dropout = pass.dropout(config.attention_probs_dropout_prob);
        let context = ops::attention(&qkv, &hidden.rows, heads(config), dropout)?;
        let attended = self.attention.forward(&context, pass)?;
        let x = self
            .attention_norm
            .residual(&attended, x, config.hidden_dropout_prob, pass)?;
        let wide = self.intermediate.activated(&x, config.hidden_act, pass)?;
        let out = self.output.forward(&wide, pass)?;
        self.output_norm
            .residual(&out, &x, config.hidden_dropout_prob, pass)
    }
}

fn heads(config: &Config) -> Heads {
    Heads {
        count: config.num_attention_heads,
        causal: config.is_decoder,
    }
}

#[cfg(feature = "cuda")]
impl Layer {
    /// The weights as this pass uses them. The order in which dropout is drawn is that of [`Layer::forward`].
    fn weights(&self, config: &Config, pass: &mut Pass) -> cuda::LayerWeights {
        cuda::LayerWeights {
            qkv: self.qkv.affine(pass),
            attention: self.attention.affine(pass),
            attention_norm: self.attention_norm.affine(pass),
            intermediate: self.intermediate.affine(pass),
            output: self.output.affine(pass),
            output_norm: self.output_norm.affine(pass),
            drops: cuda::Drops {
                weights: pass.dropout(config.attention_probs_dropout_prob),
                attended: pass.dropout(config.hidden_dropout_prob),
                output: pass.dropout(config.hidden_dropout_prob),
            },
        }
    }
}

/// Queries, keys and values as one dense layer, so that they are one matrix product; three weights on disk.
fn query_key_value(params: &Parameters, name: &str, config: &Config) -> Result<Linear> {
    let width = config.hidden_size;
    let parts = |what: &str| ["query", "key", "value"].map(|part| format!("{name}.{part}.{what}"));
    let normal = Init::TruncatedNormal(config.initializer_range);
    let weight = params.get_stacked(
        &format!("{name}.qkv.weight"),
        &parts("weight"),
        &[width, width],
        normal,
    )?;
    let bias = params.get_stacked(&format!("{name}.qkv.bias"), &parts("bias"), &[width], Init::Zeros)?;
    Ok(Linear { weight, bias })
}
