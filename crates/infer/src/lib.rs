//! Texts in; vectors, scores and answers out.
//!
//! [`Embed`], [`Rerank`] and [`Read`] are the contracts that the query pipeline, the indexer and the server know. None
//! shows a tensor, a device or a model's architecture. [`Embedder`], [`Reranker`] and [`Reader`] fulfil them with a
//! model folder; [`Scheduler`] stands before any [`Embed`] and puts requests that come at the same time into one batch.
//! Models run unpadded over `kernels`, in the [`Precision`] of their [`ModelSettings`]; [`pack`] makes them open fast.

mod answer;
mod contract;
mod embedder;
mod engine;
mod error;
mod head;
mod layer_error;
mod open;
mod packed;
mod prompts;
mod quality;
mod reader;
mod reranker;
mod scheduler;
mod settings;
mod threads;
mod token_model;

pub use answer::{ReaderSettings, Reading, WindowLogits};
pub use contract::{Embed, Read, Rerank, Role};
pub use embedder::Embedder;
pub use error::InferError;
pub use kernels::{InstructionSet, Precision, burst};
pub use layer_error::LayerError;
pub use packed::{Packing, pack};
pub use quality::{Measured, Quality};
pub use reader::Reader;
pub use reranker::Reranker;
pub use scheduler::{Answer, Scheduler, SchedulerSettings, Waiting};
pub use settings::ModelSettings;
pub use token_model::{TokenLogits, TokenModel};
