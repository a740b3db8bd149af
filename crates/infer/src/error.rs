//! What can go wrong between a text and its vector.

use thiserror::Error;

/// The error of every function of this crate. It can be cloned, because one failed batch answers many requests.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InferError {
    /// A model could not be opened.
    #[error("model {model}: {reason}")]
    Open {
        /// The folder, or the name of a bundled model.
        model: String,
        /// What is wrong, with the file where that is known.
        reason: String,
    },
    /// A text could not be cut into tokens, or a chunk size does not fit the model.
    #[error("tokenizer: {reason}")]
    Tokenize {
        /// What the tokenizer said.
        reason: String,
    },
    /// The model could not be run.
    #[error("model {model} failed: {reason}")]
    Run {
        /// The folder, or the name of a bundled model.
        model: String,
        /// What it said.
        reason: String,
    },
    /// A number that the model gave is not finite, or a vector has length zero.
    #[error("model {model} gave {found} for text {text} of the call")]
    NotFinite {
        /// The folder, or the name of a bundled model.
        model: String,
        /// Place of the text in the call, from 0.
        text: usize,
        /// What it gave.
        found: String,
    },
    /// A setting is out of range.
    #[error("{field} is {value}; accepted: {accepted}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// The value that was given.
        value: usize,
        /// What is accepted.
        accepted: String,
    },
    /// The queue of the scheduler has no room: try again later.
    #[error("{waiting} {unit} wait already; this request of {wanted} does not fit below {limit}")]
    QueueFull {
        /// `tokens` or `requests`.
        unit: &'static str,
        /// What waits.
        waiting: usize,
        /// What this request would add.
        wanted: usize,
        /// The most that may wait.
        limit: usize,
    },
    /// The scheduler was shut down before it took the request.
    #[error("the model is shutting down")]
    Stopped,
}
