//! Training a WordPiece vocabulary from texts, and measuring how well it fits.
//!
//! The merges are learned by frequency (as in byte-pair encoding) and written as WordPiece, which is how
//! the `tokenizers` library trains BERT vocabularies; see Wu et al. 2016, section 4.1, for the model.

use tokenizers::models::TrainerWrapper;
use tokenizers::models::wordpiece::WordPieceTrainerBuilder;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizer as _};

use crate::error::{Error, Result, library};
use crate::open::{BERT_SPECIAL, Cleaning, bert_file};
use crate::tokenizer::Tokenizer;

/// How a vocabulary is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Entries, special tokens included.
    pub size: usize,
    /// A merge must be seen this often.
    pub min_frequency: u64,
    /// Characters kept, the most frequent first; rarer ones become `[UNK]`. Each costs up to two entries.
    pub alphabet_max: usize,
    /// Lower-case the text and strip its accents.
    pub lower_case: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size: 16_000,
            min_frequency: 2,
            alphabet_max: 400,
            lower_case: true,
        }
    }
}

/// Trains a BERT tokenizer on texts that are read once, in any number.
///
/// The library counts in hash maps with a random seed, so merges of equal frequency may come in another order the
/// next time: two vocabularies of the same texts agree in their frequent entries, not in every id.
///
/// # Errors
/// When the size has no room for the special tokens and the alphabet.
pub fn train_wordpiece(texts: impl Iterator<Item = String> + Send, settings: Settings) -> Result<Tokenizer> {
    if settings.size < BERT_SPECIAL.len() + 2 * settings.alphabet_max {
        return Err(Error::Setting {
            field: "size",
            value: settings.size,
            accepted: "at least 5 special tokens and twice alphabet_max",
        });
    }
    let cleaning = Cleaning {
        lower_case: settings.lower_case,
        strip_accents: None,
        split_chinese: true,
    };
    let start = bert_file(&BERT_SPECIAL, &cleaning).to_string();
    let Tokenizer {
        mut inner, special, ..
    } = Tokenizer::from_json(start.as_bytes(), &serde_json::Value::Null)?;
    let trainer = WordPieceTrainerBuilder::new()
        .vocab_size(settings.size)
        .min_frequency(settings.min_frequency)
        .limit_alphabet(settings.alphabet_max)
        .show_progress(false)
        .special_tokens(
            BERT_SPECIAL
                .iter()
                .map(|token| AddedToken::from(*token, true))
                .collect(),
        )
        .build();
    inner
        .train(&mut TrainerWrapper::from(trainer), texts)
        .map_err(library("training a vocabulary"))?;
    Ok(Tokenizer::new(inner, special))
}

/// How a vocabulary fits some texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Statistics {
    /// Words, as the pre-tokenizer splits them.
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
        counts.words += words(tokenizer, text)?;
    }
    Ok(counts)
}

fn words(tokenizer: &Tokenizer, text: &str) -> Result<u64> {
    let mut split = tokenizers::PreTokenizedString::from(text);
    match tokenizer.inner.get_pre_tokenizer() {
        Some(pre) => pre
            .pre_tokenize(&mut split)
            .map_err(library("splitting into words"))?,
        None => return Ok(text.split_whitespace().count() as u64),
    }
    Ok(split
        .get_splits(OffsetReferential::Original, OffsetType::Byte)
        .len() as u64)
}
