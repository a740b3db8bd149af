//! Batches made on another thread while the step before them computes.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::run::Task;

/// Batches that lie ready at most; it bounds their memory.
const READY: usize = 4;

/// The batches of a run in their order. The thread ends when the feed is dropped.
pub(crate) struct Feed<'a, T: Task> {
    batches: Receiver<(u64, Result<T::Batch>)>,
    clock: &'a dyn Fn() -> Duration,
    waited: Duration,
}

impl<'a, T: Task> Feed<'a, T> {
    /// Starts to prepare the batches of these numbers.
    pub(crate) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        task: &'env T,
        numbers: impl Iterator<Item = u64> + Send + 'scope,
        clock: &'a dyn Fn() -> Duration,
    ) -> Self {
        let (sender, batches) = sync_channel(READY);
        scope.spawn(move || {
            for number in numbers {
                let batch = task.prepare(number);
                let failed = batch.is_err();
                if sender.send((number, batch)).is_err() || failed {
                    return;
                }
            }
        });
        Self {
            batches,
            clock,
            waited: Duration::ZERO,
        }
    }

    /// The next batch and its number.
    ///
    /// # Errors
    /// What the task said when it prepared the batch.
    pub(crate) fn next(&mut self) -> Result<(u64, T::Batch)> {
        let before = (self.clock)();
        let next = self.batches.recv();
        self.waited += (self.clock)().saturating_sub(before);
        // Nobody sends after an error or the last batch, and both end the run.
        let (number, batch) = next.map_err(|_| Error::NoBatch)?;
        Ok((number, batch?))
    }

    /// Seconds spent in waiting for batches since the last call.
    pub(crate) fn take_waited(&mut self) -> f64 {
        std::mem::take(&mut self.waited).as_secs_f64()
    }
}
