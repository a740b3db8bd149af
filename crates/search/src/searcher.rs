//! The one place that calls the store, the models and the clock, in the order of the pipeline.

use std::collections::BTreeMap;
use std::ops::Range;

use corpus::{FacetCount, MatchingQuery, NearestQuery, Passage, PassageRef, ReadStore, Scored, StoreError};
use infer::{Embed, Read, Rerank, Role};

use crate::answer;
use crate::budget::{Within, within};
use crate::clock::{Clock, Stopwatch};
use crate::explain::explain;
use crate::feedback::feed_back;
use crate::fusion::{Fused, fuse, unmeasured};
use crate::group::{grouped, page};
use crate::highlight::best_sentence;
use crate::rerank;
use crate::{
    Facet, FeedbackExplanation, Highlights, Hit, OtherPassage, RerankExplanation, RerankRequest, SearchError,
    SearchRequest, SearchResponse, Span, Stage, Timings,
};

/// Answers searches over one snapshot of a store. It borrows everything and costs nothing to make.
#[derive(Clone, Copy)]
pub struct Searcher<'a> {
    /// What is searched.
    pub store: &'a dyn ReadStore,
    /// The model that made the store's vectors; without it only [`crate::Mode::Lexical`] has an answer.
    pub embed: Option<&'a dyn Embed>,
    /// The cross-encoder; without it no search may ask for reranking.
    pub rerank: Option<&'a dyn Rerank>,
    /// The reader; without it no search may ask for an answer.
    pub read: Option<&'a dyn Read>,
    /// Times the stages, and bounds a reranking and a reading.
    pub clock: &'a dyn Clock,
}

/// A passage on its way through the pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) fused: Fused,
    pub(crate) passage: Passage,
    /// Rank in the fused list of passages, from 1.
    pub(crate) rank: usize,
    pub(crate) feedback: Option<FeedbackExplanation>,
    pub(crate) rerank: Option<RerankExplanation>,
}

/// The queries of several requests.
struct Embedded {
    /// One entry for each request; none where no vector is needed.
    vectors: Vec<Option<Vec<f32>>>,
    /// Milliseconds for one of those that need a vector.
    each_ms: f64,
}

