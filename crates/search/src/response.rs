//! What a search answers.

use std::collections::BTreeMap;

use corpus::{DocumentId, FacetCount, Metadata, TermScore};
use serde::Serialize;

use crate::{Fusion, Mode};

/// Bytes of a text: first, and after the last. In JSON `[first, end]`.
pub type Span = [usize; 2];

/// How far the answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Ordered by BM25.
    Lexical,
    /// Ordered by cosine.
    Dense,
    /// Ordered by both, fused.
    Hybrid,
    /// The best were reordered by the cross-encoder.
    Reranked,
}

impl From<Mode> for Stage {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Lexical => Self::Lexical,
            Mode::Dense => Self::Dense,
            Mode::Hybrid => Self::Hybrid,
        }
    }
}

/// The answer to one search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchResponse {
    /// The page that was asked for, best first.
    pub hits: Vec<Hit>,
    /// What reading the best passages gave, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
    /// How far the answer came.
    pub stage: Stage,
    /// Why it is less than was asked for; none when it is not.
    pub degraded: Option<String>,
    /// Hits over all pages: candidates of the lists, after grouping. It is bounded by `depth`, so it does not
    /// count what matches in the whole store.
    pub total_candidates: usize,
    /// The values of the fields that were asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, Facet>,
    /// Milliseconds of each stage.
    pub timings_ms: Timings,
    /// The commit of the store that was read.
    pub generation: u64,
}

/// What came of reading the best passages. That none of them answers is an outcome too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// The words with the greatest margin, when it is above the threshold; none when no passage answers.
    pub best: Option<BestAnswer>,
    /// The greatest margin of any passage: how much surer the reader is of its words than of there being no answer,
    /// in logits. None when no passage was read.
    pub margin: Option<f32>,
    /// What a margin has to be above.
    pub threshold: f32,
    /// How many passages were read.
    pub passages_read: usize,
    /// What each of them gave, in the order of the search; when explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passages: Option<Vec<ReadPassage>>,
}

/// The words of a passage that answer the query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BestAnswer {
    /// The words.
    pub text: String,
    /// The document.
    pub document: DocumentId,
    /// Its title.
    pub title: String,
    /// Which passage of the document, from 0.
    pub chunk: u32,
    /// The passage.
    pub passage: String,
    /// Where the words stand in `passage`, in bytes.
    pub span: Span,
    /// Where they stand in the document's text, in bytes.
    pub document_span: Span,
    /// The rank of the hit that shows the passage, alone or as one of its document, whichever page it is on.
    pub rank: usize,
}

/// What the reader makes of one passage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadPassage {
    /// The document.
    pub document: DocumentId,
    /// Which passage of it, from 0.
    pub chunk: u32,
    /// Its best words, whether they answer or not; empty when it has none.
    pub text: String,
    /// Where they stand in the passage, in bytes.
    pub span: Span,
    /// Their margin; none without words.
    pub margin: Option<f32>,
}

/// The values of a metadata field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facet {
    /// Those of the most documents, most first, up to [`crate::SearchRequest::FACET_VALUES_MAX`].
    pub values: Vec<FacetCount>,
    /// How many further values there are.
    pub more: usize,
}

/// Milliseconds of each stage; 0 for one that was not needed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Timings {
    /// Embedding the query; in a batch, the batch's time divided by its queries.
    pub embed: f64,
    /// The lexical list.
    pub lexical: f64,
    /// The dense list.
    pub dense: f64,
    /// Reading the candidates.
    pub fetch: f64,
    /// Making one list of two, and putting it in order.
    pub fuse: f64,
    /// The cross-encoder.
    pub rerank: f64,
    /// The reader.
    pub answer: f64,
    /// Counting values of metadata.
    pub facets: f64,
    /// Marking terms and sentences of the page.
    pub highlight: f64,
    /// Explaining the page.
    pub explain: f64,
    /// All of it.
    pub total: f64,
}

