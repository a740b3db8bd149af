//! Texts in; vectors and scores out.
//!
//! [`Embed`] and [`Rerank`] are the contracts that the query pipeline, the indexer and the server know. Neither
//! shows a tensor, a device or a model's architecture. [`Embedder`] and [`Reranker`] fulfil them with a model
//! folder; [`Scheduler`] stands before any [`Embed`] and puts requests that come at the same time into one batch.
//! Which texts share a batch is decided by pure functions ([`plan_batches`]).

mod batch;
mod contract;
mod embedder;
mod error;
mod open;
mod prompts;
mod reranker;
mod scheduler;
mod threads;

pub use batch::plan_batches;
pub use contract::{Embed, Rerank, Role};
pub use embedder::{Embedder, EmbedderSettings};
pub use error::InferError;
pub use reranker::{Reranker, RerankerSettings};
pub use scheduler::{Answer, Scheduler, SchedulerSettings, Waiting};
