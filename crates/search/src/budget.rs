//! Asking a model about the best passages, within a time.

use std::time::Duration;

use infer::InferError;

use crate::Clock;

/// What a model said of the first passages, of as many as the time allowed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Within<T> {
    /// One for each passage that it was asked about.
    pub(crate) found: Vec<T>,
    /// Why others were left out.
    pub(crate) degraded: Option<String>,
}

/// Asks about `passages` in order: about all at once, or with a budget in batches of so many. No batch is begun after
/// the budget; the first one always is. `done` tells in the reason what happened to them.
pub(crate) fn within<P, T>(
    budget_ms: Option<u64>,
    clock: &dyn Clock,
    (batch_passages, done): (usize, &str),
    passages: &[P],
    ask: impl Fn(&[P]) -> Result<Vec<T>, InferError>,
) -> Result<Within<T>, InferError> {
    let Some(budget_ms) = budget_ms else {
        return Ok(Within {
            found: ask(passages)?,
            degraded: None,
        });
    };
    let until = clock.now() + Duration::from_millis(budget_ms);
    let mut found = Vec::with_capacity(passages.len());
    for batch in passages.chunks(batch_passages) {
        if !found.is_empty() && clock.now() >= until {
            break;
        }
        found.extend(ask(batch)?);
    }
    let degraded = (found.len() < passages.len()).then(|| {
        format!(
            "{} of {} passages were {done} within the budget of {budget_ms} ms",
            found.len(),
            passages.len()
        )
    });
    Ok(Within { found, degraded })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that only the test moves.
    #[derive(Default)]
    struct Still(AtomicU64);

    impl Clock for Still {
        fn now(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_budget_ends_it_between_batches() {
        let passages: Vec<usize> = (0..50).collect();
        for (budget_ms, count) in [
            (Some(1), 16),
            (Some(10), 16),
            (Some(11), 32),
            (Some(40), 50),
            (None, 50),
        ] {
            let clock = Still::default();
            // Every batch takes 10 ms.
            let ask = |batch: &[usize]| {
                clock.0.fetch_add(10, Ordering::Relaxed);
                Ok(batch.to_vec())
            };
            let Within { found, degraded } = within(budget_ms, &clock, (16, "read"), &passages, ask).unwrap();
            assert_eq!(found, passages[..count], "{budget_ms:?}");
            let reason = budget_ms.filter(|_| count < 50).map(|budget_ms| {
                format!("{count} of 50 passages were read within the budget of {budget_ms} ms")
            });
            assert_eq!(degraded, reason);
        }
    }
}
