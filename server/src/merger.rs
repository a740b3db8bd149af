//! One thread that keeps the number of segments small while the server runs, beside searches and writes.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use corpus::StoreError;
use index::MergeSettings;

use crate::store::Store;

/// How often is looked whether there is something to merge.
const PAUSE: Duration = Duration::from_secs(5);

/// The merging thread; it ends when this is dropped.
pub(crate) struct Merger {
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Merger {
    pub(crate) fn start(store: Arc<dyn Store>, settings: MergeSettings) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("merger".to_owned())
            .spawn(move || {
                let ends = |wait| stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
                while !ends(PAUSE) {
                    match store.merge(&settings, &|| ends(Duration::ZERO)) {
                        Ok(true) => tracing::info!("segments were merged"),
                        Ok(false) => {}
                        // Another process merges, or will: there is nothing to do here.
                        Err(StoreError::Locked { .. }) => {}
                        Err(error) => tracing::warn!("segments could not be merged: {error}"),
                    }
                }
            })?;
        Ok(Self {
            running: Mutex::new(Some((stop, thread))),
        })
    }

    /// Ends the thread. A merge that is under way is given up, and leaves nothing behind but a folder that the next
    /// one removes.
    pub(crate) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            // Its panic was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.stop();
    }
}
