//! Errors of the parts below, as errors of a store.

use std::path::Path;

use corpus::{DocumentId, StoreError};
use lexical::LexicalError;
use vectors::VectorError;

pub(crate) fn lexical(error: LexicalError) -> StoreError {
    match error {
        LexicalError::Io { path, source } => StoreError::io(path, source),
        LexicalError::Sync { path, source } => StoreError::Sync { path, source },
        LexicalError::Damaged { path, reason } => StoreError::Damaged { path, reason },
        LexicalError::Syntax { offset, accepted } => StoreError::Query {
            offset,
            accepted: accepted.to_owned(),
        },
        LexicalError::Language(_) | LexicalError::Bm25 { .. } | LexicalError::Synonyms { .. } => {
            StoreError::Settings(error.to_string())
        }
    }
}

/// `document` is the one that a vector came with; none for a query.
pub(crate) fn vector(error: VectorError, document: Option<&DocumentId>, file: &Path) -> StoreError {
    let document = document.cloned();
    match error {
        VectorError::Dimension { expected, found } => StoreError::Dimension {
            document,
            expected,
            found,
        },
        VectorError::NotFinite { .. } | VectorError::ZeroLength | VectorError::NotUnit { .. } => {
            StoreError::NotFinite {
                document,
                reason: format!("is refused: {error}"),
            }
        }
        VectorError::Io { path, source } => StoreError::io(path, source),
        VectorError::Sync { path, source } => StoreError::Sync { path, source },
        VectorError::Setting { .. } => StoreError::Settings(error.to_string()),
        other => damaged(file, other.to_string()),
    }
}

pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