impl Searcher<'_> {
    /// Answers one search.
    ///
    /// # Errors
    /// [`SearchError::Field`] when the request is out of bounds; when a model is missing that it needs; when
    /// the store was made by another model; when store or model fail. There is no silent way around a stage
    /// that fails.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse, SearchError> {
        let mut embedded = self.embed_queries(std::slice::from_ref(request))?;
        self.answer(request, embedded.vectors.pop().flatten(), embedded.each_ms)
    }

    /// Answers several searches; their queries are embedded together. The answers are those of
    /// [`Searcher::search`], up to the rounding of the query's vector.
    ///
    /// # Errors
    /// As for [`Searcher::search`], for the first request that has one.
    pub fn search_batch(&self, requests: &[SearchRequest]) -> Result<Vec<SearchResponse>, SearchError> {
        let Embedded { vectors, each_ms } = self.embed_queries(requests)?;
        let pairs = requests.iter().zip(vectors);
        pairs
            .map(|(request, vector)| self.answer(request, vector, each_ms))
            .collect()
    }

    /// Checks all requests and embeds the queries that need it.
    fn embed_queries(&self, requests: &[SearchRequest]) -> Result<Embedded, SearchError> {
        for request in requests {
            self.check(request)?;
        }
        let mut watch = Stopwatch::start(self.clock);
        let dense = requests.iter().filter(|request| request.mode.is_dense());
        let texts: Vec<&str> = dense.map(|request| request.query.as_str()).collect();
        let mut vectors = match self.embed {
            Some(model) if !texts.is_empty() => model.embed(&texts, Role::Query)?,
            _ => Vec::new(),
        }
        .into_iter();
        let each_ms = watch.lap_ms() / texts.len().max(1) as f64;
        let vector_of = |request: &SearchRequest| {
            let is_dense = request.mode.is_dense();
            is_dense.then(|| vectors.next()).flatten()
        };
        Ok(Embedded {
            vectors: requests.iter().map(vector_of).collect(),
            each_ms,
        })
    }

    fn check(&self, request: &SearchRequest) -> Result<(), SearchError> {
        request.validate()?;
        if request.rerank.is_some() && self.rerank.is_none() {
            return Err(SearchError::NoReranker);
        }
        if request.answer.is_some() && self.read.is_none() {
            return Err(SearchError::NoReader);
        }
        if !request.mode.is_dense() {
            return Ok(());
        }
        let model = self.embed.ok_or(SearchError::NoEmbedder(request.mode))?;
        let expected = self.store.info().fingerprint;
        if model.fingerprint() == expected {
            return Ok(());
        }
        let found = model.fingerprint().to_owned();
        Err(StoreError::OtherModel { expected, found }.into())
    }

    fn answer(
        &self,
        request: &SearchRequest,
        vector: Option<Vec<f32>>,
        embed_ms: f64,
    ) -> Result<SearchResponse, SearchError> {
        let mut watch = Stopwatch::start(self.clock);
        let mut timings = Timings {
            embed: if request.mode.is_dense() { embed_ms } else { 0.0 },
            ..Timings::default()
        };
        let lexical = self.lexical_list(request)?;
        timings.lexical = watch.lap_ms();
        let dense = self.dense_list(request, vector.as_deref())?;
        let beyond = self.cosines(
            vector.as_deref(),
            unmeasured(request.mode, &request.fusion, &lexical, &dense),
        )?;
        timings.dense = watch.lap_ms();
        let fused = fuse(request.mode, &request.fusion, &lexical, &dense, &beyond);
        timings.fuse = watch.lap_ms();
        let passages: Vec<_> = fused.iter().map(|one| one.passage).collect();
        let passages = self.store.fetch(&passages)?;
        timings.fetch = watch.lap_ms();
        let mut candidates = candidates_of(fused, passages);
        if feed_back(self.store, request, &mut candidates)? {
            put_in_order(&mut candidates);
        }
        timings.fuse += watch.lap_ms();
        let left_out = match request.rerank {
            Some(rerank) => self.reorder(request, rerank, &mut candidates)?,
            None => None,
        };
        timings.rerank = watch.lap_ms();
        let all = grouped(request, &candidates);
        let groups = page(request, &all, &candidates);
        let mut hits = self.hits(request, &groups)?;
        timings.highlight = watch.lap_ms();
        let answer = match request.answer {
            Some(wanted) => {
                let model = self.read.ok_or(SearchError::NoReader)?;
                Some(answer::answer(
                    model,
                    request,
                    wanted,
                    &candidates,
                    &all,
                    self.clock,
                )?)
            }
            None => None,
        };
        timings.answer = watch.lap_ms();
        if request.explain {
            let best: Vec<&Candidate> = groups.iter().filter_map(|group| group.first().copied()).collect();
            let explanations = explain(self.store, request, vector.as_deref(), &best)?;
            for (hit, explanation) in hits.iter_mut().zip(explanations) {
                hit.explain = Some(explanation);
            }
        }
        timings.explain = watch.lap_ms();
        let facets = self.facets(request)?;
        timings.facets = watch.lap_ms();
        timings.total = timings.embed + watch.total_ms();
        let (answer, unread) = answer.unzip();
        let reasons: Vec<String> = left_out.into_iter().chain(unread.flatten()).collect();
        Ok(SearchResponse {
            hits,
            answer,
            stage: request.rerank.map_or(request.mode.into(), |_| Stage::Reranked),
            degraded: (!reasons.is_empty()).then(|| reasons.join("; ")),
            total_candidates: all.len(),
            facets,
            timings_ms: timings,
            generation: self.store.info().generation,
        })
    }

    fn lexical_list(&self, request: &SearchRequest) -> Result<Vec<Scored>, SearchError> {
        if !request.mode.is_lexical() {
            return Ok(Vec::new());
        }
        Ok(self.store.matching(&MatchingQuery {
            words: request.words(),
            k: request.depth,
            filter: request.filter.as_ref(),
        })?)
    }

    fn dense_list(
        &self,
        request: &SearchRequest,
        vector: Option<&[f32]>,
    ) -> Result<Vec<Scored>, SearchError> {
        if !request.mode.is_dense() {
            return Ok(Vec::new());
        }
        Ok(self.store.nearest(&NearestQuery {
            vector: vector.ok_or(SearchError::NoEmbedder(request.mode))?,
            k: request.depth,
            filter: request.filter.as_ref(),
            recall: if request.exact { 1.0 } else { request.recall },
        })?)
    }

    /// The passages with their cosines; without a vector there must be none.
    fn cosines(&self, vector: Option<&[f32]>, passages: Vec<PassageRef>) -> Result<Vec<Scored>, SearchError> {
        let cosines = match vector {
            Some(vector) if !passages.is_empty() => self.store.similarities(vector, &passages)?,
            _ => Vec::new(),
        };
        let pairs = passages.into_iter().zip(cosines);
        Ok(pairs.map(|(passage, score)| Scored { passage, score }).collect())
    }

    /// Reorders the first candidates by the cross-encoder; says why when some were left out.
    fn reorder(
        &self,
        request: &SearchRequest,
        rerank: RerankRequest,
        candidates: &mut Vec<Candidate>,
    ) -> Result<Option<String>, SearchError> {
        let model = self.rerank.ok_or(SearchError::NoReranker)?;
        let titles = self.store.info().titles;
        let texts: Vec<String> = candidates
            .iter()
            .take(rerank.top)
            .map(|one| titles.searchable(&one.passage.title, &one.passage.text))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let kind = (rerank::BATCH_PASSAGES, "reranked");
        let score = |texts: &[&str]| model.score(&request.query, texts);
        let Within {
            found: scores,
            degraded,
        } = within(rerank.budget_ms, self.clock, kind, &texts, score)?;
        let weight = rerank.weight.unwrap_or(model.weight());
        let before: Vec<f32> = candidates.iter().map(|one| one.fused.score).collect();
        let combined = rerank::combine(&scores, &before, weight);
        let order = rerank::reorder(&combined, candidates.len());
        let reordered = order.iter().enumerate().map(|(to, &from)| {
            let mut candidate = candidates[from].clone();
            candidate.rerank = scores.get(from).map(|&score| RerankExplanation {
                score,
                weight,
                combined: combined[from],
                rank_before: candidate.rank,
                rank_after: to + 1,
            });
            candidate
        });
        *candidates = reordered.collect();
        Ok(degraded)
    }

    /// The values that documents have in the fields that were asked for.
    fn facets(&self, request: &SearchRequest) -> Result<BTreeMap<String, Facet>, SearchError> {
        if request.facets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let words = request.words();
        let words = (!request.mode.is_dense()).then_some(&words);
        let counts = self
            .store
            .facets(&request.facets, words, request.filter.as_ref())?;
        let facet = |(field, mut values): (&String, Vec<FacetCount>)| {
            let more = values.len().saturating_sub(SearchRequest::FACET_VALUES_MAX);
            values.truncate(SearchRequest::FACET_VALUES_MAX);
            (field.clone(), Facet { values, more })
        };
        Ok(request.facets.iter().zip(counts).map(facet).collect())
    }

    fn hits(&self, request: &SearchRequest, groups: &[Vec<&Candidate>]) -> Result<Vec<Hit>, SearchError> {
        let best = groups.iter().filter_map(|group| group.first());
        let texts: Vec<&str> = best
            .flat_map(|best| [best.passage.title.as_str(), best.passage.text.as_str()])
            .collect();
        let marks = match request.highlight {
            true => self.store.highlight(&request.words(), &texts)?,
            false => vec![Vec::new(); texts.len()],
        };
        let mut marks = marks.into_iter();
        let hits = groups.iter().enumerate().filter_map(|(i, group)| {
            let marks = [marks.next()?, marks.next()?];
            self.hit(request, request.offset + i + 1, group, marks)
        });
        Ok(hits.collect())
    }

    /// None for an empty group. The marks are those of title and text.
    fn hit(
        &self,
        request: &SearchRequest,
        rank: usize,
        group: &[&Candidate],
        [in_title, in_text]: [Vec<Range<usize>>; 2],
    ) -> Option<Hit> {
        let (best, others) = group.split_first()?;
        let passage = best.passage.clone();
        Some(Hit {
            rank,
            score: best.score(),
            stage: best.stage(request),
            best_sentence: best_sentence(&passage.text, &in_text),
            highlights: Highlights {
                title: in_title.into_iter().map(span).collect(),
                text: in_text.into_iter().map(span).collect(),
            },
            document: passage.document,
            chunk: passage.chunk,
            title: passage.title,
            text: passage.text,
            span: span(passage.span),
            metadata: passage.metadata,
            passages: others.iter().map(|other| other.brief(request)).collect(),
            explain: None,
        })
    }
}