/// One hit: a passage, or a document by its best passage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// Its place over all pages, from 1.
    pub rank: usize,
    /// The document.
    pub document: DocumentId,
    /// Which passage of the document, from 0.
    pub chunk: u32,
    /// The score of `stage`: BM25, cosine, fused or of the cross-encoder. Scores of different stages cannot be
    /// compared, so below the reranked hits the score may rise again; `rank` is the order.
    pub score: f32,
    /// What gave the score.
    pub stage: Stage,
    /// The document's title.
    pub title: String,
    /// The passage.
    pub text: String,
    /// Where the passage stands in the document's text, in bytes.
    pub span: Span,
    /// The document's metadata.
    pub metadata: Metadata,
    /// Where terms of the query stand.
    pub highlights: Highlights,
    /// The sentence of `text` with the most different terms of the query; none when it has no term.
    pub best_sentence: Option<Span>,
    /// The other candidates of the same document, best first; empty without grouping.
    pub passages: Vec<OtherPassage>,
    /// How its place came about, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
}

/// Bytes that hold a term of the query, in order and not overlapping.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Highlights {
    /// In the title.
    pub title: Vec<Span>,
    /// In the passage.
    pub text: Vec<Span>,
}

/// A further passage of a document that is shown by a better one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherPassage {
    /// Which passage of the document, from 0.
    pub chunk: u32,
    /// Where it stands in the document's text, in bytes.
    pub span: Span,
    /// Its score, as of [`Hit::score`].
    pub score: f32,
    /// What gave the score.
    pub stage: Stage,
}

/// How a hit came to its place: one part for each stage that took part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// BM25.
    pub lexical: Option<LexicalExplanation>,
    /// Cosine.
    pub dense: Option<DenseExplanation>,
    /// What the first passage said of it, when that counted.
    pub feedback: Option<FeedbackExplanation>,
    /// How the lists became one.
    pub fusion: Option<FusionExplanation>,
    /// The cross-encoder.
    pub rerank: Option<RerankExplanation>,
}

/// A hit in the lexical list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LexicalExplanation {
    /// Its rank there, from 1; none when it is not among the first `depth`.
    pub rank: Option<usize>,
    /// Its BM25 score, the sum of its terms.
    pub score: f32,
    /// What each term adds.
    pub terms: Vec<TermScore>,
}

/// A hit in the dense list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DenseExplanation {
    /// Its rank there, from 1; none when it is not among the first `depth`.
    pub rank: Option<usize>,
    /// Cosine of its vector with the query's.
    pub cosine: f32,
}

/// What the first passage of the order so far said of a hit; see [`crate::feedback`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FeedbackExplanation {
    /// How much that counted beside the cosine with the query.
    pub weight: f32,
    /// Cosine of its vector with that of the first passage.
    pub cosine: f32,
    /// Rank before it counted, in the list of passages, from 1; the first passage has 1.
    pub rank_before: usize,
}

/// The arithmetic of the fusion: `score = lexical.weight * lexical.value + dense.weight * dense.value`, where the dense
/// value is that of `cosine + feedback.weight * feedback.cosine` when there was feedback.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FusionExplanation {
    /// Method and parameters.
    pub method: Fusion,
    /// The lexical summand.
    pub lexical: FusionPart,
    /// The dense summand.
    pub dense: FusionPart,
    /// Their sum.
    pub score: f32,
    /// Rank in the fused list of passages, from 1.
    pub rank: usize,
}

/// One summand of a fusion.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct FusionPart {
    /// The weight of the list.
    pub weight: f32,
    /// The normalised score or the reciprocal rank; 0 when the passage has no score in the list.
    pub value: f32,
    /// Their product.
    pub contribution: f32,
}

/// What the cross-encoder made of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RerankExplanation {
    /// Its score.
    pub score: f32,
    /// How much it counted beside the score before.
    pub weight: f32,
    /// What came of both: the score of the hit.
    pub combined: f32,
    /// Rank before, in the list of passages, from 1.
    pub rank_before: usize,
    /// Rank after, in the list of passages, from 1.
    pub rank_after: usize,
}
