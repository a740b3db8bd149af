//! The tokenizer: texts to ids with byte spans, and ids back to text.

use std::sync::Arc;

use tokenizers::utils::truncation::{TruncationParams, TruncationStrategy, truncate_encodings};
use tokenizers::{EncodeInput, PostProcessor as _};

use crate::error::{Error, Result, library};
use crate::plain::PlainWordPiece;

/// Turns text into token ids. Truncation and padding are never those stored in the model's files:
/// the caller names the limit each time, and padding belongs to whoever forms batches.
#[derive(Clone)]
pub struct Tokenizer {
    pub(crate) inner: tokenizers::Tokenizer,
    pub(crate) special: SpecialIds,
    /// The fast way for plain texts, and what one text is wrapped in.
    plain: Option<Arc<(PlainWordPiece, Wrapping)>>,
}

/// Special tokens before and after one text.
pub(crate) struct Wrapping {
    before: Vec<u32>,
    after: Vec<u32>,
}

/// The tokens with a meaning of their own. Padding and unknown always exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// Fills the short rows of a batch.
    pub pad: u32,
    /// Stands for what the vocabulary cannot spell.
    pub unknown: u32,
    /// Opens every text (`[CLS]`, `<s>`).
    pub cls: Option<u32>,
    /// Closes every text and separates pairs (`[SEP]`, `</s>`).
    pub sep: Option<u32>,
    /// The blank of the cloze task (`[MASK]`, `<mask>`).
    pub mask: Option<u32>,
}

/// One encoded text or pair of texts. All vectors have the same length: one entry a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Ids in the vocabulary, special tokens included.
    pub ids: Vec<u32>,
    /// 0 for the first text, 1 for the second, as the model's post-processor says.
    pub type_ids: Vec<u32>,
    /// Bytes of the original text that the token stands for; (0, 0) for special tokens.
    /// In a pair, spans count in the text that the token came from.
    pub spans: Vec<(usize, usize)>,
    /// True where the post-processor put a special token.
    pub special_mask: Vec<bool>,
    /// Number of the word within its text; none for special tokens.
    pub word_ids: Vec<Option<u32>>,
    /// 0 or 1: which text the token came from; none for special tokens.
    pub sequence_ids: Vec<Option<usize>>,
    /// Whether the limit cut text away.
    pub truncated: bool,
}

impl Encoding {
    /// Tokens, special tokens included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token at all (a tokenizer without special tokens and an empty text).
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn new(inner: &tokenizers::Encoding, truncated: bool) -> Self {
        let special_mask: Vec<bool> = inner.get_special_tokens_mask().iter().map(|&m| m == 1).collect();
        // The library forgets the first text of a pair when the second is joined to it, never the second.
        let sequence_ids = inner.get_sequence_ids().into_iter().zip(&special_mask);
        let sequence_ids = sequence_ids.map(|(text, special)| (!special).then_some(text.unwrap_or(0)));
        Self {
            ids: inner.get_ids().to_vec(),
            type_ids: inner.get_type_ids().to_vec(),
            spans: inner.get_offsets().to_vec(),
            word_ids: inner.get_word_ids().to_vec(),
            sequence_ids: sequence_ids.collect(),
            special_mask,
            truncated,
        }
    }
}

impl Tokenizer {
    pub(crate) fn new(inner: tokenizers::Tokenizer, special: SpecialIds) -> Self {
        let plain = PlainWordPiece::of(&inner).and_then(|plain| Some(Arc::new((plain, wrapping(&inner)?))));
        Self {
            inner,
            special,
            plain,
        }
    }

