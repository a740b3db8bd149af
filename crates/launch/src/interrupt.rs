//! Ctrl-C as a flag, so that work ends between two steps and not within one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Whether somebody asked the program to end. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Raised by the first Ctrl-C (or SIGTERM); the second ends the program at once. Every call returns the same
    /// flag. Where the system has no such signal it is never raised.
    pub fn on_ctrl_c() -> Self {
        static INSTALLED: OnceLock<Interrupt> = OnceLock::new();
        let install = || {
            let interrupt = Self::default();
            let raised = interrupt.clone();
            // The only error is that there is a handler already; then that one decides.
            let _ = ctrlc::set_handler(move || {
                if raised.0.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            });
            interrupt
        };
        INSTALLED.get_or_init(install).clone()
    }

    /// Never raised by a signal.
    pub fn never() -> Self {
        Self::default()
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_flag() {
        let interrupt = Interrupt::never();
        let seen = interrupt.clone();
        assert!(!seen.is_raised());
        interrupt.raise();
        assert!(seen.is_raised());
        assert!(!Interrupt::never().is_raised());
    }
}
