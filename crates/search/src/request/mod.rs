//! What a search may ask for, and within which bounds.

mod bounds;
mod fusion;
mod stages;

use corpus::{Filter, NearestQuery, QueryText, Syntax};
use serde::{Deserialize, Serialize};

use crate::SearchError;
use bounds::{refuse, within};
pub use fusion::Fusion;
pub use stages::{AnswerRequest, Mode, RerankRequest};

/// One search. In JSON only `query` is required and unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// What is searched for: any text; `syntax` says how it is read.
    pub query: String,
    /// Which lists are asked.
    #[serde(default)]
    pub mode: Mode,
    /// How many hits are wanted.
    #[serde(default = "SearchRequest::default_limit")]
    pub limit: usize,
    /// How many hits are skipped. Pages of the same request fit together: the order never depends on
    /// `limit` and `offset`.
    #[serde(default)]
    pub offset: usize,
    /// Only documents that fulfil this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// How the query is read. With a syntax it has to be a lexical search without reranking and answer: models know
    /// nothing of signs and conditions.
    #[serde(default)]
    pub syntax: Syntax,
    /// Whether a word that no passage has stands for the words nearest to it: one edit away from four characters on,
    /// two from eight.
    #[serde(default)]
    pub typos: bool,
    /// Metadata fields whose values are counted over the documents that fulfil the filter; in the mode lexical over
    /// those of them that match the query.
    #[serde(default)]
    pub facets: Vec<String>,
    /// How the lists of a hybrid search become one.
    #[serde(default)]
    pub fusion: Fusion,
    /// Candidates taken from each list. It bounds how many hits there are in all, and the span over which
    /// scores are normalised, so another depth may give another order.
    #[serde(default = "SearchRequest::default_depth")]
    pub depth: usize,
    /// Whether a cross-encoder reorders the best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankRequest>,
    /// Whether the best passages are read for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerRequest>,
    /// Whether a document is shown once, by its best passage.
    #[serde(default = "yes")]
    pub group: bool,
    /// Whether matching terms and the best sentence are marked.
    #[serde(default = "yes")]
    pub highlight: bool,
    /// Whether each hit carries how its place came about.
    #[serde(default)]
    pub explain: bool,
    /// The share of the nearest vectors that the search is to find, 0 to 1. What was measured when a graph was
    /// built says how long a walk that takes.
    #[serde(default = "SearchRequest::default_recall")]
    pub recall: f64,
    /// Whether vectors are compared with all others rather than over the graph: a recall of 1.
    #[serde(default)]
    pub exact: bool,
}

fn yes() -> bool {
    true
}

impl SearchRequest {
    /// Longest query, in characters.
    pub const QUERY_CHARS_MAX: usize = 8192;
    /// Most hits of one answer.
    pub const LIMIT_MAX: usize = 1000;
    /// Most candidates of one list.
    pub const DEPTH_MAX: usize = 1000;
    /// Farthest page: two lists hold no more.
    pub const OFFSET_MAX: usize = 2 * Self::DEPTH_MAX;
    /// Greatest `k` of reciprocal rank fusion.
    pub const RRF_K_MAX: u32 = 10_000;
    /// Greatest weight of a list.
    pub const WEIGHT_MAX: f32 = 1000.0;
    /// Most fields whose values are counted.
    pub const FACETS_MAX: usize = 16;
    /// Most values of a field that are listed.
    pub const FACET_VALUES_MAX: usize = 100;
    /// Most passages that are read for an answer.
    pub const ANSWER_PASSAGES_MAX: usize = 100;
    /// Greatest threshold of an answer; the least is its negative.
    pub const ANSWER_THRESHOLD_MAX: f32 = 1000.0;
    /// Longest budget of a reranking or a reading, in milliseconds.
    pub const BUDGET_MS_MAX: u64 = 60_000;

    /// A search with the default settings.
    pub fn new(query: impl Into<String>) -> Self {
        Self {
            query: query.into(),
            mode: Mode::default(),
            limit: Self::default_limit(),
            offset: 0,
            filter: None,
            syntax: Syntax::default(),
            typos: false,
            facets: Vec::new(),
            fusion: Fusion::default(),
            depth: Self::default_depth(),
            rerank: None,
            answer: None,
            group: true,
            highlight: true,
            explain: false,
            recall: Self::default_recall(),
            exact: false,
        }
    }

