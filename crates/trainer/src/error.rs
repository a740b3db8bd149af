//! What can go wrong in training.

use std::path::PathBuf;

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// An error with the values that explain it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model refused.
    #[error(transparent)]
    Encoder(#[from] encoder::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The tokenizer refused.
    #[error(transparent)]
    Text(#[from] text::Error),
    /// The teacher refused.
    #[error("the teacher: {0}")]
    Teacher(String),
    /// A file of data could not be read.
    #[error(transparent)]
    Data(#[from] data::DataError),
    /// What was measured has no value.
    #[error(transparent)]
    Measure(#[from] measure::MeasureError),
    /// A file has nothing of what it is read for.
    #[error("{} holds no {what}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line of a data file does not have the expected form.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The recipe cannot be understood.
    #[error("recipe {recipe}: {reason}")]
    Recipe {
        /// The recipe's file, or the override.
        recipe: String,
        /// The parser's message, with the position.
        reason: String,
    },
    /// A setting is outside of its accepted range.
    #[error("{field} is {value}, accepted: {accepted}")]
    Setting {
        /// The setting's name in the recipe.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
    /// Two inputs that belong together do not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// Which inputs.
        what: String,
        /// What fits.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The loss is not a number, or infinite.
    #[error("step {step}: the loss is {loss} on the batch of {batch}")]
    LossNotFinite {
        /// The step.
        step: u64,
        /// The loss.
        loss: f32,
        /// What was in the batch.
        batch: String,
    },
    /// A gradient is not a number, or infinite.
    #[error("step {step}: the gradient of {variable} is not finite on the batch of {batch}")]
    GradientNotFinite {
        /// The step.
        step: u64,
        /// The variable's name.
        variable: String,
        /// What was in the batch.
        batch: String,
    },
    /// The thread that prepares batches ended before the run.
    #[error("no more batches are prepared: the thread that does it has ended")]
    NoBatch,
    /// Some variables learn nothing.
    #[error("after {steps} steps these variables have received no gradient: {}", variables.join(", "))]
    NoGradient {
        /// Steps taken.
        steps: u64,
        /// Names of the variables.
        variables: Vec<String>,
    },
    /// Several ranks cannot work together.
    #[error("several ranks: {0}")]
    Ranks(String),
    /// A batch does not fit into the memory of the GPU.
    #[error(
        "the GPU has no memory left for a batch: make the batch or its texts smaller (and take more of them for a step \
         with optimizer.accumulate), or set compute.recompute = true; the last checkpoint is whole"
    )]
    Memory,
    /// The loss is far above what it was.
    #[error(
        "step {step}: the loss is {loss}, {spike_factor} times the usual {median} or more for several steps, now \
         on the batch of {batch}; lower the learning rate, or set saving.spike_factor = 0 to go on"
    )]
    Spike {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f32,
        /// The median of the losses before.
        median: f32,
        /// The setting that says what is far.
        spike_factor: f64,
        /// What was in the batch.
        batch: String,
    },
    /// A checkpoint could not be written.
    #[error(
        "the checkpoint {} could not be written: {source}; {}",
        path.display(),
        last.as_ref().map_or("there is none before it".into(), |last| {
            format!("{} is whole, and the run can go on from it with --resume", last.display())
        })
    )]
    CheckpointNotWritten {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
        /// The newest that is whole.
        last: Option<PathBuf>,
    },
    /// A checkpoint is damaged or belongs to another run.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// The same error, or what to do about it when it says that the GPU has no memory left.
    pub(crate) fn or_memory(self) -> Self {
        let reason = self.to_string();
        let full = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];
        if full.iter().any(|sign| reason.contains(sign)) {
            return Self::Memory;
        }
        self
    }
}

/// Adds the path to an error of the operating system.
pub(crate) fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io {
        path: path.to_owned(),
        source,
    }
}
