//! What can go wrong between a text and its tokens.

use std::path::PathBuf;

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of every function of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `tokenizer.json` nor `vocab.txt` is among the model's files.
    #[error("the model has no tokenizer: neither tokenizer.json nor vocab.txt was found")]
    NoTokenizer,
    /// A file of the tokenizer cannot be understood.
    #[error("{file}: {reason}")]
    Damaged {
        /// The file's name inside the model folder.
        file: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A special token that encoding needs is not in the vocabulary.
    #[error("the vocabulary of {entries} entries has no {role} token (looked for {looked_for:?})")]
    MissingSpecial {
        /// What the token is for: padding, unknown, ...
        role: &'static str,
        /// The spellings that were tried.
        looked_for: Vec<String>,
        /// Size of the vocabulary.
        entries: usize,
    },
    /// The limit leaves no room for text beside the special tokens.
    #[error("a limit of {max_tokens} tokens leaves no room for text beside {special} special tokens")]
    TooFewTokens {
        /// The limit that was asked for.
        max_tokens: usize,
        /// Special tokens that every encoding of this form carries.
        special: usize,
    },
    /// Chunks may not overlap by as much as they hold.
    #[error("an overlap of {overlap} tokens must be below the {room} text tokens of a chunk")]
    Overlap {
        /// The overlap that was asked for.
        overlap: usize,
        /// Text tokens in one chunk.
        room: usize,
    },
    /// A vocabulary setting is out of range.
    #[error("vocabulary {field} is {value}, accepted: {accepted}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// The value that was given.
        value: usize,
        /// What is accepted.
        accepted: &'static str,
    },
    /// The tokenizer library refused.
    #[error("{doing}: {reason}")]
    Tokenizer {
        /// What was being done.
        doing: &'static str,
        /// What the library said.
        reason: String,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Turns an error of the tokenizer library into ours.
pub(crate) fn library(doing: &'static str) -> impl Fn(tokenizers::Error) -> Error {
    move |error| Error::Tokenizer {
        doing,
        reason: error.to_string(),
    }
}
