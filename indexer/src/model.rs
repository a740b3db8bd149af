//! Opening the model that an index is made with.

use anyhow::Context;
use index::Index;
use infer::{Embedder, ModelSettings};

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