    /// The ids of [`Tokenizer::encode`] without the rest, which is faster.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn ids(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>> {
        let Some((mut ids, wrapping)) = self.plain_ids(text)? else {
            return Ok(self.encode(text, max_tokens)?.ids);
        };
        let special = wrapping.before.len() + wrapping.after.len();
        ids.truncate(room(max_tokens, special)?);
        ids.splice(0..0, wrapping.before.iter().copied());
        ids.extend_from_slice(&wrapping.after);
        Ok(ids)
    }

    /// Encodes one text with the model's special tokens, cut at the end to `max_tokens` in all.
    ///
    /// # Errors
    /// When `max_tokens` leaves no room beside the special tokens.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Encoding> {
        let encoding = self.raw(text)?;
        self.finish(encoding, None, max_tokens)
    }

    /// Encodes a pair, for example a query and a passage. What is too long is cut at the end, token by
    /// token from whichever of the two is longer at that moment ("longest first").
    ///
    /// # Errors
    /// When `max_tokens` leaves no room beside the special tokens.
    pub fn encode_pair(&self, first: &str, second: &str, max_tokens: usize) -> Result<Encoding> {
        let (first, second) = (self.raw(first)?, self.raw(second)?);
        self.finish(first, Some(second), max_tokens)
    }

    /// Encodes many texts on all threads; the same as [`Tokenizer::encode`] on each.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_batch(&self, texts: &[&str], max_tokens: usize) -> Result<Vec<Encoding>> {
        let inputs: Vec<EncodeInput<'_>> = texts.iter().map(|&text| text.into()).collect();
        let encodings = self
            .inner
            .encode_batch(inputs, false)
            .map_err(library("encoding a batch"))?;
        encodings
            .into_iter()
            .map(|encoding| self.finish(encoding, None, max_tokens))
            .collect()
    }

    /// The text that the ids stand for, without special tokens.
    ///
    /// # Errors
    /// When the model's decoder refuses the tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(library("decoding"))
    }

    /// Tokens of the text itself, without special tokens and without any limit.
    ///
    /// # Errors
    /// When the model's own pipeline refuses the text.
    pub fn count_tokens(&self, text: &str) -> Result<usize> {
        match self.plain_ids(text)? {
            Some((ids, _)) => Ok(ids.len()),
            None => Ok(self.raw(text)?.len()),
        }
    }

    /// Entries of the vocabulary, added tokens included.
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The ids with a meaning of their own.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// The spelling of an id, as in the vocabulary (with `##` or the like).
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a spelling.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Special tokens that one text (or a pair) is wrapped in.
    pub fn special_count(&self, pair: bool) -> usize {
        self.inner
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(pair))
    }

    /// The ids without special tokens, and what belongs around them, when there is a fast way.
    pub(crate) fn plain_ids(&self, text: &str) -> Result<Option<(Vec<u32>, &Wrapping)>> {
        let Some((plain, wrapping)) = self.plain.as_deref() else {
            return Ok(None);
        };
        let ids = plain.ids(text, |part| Ok::<_, Error>(self.raw(part)?.get_ids().to_vec()))?;
        Ok(ids.map(|ids| (ids, wrapping)))
    }

    /// The text's tokens without special tokens.
    pub(crate) fn raw(&self, text: &str) -> Result<tokenizers::Encoding> {
        self.inner.encode(text, false).map_err(library("encoding a text"))
    }

    fn finish(
        &self,
        first: tokenizers::Encoding,
        second: Option<tokenizers::Encoding>,
        max_tokens: usize,
    ) -> Result<Encoding> {
        let special = self.special_count(second.is_some());
        let room = room(max_tokens, special)?;
        let whole = first.len() + second.as_ref().map_or(0, tokenizers::Encoding::len);
        let cut = TruncationParams {
            max_length: room,
            strategy: TruncationStrategy::LongestFirst,
            ..TruncationParams::default()
        };
        let (first, second) =
            truncate_encodings(first, second, &cut).map_err(library("cutting to the limit"))?;
        let encoding = self
            .inner
            .post_process(first, second, true)
            .map_err(library("adding special tokens"))?;
        Ok(Encoding::new(&encoding, whole > room))
    }
}

/// Tokens that are left for text.
fn room(max_tokens: usize, special: usize) -> Result<usize> {
    let room = max_tokens.checked_sub(special).filter(|&room| room > 0);
    room.ok_or(Error::TooFewTokens { max_tokens, special })
}

/// What the post-processor puts around one text, if it is always the same.
fn wrapping(tokenizer: &tokenizers::Tokenizer) -> Option<Wrapping> {
    let around = |text: &str| -> Option<(Vec<u32>, Vec<u32>)> {
        let bare = tokenizer.encode(text, false).ok()?;
        let wrapped = tokenizer.encode(text, true).ok()?;
        let (bare, wrapped) = (bare.get_ids(), wrapped.get_ids());
        let at = (0..=wrapped.len().checked_sub(bare.len())?).find(|&at| wrapped[at..].starts_with(bare))?;
        Some((wrapped[..at].to_vec(), wrapped[at + bare.len()..].to_vec()))
    };
    let (before, after) = around("a")?;
    (around("b a") == Some((before.clone(), after.clone()))).then_some(Wrapping { before, after })
}
