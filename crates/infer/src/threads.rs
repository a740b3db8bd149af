//! Running a model on a stated number of threads.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::InferError;

/// Most threads that one model may run on.
const THREADS_MAX: usize = 1024;

/// A pool of exactly `threads`. Tokenizer and layers that run inside [`ThreadPool::install`] use these threads and
/// no others.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool, InferError> {
    let refuse = |accepted| InferError::Setting {
        field: "threads",
        value: threads,
        accepted,
    };
    if !(1..=THREADS_MAX).contains(&threads) {
        return Err(refuse(format!("1 to {THREADS_MAX}")));
    }
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|at| format!("infer-{at}"))
        .build()
        .map_err(|error| refuse(format!("as many as the system starts ({error})")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn has_the_threads_that_were_asked_for() {
        assert_eq!(pool(3).unwrap().install(rayon::current_num_threads), 3);
        assert!(pool(0).is_err());
        assert!(pool(1025).is_err());
    }
}
