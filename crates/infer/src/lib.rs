//! Texts in; vectors and scores out.
//!
//! [`Embed`] and [`Rerank`] are the contracts that the query pipeline, the indexer and the server know. Neither
//! shows a tensor, a device or a model's architecture.

mod contract;
mod error;

pub use contract::{Embed, Rerank, Role};
pub use error::InferError;
