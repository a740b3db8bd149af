//! Texts to vectors: transformer, pooling, optional projection, optional normalisation. This is a
//! sentence-transformers model (Reimers and Gurevych 2019, <https://arxiv.org/abs/1908.10084>) and has its folder.

use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use serde_json::{Value, json};

use crate::bert::Linear;
use crate::folder::{save_weights, write_json};
use crate::layout::{Projection, SentenceLayout};
use crate::{Batch, Bert, Config, Init, ModelFiles, Parameters, Pass, Pooling, Result, StoredWeights};

/// An encoder whose answer for a text is one vector.
#[derive(Debug, Clone)]
pub struct SentenceEncoder {
    bert: Bert,
    pooling: Pooling,
    dense: Option<Dense>,
    normalize: bool,
    params: Parameters,
    max_seq_length: usize,
}

/// The projection after pooling: `activation(x Wᵀ + b)`.
#[derive(Debug, Clone)]
pub struct Dense {
    linear: Linear,
    input: usize,
    output: usize,
    tanh: bool,
    params: Parameters,
}

impl Dense {
    fn new(params: Parameters, input: usize, output: usize, tanh: bool) -> Result<Self> {
        let normal = Init::TruncatedNormal((1.0 / input as f64).sqrt());
        let weight = params.get("linear.weight", &[output, input], normal)?;
        let bias = params.get("linear.bias", &[output], Init::Zeros)?;
        Ok(Self {
            linear: Linear::from_vars(weight, bias),
            input,
            output,
            tanh,
            params,
        })
    }

    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let x = self.linear.forward(x, pass)?;
        if self.tanh { Ok(x.tanh()?) } else { Ok(x) }
    }
}

impl SentenceEncoder {
    /// A new model over `params`; `dense` is the width of a linear projection after pooling.
    pub fn fresh(
        params: &Parameters,
        config: &Config,
        pooling: Pooling,
        dense: Option<usize>,
        normalize: bool,
    ) -> Result<Self> {
        let bert = Bert::new(params, "", config)?;
        let projection = |width| Dense::new(params.sibling("dense"), config.hidden_size, width, false);
        let dense = dense.map(projection).transpose()?;
        let max_seq_length = config.max_position_embeddings;
        Ok(Self {
            bert,
            pooling,
            dense,
            normalize,
            params: params.clone(),
            max_seq_length,
        })
    }

    /// Opens a sentence-transformers folder; without `modules.json`, an encoder folder with mean pooling.
    ///
    /// # Errors
    /// A file that is missing or damaged, a module that is not known here, weights that do not fit.
    pub fn open(files: &ModelFiles, device: &Device) -> Result<Self> {
        let layout = SentenceLayout::open(files)?;
        let params = Parameters::stored(StoredWeights::open(files, "model.safetensors")?, device);
        let dense = |projection: &Projection| {
            let weights = StoredWeights::open(files, &projection.weights_file())?;
            let Projection {
                input, output, tanh, ..
            } = *projection;
            Dense::new(Parameters::stored(weights, device), input, output, tanh)
        };
        Ok(Self {
            bert: Bert::new(&params, "", &layout.config)?,
            pooling: layout.pooling,
            dense: layout.projection.as_ref().map(dense).transpose()?,
            normalize: layout.normalizes,
            params,
            max_seq_length: layout.max_seq_length,
        })
    }

    /// Vectors of the texts, (batch, dimension).
    pub fn forward(&self, batch: &Batch, pass: &mut Pass) -> Result<Tensor> {
        let hidden = self.bert.hidden(batch, pass)?;
        let mut x = self.pooling.forward(&hidden, batch)?;
        if let Some(dense) = &self.dense {
            x = dense.forward(&x, pass)?;
        }
        if self.normalize { normalize(&x) } else { Ok(x) }
    }

    /// Length of the vectors.
    pub fn dimension(&self) -> usize {
        self.dense
            .as_ref()
            .map_or(self.bert.config().hidden_size, |dense| dense.output)
    }

