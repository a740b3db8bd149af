//! The way in: documents to passages with vectors, ready for a store.

use std::ops::Range;

use corpus::{Document, PreparedDocument, PreparedPassage, StoreError, TitleUse};
use infer::{Embed, Role};
use serde::{Deserialize, Serialize};

use crate::SearchError;

/// A longer title is cut to this many tokens where it is embedded before each passage; the whole title is still
/// stored, shown and matched by words.
pub const TITLE_TOKENS_MAX: usize = 64;

/// Text tokens that a chunk must have room for beside special tokens and title.
const ROOM_TOKENS_MIN: usize = 8;

/// How documents are cut and embedded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Whether the title is embedded before each passage.
    pub titles: TitleUse,
    /// Tokens of one passage as it is embedded: special tokens and title included.
    pub chunk_tokens: usize,
    /// Tokens that neighbouring passages share.
    pub chunk_overlap: usize,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            titles: TitleUse::Join,
            chunk_tokens: 256,
            chunk_overlap: 32,
        }
    }
}

impl IngestSettings {
    /// Checks the settings against a model.
    ///
    /// # Errors
    /// [`SearchError::Field`] when a passage would be longer than the model reads, which would lose its end
    /// without a word, or when the overlap takes up half of it.
    pub fn validate(&self, model: &dyn Embed) -> Result<(), SearchError> {
        let (least, most) = (4 * ROOM_TOKENS_MIN, model.tokens_max());
        if !(least..=most).contains(&self.chunk_tokens) {
            return Err(SearchError::Field {
                field: "chunk_tokens",
                value: self.chunk_tokens.to_string(),
                accepted: format!("{least} to {most}, the most that the model reads"),
            });
        }
        if self.chunk_overlap > self.chunk_tokens / 2 {
            return Err(SearchError::Field {
                field: "chunk_overlap",
                value: self.chunk_overlap.to_string(),
                accepted: format!("0 to {}, half of chunk_tokens", self.chunk_tokens / 2),
            });
        }
        Ok(())
    }
}

/// Cuts documents into passages and embeds all passages in one call. A document that fits into one passage is
/// one; every byte of the text is in some passage, and every token of it in some vector.
///
/// # Errors
/// [`StoreError::NoText`] names a document that has nothing but white space; [`SearchError::Field`] settings
/// that do not fit the model; [`SearchError::Infer`] what the model says.
pub fn prepare(
    model: &dyn Embed,
    documents: Vec<Document>,
    settings: &IngestSettings,
) -> Result<Vec<PreparedDocument>, SearchError> {
    settings.validate(model)?;
    let mut spans = Vec::with_capacity(documents.len());
    let mut texts = Vec::new();
    for document in &documents {
        let title = embedded_title(model, document, settings)?;
        let cut = cut(model, document, &title, settings)?;
        let searchable =
            |span: &Range<usize>| settings.titles.searchable(&title, &document.text[span.clone()]);
        texts.extend(cut.iter().map(searchable));
        spans.push(cut);
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut vectors = model.embed(&texts, Role::Passage)?.into_iter();
    let prepared = documents.into_iter().zip(spans).map(|(document, spans)| {
        let pairs = spans.into_iter().zip(vectors.by_ref());
        let passages = pairs
            .map(|(span, vector)| PreparedPassage { span, vector })
            .collect();
        PreparedDocument { document, passages }
    });
    Ok(prepared.collect())
}

/// The beginning of the title that is embedded: at most [`TITLE_TOKENS_MAX`] tokens and a quarter of a passage.
fn embedded_title(
    model: &dyn Embed,
    document: &Document,
    settings: &IngestSettings,
) -> Result<String, SearchError> {
    if settings.titles == TitleUse::Ignore || document.title.trim().is_empty() {
        return Ok(String::new());
    }
    let most = TITLE_TOKENS_MAX.min(settings.chunk_tokens / 4);
    let first = model.chunk(&document.title, most, 0)?.into_iter().next();
    Ok(first.map_or(String::new(), |span| document.title[span].trim_end().to_owned()))
}

/// The passages of a document, so short that each fits into `chunk_tokens` with the title before it.
fn cut(
    model: &dyn Embed,
    document: &Document,
    title: &str,
    settings: &IngestSettings,
) -> Result<Vec<Range<usize>>, SearchError> {
    if document.text.trim().is_empty() {
        return Err(StoreError::NoText(document.id.clone()).into());
    }
    let title_tokens = model.count_tokens(title)?;
    let room = settings.chunk_tokens.saturating_sub(title_tokens);
    let overlap = settings.chunk_overlap.min(room / 2);
    Ok(model.chunk(&document.text, room, overlap)?)
}
