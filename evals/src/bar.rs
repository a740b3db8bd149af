//! A progress bar that several threads push.

use std::sync::atomic::{AtomicU64, Ordering};

use launch::Progress;

/// Goes from 0 to its total; taken away when it is dropped.
pub(crate) struct Bar {
    progress: Progress,
    done: AtomicU64,
}

impl Bar {
    /// A bar for `total` of `unit`, or nothing on the screen.
    pub(crate) fn new(show: bool, total: usize, unit: &'static str) -> Self {
        let progress = match show {
            true => Progress::new(Some(total as u64), unit),
            false => Progress::hidden(),
        };
        Self {
            progress,
            done: AtomicU64::new(0),
        }
    }

    /// So many more are done.
    pub(crate) fn add(&self, count: usize) {
        let done = self.done.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        self.progress.set(done, done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.progress.finish();
    }
}