    /// The words of the query.
    pub(crate) fn words(&self) -> QueryText<'_> {
        QueryText {
            text: &self.query,
            syntax: self.syntax,
            typos: self.typos,
        }
    }

    fn default_limit() -> usize {
        10
    }

    fn default_recall() -> f64 {
        NearestQuery::RECALL_DEFAULT
    }

    fn default_depth() -> usize {
        100
    }

    /// Checks every bound; [`crate::Searcher`] does so by itself.
    ///
    /// # Errors
    /// [`SearchError::Field`] for the first field that is out of range.
    pub fn validate(&self) -> Result<(), SearchError> {
        if self.query.trim().is_empty() {
            return refuse("query", "blank", "a text with at least one visible character");
        }
        let chars = self.query.chars().count();
        if chars > Self::QUERY_CHARS_MAX {
            let accepted = format!("1 to {} characters", Self::QUERY_CHARS_MAX);
            return refuse("query", format!("{chars} characters long"), accepted);
        }
        let asks_a_model = self.mode != Mode::Lexical || self.rerank.is_some() || self.answer.is_some();
        if self.syntax == Syntax::Query && asks_a_model {
            let accepted = "plain, or the mode lexical without reranking and answer";
            return refuse("syntax", "query", accepted);
        }
        if self.typos && !self.mode.is_lexical() {
            return refuse("typos", "true", "false, or a mode that looks words up");
        }
        within("facets", self.facets.len(), 0, Self::FACETS_MAX)?;
        if let Some(field) = (1..self.facets.len()).find(|&i| self.facets[..i].contains(&self.facets[i])) {
            return refuse(
                "facets",
                format!("{:?} twice", self.facets[field]),
                "each field once",
            );
        }
        within("limit", self.limit, 1, Self::LIMIT_MAX)?;
        within("offset", self.offset, 0, Self::OFFSET_MAX)?;
        within("depth", self.depth, 1, Self::DEPTH_MAX)?;
        within("recall", self.recall, 0.0, 1.0)?;
        if let Some(rerank) = self.rerank {
            rerank.validate(self.depth)?;
        }
        if let Some(answer) = self.answer {
            answer.validate()?;
        }
        self.fusion.validate()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn refused(json: &str) -> (&'static str, String, String) {
        let request: SearchRequest = serde_json::from_str(json).unwrap();
        match request.validate() {
            Err(SearchError::Field {
                field,
                value,
                accepted,
            }) => (field, value, accepted),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn only_the_query_is_required() {
        let request: SearchRequest = serde_json::from_str(r#"{"query": "rust"}"#).unwrap();
        assert_eq!(request, SearchRequest::new("rust"));
        assert!(request.validate().is_ok());
        assert!(serde_json::from_str::<SearchRequest>(r#"{"query": "rust", "top": 5}"#).is_err());
        assert!(serde_json::from_str::<SearchRequest>("{}").is_err());
    }

    #[test]
    fn fusion_rerank_and_answer_have_defaults_of_their_own() {
        let json = r#"{"query": "a", "fusion": {"method": "rrf"}, "rerank": {}, "answer": {}}"#;
        let request: SearchRequest = serde_json::from_str(json).unwrap();
        assert_eq!(request.fusion, Fusion::Rrf { k: 60 });
        assert_eq!(request.rerank, Some(RerankRequest::default()));
        assert_eq!(request.answer, Some(AnswerRequest::default()));
        assert!(serde_json::from_str::<AnswerRequest>(r#"{"top": 3}"#).is_err());
        let json = r#"{"query": "a", "fusion": {"method": "weighted", "dense": 1}}"#;
        let request: SearchRequest = serde_json::from_str(json).unwrap();
        let expected = Fusion::Weighted {
            lexical: 0.4,
            dense: 1.0,
            feedback: 0.3,
        };
        assert_eq!(request.fusion, expected);
        assert!(serde_json::from_str::<Fusion>(r#"{"method": "rrf", "dense": 1}"#).is_err());
    }

    #[test]
    fn what_is_out_of_range_is_named_with_its_bounds() {
        for (json, field, value) in [
            (r#"{"query": " \n"}"#, "query", "blank"),
            (r#"{"query": "a", "limit": 0}"#, "limit", "0"),
            (r#"{"query": "a", "limit": 1001}"#, "limit", "1001"),
            (r#"{"query": "a", "offset": 2001}"#, "offset", "2001"),
            (
                r#"{"query": "a", "mode": "dense", "typos": true}"#,
                "typos",
                "true",
            ),
            (
                r#"{"query": "a", "facets": ["b", "c", "b"]}"#,
                "facets",
                "\"b\" twice",
            ),
            (r#"{"query": "a", "depth": 0}"#, "depth", "0"),
            (r#"{"query": "a", "rerank": {"top": 101}}"#, "rerank.top", "101"),
            (
                r#"{"query": "a", "rerank": {"weight": 1.5}}"#,
                "rerank.weight",
                "1.5",
            ),
            (
                r#"{"query": "a", "rerank": {"budget_ms": 0}}"#,
                "rerank.budget_ms",
                "0",
            ),
            (
                r#"{"query": "a", "answer": {"passages": 0}}"#,
                "answer.passages",
                "0",
            ),
            (
                r#"{"query": "a", "answer": {"passages": 101}}"#,
                "answer.passages",
                "101",
            ),
            (
                r#"{"query": "a", "answer": {"threshold": -1e4}}"#,
                "answer.threshold",
                "-10000",
            ),
            (
                r#"{"query": "a", "answer": {"budget_ms": 60001}}"#,
                "answer.budget_ms",
                "60001",
            ),
            (
                r#"{"query": "a", "mode": "lexical", "syntax": "query", "answer": {}}"#,
                "syntax",
                "query",
            ),
            (
                r#"{"query": "a", "fusion": {"method": "rrf", "k": 0}}"#,
                "fusion.k",
                "0",
            ),
            (
                r#"{"query": "a", "fusion": {"method": "weighted", "lexical": -1}}"#,
                "fusion.lexical",
                "-1",
            ),
            (
                r#"{"query": "a", "fusion": {"method": "weighted", "feedback": 1001}}"#,
                "fusion.feedback",
                "1001",
            ),
            (
                r#"{"query": "a", "fusion": {"method": "weighted", "lexical": 0, "dense": 0}}"#,
                "fusion",
                "two weights of 0",
            ),
        ] {
            let (at, given, accepted) = refused(json);
            assert_eq!((at, given.as_str()), (field, value), "{json}");
            assert!(!accepted.is_empty());
        }
        let long = SearchRequest::new("é".repeat(8193)).validate().unwrap_err();
        assert_eq!(
            long.to_string(),
            "query is 8193 characters long; accepted: 1 to 8192 characters"
        );
        assert!(SearchRequest::new("é".repeat(8192)).validate().is_ok());
    }

    #[test]
    fn weights_that_are_not_numbers_are_refused() {
        let mut request = SearchRequest::new("a");
        request.fusion = Fusion::Weighted {
            lexical: f32::NAN,
            dense: 1.0,
            feedback: 0.0,
        };
        assert!(request.validate().is_err());
    }
}
