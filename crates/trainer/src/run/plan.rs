//! What a run is told.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::optimizer;
use crate::recipe::Saving;
use crate::schedule::Schedule;

/// The settings of a run that do not depend on its task.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The optimizer.
    pub optimizer: optimizer::Settings,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Checkpoints, log and scores.
    pub saving: Saving,
    /// Receives `log.jsonl`, `tensorboard/`, `checkpoints/` and, at the end, the model and `curve.svg`.
    pub out: PathBuf,
    /// Names the run: a checkpoint of another recipe is refused.
    pub recipe: String,
}

impl Plan {
    /// Refuses settings out of range.
    pub(crate) fn check(&self) -> Result<()> {
        if self.optimizer.accumulate == 0 {
            return Err(Error::Setting {
                field: "optimizer.accumulate",
                value: "0".into(),
                accepted: "1 or more batches for one step".into(),
            });
        }
        self.schedule.check()?;
        self.saving.check()
    }
}
