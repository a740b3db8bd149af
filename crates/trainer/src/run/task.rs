//! What a run trains.

use std::path::Path;

use candle_core::{Tensor, Var};
use serde::Serialize;

use crate::error::Result;

/// What is trained: a model, its data and its loss.
///
/// A batch is made in two halves. [`Task::prepare`] chooses and arranges plain numbers (token ids, labels, places)
/// and may run on another thread while the step before it still computes. [`Task::compute`] turns them into
/// tensors on the model's device and gives the loss. Both are functions of the number of the batch alone, so the
/// order in which batches are prepared decides nothing.
pub trait Task: Sync {
    /// A batch as plain numbers and texts, without tensors. It is written as JSON when a run stops over it. A
    /// task with nothing to prepare takes `()`.
    type Batch: Send + Serialize;

    /// What it trains on, in one line: counts, and batches an epoch.
    fn describe(&self) -> String;

    /// Every variable of the model, sorted by name.
    fn variables(&self) -> Vec<(String, Var)>;

    /// What the learning rate is multiplied by for a variable: below 1 for layers that should move less, 0 for one
    /// that is frozen.
    fn rate(&self, _name: &str) -> f64 {
        1.0
    }

    /// What is in a batch. The task decides it by itself, from its seed and the number alone. A step takes one
    /// batch, or as many as `accumulate` says.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn prepare(&self, number: u64) -> Result<Self::Batch>;

    /// The loss of the batch that [`Task::prepare`] made for this number.
    ///
    /// # Errors
    /// When the model refuses the batch.
    fn compute(&self, number: u64, batch: &Self::Batch) -> Result<TaskLoss>;

    /// The loss of a batch, from its number.
    ///
    /// # Errors
    /// As [`Task::prepare`] and [`Task::compute`].
    fn loss(&self, number: u64) -> Result<TaskLoss> {
        self.compute(number, &self.prepare(number)?)
    }

    /// The mean loss of a model that knows how frequent each label is and looks at nothing else. A run that ends
    /// with no less has learned nothing, and says so. None where the loss has no such measure.
    fn blind_loss(&self) -> Option<f64> {
        None
    }

    /// Scores on held-out data, the one that decides first, higher is better; empty when the recipe names none.
    ///
    /// # Errors
    /// When the model refuses the data.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>> {
        Ok(Vec::new())
    }

    /// Writes the model as a folder that others can open.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn save(&self, folder: &Path) -> Result<()>;
}

/// The loss of one batch.
pub struct TaskLoss {
    /// What is minimized, a scalar.
    pub loss: Tensor,
    /// Its parts before weighting, for the log.
    pub parts: Vec<(&'static str, f32)>,
    /// Tokens in the batch.
    pub tokens: usize,
    /// What was in the batch, for errors.
    pub batch: String,
}
