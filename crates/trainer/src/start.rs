//! Where a model begins: at random, or with the embeddings and layers of another model.
//!
//! A student of fewer layers starts from some of its teacher's (Sanh et al. 2019, section 2); a model that is
//! fine-tuned starts from all of them (Devlin et al. 2018, section 3.2).

use std::path::PathBuf;

use candle_core::{Tensor, Var};
use encoder::{Config, ModelFiles, StoredWeights};
use serde::{Deserialize, Serialize};
use text::Tokenizer;

use crate::error::{Error, Result};
use crate::recipe::Shape;

/// A model folder to start from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The folder: an encoder with any head, or none.
    pub model: PathBuf,
    /// Its layers that are taken, from 0, in the order of the new model; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
    /// Probability of dropping a hidden value or an attention weight in training; that of the folder when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
}

/// The configuration of a model to come, and the weights that it begins with.
pub struct Beginning {
    /// What the model is to be made with. Of the folder's further keys none are left that tell of its head.
    pub config: Config,
    source: Option<Source>,
}

/// The files of a model folder, and which of its layers become which.
struct Source {
    folder: PathBuf,
    weights: StoredWeights,
    projection: Option<StoredWeights>,
    layers: Vec<usize>,
}

impl Beginning {
    /// From a recipe's `model` or its `start`, of which it has one.
    ///
    /// # Errors
    /// Both or none of them, a folder that cannot be opened or has another tokenizer, a layer that it does not have.
    pub fn new(model: Option<&Shape>, start: Option<&Start>, tokenizer: &Tokenizer) -> Result<Self> {
        match (model, start) {
            (Some(shape), None) => Ok(Self {
                config: shape.config(tokenizer.vocabulary_size(), tokenizer.special().pad),
                source: None,
            }),
            (None, Some(start)) => Self::of_folder(start, tokenizer),
            (given, _) => Err(Error::Setting {
                field: "model and start",
                value: if given.is_some() {
                    "both there"
                } else {
                    "both missing"
                }
                .into(),
                accepted:
                    "one of them: [model] with the shape of a new encoder, or start = { model = \"FOLDER\" }"
                        .into(),
            }),
        }
    }

