//! The words that unigram pieces are learned from.
//!
//! The library keeps every character it sees, so a few lines in foreign scripts would fill a vocabulary. Words are
//! counted here, and those with rare characters are left out, which then become the unknown token.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::normalizer::NormalizedString;
use tokenizers::{
    AddedToken, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
};

use super::Settings;
use crate::error::{Error, Result, library};

/// Trains the model that replaces the empty one of `tokenizer`, whose normalizer and splitting it uses.
pub(super) fn train(
    tokenizer: &tokenizers::Tokenizer,
    texts: impl Iterator<Item = String>,
    special_tokens: Vec<AddedToken>,
    settings: Settings,
) -> Result<Unigram> {
    let mut words = BTreeMap::new();
    for text in texts {
        count(tokenizer, &text, &mut words)?;
    }
    let alphabet = alphabet(&words, settings.alphabet_max);
    let words: Vec<(String, u32)> = words
        .into_iter()
        .filter(|(word, _)| word.chars().all(|character| alphabet.contains(&character)))
        .collect();
    if words.is_empty() {
        // The library's search for frequent pieces does not end without any.
        return Err(Error::Tokenizer {
            doing: "training a vocabulary",
            reason: "the texts have no words".into(),
        });
    }
    let trainer = UnigramTrainer::builder()
        .vocab_size(settings.size as u32)
        .special_tokens(special_tokens)
        .unk_token(Some("<unk>".into()))
        .show_progress(false)
        .build()
        .map_err(|e| library("training a vocabulary")(e.into()))?;
    let mut model = Unigram::default();
    trainer
        .do_train(words, &mut model)
        .map_err(library("training a vocabulary"))?;
    Ok(model)
}

fn count(tokenizer: &tokenizers::Tokenizer, text: &str, words: &mut BTreeMap<String, u32>) -> Result<()> {
    let splitting = library("splitting into words");
    let mut text = NormalizedString::from(text);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut text).map_err(&splitting)?;
    }
    let mut split = PreTokenizedString::from(text);
    if let Some(pre) = tokenizer.get_pre_tokenizer() {
        pre.pre_tokenize(&mut split).map_err(&splitting)?;
    }
    for (word, _, _) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
        match words.get_mut(word) {
            Some(count) => *count = count.saturating_add(1),
            None => drop(words.insert(word.to_owned(), 1)),
        }
    }
    Ok(())
}

/// The most frequent characters; of equally frequent ones the first in the order of Unicode.
fn alphabet(words: &BTreeMap<String, u32>, most: usize) -> HashSet<char> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for (word, &count) in words {
        for character in word.chars() {
            *counts.entry(character).or_default() += u64::from(count);
        }
    }
    let mut order: Vec<(char, u64)> = counts.into_iter().collect();
    order.sort_unstable_by_key(|&(character, count)| (std::cmp::Reverse(count), character));
    order
        .into_iter()
        .take(most)
        .map(|(character, _)| character)
        .collect()
}
