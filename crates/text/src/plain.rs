//! Ids of plain texts without the general pipeline.
//!
//! Most words of English text are ASCII, and on them BERT's pipeline (clean, lower case, split at spaces and
//! punctuation, WordPiece) is a loop over bytes. Everything else, and every tokenizer that is built otherwise, goes
//! through `tokenizers`, which is also what this path is tested against.

use std::collections::HashMap;

use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};

/// BERT's WordPiece on ASCII. It gives the ids that the general pipeline gives.
pub(crate) struct PlainWordPiece {
    vocabulary: HashMap<Box<[u8]>, u32>,
    unknown: u32,
    /// What the pieces after the first of a word begin with.
    continuation: Vec<u8>,
    /// A longer word is unknown.
    word_bytes_max: usize,
    kinds: [Kind; 128],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Becomes this byte of a word.
    Letter(u8),
    /// A word of its own.
    Punctuation,
    /// Vanishes, and joins its neighbours.
    Removed,
    /// May begin a token that is looked for before words are.
    Added,
}

impl PlainWordPiece {
    /// The plain form of a tokenizer, if it is BERT's.
    pub(crate) fn of(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let Some(NormalizerWrapper::BertNormalizer(normalizer)) = tokenizer.get_normalizer() else {
            return None;
        };
        let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = tokenizer.get_pre_tokenizer() else {
            return None;
        };
        let ModelWrapper::WordPiece(model) = tokenizer.get_model() else {
            return None;
        };
        if !normalizer.clean_text {
            return None;
        }
        let vocabulary = tokenizer.get_vocab(false);
        let mut kinds = std::array::from_fn(|byte| kind(byte as u8, normalizer.lowercase));
        for added in tokenizer.get_added_tokens_decoder().values() {
            let first = *added.content.as_bytes().first()?;
            for first in [first, first.to_ascii_lowercase(), first.to_ascii_uppercase()] {
                // Only what begins with ASCII, and not with a space, is looked out for.
                *kinds
                    .get_mut(usize::from(first))
                    .filter(|_| !first.is_ascii_whitespace())? = Kind::Added;
            }
        }
        Some(Self {
            unknown: *vocabulary.get(&model.unk_token)?,
            continuation: model.continuing_subword_prefix.clone().into_bytes(),
            word_bytes_max: model.max_input_chars_per_word,
            vocabulary: vocabulary
                .into_iter()
                .map(|(token, id)| (token.into_bytes().into_boxed_slice(), id))
                .collect(),
            kinds,
        })
    }

    /// The ids of a text without special tokens, or none when it may contain an added token. What has other than
    /// ASCII between two spaces is left to `general`: spaces always end a word, so nothing crosses them.
    ///
    /// # Errors
    /// That of `general`.
    pub(crate) fn ids<E>(
        &self,
        text: &str,
        general: impl Fn(&str) -> Result<Vec<u32>, E>,
    ) -> Result<Option<Vec<u32>>, E> {
        let mut ids = Vec::with_capacity(text.len() / 4);
        let (mut word, mut piece) = (Vec::new(), Vec::new());
        for part in text.split([' ', '\t', '\n', '\r']) {
            if self.may_hold_added(part) {
                return Ok(None);
            }
            if !part.is_ascii() {
                ids.extend(general(part)?);
                continue;
            }
            for &byte in part.as_bytes() {
                match self.kinds[usize::from(byte)] {
                    Kind::Letter(letter) => word.push(letter),
                    Kind::Removed | Kind::Added => {}
                    Kind::Punctuation => {
                        self.add_word(&mut word, &mut piece, &mut ids);
                        word.push(byte);
                        self.add_word(&mut word, &mut piece, &mut ids);
                    }
                }
            }
            self.add_word(&mut word, &mut piece, &mut ids);
        }
        Ok(Some(ids))
    }

    fn may_hold_added(&self, part: &str) -> bool {
        let kind = |byte: &u8| self.kinds.get(usize::from(*byte));
        part.as_bytes()
            .iter()
            .any(|byte| kind(byte) == Some(&Kind::Added))
    }

    /// The longest pieces from the left; a word that they cannot spell to its end is unknown (Wu et al. 2016,
    /// section 4.1, as BERT has it). Empties the word.
    fn add_word(&self, word: &mut Vec<u8>, piece: &mut Vec<u8>, ids: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        let first_id = ids.len();
        let mut start = 0;
        while start < word.len() && word.len() <= self.word_bytes_max {
            piece.clear();
            if start > 0 {
                piece.extend_from_slice(&self.continuation);
            }
            let prefix = piece.len();
            piece.extend_from_slice(&word[start..]);
            let found = (prefix + 1..=piece.len())
                .rev()
                .find_map(|end| self.vocabulary.get(&piece[..end]).map(|&id| (id, end - prefix)));
            let Some((id, length)) = found else {
                break;
            };
            ids.push(id);
            start += length;
        }
        if start < word.len() {
            ids.truncate(first_id);
            ids.push(self.unknown);
        }
        word.clear();
    }
}

fn kind(byte: u8, lowercase: bool) -> Kind {
    match byte {
        _ if byte.is_ascii_control() => Kind::Removed,
        _ if byte.is_ascii_punctuation() => Kind::Punctuation,
        _ if lowercase => Kind::Letter(byte.to_ascii_lowercase()),
        _ => Kind::Letter(byte),
    }
}
