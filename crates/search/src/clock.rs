//! Where the times of the stages come from.

use std::time::{Duration, Instant};

/// A clock that never goes back.
pub trait Clock: Send + Sync {
    /// Time since a moment that the clock chose.
    fn now(&self) -> Duration;
}

/// The operating system's monotonic clock, counted from its making.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock(Instant);

impl MonotonicClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::start()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Measures consecutive stages.
pub(crate) struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    started: Duration,
    last: Duration,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(clock: &'a dyn Clock) -> Self {
        let now = clock.now();
        Self {
            clock,
            started: now,
            last: now,
        }
    }

    /// Milliseconds since the last call, or the start.
    pub(crate) fn lap_ms(&mut self) -> f64 {
        let now = self.clock.now();
        let lap = now.saturating_sub(self.last);
        self.last = now;
        milliseconds(lap)
    }

    /// Milliseconds since the start.
    pub(crate) fn total_ms(&self) -> f64 {
        milliseconds(self.clock.now().saturating_sub(self.started))
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
