//! What is fixed when an index is created, and what a writer may choose.

use corpus::{StoreError, TitleUse};
use lexical::{Analyzer, Bm25};
use serde::{Deserialize, Serialize};
use vectors::THREADS_MAX;

use crate::error;

/// What is fixed when an index is created; stored in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Length of the vectors.
    pub dimension: usize,
    /// Fingerprint of the model and tokenizer that make the vectors.
    pub fingerprint: String,
    /// Where that model was opened from: `bundled`, or a folder.
    pub model: String,
    /// Whether titles are embedded and matched.
    pub titles: TitleUse,
    /// The language of [`lexical::Analyzer`].
    pub language: String,
    /// Whether words with and without accents are the same.
    pub fold_accents: bool,
    /// A title counts as if it were written this many times (Robertson, Zaragoza and Taylor 2004); with 0 its words
    /// are not matched.
    pub title_weight: u32,
    /// How words are scored.
    pub bm25: Bm25,
    /// Tokens per passage at most.
    pub chunk_tokens: usize,
    /// Tokens that a passage shares with the one before it.
    pub chunk_overlap: usize,
}

impl Settings {
    /// Greatest weight of a title.
    pub const TITLE_WEIGHT_MAX: u32 = 20;

    /// How the texts and queries of the index are analysed.
    pub(crate) fn analyzer(&self) -> Result<Analyzer, StoreError> {
        Analyzer::new(&self.language, self.fold_accents).map_err(error::lexical)
    }

    /// Refuses to go on with an index whose settings differ.
    ///
    /// # Errors
    /// [`StoreError::OtherModel`] for another fingerprint, [`StoreError::Settings`] for everything else that
    /// decides what is stored. Where the model was opened from may differ.
    pub(crate) fn accept(&self, wanted: &Self) -> Result<(), StoreError> {
        if self.fingerprint != wanted.fingerprint {
            let (expected, found) = (self.fingerprint.clone(), wanted.fingerprint.clone());
            return Err(StoreError::OtherModel { expected, found });
        }
        let differs = |name: &str, has: &dyn std::fmt::Debug, wants: &dyn std::fmt::Debug| {
            let message = format!("the index has {name} {has:?}, not {wants:?}; use that or index anew");
            Err(StoreError::Settings(message))
        };
        if self.dimension != wanted.dimension {
            return differs("dimension", &self.dimension, &wanted.dimension);
        }
        if self.titles != wanted.titles {
            return differs("titles", &self.titles, &wanted.titles);
        }
        if self.language != wanted.language {
            return differs("language", &self.language, &wanted.language);
        }
        if self.fold_accents != wanted.fold_accents {
            return differs("fold accents", &self.fold_accents, &wanted.fold_accents);
        }
        if self.title_weight != wanted.title_weight {
            return differs("title weight", &self.title_weight, &wanted.title_weight);
        }
        if self.bm25 != wanted.bm25 {
            let pair = |settings: &Self| (settings.bm25.k1, settings.bm25.b);
            return differs("BM25's k1 and b", &pair(self), &pair(wanted));
        }
        let chunks = |settings: &Self| (settings.chunk_tokens, settings.chunk_overlap);
        if chunks(self) != chunks(wanted) {
            return differs("chunk tokens and overlap", &chunks(self), &chunks(wanted));
        }
        Ok(())
    }
}

/// What a writer may choose anew each time.
#[derive(Debug, Clone)]
pub struct WriterSettings {
    /// A segment is closed when it has this many passages. More make searching faster, and take more memory
    /// while writing: about 8 KB per passage of 200 words.
    pub segment_passages_max: u32,
    /// A segment is closed when the texts it was given have this many bytes.
    pub segment_bytes_max: u64,
    /// A segment is closed when what it holds in memory takes this many bytes.
    pub segment_memory_max: u64,
    /// A segment gets a graph when it has this many passages; smaller ones are scanned.
    pub graph_passages_min: u32,
    /// Threads that build a graph. With one, the same documents give the same graph.
    pub threads: usize,
}

impl WriterSettings {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let refuse = |name, value: u64, accepted| {
            Err(StoreError::Settings(format!(
                "{name} is {value}; accepted are {accepted}"
            )))
        };
        match self {
            Self {
                segment_passages_max: 0,
                ..
            } => refuse("segment_passages_max", 0, "1 and more"),
            Self {
                segment_bytes_max: 0, ..
            } => refuse("segment_bytes_max", 0, "1 and more"),
            Self {
                segment_memory_max: 0,
                ..
            } => refuse("segment_memory_max", 0, "1 and more"),
            Self {
                graph_passages_min: 0,
                ..
            } => refuse("graph_passages_min", 0, "1 and more"),
            Self { threads, .. } if !(1..=THREADS_MAX).contains(threads) => {
                refuse("threads", *threads as u64, "1 to 256")
            }
            _ => Ok(()),
        }
    }
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            segment_passages_max: 20_000,
            segment_bytes_max: 256 << 20,
            segment_memory_max: 1 << 30,
            graph_passages_min: 1_000,
            threads: 1,
        }
    }
}
