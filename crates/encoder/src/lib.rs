//! BERT encoders, their heads and their folders.
//!
//! The encoder follows Devlin et al. 2018 (<https://arxiv.org/abs/1810.04805>): token, position and segment
//! embeddings, post-norm transformer layers, GELU. Every operation carries gradients, dropout is real and
//! seeded, and model folders have the Hugging Face and sentence-transformers layouts, so that a folder written
//! here opens there and the other way round.
//!
//! On the CPU in f32 the heavy steps are fused operations over rows without padding ([`ops`]), on an NVIDIA GPU they
//! are kernels of our own (`cuda`, with the feature of that name); every other device or number type takes the
//! plain composition, which is also the oracle of the fused ones.

mod batch;
mod bert;
mod config;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
mod files;
mod folder;
mod gradients;
mod heads;
mod layout;
pub mod ops;
mod parameters;
mod pass;
mod pooling;
mod sentence;
mod store;
mod stored;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use bert::{Bert, Inside};
pub use candle_core::{DType, Device, Tensor, Var};
pub use config::{Activation, Config};
pub use error::{Error, Result};
pub use files::{FileStamp, Fingerprint, ModelFiles};
pub use gradients::backward;
pub use heads::{MaskedLm, MlmHead, NextSentence, PairScorer, PreTraining, SpanReader, TokenTagger};
pub use layout::{Projection, SentenceLayout};
pub use parameters::{Init, Parameters};
pub use pass::Pass;
pub use pooling::Pooling;
pub use sentence::{Dense, SentenceEncoder};
pub use store::{Storage, store};
pub use stored::StoredWeights;

// Turns on the AVX-512 kernels of the `gemm` that candle multiplies matrices with; nothing is called by name.
use gemm as _;
