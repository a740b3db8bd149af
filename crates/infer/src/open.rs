//! What opening every model has in common. Reasons are texts without the model's name, which the caller adds.

use encoder::ModelFiles;
use text::Tokenizer;

use crate::InferError;

pub(crate) fn open_tokenizer(files: &ModelFiles) -> Result<Tokenizer, String> {
    // A file that is there and cannot be read is an error of its own, not a missing tokenizer.
    for name in ["tokenizer.json", "vocab.txt", "tokenizer_config.json"] {
        if files.has(name) {
            files.read(name).map_err(|error| error.to_string())?;
        }
    }
    Tokenizer::from_files(|name| files.read(name).ok()).map_err(|error| error.to_string())
}

/// A tokenizer of another model would give ids that the model does not have.
pub(crate) fn check_vocabulary(tokenizer: &Tokenizer, embeddings: usize) -> Result<(), String> {
    let entries = tokenizer.vocabulary_size();
    if entries <= embeddings {
        return Ok(());
    }
    Err(format!(
        "the tokenizer has {entries} tokens and the model embeds {embeddings}: they are not of one model"
    ))
}

pub(crate) fn tokenize(error: text::Error) -> InferError {
    InferError::Tokenize {
        reason: error.to_string(),
    }
}
