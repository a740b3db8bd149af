//! A bi-encoder in several precisions: exact search over its vectors, and layer by layer.

use anyhow::Result;
use infer::{Embedder, Precision};
use measure::Run;

use super::texts::{Texts, Vectors};
use super::{Cosines, K, Layer, Retrieval, retrievals};
use crate::bar::Bar;

/// Texts that layers are compared on.
const LAYER_TEXTS: usize = 64;

/// Retrieval in each precision; the first is what the others are compared with. Every document is one vector, cut
/// where the model ends; search is exact, so that nothing but the precision differs.
pub(super) fn measure(
    texts: &Texts,
    precisions: &[Precision],
    models: &[Embedder],
    show: bool,
) -> Result<Vec<Retrieval>> {
    let queries = texts.collection.queries.len();
    let bar = Bar::new(show, models.len() * (texts.documents.len() + queries), "texts");
    let vectors: Vec<Vectors> = models
        .iter()
        .map(|model| texts.embed(model, &bar))
        .collect::<Result<_>>()?;
    let runs: Vec<Run> = vectors
        .iter()
        .map(|vectors| run(texts, vectors))
        .collect::<Result<_>>()?;
    let mut measured = retrievals(texts, precisions, &runs)?;
    for (retrieval, found) in measured.iter_mut().zip(&vectors) {
        retrieval.cosines = Some(cosines(found, &vectors[0]));
    }
    Ok(measured)
}

fn run(texts: &Texts, vectors: &Vectors) -> Result<Run> {
    let mut run = Run::new();
    for (query, nearest) in texts.collection.queries.iter().zip(texts.nearest(vectors, K)) {
        for (document, score) in nearest {
            run.insert(&query.id, &texts.ids[document], f64::from(score))?;
        }
    }
    Ok(run)
}

fn cosines(found: &Vectors, exact: &Vectors) -> Cosines {
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| f64::from(kernels::dot(a, b));
    let cosines: Vec<f64> = found.documents.iter().zip(&exact.documents).map(cosine).collect();
    Cosines {
        cosine_mean: cosines.iter().sum::<f64>() / cosines.len() as f64,
        cosine_min: cosines.into_iter().fold(1.0, f64::min),
    }
}

/// How far the hidden states of each layer are from those of the first model.
pub(super) fn layers(texts: &Texts, precisions: &[Precision], models: &[Embedder]) -> Result<Vec<Layer>> {
    let step = texts.documents.len().div_ceil(LAYER_TEXTS);
    let sample: Vec<&str> = texts.documents.iter().step_by(step).map(String::as_str).collect();
    let mut layers = Vec::new();
    for (precision, model) in precisions.iter().zip(models).skip(1) {
        let errors = model.layer_errors(&models[0], &sample)?;
        layers.extend(errors.iter().enumerate().map(|(layer, error)| Layer {
            precision: precision.to_string(),
            layer,
            relative_error: error.relative,
            cosine_min: error.cosine_min,
        }));
    }
    Ok(layers)
}
