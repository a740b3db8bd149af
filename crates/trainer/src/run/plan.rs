//! What a run is told.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::recipe::Saving;
use crate::schedule::Schedule;
use crate::{checkpoint, optimizer};

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
    /// Refuses a folder that holds a run already, which a new one would write over.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with the newest checkpoint there; [`Error::Io`] when the folder cannot be read.
    pub fn check_new(&self) -> Result<()> {
        let Some(path) = checkpoint::latest(&self.out)? else {
            return Ok(());
        };
        let reason = "the folder holds a run already; resume it or choose another folder".to_owned();
        Err(Error::Checkpoint { path, reason })
    }

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