    /// The encoder.
    pub fn bert(&self) -> &Bert {
        &self.bert
    }

    /// How tokens become one vector.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The projection after pooling, if there is one.
    pub fn projection(&self) -> Option<&Dense> {
        self.dense.as_ref()
    }

    /// Whether vectors have length one.
    pub fn normalizes(&self) -> bool {
        self.normalize
    }

    /// Longest text in tokens, special tokens included; longer ones are to be cut.
    pub fn max_seq_length(&self) -> usize {
        self.max_seq_length
    }

    /// Every trainable variable, the projection's too, sorted by name.
    pub fn vars(&self) -> Vec<(String, crate::Var)> {
        let mut vars = self.params.vars();
        if let Some(dense) = &self.dense {
            vars.extend(
                dense
                    .params
                    .vars()
                    .into_iter()
                    .map(|(name, var)| (format!("2_Dense.{name}"), var)),
            );
        }
        vars.sort_by(|a, b| a.0.cmp(&b.0));
        vars
    }

    /// Writes the model as a sentence-transformers folder, weights in the type `dtype`. The tokenizer's files are
    /// not among them.
    pub fn save(&self, folder: &Path, dtype: DType, max_seq_length: usize) -> Result<()> {
        save_weights(folder, self.bert.config(), "BertModel", &self.params, dtype)?;
        write_json(&folder.join("1_Pooling/config.json"), &self.pooling_json())?;
        if let Some(dense) = &self.dense {
            write_json(&folder.join("2_Dense/config.json"), &dense.json())?;
            dense
                .params
                .save(&folder.join("2_Dense/model.safetensors"), dtype)?;
        }
        write_json(&folder.join("modules.json"), &self.modules_json())?;
        let sentence = json!({"max_seq_length": max_seq_length, "do_lower_case": false});
        write_json(&folder.join("sentence_bert_config.json"), &sentence)?;
        let settings = json!({"prompts": {}, "default_prompt_name": null, "similarity_fn_name": "cosine"});
        write_json(&folder.join("config_sentence_transformers.json"), &settings)
    }

    fn pooling_json(&self) -> Value {
        json!({
            "word_embedding_dimension": self.bert.config().hidden_size,
            "pooling_mode_cls_token": self.pooling == Pooling::Cls,
            "pooling_mode_mean_tokens": self.pooling == Pooling::Mean,
            "pooling_mode_max_tokens": self.pooling == Pooling::Max,
            "pooling_mode_mean_sqrt_len_tokens": false,
        })
    }

    fn modules_json(&self) -> Value {
        let mut paths = vec![("", "Transformer"), ("1_Pooling", "Pooling")];
        if self.dense.is_some() {
            paths.push(("2_Dense", "Dense"));
        }
        if self.normalize {
            paths.push((
                if self.dense.is_some() {
                    "3_Normalize"
                } else {
                    "2_Normalize"
                },
                "Normalize",
            ));
        }
        let modules = paths.iter().enumerate().map(|(at, (path, kind))| {
            let kind = format!("sentence_transformers.models.{kind}");
            json!({"idx": at, "name": at.to_string(), "path": path, "type": kind})
        });
        Value::Array(modules.collect())
    }
}

impl Dense {
    fn json(&self) -> Value {
        let activation = if self.tanh {
            "torch.nn.modules.activation.Tanh"
        } else {
            "torch.nn.modules.linear.Identity"
        };
        json!({
            "in_features": self.input,
            "out_features": self.output,
            "bias": true,
            "activation_function": activation,
        })
    }
}

/// Scales rows to length one, as PyTorch's `normalize`: a row of zeros stays one.
fn normalize(x: &Tensor) -> Result<Tensor> {
    // Under the root, so that the gradient of a row of zeros is a number.
    let length = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
    Ok(x.broadcast_div(&length)?)
}
