//! How well a vocabulary fits texts.

use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

use crate::error::{Result, library};
use crate::tokenizer::Tokenizer;

/// How a vocabulary fits some texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Statistics {
    /// Words, split at white space and punctuation as BERT does, whatever the vocabulary: so that the figures of
    /// two vocabularies can be compared.
    pub words: u64,
    /// Tokens, without special tokens.
    pub tokens: u64,
    /// Tokens that are the unknown token.
    pub unknown: u64,
}

impl Statistics {
    /// Tokens that one word becomes, on average ("fertility"); 0 when there was no word.
    pub fn tokens_per_word(&self) -> f64 {
        self.tokens as f64 / (self.words as f64).max(1.0)
    }

    /// Share of tokens that are unknown.
    pub fn unknown_rate(&self) -> f64 {
        self.unknown as f64 / (self.tokens as f64).max(1.0)
    }
}

/// Measures a tokenizer on texts.
///
/// # Errors
/// When the model's own pipeline refuses a text.
pub fn statistics<'a>(tokenizer: &Tokenizer, texts: impl IntoIterator<Item = &'a str>) -> Result<Statistics> {
    let mut counts = Statistics::default();
    for text in texts {
        let encoding = tokenizer.raw(text)?;
        counts.tokens += encoding.len() as u64;
        counts.unknown += encoding
            .get_ids()
            .iter()
            .filter(|&&id| id == tokenizer.special.unknown)
            .count() as u64;
        counts.words += words(text)?;
    }
    Ok(counts)
}

fn words(text: &str) -> Result<u64> {
    let mut split = PreTokenizedString::from(text);
    BertPreTokenizer
        .pre_tokenize(&mut split)
        .map_err(library("splitting into words"))?;
    Ok(split
        .get_splits(OffsetReferential::Original, OffsetType::Byte)
        .len() as u64)
}
