//! One training loop for every task, with its losses, optimizer, schedule and checkpoints.
//!
//! A run is a pure function of the recipe and the data: every random choice comes from a stream that is named
//! by the seed, its purpose and the step ([`random`]). So a checkpoint needs no random state, and stopping and
//! resuming gives the same numbers, bit for bit on the CPU.

pub mod checkpoint;
mod error;
pub mod gather;
pub mod initial;
pub mod loss;
mod mlm;
pub mod optimizer;
pub mod pairs;
pub mod random;
pub mod recipe;
mod run;
pub mod schedule;
mod sentence;
pub mod teach;
pub mod texts;

pub use error::{Error, Result};
pub use mlm::MlmTask;
pub use run::{Outcome, Plan, Report, Run, Task, TaskLoss};
pub use sentence::SentenceTask;