    fn of_folder(start: &Start, tokenizer: &Tokenizer) -> Result<Self> {
        let files = ModelFiles::folder(&start.model)?;
        let mut config = Config::open(&files)?;
        check_tokenizer(&files, &config, tokenizer)?;
        let layers = match &start.layers {
            Some(layers) => layers.clone(),
            None => (0..config.num_hidden_layers).collect(),
        };
        if layers.is_empty() || layers.iter().any(|&layer| layer >= config.num_hidden_layers) {
            return Err(Error::Setting {
                field: "start.layers",
                value: format!("{layers:?}"),
                accepted: format!(
                    "one or more of 0 to {}, the layers of {}",
                    config.num_hidden_layers - 1,
                    start.model.display()
                ),
            });
        }
        config.num_hidden_layers = layers.len();
        config
            .extra
            .retain(|key, _| key == "classifier_dropout" && start.dropout.is_none());
        if let Some(dropout) = start.dropout {
            (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (dropout, dropout);
        }
        config.validate()?;
        const PROJECTION: &str = "2_Dense/model.safetensors";
        let projection = files
            .has(PROJECTION)
            .then(|| StoredWeights::open(&files, PROJECTION));
        let source = Source {
            folder: start.model.clone(),
            weights: StoredWeights::open(&files, "model.safetensors")?,
            projection: projection.transpose()?,
            layers,
        };
        Ok(Self {
            config,
            source: Some(source),
        })
    }

    /// Refuses texts that are longer than the model reads; `data.tokens` of a recipe names them.
    ///
    /// # Errors
    /// More tokens than the model has positions.
    pub(crate) fn check_tokens(&self, tokens: usize) -> Result<()> {
        let positions = self.config.max_position_embeddings;
        if tokens <= positions {
            return Ok(());
        }
        Err(Error::Setting {
            field: "data.tokens",
            value: tokens.to_string(),
            accepted: format!("up to {positions}, the positions of the model"),
        })
    }

    /// Sets the variables of a model made with [`Beginning::config`] to what the folder has, and returns the names
    /// of those that stay fresh. Embeddings and layers must all be there; a head is taken where the folder has it
    /// in the same shape.
    ///
    /// # Errors
    /// A weight of the encoder that is missing or has another shape, a value that is not finite.
    pub fn fill(&self, vars: &[(String, Var)]) -> Result<Vec<String>> {
        let Some(source) = &self.source else {
            return Ok(vars.iter().map(|(name, _)| name.clone()).collect());
        };
        let mut fresh = Vec::new();
        for (name, var) in vars {
            match source.values(name, var.dims()) {
                Ok(values) => {
                    let tensor = Tensor::from_vec(values, var.dims(), var.device())?;
                    var.set(&tensor.to_dtype(var.dtype())?)?;
                }
                Err(encoder::Error::MissingWeight { .. } | encoder::Error::WeightShape { .. })
                    if !is_encoder(name) =>
                {
                    fresh.push(name.clone());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(fresh)
    }

    /// What [`Beginning::fill`] did, in words for whoever starts the run.
    pub fn describe(&self, fresh: &[String]) -> String {
        match &self.source {
            None => "a new encoder".into(),
            Some(source) if fresh.is_empty() => format!("everything from {}", source.folder.display()),
            Some(source) => format!("from {}, new: {}", source.folder.display(), fresh.join(", ")),
        }
    }
}

impl Source {
    /// The values of a variable, under the names that the folder stores them by.
    fn values(&self, name: &str, shape: &[usize]) -> encoder::Result<Vec<f32>> {
        if let (Some(name), Some(weights)) = (name.strip_prefix("2_Dense."), &self.projection) {
            return weights.get(name, shape);
        }
        let name = self.renamed(name);
        let Some((before, after)) = name.split_once(".qkv.") else {
            return self.weights.get(&name, shape);
        };
        // Query, key and value are one variable here and three on disk.
        let mut part = shape.to_vec();
        part[0] /= 3;
        let parts = ["query", "key", "value"]
            .map(|what| self.weights.get(&format!("{before}.{what}.{after}"), &part));
        Ok(parts.into_iter().collect::<encoder::Result<Vec<_>>>()?.concat())
    }

    /// The name that the folder has for a variable of the new model.
    fn renamed(&self, name: &str) -> String {
        const LAYER: &str = "encoder.layer.";
        let Some((before, after)) = name.split_once(LAYER) else {
            return name.to_owned();
        };
        let taken = after.split_once('.').and_then(|(number, rest)| {
            let layer = self.layers.get(number.parse::<usize>().ok()?)?;
            Some(format!("{before}{LAYER}{layer}.{rest}"))
        });
        taken.unwrap_or_else(|| name.to_owned())
    }
}

fn is_encoder(name: &str) -> bool {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    name.starts_with("embeddings.") || name.starts_with("encoder.layer.")
}

/// A tokenizer of another model would give ids that mean other words.
fn check_tokenizer(files: &ModelFiles, config: &Config, tokenizer: &Tokenizer) -> Result<()> {
    let mismatch = |expected: String, found: String| {
        Err(Error::Mismatch {
            what: format!("the recipe's tokenizer for {}", files.describe()),
            expected,
            found,
        })
    };
    let entries = tokenizer.vocabulary_size();
    if entries > config.vocab_size {
        return mismatch(
            format!("at most {} tokens", config.vocab_size),
            format!("{entries} tokens"),
        );
    }
    if tokenizer.special().pad != config.pad_token_id {
        return mismatch(
            format!("padding id {}", config.pad_token_id),
            tokenizer.special().pad.to_string(),
        );
    }
    // A folder without a tokenizer cannot be compared with.
    let Ok(own) = Tokenizer::from_files(|name| files.read(name).ok()) else {
        return Ok(());
    };
    match (0..entries as u32).find(|&id| own.token(id) != tokenizer.token(id)) {
        None => Ok(()),
        Some(id) => mismatch(
            format!("{:?} for id {id}", own.token(id).unwrap_or_default()),
            format!("{:?}", tokenizer.token(id).unwrap_or_default()),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use encoder::{DType, Device, MaskedLm, PairScorer, Parameters, Pooling, SentenceEncoder};

    fn tokenizer(words: &str) -> Tokenizer {
        let lines = format!("[PAD] [UNK] [CLS] [SEP] [MASK] {words}").replace(' ', "\n");
        Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&lines)).unwrap()
    }

    fn shape() -> Shape {
        toml::from_str("hidden = 8\nlayers = 3\nheads = 2\nintermediate = 16\npositions = 12").unwrap()
    }

    fn numbers(vars: &[(String, Var)], name: &str) -> Vec<f32> {
        let (_, var) = vars.iter().find(|(known, _)| known == name).unwrap();
        var.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// A masked language model in a folder, and its variables.
    fn folder() -> (tempfile::TempDir, Vec<(String, Var)>) {
        let folder = tempfile::tempdir().unwrap();
        let config = Beginning::new(Some(&shape()), None, &tokenizer("a b"))
            .unwrap()
            .config;
        let model = MaskedLm::new(&Parameters::fresh(1, &Device::Cpu), &config).unwrap();
        model.save(folder.path(), DType::F32).unwrap();
        tokenizer("a b").save(folder.path(), 12).unwrap();
        (folder, model.vars())
    }

    fn start(folder: &tempfile::TempDir) -> Start {
        Start {
            model: folder.path().to_owned(),
            layers: None,
            dropout: None,
        }
    }

    #[test]
    fn chosen_layers_and_embeddings_are_taken_and_heads_begin_fresh() {
        let (folder, old) = folder();
        let start = Start {
            layers: Some(vec![2, 0]),
            dropout: Some(0.0),
            ..start(&folder)
        };
        let begin = Beginning::new(None, Some(&start), &tokenizer("a b")).unwrap();
        assert_eq!(
            (begin.config.num_hidden_layers, begin.config.hidden_dropout_prob),
            (2, 0.0)
        );
        let scorer = PairScorer::new(&Parameters::fresh(2, &Device::Cpu), &begin.config).unwrap();
        let fresh = begin.fill(&scorer.vars()).unwrap();
        let heads = ["bert.pooler.dense", "classifier"]
            .map(|head| [format!("{head}.bias"), format!("{head}.weight")]);
        assert_eq!(fresh, heads.concat());
        for (new, from) in [("0", "2"), ("1", "0")] {
            for part in [
                "attention.self.qkv.weight",
                "output.dense.bias",
                "intermediate.dense.weight",
            ] {
                let of = |vars: &[_], layer| numbers(vars, &format!("bert.encoder.layer.{layer}.{part}"));
                assert_eq!(of(&scorer.vars(), new), of(&old, from), "{part}");
            }
        }
        // Without the prefix as well.
        let sentence = SentenceEncoder::fresh(
            &Parameters::fresh(2, &Device::Cpu),
            &begin.config,
            Pooling::Mean,
            Some(4),
            true,
        );
        let sentence = sentence.unwrap();
        let fresh = begin.fill(&sentence.vars()).unwrap();
        assert_eq!(fresh, ["2_Dense.linear.bias", "2_Dense.linear.weight"]);
        let words = "embeddings.word_embeddings.weight";
        assert_eq!(
            numbers(&sentence.vars(), words),
            numbers(&old, &format!("bert.{words}"))
        );
    }

    #[test]
    fn a_head_of_the_same_shape_is_taken() {
        let (folder, old) = folder();
        let begin = Beginning::new(None, Some(&start(&folder)), &tokenizer("a b")).unwrap();
        let model = MaskedLm::new(&Parameters::fresh(9, &Device::Cpu), &begin.config).unwrap();
        assert!(begin.fill(&model.vars()).unwrap().is_empty());
        for (name, _) in &old {
            assert_eq!(numbers(&model.vars(), name), numbers(&old, name), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let (folder, _) = folder();
        let message = |start: Option<&Start>, shape: Option<&Shape>, words: &str| {
            let refused = Beginning::new(shape, start, &tokenizer(words)).err();
            refused.map(|e| e.to_string()).unwrap_or_default()
        };
        let whole = start(&folder);
        let other = message(Some(&whole), None, "a c");
        assert!(other.contains("expected \"b\" for id 6, found \"c\""), "{other}");
        let more = message(Some(&whole), None, "a b c");
        assert!(more.contains("at most 7 tokens, found 8"), "{more}");
        let layers = Start {
            layers: Some(vec![0, 3]),
            ..whole.clone()
        };
        let layers = message(Some(&layers), None, "a b");
        assert!(
            layers.contains("start.layers is [0, 3], accepted: one or more of 0 to 2"),
            "{layers}"
        );
        let dropout = Start {
            dropout: Some(1.0),
            ..whole.clone()
        };
        assert!(message(Some(&dropout), None, "a b").contains("hidden_dropout_prob is 1"));
        assert!(message(Some(&whole), Some(&shape()), "a b").contains("both there"));
        assert!(message(None, None, "a b").contains("both missing"));
    }
}
