//! Texts to vectors: transformer, pooling, optional projection, optional normalisation. This is a
//! sentence-transformers model (Reimers and Gurevych 2019, <https://arxiv.org/abs/1908.10084>) and has its folder.

use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bert::Linear;
use crate::folder::{open_weights, read_json, save_weights, write_json};
use crate::{Batch, Bert, Config, Error, Init, ModelFiles, Parameters, Pass, Pooling, Result};

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
        let (config, params) = open_weights(files, device)?;
        let bert = Bert::new(&params, "", &config)?;
        let mut model = Self {
            bert,
            pooling: Pooling::Mean,
            dense: None,
            normalize: false,
            params,
            max_seq_length: max_seq_length(files, &config)?,
        };
        if files.has("modules.json") {
            for module in read_json::<Vec<Module>>(files, "modules.json")? {
                model.add_module(&module, files, device)?;
            }
        }
        Ok(model)
    }

    fn add_module(&mut self, module: &Module, files: &ModelFiles, device: &Device) -> Result<()> {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                let name = format!("{}/config.json", module.path);
                self.pooling = pooling_of(&read_json(files, &name)?)?;
            }
            "Dense" => self.dense = Some(open_dense(files, &module.path, self.dimension(), device)?),
            "Normalize" => self.normalize = true,
            _ => {
                let accepted = "Transformer, Pooling, Dense, Normalize".into();
                return Err(Error::Setting {
                    field: "modules.json type",
                    value: module.kind.clone(),
                    accepted,
                });
            }
        }
        Ok(())
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
    /// Whether its activation is the hyperbolic tangent; else it has none.
    pub fn has_tanh(&self) -> bool {
        self.tanh
    }

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

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct SentenceSettings {
    max_seq_length: Option<usize>,
}

fn max_seq_length(files: &ModelFiles, config: &Config) -> Result<usize> {
    let positions = config.max_position_embeddings;
    if !files.has("sentence_bert_config.json") {
        return Ok(positions);
    }
    let settings: SentenceSettings = read_json(files, "sentence_bert_config.json")?;
    Ok(settings.max_seq_length.unwrap_or(positions).min(positions))
}

/// The pooling mode: by name (sentence-transformers since 5.2), or the one of several switches that is on.
fn pooling_of(settings: &Value) -> Result<Pooling> {
    let modes = settings.as_object().into_iter().flatten();
    let on = modes.filter(|(_, value)| value.as_bool() == Some(true));
    let on: Vec<&str> = match settings.get("pooling_mode").and_then(Value::as_str) {
        Some(name) => vec![name],
        None => on
            .filter_map(|(name, _)| name.strip_prefix("pooling_mode_"))
            .collect(),
    };
    match on.as_slice() {
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["max" | "max_tokens"] => Ok(Pooling::Max),
        _ => {
            let accepted = "one of cls, mean, max".into();
            Err(Error::Setting {
                field: "pooling_mode",
                value: on.join(", "),
                accepted,
            })
        }
    }
}

#[derive(Deserialize)]
struct DenseSettings {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    activation_function: String,
}

fn yes() -> bool {
    true
}

fn open_dense(files: &ModelFiles, path: &str, width: usize, device: &Device) -> Result<Dense> {
    let settings: DenseSettings = read_json(files, &format!("{path}/config.json"))?;
    let refuse = |field, value: String, accepted: String| {
        Err(Error::Setting {
            field,
            value,
            accepted,
        })
    };
    if settings.in_features != width {
        return refuse("in_features", settings.in_features.to_string(), width.to_string());
    }
    if !settings.bias {
        return refuse("bias", "false".into(), "true".into());
    }
    let tanh = match settings
        .activation_function
        .rsplit('.')
        .next()
        .unwrap_or_default()
    {
        "Tanh" => true,
        "Identity" | "" => false,
        _ => {
            return refuse(
                "activation_function",
                settings.activation_function,
                "Tanh, Identity".into(),
            );
        }
    };
    let name = format!("{path}/model.safetensors");
    let params = Parameters::from_safetensors(&files.read(&name)?, &files.label(&name), device)?;
    Dense::new(params, settings.in_features, settings.out_features, tanh)
}
