//! Opening the bi-encoder that mines, teaches or is adapted.

use anyhow::{Context as _, Result};
use infer::{Embedder, ModelSettings};

/// Opens a bi-encoder by name: `bundled`, or a folder.
///
/// # Errors
/// When there is no such folder, or its files are no bi-encoder.
pub(crate) fn open_embedder(name: &str, settings: &ModelSettings) -> Result<Embedder> {
    let files = bundled::open(name).with_context(|| format!("cannot open the model {name:?}"))?;
    let embedder = Embedder::open(&files, settings)?;
    launch::warn(&files.describe(), embedder.notes());
    Ok(embedder)
}
