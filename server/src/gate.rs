//! How many requests of a kind are worked on at once, how many may wait, and what the others are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Kind, Problem};

/// Lets a bounded number of requests through at once; a bounded number of others wait; the rest is refused.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    name: &'static str,
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

/// Counts one waiting request for as long as it lives, also when its client goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(crate) fn new(name: &'static str, at_once: usize, waiting_max: usize) -> Self {
        Self {
            name,
            permits: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(AtomicUsize::new(0)),
            waiting_max,
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for a turn, which ends when the permit is dropped.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Waiting(&self.waiting);
        if waiting >= self.waiting_max {
            let detail = format!(
                "{waiting} {} requests wait already; at most {} may",
                self.name, self.waiting_max
            );
            return Err(Problem::new(Kind::Busy, detail));
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| Problem::new(Kind::Unavailable, "the server is shutting down"))
    }

    /// Does `work` on a thread that may block, once it is its turn.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T, Problem> + Send + 'static,
    {
        blocking(self.enter().await?, work).await
    }
}

/// Does `work` on a thread that may block. The turn lasts as long as the work, even when nobody waits for the
/// answer any more.
pub(crate) async fn blocking<T, W>(turn: OwnedSemaphorePermit, work: W) -> Result<T, Problem>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, Problem> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    let broken = |error| {
        Err(Problem::new(
            Kind::Internal,
            format!("the work broke off: {error}"),
        ))
    };
    done.await.unwrap_or_else(broken)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[tokio::test]
    async fn what_neither_fits_nor_may_wait_is_refused() {
        let gate = Gate::new("search", 1, 1);
        let inside = gate.enter().await.unwrap();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await.map(drop) }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter().await.unwrap_err().kind(), Kind::Busy);
        assert_eq!(gate.waiting(), 1);
        drop(inside);
        waiting.await.unwrap().unwrap();
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_gives_the_turn_back() {
        let gate = Gate::new("search", 1, 0);
        let broken: Result<(), Problem> = gate.run(|| panic!("broken")).await;
        assert_eq!(broken.unwrap_err().kind(), Kind::Internal);
        assert_eq!(gate.run(|| Ok(7)).await.unwrap(), 7);
    }
}
