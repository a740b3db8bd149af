//! What a run would take, without running it.

use std::time::Duration;

use super::{Plan, Task};
use crate::error::Result;

/// Batches that are computed for the estimate, after one that is not timed.
const TIMED: u64 = 2;

/// What a run would take.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// Trainable numbers.
    pub trained: usize,
    /// Numbers that are frozen.
    pub frozen: usize,
    /// Variables, frozen ones included.
    pub variables: usize,
    /// Tokens of a step, estimated from a few batches.
    pub tokens_per_step: u64,
    /// Seconds of a step, estimated from forward and backward passes of a few batches.
    pub seconds_per_step: f64,
    /// Bytes of the weights; both moments take twice as much for those that are trained, and gradients once.
    pub weight_bytes: u64,
    /// Bytes of moments.
    pub moment_bytes: u64,
    /// Bytes of gradients.
    pub gradient_bytes: u64,
    /// By how many bytes the process grew for the largest forward pass, which is about what activations take; none
    /// where that cannot be seen.
    pub activation_bytes: Option<u64>,
}

impl Rehearsal {
    /// Computes some batches of the run; nothing is changed or written. `memory` tells the bytes that this process
    /// occupies, as far as the system says.
    ///
    /// # Errors
    /// Whatever would stop the run at once.
    pub fn of<T: Task>(
        task: &T,
        plan: &Plan,
        clock: &dyn Fn() -> Duration,
        memory: &dyn Fn() -> Option<u64>,
    ) -> Result<Self> {
        plan.check()?;
        let mut activation_bytes: Option<u64> = None;
        let (mut tokens, mut start) = (0, clock());
        for number in 0..=TIMED {
            if number == 1 {
                start = clock();
            }
            let before = memory();
            let found = task.loss(number)?;
            if let (Some(before), Some(after)) = (before, memory()) {
                activation_bytes = activation_bytes.max(Some(after.saturating_sub(before)));
            }
            encoder::backward(&found.loss)?;
            tokens += found.tokens as u64;
        }
        let passes = (clock().saturating_sub(start)).as_secs_f64() / TIMED as f64;
        let accumulate = plan.optimizer.accumulate;
        let variables = task.variables();
        let numbers = |frozen: bool| -> usize {
            let of_kind = variables
                .iter()
                .filter(|(name, _)| (task.rate(name) == 0.0) == frozen);
            of_kind.map(|(_, var)| var.elem_count()).sum()
        };
        let (trained, frozen) = (numbers(false), numbers(true));
        Ok(Self {
            trained,
            frozen,
            variables: variables.len(),
            tokens_per_step: accumulate * tokens / (TIMED + 1),
            seconds_per_step: accumulate as f64 * passes,
            weight_bytes: 4 * (trained + frozen) as u64,
            moment_bytes: 8 * trained as u64,
            gradient_bytes: 4 * trained as u64,
            activation_bytes,
        })
    }
}
