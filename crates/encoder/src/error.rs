//! What can go wrong when a model is described, opened, run or written.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error with the values that explain it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tensor library refused an operation (shapes, device, memory).
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A model needs a file that is not there.
    #[error("{model} has no file {file}")]
    MissingFile {
        /// The model folder or the name of the embedded model.
        model: String,
        /// The file that was looked for.
        file: String,
    },
    /// A JSON file does not have the expected form.
    #[error("{file}: {source}")]
    Json {
        /// The file.
        file: String,
        /// The position and the reason.
        source: serde_json::Error,
    },
    /// A setting is outside of its accepted range.
    #[error("{field} is {value}, accepted: {accepted}")]
    Setting {
        /// The name of the setting, as in `config.json`.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
    /// A weight is not in the file.
    #[error("{file} has no weight {name} (expected shape {expected:?})")]
    MissingWeight {
        /// The weight file.
        file: String,
        /// The weight.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A weight has another shape than the configuration says.
    #[error("{file}: weight {name} has shape {found:?}, the configuration asks for {expected:?}")]
    WeightShape {
        /// The weight file.
        file: String,
        /// The weight.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A weight has a number type that is not a floating-point type.
    #[error("{file}: weight {name} has type {found}, accepted: F32, F16, BF16, F64")]
    WeightType {
        /// The weight file.
        file: String,
        /// The weight.
        name: String,
        /// The type in the file.
        found: String,
    },
    /// A weight holds a value that is not a number or is infinite.
    #[error("{file}: weight {name} holds {value} at element {at}")]
    WeightNotFinite {
        /// The weight file.
        file: String,
        /// The weight.
        name: String,
        /// The value.
        value: f32,
        /// Its position in row-major order.
        at: usize,
    },
    /// The weight file is damaged.
    #[error("{file} is not a sound safetensors file: {reason}")]
    Safetensors {
        /// The weight file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A batch without rows, an empty row, or rows of segment ids that do not fit.
    #[error("batch row {row}: {reason}")]
    Batch {
        /// The row, from 0.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A text is longer than the model has positions for.
    #[error("a text of {tokens} tokens is longer than the model's {positions} positions")]
    TooLong {
        /// Tokens of the longest text of the batch.
        tokens: usize,
        /// `max_position_embeddings`.
        positions: usize,
    },
    /// A token or segment id that the model does not have.
    #[error("{kind} id {id} is outside of the model's {size}")]
    UnknownId {
        /// `token` or `segment`.
        kind: &'static str,
        /// The id.
        id: u32,
        /// How many the model has.
        size: usize,
    },
}
