//! The contracts of a store: what a query may ask of it, and how documents get into it.

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Document, DocumentId, FacetCount, Filter, Passage, PassageRef, TitleUse};

/// A passage with its score; greater is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Which passage.
    pub passage: PassageRef,
    /// Its score: cosine for [`ReadStore::nearest`], BM25 for [`ReadStore::matching`].
    pub score: f32,
}

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreInfo {
    /// Live documents.
    pub documents: usize,
    /// Live passages.
    pub passages: usize,
    /// Length of its vectors.
    pub dimension: usize,
    /// Fingerprint of the model and tokenizer that made its vectors.
    pub fingerprint: String,
    /// Whether titles are part of what is embedded and matched.
    pub titles: TitleUse,
    /// The commit that is read, counted from 0 for an empty store.
    pub generation: u64,
}

/// A question by vector.
#[derive(Debug, Clone, Copy)]
pub struct NearestQuery<'a> {
    /// A vector of unit length and of the store's dimension.
    pub vector: &'a [f32],
    /// How many passages are wanted at most.
    pub k: usize,
    /// Only passages whose document fulfils this.
    pub filter: Option<&'a Filter>,
    /// The share of the true answer that is wanted, 0 to 1. With 1 the query is compared with every vector; less
    /// is reached on average, by walking along a graph.
    pub recall: f64,
}

impl NearestQuery<'_> {
    /// The recall of a search that does not say otherwise.
    pub const RECALL_DEFAULT: f64 = 0.99;
}

/// How the text of a query is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Syntax {
    /// As plain words.
    #[default]
    Plain,
    /// As words, `"phrases in quotes"` and prefixes like `neuro*`; `+` before one of them requires it, `-` leaves out
    /// passages that have it.
    Query,
}

/// The words of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryText<'a> {
    /// Any text at all; whether it has a syntax, says the next field.
    pub text: &'a str,
    /// How the text is read.
    pub syntax: Syntax,
    /// Whether a word that no passage has stands for the terms nearest to it.
    pub typos: bool,
}

impl<'a> QueryText<'a> {
    /// Plain words, as they are spelt.
    pub fn plain(text: &'a str) -> Self {
        Self {
            text,
            syntax: Syntax::Plain,
            typos: false,
        }
    }
}

/// A question by words.
#[derive(Debug, Clone, Copy)]
pub struct MatchingQuery<'a> {
    /// What is looked for.
    pub words: QueryText<'a>,
    /// How many passages are wanted at most.
    pub k: usize,
    /// Only passages whose document fulfils this.
    pub filter: Option<&'a Filter>,
}

/// What one term adds to a BM25 score. A phrase, a prefix, and several ways to say the same count as one term.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermScore {
    /// The term after analysis: `granit`, `"new york"`, `neuro*`, `automobil | car`.
    pub term: String,
    /// How often it stands in the passage.
    pub frequency: u32,
    /// In how many live passages it stands.
    pub document_frequency: u64,
    /// Its inverse document frequency.
    pub idf: f32,
    /// What it adds to the score.
    pub score: f32,
}

/// Reading: one snapshot, which never changes while it is held.
///
/// Both lists are sorted by score, greatest first; equal scores by document id, then by chunk, ascending. They
/// hold `min(k, number of passages that fulfil the filter)` entries for `nearest`, and for `matching` as many of
/// those as contain one of the query's terms.
pub trait ReadStore: Send + Sync {
    /// What the store says of itself.
    fn info(&self) -> StoreInfo;

    /// The passages whose vectors have the greatest cosine with the query's.
    ///
    /// # Errors
    /// [`StoreError::Dimension`] or [`StoreError::NotFinite`] for a vector that does not fit.
    fn nearest(&self, query: &NearestQuery<'_>) -> Result<Vec<Scored>, StoreError>;

    /// The passages with the greatest BM25 score for the query's terms.
    ///
    /// # Errors
    /// [`StoreError::Query`] for a query that is malformed, or when the store's files cannot be read.
    fn matching(&self, query: &MatchingQuery<'_>) -> Result<Vec<Scored>, StoreError>;

    /// Passages in the order asked for.
    ///
    /// # Errors
    /// [`StoreError::UnknownPassage`] for a reference that this snapshot did not give out.
    fn fetch(&self, passages: &[PassageRef]) -> Result<Vec<Passage>, StoreError>;

    /// The whole document of that name, if there is one.
    ///
    /// # Errors
    /// When the store's files cannot be read.
    fn document(&self, id: &DocumentId) -> Result<Option<Document>, StoreError>;

    /// The cosine of a vector with each of these passages.
    ///
    /// # Errors
    /// As for [`ReadStore::nearest`] and [`ReadStore::fetch`].
    fn similarities(&self, vector: &[f32], passages: &[PassageRef]) -> Result<Vec<f32>, StoreError>;

    /// The vector of a passage: unit length, the store's dimension.
    ///
    /// # Errors
    /// As for [`ReadStore::fetch`].
    fn vector(&self, passage: PassageRef) -> Result<Vec<f32>, StoreError>;

    /// The terms that make up the BM25 score of a passage; their scores sum to it.
    ///
    /// # Errors
    /// As for [`ReadStore::fetch`].
    fn explain_matching(
        &self,
        words: &QueryText<'_>,
        passage: PassageRef,
    ) -> Result<Vec<TermScore>, StoreError>;

    /// For each text the byte ranges whose terms are among the terms of the query, in order, not overlapping.
    ///
    /// # Errors
    /// As for [`ReadStore::matching`].
    fn highlight(&self, words: &QueryText<'_>, texts: &[&str]) -> Result<Vec<Vec<Range<usize>>>, StoreError>;

    /// Counts the values that documents have in metadata fields; one entry for each field, in order. Counted are the
    /// documents that fulfil the filter, and that have a passage that [`ReadStore::matching`] finds where there are
    /// words.
    ///
    /// # Errors
    /// As for [`ReadStore::matching`].
    fn facets(
        &self,
        fields: &[String],
        words: Option<&QueryText<'_>>,
        filter: Option<&Filter>,
    ) -> Result<Vec<Vec<FacetCount>>, StoreError>;
}

/// A document with its passages, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedDocument {
    /// The document.
    pub document: Document,
    /// Its passages, in order; at least one.
    pub passages: Vec<PreparedPassage>,
}

/// A passage with its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedPassage {
    /// The bytes of the document's text.
    pub span: Range<usize>,
    /// Its vector: unit length, the store's dimension.
    pub vector: Vec<f32>,
}

/// What a commit made visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Number of the commit.
    pub generation: u64,
    /// Live documents after it.
    pub documents: usize,
    /// Live passages after it.
    pub passages: usize,
}

