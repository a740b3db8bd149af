//! What opening every model has in common. Reasons are texts without the model's name, which the caller adds.

use encoder::{Config, ModelFiles};
use kernels::Precision;
use text::Tokenizer;

use crate::engine::{Engine, Weights};
use crate::packed::PackedFile;
use crate::{InferError, Quality};

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

/// An encoder with what is known of where it came from.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) precision: Precision,
    pub(crate) fingerprint: String,
    /// What somebody who opened the model should know.
    pub(crate) notes: Vec<String>,
}

/// Opens the encoder of a model in a precision, or in the one that is enough for it.
pub(crate) fn open_engine(
    files: &ModelFiles,
    config: &Config,
    precision: Option<Precision>,
) -> Result<Opened, String> {
    let (quality, unread) = match Quality::open(files) {
        Ok(quality) => (quality, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let enough = quality.as_ref().map_or(Precision::F32, Quality::enough);
    let mut opened = open_in(files, config, precision.unwrap_or(enough))?;
    let is_of_another = |quality: &Quality| quality.fingerprint != opened.fingerprint;
    if precision.is_none() && quality.as_ref().is_some_and(is_of_another) {
        opened = open_in(files, config, Precision::F32)?;
        let reason = "precision.json was measured of another model, so this one runs in f32";
        opened.notes.push(reason.to_owned());
    }
    if let Some(quality) = quality {
        let notes = quality.notes(&opened.fingerprint, opened.precision);
        opened.notes.extend(notes);
    }
    opened.notes.extend(unread);
    Ok(opened)
}

/// From its packed form when there is one, else from its weights.
fn open_in(files: &ModelFiles, config: &Config, precision: Precision) -> Result<Opened, String> {
    let mut notes = Vec::new();
    let packed = PackedFile::open(files, precision).unwrap_or_else(|reason| {
        notes.push(format!(
            "packed weights are not used, so opening takes longer: {reason}"
        ));
        None
    });
    let (engine, fingerprint) = match packed {
        Some(mut packed) => {
            let engine = Engine::new(&mut packed, config, precision)?;
            (engine, packed.fingerprint().to_owned())
        }
        None => {
            let mut weights = Weights::open(files, config, precision)?;
            let fingerprint = files.fingerprint().map_err(|error| error.to_string())?;
            (
                Engine::new(&mut weights, config, precision)?,
                fingerprint.to_string(),
            )
        }
    };
    Ok(Opened {
        engine,
        precision,
        fingerprint,
        notes,
    })
}
