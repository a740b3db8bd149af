//! The models of an evaluation, by the names under which a report remembers them.

use anyhow::{Context, Result};
use infer::{Embed, Embedder, ModelSettings, Rerank, Reranker};

use crate::report::ModelPart;

/// A bi-encoder, and perhaps a cross-encoder.
pub(crate) struct Models {
    pub(crate) embedder: Embedder,
    pub(crate) embedder_name: String,
    reranker: Option<(Reranker, String)>,
}

impl Models {
    /// Opens them. A name is `bundled` or a folder.
    pub(crate) fn open(model: &str, reranker: Option<&str>, settings: &ModelSettings) -> Result<Self> {
        let files = bundled::open(model).with_context(|| {
            format!(
                "the model {model:?}; accepted: bundled, or a folder in the layout of sentence-transformers"
            )
        })?;
        let embedder = Embedder::open(&files, settings)?;
        launch::warn(model, embedder.notes());
        let open = |name: &str| -> Result<(Reranker, String)> {
            let files = bundled::open_reranker(name).with_context(|| {
                format!("the reranker {name:?}; accepted: bundled, or a folder in the layout of CrossEncoder")
            })?;
            let reranker = Reranker::open(&files, settings)?;
            launch::warn(name, reranker.notes());
            Ok((reranker, remembered(name)))
        };
        let reranker = reranker.map(open).transpose()?;
        Ok(Self {
            embedder,
            embedder_name: remembered(model),
            reranker,
        })
    }

    /// The cross-encoder.
    pub(crate) fn reranker(&self) -> Option<&dyn Rerank> {
        self.reranker.as_ref().map(|(model, _)| model as &dyn Rerank)
    }

    /// What a report says of the bi-encoder.
    pub(crate) fn embedder_part(&self) -> ModelPart {
        ModelPart {
            name: self.embedder_name.clone(),
            fingerprint: self.embedder.fingerprint().to_owned(),
        }
    }

    /// What a report says of the cross-encoder.
    pub(crate) fn reranker_part(&self) -> Option<ModelPart> {
        let part = |(model, name): &(Reranker, String)| ModelPart {
            name: name.clone(),
            fingerprint: model.fingerprint().to_owned(),
        };
        self.reranker.as_ref().map(part)
    }
}

/// The name of a model in index and report: of a folder the absolute path.
fn remembered(name: &str) -> String {
    match name == bundled::NAME {
        true => name.to_owned(),
        false => {
            std::fs::canonicalize(name).map_or_else(|_| name.to_owned(), |path| path.display().to_string())
        }
    }
}
