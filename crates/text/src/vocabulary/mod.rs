//! Training of vocabularies from texts, and how well they fit.
//!
//! | kind | pieces are learned by | special tokens of | paper |
//! |---|---|---|---|
//! | [`Kind::Wordpiece`] | merges of frequent pairs, written with `##` | BERT | Wu et al. 2016, section 4.1 |
//! | [`Kind::Bpe`] | merges of frequent pairs of bytes | RoBERTa | Sennrich et al. 2016; bytes: Radford et al. 2019 |
//! | [`Kind::Unigram`] | leaving out of many pieces those that help least | XLM-R | Kudo 2018 |
//!
//! All three are trained by the `tokenizers` library, from texts that are read once: what stays in memory is how
//! often each word occurs.

mod families;
mod statistics;
mod unigram;

use tokenizers::AddedToken;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainerBuilder;
use tokenizers::models::wordpiece::WordPieceTrainerBuilder;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::error::{Error, Result, library};
use crate::tokenizer::Tokenizer;

pub use statistics::{Statistics, statistics};

/// How words become pieces, and with that the family of models that the special tokens are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pieces of words as BERT has them; what the alphabet lacks is `[UNK]`.
    #[default]
    Wordpiece,
    /// Pieces of bytes as RoBERTa has them: nothing is ever unknown.
    Bpe,
    /// Pieces with probabilities as SentencePiece has them; a word becomes its likeliest pieces.
    Unigram,
}

/// How a vocabulary is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How words become pieces.
    pub kind: Kind,
    /// Entries, special tokens included.
    pub size: usize,
    /// A merge must be seen this often; of no meaning for unigrams.
    pub min_frequency: u64,
    /// Characters kept, the most frequent first; rarer ones become the unknown token. Each costs up to two
    /// entries of WordPiece and one of unigrams. Byte pairs have the 256 bytes for an alphabet instead.
    pub alphabet_max: usize,
    /// Lower-case the text and strip its accents.
    pub lower_case: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: Kind::Wordpiece,
            size: 16_000,
            min_frequency: 2,
            alphabet_max: 400,
            lower_case: true,
        }
    }
}

impl Settings {
    /// Refuses a size that has no room for the special tokens and the alphabet.
    fn check(&self) -> Result<()> {
        let (least, accepted) = match self.kind {
            Kind::Wordpiece => (
                2 * self.alphabet_max,
                "at least 5 special tokens and twice alphabet_max",
            ),
            Kind::Bpe => (256, "at least 5 special tokens and 256 bytes"),
            Kind::Unigram => (self.alphabet_max, "at least 5 special tokens and alphabet_max"),
        };
        if self.size >= families::SPECIAL + least {
            return Ok(());
        }
        let (field, value) = ("size", self.size);
        Err(Error::Setting {
            field,
            value,
            accepted,
        })
    }
}

/// Trains a tokenizer on texts that are read once, in any number. The ids begin with the special tokens.
///
/// The library counts in hash maps with a random seed, so pieces of equal frequency may come in another order the
/// next time: two vocabularies of the same texts agree in their frequent entries, not in every id.
///
/// # Errors
/// When the size has no room for the special tokens and the alphabet.
pub fn train(texts: impl Iterator<Item = String> + Send, settings: Settings) -> Result<Tokenizer> {
    settings.check()?;
    let start = families::empty(settings.kind, settings.lower_case).to_string();
    let Tokenizer {
        mut inner, special, ..
    } = Tokenizer::from_json(start.as_bytes(), &serde_json::Value::Null)?;
    let special_tokens = families::special(settings.kind).map(|token| AddedToken::from(token, true));
    let trainer = match settings.kind {
        Kind::Wordpiece => WordPieceTrainerBuilder::new()
            .vocab_size(settings.size)
            .min_frequency(settings.min_frequency)
            .limit_alphabet(settings.alphabet_max)
            .show_progress(false)
            .special_tokens(special_tokens.to_vec())
            .build()
            .into(),
        Kind::Bpe => BpeTrainerBuilder::new()
            .vocab_size(settings.size)
            .min_frequency(settings.min_frequency)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .special_tokens(special_tokens.to_vec())
            .build()
            .into(),
        Kind::Unigram => {
            let model = unigram::train(&inner, texts, special_tokens.to_vec(), settings)?;
            inner.with_model(model);
            return Ok(Tokenizer::new(inner, special));
        }
    };
    let mut trainer: TrainerWrapper = trainer;
    inner
        .train(&mut trainer, texts)
        .map_err(library("training a vocabulary"))?;
    Ok(Tokenizer::new(inner, special))
}
