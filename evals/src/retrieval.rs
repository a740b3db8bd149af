//! Answers every query of a collection in one mode.

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use data::beir::Query;
use measure::latency::{self, Latency};
use search::{Fusion, Mode, RerankRequest, SearchRequest, SearchResponse, Searcher};
use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::run_file::Ranking;

/// Queries that one thread answers between two steps of the progress bar.
const BATCH_QUERIES: usize = 32;

/// A way of searching, as a report has one column for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EvalMode {
    /// BM25.
    Lexical,
    /// Cosine.
    Dense,
    /// Both, fused.
    Hybrid,
    /// Both, fused, and the best reordered by the cross-encoder.
    Reranked,
}

impl EvalMode {
    /// The mode's name in reports and file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lexical => "lexical",
            Self::Dense => "dense",
            Self::Hybrid => "hybrid",
            Self::Reranked => "reranked",
        }
    }

    /// What a progress bar counts.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Lexical => "lexical searches",
            Self::Dense => "dense searches",
            Self::Hybrid => "hybrid searches",
            Self::Reranked => "reranked searches",
        }
    }
}

/// What decides the answers beside index and models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retrieval {
    /// Documents kept per query.
    pub(crate) documents_per_query: usize,
    /// Candidate passages from each list.
    pub(crate) depth: usize,
    /// How the lists become one.
    pub(crate) fusion: Fusion,
    /// Whether vectors are compared with all others rather than over the graph.
    pub(crate) exact: bool,
    /// Passages that the cross-encoder scores.
    pub(crate) rerank_top: usize,
    /// How much its score counts; none: what the model says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rerank_weight: Option<f32>,
}

impl Retrieval {
    fn request(&self, query: &str, mode: EvalMode) -> SearchRequest {
        let rerank = RerankRequest {
            top: self.rerank_top,
            budget_ms: None,
            weight: self.rerank_weight,
        };
        SearchRequest {
            mode: match mode {
                EvalMode::Lexical => Mode::Lexical,
                EvalMode::Dense => Mode::Dense,
                EvalMode::Hybrid | EvalMode::Reranked => Mode::Hybrid,
            },
            limit: self.documents_per_query,
            depth: self.depth,
            fusion: self.fusion,
            exact: self.exact,
            rerank: (mode == EvalMode::Reranked).then_some(rerank),
            highlight: false,
            ..SearchRequest::new(query)
        }
    }
}

/// All answers of one mode, in the order of the queries.
pub(crate) struct Retrieved {
    pub(crate) rankings: Vec<Ranking>,
    /// Milliseconds per query, embedding left out.
    pub(crate) search_ms: Latency,
}

/// Searches on `threads` threads.
pub(crate) fn retrieve(
    searcher: &Searcher<'_>,
    queries: &[Query],
    mode: EvalMode,
    retrieval: &Retrieval,
    threads: usize,
    bar: &Bar,
) -> Result<Retrieved> {
    let answer = |queries: &[Query]| -> Result<Vec<(Ranking, f64)>> {
        let mut answers = Vec::with_capacity(queries.len());
        for batch in queries.chunks(BATCH_QUERIES) {
            let requests: Vec<_> = batch
                .iter()
                .map(|query| retrieval.request(&query.text, mode))
                .collect();
            let first = &batch[0].id;
            let context = || format!("{} search, queries from {first:?} on", mode.name());
            let responses = searcher.search_batch(&requests).with_context(context)?;
            for (query, response) in batch.iter().zip(responses) {
                answers.push(ranking(query, response)?);
            }
            bar.add(batch.len());
        }
        Ok(answers)
    };
    let share = queries.len().div_ceil(threads.max(1)).max(1);
    let answered: Vec<Result<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = queries
            .chunks(share)
            .map(|part| scope.spawn(|| answer(part)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a search thread panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    let answers: Vec<Vec<(Ranking, f64)>> = answered.into_iter().collect::<Result<_>>()?;
    let (rankings, times): (Vec<_>, Vec<_>) = answers.into_iter().flatten().unzip();
    let search_ms = latency::summarize(&times).context("there are no queries")?;
    Ok(Retrieved { rankings, search_ms })
}

fn ranking(query: &Query, response: SearchResponse) -> Result<(Ranking, f64)> {
    if let Some(reason) = response.degraded {
        bail!("query {:?}: the answer is degraded: {reason}", query.id);
    }
    let search_ms = response.timings_ms.total - response.timings_ms.embed;
    let hits = response
        .hits
        .into_iter()
        .map(|hit| (hit.document.into(), hit.score))
        .collect();
    Ok((
        Ranking {
            query: query.id.clone(),
            hits,
        },
        search_ms,
    ))
}
