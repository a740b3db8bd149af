//! What a model can be asked for, whatever runs it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{InferError, Reading};

/// On which side of a search a text stands. Some models were trained with another prefix ("prompt") for each
/// side; both are the same for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What is searched for.
    Query,
    /// What is found.
    #[default]
    Passage,
}

/// A bi-encoder: texts to vectors of unit length.
pub trait Embed: Send + Sync {
    /// The vectors of `texts`, in their order, each of [`Embed::dimension`] components and of unit length.
    ///
    /// A text of more than [`Embed::tokens_max`] tokens counts with its first ones only; an empty text has a
    /// vector as well. A vector does not depend on the other texts of the call, bit for bit.
    ///
    /// # Errors
    /// When the model cannot be run, or gives a vector that is not finite.
    fn embed(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError>;

    /// Components of a vector.
    fn dimension(&self) -> usize;

    /// Names the model and its tokenizer by content: equal fingerprints give equal vectors, up to the rounding of
    /// their precision.
    fn fingerprint(&self) -> &str;

    /// The most tokens of a passage that count: special tokens included, the passage prompt already taken off.
    fn tokens_max(&self) -> usize;

    /// Cuts a text into byte ranges of at most `tokens` tokens each, special tokens included, which together
    /// cover it; neighbours share about `overlap` tokens. An empty text has no range.
    ///
    /// # Errors
    /// When `tokens` leaves no room for text, or `overlap` is not below that room.
    fn chunk(&self, text: &str, tokens: usize, overlap: usize) -> Result<Vec<Range<usize>>, InferError>;

    /// Tokens of the text alone, without special tokens and without any limit.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    fn count_tokens(&self, text: &str) -> Result<usize, InferError>;
}

/// A cross-encoder: how well passages answer a query.
pub trait Rerank: Send + Sync {
    /// One score for each passage, in their order; greater is better.
    ///
    /// # Errors
    /// When the model cannot be run, or gives a score that is not finite.
    fn score(&self, query: &str, passages: &[&str]) -> Result<Vec<f32>, InferError>;

    /// How much its score counts beside the score that a passage had before, where a search does not say: above 0,
    /// and 1 for a model whose order is the better one by itself.
    fn weight(&self) -> f32 {
        1.0
    }

    /// Names the model and its tokenizer by content.
    fn fingerprint(&self) -> &str;
}

/// An extractive reader: the words of a text that answer a question, or that none do.
pub trait Read: Send + Sync {
    /// The best answer to each question in its text, in their order. A reading does not depend on the others of the
    /// call, bit for bit; texts may have any length.
    ///
    /// # Errors
    /// When the model cannot be run, or gives a number that is not finite.
    fn read(&self, questions: &[(&str, &str)]) -> Result<Vec<Reading>, InferError>;

    /// The margin of a [`Reading`] above which a text answers, where a search does not say.
    fn threshold(&self) -> f32;

    /// Names the model and its tokenizer by content.
    fn fingerprint(&self) -> &str;
}
