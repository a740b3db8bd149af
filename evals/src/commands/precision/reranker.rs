//! A cross-encoder in several precisions: how it alone orders the documents nearest to a query.

use anyhow::Result;
use infer::{Embedder, Precision, Rerank, Reranker};
use measure::Run;

use super::texts::Texts;
use super::{Retrieval, retrievals};
use crate::bar::Bar;

/// Documents that are ordered for a query.
const CANDIDATES: usize = 50;

/// Retrieval in each precision; the first is what the others are compared with. The documents are the same for all,
/// those whose vectors by `encoder` are nearest.
pub(super) fn measure(
    texts: &Texts,
    encoder: &Embedder,
    precisions: &[Precision],
    models: &[Reranker],
    show: bool,
) -> Result<Vec<Retrieval>> {
    let queries = texts.collection.queries.len();
    let nearest = {
        let bar = Bar::new(show, texts.documents.len() + queries, "texts");
        texts.nearest(&texts.embed(encoder, &bar)?, CANDIDATES)
    };
    let bar = Bar::new(show, models.len() * queries, "queries");
    let order = |model: &Reranker| -> Result<Run> {
        let mut run = Run::new();
        for (query, nearest) in texts.collection.queries.iter().zip(&nearest) {
            let documents = nearest.iter().map(|&(document, _)| document);
            let passages: Vec<&str> = documents.clone().map(|at| texts.documents[at].as_str()).collect();
            let scores = model.score(&query.text, &passages)?;
            for (document, score) in documents.zip(scores) {
                run.insert(&query.id, &texts.ids[document], f64::from(score))?;
            }
            bar.add(1);
        }
        Ok(run)
    };
    let runs = models.iter().map(order).collect::<Result<Vec<_>>>()?;
    retrievals(texts, precisions, &runs)
}
