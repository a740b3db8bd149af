//! The stages of a search that have settings of their own: lists, reranking, answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SearchRequest;
use super::bounds::within;
use crate::SearchError;

/// Which lists are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Words only: BM25.
    Lexical,
    /// Vectors only: cosine.
    Dense,
    /// Both, fused.
    #[default]
    Hybrid,
}

impl Mode {
    /// Whether the query must be embedded.
    pub fn is_dense(self) -> bool {
        self != Self::Lexical
    }

    /// Whether the query's words are looked up.
    pub fn is_lexical(self) -> bool {
        self != Self::Dense
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lexical => "lexical",
            Self::Dense => "dense",
            Self::Hybrid => "hybrid",
        })
    }
}

/// Reordering by a cross-encoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankRequest {
    /// How many of the best passages are scored again; the others keep their order below them.
    #[serde(default = "RerankRequest::default_top")]
    pub top: usize,
    /// No further batch is begun after this time; the answer then says that it is degraded. The order of
    /// such an answer depends on the machine's speed, so pages of it need not fit together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<u64>,
    /// How much the cross-encoder's score counts beside the score before, each normalised over the passages that were
    /// scored: 1 leaves it alone. Left out, it is what the model says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
}

impl RerankRequest {
    fn default_top() -> usize {
        50
    }
}

impl Default for RerankRequest {
    fn default() -> Self {
        Self {
            top: Self::default_top(),
            budget_ms: None,
            weight: None,
        }
    }
}

/// Reading the best passages for the words that answer the query.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// How many of the best passages are read. They are the first of the whole order, so the answer does not depend
    /// on `limit`, `offset` and `group`.
    #[serde(default = "AnswerRequest::default_passages")]
    pub passages: usize,
    /// A passage answers when its margin (how much surer the reader is of the words than of there being no answer)
    /// is above this. Left out, it is what the model says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// No further batch is begun after this time; the response then says that it is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<u64>,
}

impl AnswerRequest {
    /// Of 300 questions of SQuAD 1.1 dev among all its paragraphs, 1, 5, 10 and 20 passages answered with an F1 of 64.5,
    /// 72.9, 74.2 and 73.7 (bundled models, `cloze eval answers`).
    fn default_passages() -> usize {
        10
    }
}

impl Default for AnswerRequest {
    fn default() -> Self {
        Self {
            passages: Self::default_passages(),
            threshold: None,
            budget_ms: None,
        }
    }
}

impl RerankRequest {
    /// Checks every bound; no list has more than `depth` candidates.
    pub(super) fn validate(&self, depth: usize) -> Result<(), SearchError> {
        within("rerank.top", self.top, 1, depth)?;
        if let Some(budget_ms) = self.budget_ms {
            within("rerank.budget_ms", budget_ms, 1, SearchRequest::BUDGET_MS_MAX)?;
        }
        match self.weight {
            Some(weight) => within("rerank.weight", weight, 0.0, 1.0),
            None => Ok(()),
        }
    }
}

impl AnswerRequest {
    pub(super) fn validate(&self) -> Result<(), SearchError> {
        within(
            "answer.passages",
            self.passages,
            1,
            SearchRequest::ANSWER_PASSAGES_MAX,
        )?;
        if let Some(threshold) = self.threshold {
            let most = SearchRequest::ANSWER_THRESHOLD_MAX;
            within("answer.threshold", threshold, -most, most)?;
        }
        match self.budget_ms {
            Some(budget_ms) => within("answer.budget_ms", budget_ms, 1, SearchRequest::BUDGET_MS_MAX),
            None => Ok(()),
        }
    }
}
