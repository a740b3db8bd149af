//! How a model is run.

use kernels::Precision;

#[cfg(doc)]
use crate::Quality;

/// Threads and arithmetic of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSettings {
    /// Threads that the model uses, and no more; 1 to 1024. A thread per physical core is fastest.
    pub threads: usize,
    /// Number type of the weights and of what they are multiplied with. None: the one with the fewest bits that was
    /// measured to be good enough for the model ([`Quality::enough`]), f32 when nothing was measured of it.
    pub precision: Option<Precision>,
}

impl ModelSettings {
    /// f32 on this many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            precision: Some(Precision::F32),
        }
    }
}
