//! Why a search has no answer.

use corpus::StoreError;
use infer::InferError;
use thiserror::Error;

use crate::Mode;

/// The error of every function of this crate.
#[derive(Debug, Error)]
pub enum SearchError {
    /// A field of a request is out of range.
    #[error("{field} is {value}; accepted: {accepted}")]
    Field {
        /// The field, as in the JSON of the request.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        accepted: String,
    },
    /// The mode compares vectors, and there is no model that could embed the query.
    #[error("mode {0} needs an embedding model, and none is open; accepted without one: lexical")]
    NoEmbedder(Mode),
    /// Reranking was asked for, and there is no cross-encoder.
    #[error("rerank needs a cross-encoder, and none is open; accepted without one: null")]
    NoReranker,
    /// An answer was asked for, and there is no reader.
    #[error("answer needs a reader, and none is open; accepted without one: null")]
    NoReader,
    /// The store failed, or was made by another model.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A model failed, or is too busy.
    #[error(transparent)]
    Infer(#[from] InferError),
}
