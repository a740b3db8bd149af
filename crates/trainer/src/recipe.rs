//! Recipes: everything that decides what a run learns, in one TOML file.

use std::path::Path;

use encoder::{Activation, Config, Device};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use text::Tokenizer;

use crate::error::{Error, Result, io};
use crate::optimizer;
use crate::run::{Plan, Task};
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

/// When to write checkpoints and the log, when to score the model, and when to stop before the last step. None of it
/// changes what a step does, so it may differ when a run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Saving {
    /// A checkpoint after every so many steps; the last two are kept.
    pub checkpoint_steps: u64,
    /// A line of the log after every so many steps.
    pub log_steps: u64,
    /// Scores on held-out data after every so many steps, beside those before the first and after the last; 0 for
    /// these two only.
    pub evaluate_steps: u64,
    /// The run ends after so many evaluations in a row whose first score is not better than the best before; 0 to go
    /// on to the last step.
    pub patience: u64,
    /// Save the model of the best first score instead of the last; its checkpoint is kept.
    pub keep_best: bool,
    /// The run stops when the loss of three steps in a row is above so many times its median over the last 64, and
    /// above its median over the first 64; 0 switches it off.
    pub spike_factor: f64,
}

impl Default for Saving {
    fn default() -> Self {
        Self {
            checkpoint_steps: 500,
            log_steps: 10,
            evaluate_steps: 0,
            patience: 0,
            keep_best: false,
            spike_factor: 10.0,
        }
    }
}

impl Saving {
    /// Refuses what only scores could decide.
    pub(crate) fn needs_no_scores(&self) -> Result<()> {
        let field = match (self.keep_best, self.evaluate_steps) {
            (true, _) => "saving.keep_best",
            (false, 1..) => "saving.evaluate_steps",
            _ => return Ok(()),
        };
        Err(Error::Setting {
            field,
            value: "set".into(),
            accepted: "nothing here, or held-out data to score the model on".into(),
        })
    }

    /// Refuses settings that contradict each other.
    ///
    /// # Errors
    /// Patience without evaluations to wait for, a negative factor.
    pub fn check(&self) -> Result<()> {
        let refuse = |field, value, accepted: &str| {
            let accepted = accepted.to_owned();
            Err(Error::Setting {
                field,
                value,
                accepted,
            })
        };
        if self.patience > 0 && self.evaluate_steps == 0 {
            let accepted = "0, or saving.evaluate_steps above 0 with it";
            return refuse("saving.patience", self.patience.to_string(), accepted);
        }
        if !(self.spike_factor >= 0.0 && self.spike_factor.is_finite()) {
            let value = self.spike_factor.to_string();
            return refuse("saving.spike_factor", value, "0 or a positive number");
        }
        Ok(())
    }
}

/// Where a run computes, and in which number type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compute {
    /// The processor.
    pub device: Processor,
    /// The type of activations and gradients; weights and moments are kept in f32 in any case.
    pub precision: Precision,
    /// On a GPU, compute activations again in the backward pass instead of keeping them: less memory, a third more
    /// time.
    #[serde(skip_serializing_if = "is_false")]
    pub recompute: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    /// The central processor.
    #[default]
    Cpu,
    /// The first NVIDIA GPU; the program must have been built with the feature `cuda`.
    Cuda,
}

impl std::str::FromStr for Processor {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(format!("{other} is not known, accepted: cpu and cuda")),
        }
    }
}

/// A number type of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the range of 32; on a GPU only.
    Bf16,
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            other => Err(format!("{other} is not known, accepted: f32 and bf16")),
        }
    }
}

impl Compute {
    /// Opens the device.
    ///
    /// # Errors
    /// A GPU that this program was not built for or that cannot be opened; bf16 on the CPU.
    pub fn open(self) -> Result<Device> {
        match (self.device, self.precision) {
            (Processor::Cpu, Precision::F32) => Ok(Device::Cpu),
            (Processor::Cpu, Precision::Bf16) => Err(Error::Setting {
                field: "compute.precision",
                value: "bf16 on the CPU".into(),
                accepted: "f32 on the CPU, f32 or bf16 with compute.device = \"cuda\"".into(),
            }),
            (Processor::Cuda, precision) => open_gpu(precision, self.recompute),
        }
    }
}

