//! What answers now: when an index of another model takes the place of the one that is served, its own model follows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;

use crate::app::App;
use crate::routes;

/// How often is looked whether the index was replaced.
const PAUSE: Duration = Duration::from_millis(500);
/// Pause after the new model could not be opened.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// Opens the index and its models anew.
pub(crate) type Reopen<'a> = dyn Fn() -> anyhow::Result<App> + Sync + 'a;

/// The application that answers now.
pub(crate) struct Current(RwLock<(Arc<App>, Router)>);

impl Current {
    pub(crate) fn new(app: App) -> Self {
        let app = Arc::new(app);
        let router = routes::router(Arc::clone(&app));
        Self(RwLock::new((app, router)))
    }

    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    pub(crate) fn router(&self) -> Router {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Goes over to the index's new model whenever it has one, until `ended`. Until the model is open, requests are
    /// answered from the last commit of the model before.
    pub(crate) fn follow(&self, reopen: &Reopen<'_>, ended: &AtomicBool) {
        let mut next = Instant::now() + PAUSE;
        while !ended.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + PAUSE;
            if !self.app().store.is_replaced() {
                continue;
            }
            match reopen() {
                Ok(app) => {
                    tracing::info!(
                        model = app.model,
                        "the index is of another model now, which answers from here on"
                    );
                    let next = Self::new(app)
                        .0
                        .into_inner()
                        .unwrap_or_else(PoisonError::into_inner);
                    let before = {
                        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
                        std::mem::replace(&mut *current, next)
                    };
                    before.0.close(before.0.limits.shutdown_timeout);
                }
                Err(error) => {
                    tracing::warn!("the index is of another model now, which cannot be opened: {error:#}");
                    next = Instant::now() + FAILED_PAUSE;
                }
            }
        }
    }
}