/// Writing: nothing is visible before [`WriteStore::commit`] returns, and everything before it is afterwards.
pub trait WriteStore: Send {
    /// Adds documents; one with the id of an earlier one takes its place.
    ///
    /// # Errors
    /// Names the document whose vectors or spans do not fit; the documents of the call before it are kept.
    fn add(&mut self, documents: Vec<PreparedDocument>) -> Result<(), StoreError>;

    /// Deletes a document; says whether there was one.
    ///
    /// # Errors
    /// When the store's files cannot be read.
    fn delete(&mut self, id: &DocumentId) -> Result<bool, StoreError>;

    /// Makes all that was added and deleted durable and visible, in one step.
    ///
    /// # Errors
    /// When it cannot be made durable; then nothing of it is visible.
    fn commit(&mut self) -> Result<Commit, StoreError>;
}

/// What can go wrong in a store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A vector of the wrong length.
    #[error("vector{} has {found} components; the index has {expected}", of(.document))]
    Dimension {
        /// The document that it came with; none for a query.
        document: Option<DocumentId>,
        /// The store's dimension.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// A vector with a component that is not a number or infinite, or of length zero.
    #[error("vector{} {reason}; accepted are finite components of unit length", of(.document))]
    NotFinite {
        /// The document that it came with; none for a query.
        document: Option<DocumentId>,
        /// What is wrong with it.
        reason: String,
    },
    /// A passage span that is not a stretch of its document.
    #[error("document {document}: passage {chunk} spans bytes {start}..{end} of a text of {bytes}")]
    Span {
        /// The document.
        document: DocumentId,
        /// Which of its passages.
        chunk: usize,
        /// First byte.
        start: usize,
        /// Byte after the last.
        end: usize,
        /// Length of the text.
        bytes: usize,
    },
    /// A document that has nothing to search for.
    #[error("document {0} has no text")]
    NoText(DocumentId),
    /// Vectors made by another model than the store's.
    #[error(
        "the index was made by the model {expected}, not by {found}; open it with that model or index anew"
    )]
    OtherModel {
        /// Fingerprint in the store.
        expected: String,
        /// Fingerprint that was given.
        found: String,
    },
    /// A reference that this snapshot did not give out.
    #[error("no passage {0:?} in this snapshot")]
    UnknownPassage(PassageRef),
    /// A file whose content is not what was written.
    #[error("{}: damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the offset where that is known.
        reason: String,
    },
    /// A format of a newer version than this program reads.
    #[error("{}: format version {found}; this program reads up to {newest}", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version that is known.
        newest: u32,
    },
    /// Another process writes to the store.
    #[error("{}: another process is writing to this index", .path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The disk has no room left.
    #[error("{}: no space left on the device; nothing that was committed is lost", .path.display())]
    DiskFull {
        /// The file that was written.
        path: PathBuf,
    },
    /// What was written may not be on disk: the operating system failed to make it durable, and may say otherwise
    /// when it is asked again. Whoever wrote it writes no more; a new writer starts at the last commit.
    #[error("{}: could not be made durable: {source}; nothing that was committed before is lost", .path.display())]
    Sync {
        /// The file or the folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// A query that does not follow the syntax.
    #[error("byte {offset} of the query: accepted is {accepted}")]
    Query {
        /// Where.
        offset: usize,
        /// What would be right there.
        accepted: String,
    },
    /// Settings that do not fit the store, or each other.
    #[error("{0}")]
    Settings(String),
}

impl StoreError {
    /// An error of the operating system, at this file; a full disk has its own name.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }
}

fn of(document: &Option<DocumentId>) -> String {
    document
        .as_ref()
        .map_or_else(|| " of the query".to_owned(), |id| format!(" of document {id}"))
}
