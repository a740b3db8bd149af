//! How a model is run.

use kernels::Precision;

/// Threads and arithmetic of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSettings {
    /// Threads that the model uses, and no more; 1 to 1024. A thread per physical core is fastest.
    pub threads: usize,
    /// Number type of the weights and of what they are multiplied with.
    pub precision: Precision,
}

impl ModelSettings {
    /// f32 on this many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            precision: Precision::F32,
        }
    }
}
