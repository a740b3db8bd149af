//! What a sentence-transformers folder says of a model, apart from its weights.

use serde::Deserialize;
use serde_json::Value;

use crate::folder::read_json;
use crate::{Config, Error, ModelFiles, Pooling, Result};

/// The encoder's configuration and what is done with the hidden states.
#[derive(Debug, Clone)]
pub struct SentenceLayout {
    /// The encoder's configuration.
    pub config: Config,
    /// How tokens become one vector.
    pub pooling: Pooling,
    /// The projection after pooling, if there is one.
    pub projection: Option<Projection>,
    /// Whether vectors have length one.
    pub normalizes: bool,
    /// Longest text in tokens, special tokens included; longer ones are to be cut.
    pub max_seq_length: usize,
}

/// A dense layer after pooling: `activation(x Wᵀ + b)`.
#[derive(Debug, Clone)]
pub struct Projection {
    path: String,
    /// Values in.
    pub input: usize,
    /// Values out.
    pub output: usize,
    /// Whether its activation is the hyperbolic tangent; else it has none.
    pub tanh: bool,
}

impl SentenceLayout {
    /// Reads a sentence-transformers folder; without `modules.json`, an encoder folder with mean pooling.
    ///
    /// # Errors
    /// A file that is missing or damaged, a module that is not known here.
    pub fn open(files: &ModelFiles) -> Result<Self> {
        let config = Config::open(files)?;
        let mut layout = Self {
            max_seq_length: max_seq_length(files, &config)?,
            config,
            pooling: Pooling::Mean,
            projection: None,
            normalizes: false,
        };
        if files.has("modules.json") {
            for module in read_json::<Vec<Module>>(files, "modules.json")? {
                layout.add(&module, files)?;
            }
        }
        Ok(layout)
    }

    fn add(&mut self, module: &Module, files: &ModelFiles) -> Result<()> {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                let name = format!("{}/config.json", module.path);
                self.pooling = pooling_of(&read_json(files, &name)?)?;
            }
            "Dense" => self.projection = Some(Projection::open(files, &module.path, self.dimension())?),
            "Normalize" => self.normalizes = true,
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

    /// Length of the vectors.
    pub fn dimension(&self) -> usize {
        let projected = self.projection.as_ref().map(|projection| projection.output);
        projected.unwrap_or(self.config.hidden_size)
    }
}

impl Projection {
    /// The file of its weights.
    pub fn weights_file(&self) -> String {
        format!("{}/model.safetensors", self.path)
    }

    fn open(files: &ModelFiles, path: &str, width: usize) -> Result<Self> {
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
        Ok(Self {
            path: path.to_owned(),
            input: settings.in_features,
            output: settings.out_features,
            tanh,
        })
    }
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
