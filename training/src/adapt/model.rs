//! The model that is adapted, as a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use encoder::{ModelFiles, Pooling, SentenceLayout, StoredWeights};

/// What training needs to know of a bi-encoder.
pub(super) struct Known {
    pub(super) folder: PathBuf,
    /// Width of its projection.
    pub(super) dense: Option<usize>,
    /// Tokens that it reads of a text.
    pub(super) tokens: usize,
    pub(super) has_mlm_head: bool,
}

/// The files of a bi-encoder.
const FILES: [&str; 12] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    PROJECTION,
    "2_Dense/config.json",
];
const PROJECTION: &str = "2_Dense/model.safetensors";

impl Known {
    /// Opens a model by name; the bundled one is written to `copy`.
    ///
    /// # Errors
    /// A model that cannot be opened, or that has what training does not: then another model would come out.
    pub(super) fn open(name: &str, copy: &Path) -> Result<Self> {
        let files = bundled::open(name).with_context(|| format!("cannot open the model {name:?}"))?;
        let layout = SentenceLayout::open(&files)?;
        let has_prompts = files.has("config_sentence_transformers.json") && {
            let settings: serde_json::Value =
                serde_json::from_slice(&files.read("config_sentence_transformers.json")?)
                    .with_context(|| files.describe())?;
            let prompts = settings["prompts"].as_object();
            prompts.is_some_and(|prompts| prompts.values().any(|prompt| prompt != ""))
        };
        let is_tanh = layout
            .projection
            .as_ref()
            .is_some_and(|projection| projection.tanh);
        if layout.pooling != Pooling::Mean || is_tanh || has_prompts {
            bail!(
                "{}: cannot be adapted; accepted are models with mean pooling, without prompts, and without a hyperbolic \
                 tangent after the projection",
                files.describe()
            );
        }
        let weights = StoredWeights::open(&files, "model.safetensors")?;
        let head = [layout.config.hidden_size, layout.config.hidden_size];
        let folder = match name == bundled::NAME {
            true => write(&files, copy)?,
            false => PathBuf::from(name),
        };
        Ok(Self {
            folder,
            tokens: layout.max_seq_length,
            dense: layout.projection.map(|projection| projection.output),
            has_mlm_head: weights
                .get("cls.predictions.transform.dense.weight", &head)
                .is_ok(),
        })
    }

    /// Copies the projection to another folder of the same encoder.
    pub(super) fn copy_projection(&self, folder: &Path) -> Result<()> {
        if self.dense.is_none() {
            return Ok(());
        }
        let (from, to) = (self.folder.join(PROJECTION), folder.join(PROJECTION));
        std::fs::create_dir_all(folder.join("2_Dense")).with_context(|| to.display().to_string())?;
        std::fs::copy(&from, &to).with_context(|| from.display().to_string())?;
        Ok(())
    }
}

fn write(files: &ModelFiles, folder: &Path) -> Result<PathBuf> {
    for name in FILES.iter().filter(|name| files.has(name)) {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        std::fs::write(&path, files.read(name)?).with_context(|| path.display().to_string())?;
    }
    Ok(folder.to_owned())
}
