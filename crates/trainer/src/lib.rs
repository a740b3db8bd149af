//! One training loop for every task, with its losses, optimizer, schedule and checkpoints.
//!
//! A run is a pure function of the recipe and the data: every random choice comes from a stream that is named
//! by the seed, its purpose and the step ([`random`]). So a checkpoint needs no random state, and stopping and
//! resuming gives the same numbers, bit for bit on the CPU.

mod batches;
pub mod bench;
pub mod card;
mod checkpoint;
mod error;
pub mod gather;
pub mod initial;
mod labels;
pub mod loss;
pub mod optimizer;
pub mod random;
pub mod recipe;
mod run;
pub mod schedule;
pub mod start;
pub mod tasks;
pub mod teach;
pub mod texts;
pub mod tuning;

pub use error::{Error, Result};
pub use recipe::Recipe;
#[cfg(feature = "nccl")]
pub use run::Nccl;
pub use run::{
    AllReduce, Alone, Ended, Evaluation, News, Outcome, Plan, Rehearsal, Report, Run, Task, TaskLoss, Units,
};
pub use tasks::classify::{ClassifyRecipe, ClassifyTask};
pub use tasks::distil::{DistilRecipe, DistilTask};
pub use tasks::mlm::{MlmRecipe, MlmTask};
pub use tasks::reader::{ReaderRecipe, ReaderTask};
pub use tasks::rerank::{RerankLossKind, RerankRecipe, RerankTask};
pub use tasks::sentence::{SentenceRecipe, SentenceTask};
pub use tasks::similarity::{SimilarityRecipe, SimilarityTask};
pub use tasks::tag::{TagRecipe, TagTask};