#[cfg(feature = "cuda")]
fn open_gpu(precision: Precision, recompute: bool) -> Result<Device> {
    let settings = encoder::cuda::Settings {
        activations: match precision {
            Precision::F32 => encoder::DType::F32,
            Precision::Bf16 => encoder::DType::BF16,
        },
        recompute,
    };
    encoder::cuda::open(settings).map_err(|error| Error::Setting {
        field: "compute.device",
        value: format!("cuda, which says: {error}"),
        accepted: "cpu, or cuda on a machine with an NVIDIA GPU and its driver".into(),
    })
}

#[cfg(not(feature = "cuda"))]
fn open_gpu(_: Precision, _: bool) -> Result<Device> {
    Err(Error::Setting {
        field: "compute.device",
        value: "cuda".into(),
        accepted: "cpu: this program was built without the feature cuda".into(),
    })
}

/// The model of the GPU that this device is; none on the CPU.
#[cfg(feature = "cuda")]
pub fn gpu_name(device: &Device) -> Option<String> {
    let name = || encoder::cuda::name(device).unwrap_or_else(|_| "an NVIDIA GPU".into());
    device.is_cuda().then(name)
}

/// The model of the GPU that this device is: none, the program was built for the CPU.
#[cfg(not(feature = "cuda"))]
pub fn gpu_name(_: &Device) -> Option<String> {
    None
}

/// What every recipe has, whatever its task.
pub struct Frame<'a> {
    /// Folder of the tokenizer.
    pub tokenizer: &'a Path,
    /// Folder that receives the model, the log and the checkpoints.
    pub out: &'a Path,
    /// The optimizer.
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints and log.
    pub saving: &'a Saving,
}

/// The settings of a task as one TOML file.
pub trait Recipe: Clone + Serialize + DeserializeOwned {
    /// What follows the recipe.
    type Task: Task;

    /// The part that all recipes share.
    fn frame(&self) -> Frame<'_>;

    /// Reads everything the recipe names and makes the model.
    ///
    /// # Errors
    /// Files that are missing or do not fit each other, settings out of range.
    fn task(self, tokenizer: Tokenizer) -> Result<Self::Task>;

    /// The plan of a run.
    ///
    /// # Errors
    /// None that a recipe can cause: it is written as JSON to name the run.
    fn plan(&self) -> Result<Plan> {
        let Frame {
            out,
            optimizer,
            schedule,
            saving,
            ..
        } = self.frame();
        let mut recipe = serde_json::to_value(self).map_err(|e| io(out)(e.into()))?;
        if let Some(settings) = recipe.as_object_mut() {
            // What a run may change when it goes on.
            settings.remove("out");
            settings.remove("saving");
        }
        Ok(Plan {
            optimizer,
            schedule,
            saving: saving.clone(),
            out: out.to_owned(),
            recipe: recipe.to_string(),
        })
    }
}

/// Makes a type with the fields of a [`Frame`] the recipe of a task that has a `new` from it and a tokenizer.
macro_rules! leads_to {
    ($recipe:ty, $task:ty) => {
        impl crate::recipe::Recipe for $recipe {
            type Task = $task;

            fn frame(&self) -> crate::recipe::Frame<'_> {
                crate::recipe::Frame {
                    tokenizer: &self.tokenizer,
                    out: &self.out,
                    optimizer: self.optimizer,
                    schedule: self.schedule,
                    saving: &self.saving,
                }
            }

            fn task(self, tokenizer: text::Tokenizer) -> crate::error::Result<$task> {
                <$task>::new(self, tokenizer)
            }
        }
    };
}
pub(crate) use leads_to;

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
    use std::path::PathBuf;

    use crate::MlmRecipe;

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
