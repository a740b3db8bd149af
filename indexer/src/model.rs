//! Opening the model that vectors are made with.

use std::num::NonZeroUsize;

use anyhow::Context;
use clap::Args;
use index::Index;
use infer::{Embedder, ModelSettings, Precision};

/// How models are run; all commands that open one share it.
#[derive(Debug, Clone, Args)]
pub(crate) struct EngineArgs {
    /// Threads of the models. Default: one for each core.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Number type of the models' arithmetic: f32, bf16 or int8. Fewer bits are faster and round more. Default: the fewest
    /// that cost a model at most half a point nDCG@10 where that was measured (eval precision --keep), else f32.
    #[arg(long, value_name = "TYPE")]
    precision: Option<Precision>,
}

impl EngineArgs {
    pub(crate) fn settings(&self) -> ModelSettings {
        ModelSettings {
            threads: self.threads.map_or_else(launch::threads, NonZeroUsize::get),
            precision: self.precision,
        }
    }
}

/// Opens a bi-encoder by name: `bundled`, or a folder.
///
/// # Errors
/// When there is no such folder, or its files are no bi-encoder.
pub fn open_embedder(name: &str, settings: &ModelSettings) -> anyhow::Result<Embedder> {
    let files = bundled::open(name).with_context(|| {
        format!("cannot open the model {name:?}; --model takes a folder in the Hugging Face layout, or \"bundled\"")
    })?;
    let embedder = Embedder::open(&files, settings)?;
    launch::warn(&files.describe(), embedder.notes());
    Ok(embedder)
}

/// The name under which an index remembers its model: of a folder the absolute path.
pub(crate) fn remembered(name: &str) -> String {
    match name == bundled::NAME {
        true => name.to_owned(),
        false => {
            std::fs::canonicalize(name).map_or_else(|_| name.to_owned(), |path| path.display().to_string())
        }
    }
}

/// Opens the model of an index, or the one that is named instead, and checks that it made the vectors.
pub(crate) fn open_embedder_of(
    index: &Index,
    name: Option<&str>,
    settings: &ModelSettings,
) -> anyhow::Result<Embedder> {
    let name = name.unwrap_or(&index.settings().model);
    let embedder = open_embedder(name, settings)?;
    index.check_fingerprint(infer::Embed::fingerprint(&embedder))?;
    Ok(embedder)
}