impl Candidate {
    fn score(&self) -> f32 {
        self.rerank.map_or(self.fused.score, |rerank| rerank.combined)
    }

    fn stage(&self, request: &SearchRequest) -> Stage {
        self.rerank.map_or(request.mode.into(), |_| Stage::Reranked)
    }

    fn brief(&self, request: &SearchRequest) -> OtherPassage {
        OtherPassage {
            chunk: self.passage.chunk,
            span: span(self.passage.span.clone()),
            score: self.score(),
            stage: self.stage(request),
        }
    }
}

fn span(range: Range<usize>) -> Span {
    [range.start, range.end]
}

/// The fused passages, in order.
fn candidates_of(fused: Vec<Fused>, passages: Vec<Passage>) -> Vec<Candidate> {
    let pairs = fused.into_iter().zip(passages);
    let candidate = |(fused, passage)| Candidate {
        fused,
        passage,
        rank: 0,
        feedback: None,
        rerank: None,
    };
    let mut candidates: Vec<Candidate> = pairs.map(candidate).collect();
    put_in_order(&mut candidates);
    candidates
}

/// Sorts by score, greatest first; equal scores by document, then by place in it, so that the order does not
/// depend on how the store numbers its passages.
fn put_in_order(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| {
        let by_score = b.fused.score.total_cmp(&a.fused.score);
        let by_name = || (&a.passage.document, a.passage.chunk).cmp(&(&b.passage.document, b.passage.chunk));
        by_score.then_with(by_name)
    });
    for (i, candidate) in candidates.iter_mut().enumerate() {
        candidate.rank = i + 1;
    }
}
