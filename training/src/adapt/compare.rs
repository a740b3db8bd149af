//! What the old and the new model find.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use anyhow::Result;
use infer::{Embed, ModelSettings, Role};
use measure::{Bootstrap, Comparison, Gain, Interval, JudgedRanking, Judgments, compare_paired, ndcg};
use rayon::prelude::*;
use search::ingest::{self, IngestSettings};

use super::queries::Queries;
use crate::model::open_embedder;

/// Ranks that count.
const DEPTH: usize = 10;
/// Documents that are embedded together.
const GROUP: usize = 512;

/// Both models on the same queries.
pub(super) struct Compared {
    of: String,
    before: f64,
    after: f64,
    pub(super) difference: Interval,
    p_value: f64,
}

impl Display for Compared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Interval { mean, low, high } = self.difference;
        write!(
            f,
            "nDCG@10 of {}: {:.4} before, {:.4} after; difference {mean:+.4}, 95 % from {low:+.4} to {high:+.4}, p = \
             {:.4}",
            self.of, self.before, self.after, self.p_value
        )
    }
}

/// Compares two model folders.
///
/// # Errors
/// A model that cannot be opened, or that does not read as much as a passage is long.
pub(super) fn compare(old: &Path, new: &Path, queries: &Queries) -> Result<Compared> {
    let (before, after) = (values(old, queries)?, values(new, queries)?);
    let Comparison {
        difference, p_value, ..
    } = compare_paired(&before, &after, &Bootstrap::default())?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    Ok(Compared {
        of: queries.to_string(),
        before: mean(&before),
        after: mean(&after),
        difference,
        p_value,
    })
}

/// nDCG@10 of each query. A document is as near as the nearest of its passages.
fn values(model: &Path, queries: &Queries) -> Result<Vec<f64>> {
    let model = open_embedder(&model.to_string_lossy(), &ModelSettings::new(launch::threads()))?;
    let settings = IngestSettings::default();
    let settings = IngestSettings {
        chunk_tokens: settings.chunk_tokens.min(model.tokens_max()),
        ..settings
    };
    let mut passages: Vec<(usize, Vec<f32>)> = Vec::new();
    for (group, documents) in queries.documents.chunks(GROUP).enumerate() {
        let prepared = ingest::prepare(&model, documents.to_vec(), &settings)?;
        for (number, document) in (group * GROUP..).zip(prepared) {
            passages.extend(
                document
                    .passages
                    .into_iter()
                    .map(|passage| (number, passage.vector)),
            );
        }
    }
    let texts: Vec<&str> = queries.texts.iter().map(String::as_str).collect();
    let asked = model.embed(&texts, Role::Query)?;
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let value = |(query, judgments): (&Vec<f32>, &Judgments)| {
        let mut nearest = vec![f32::NEG_INFINITY; queries.documents.len()];
        for (number, passage) in &passages {
            nearest[*number] = nearest[*number].max(dot(query, passage));
        }
        let found = queries.documents.iter().map(|document| document.id.as_str());
        value(found.zip(nearest).collect(), judgments)
    };
    Ok(asked.par_iter().zip(&queries.judgments).map(value).collect())
}

/// nDCG@10 of documents in the order of their cosines. One that is as near as a relevant one comes before it.
fn value(mut found: Vec<(&str, f32)>, judgments: &Judgments) -> f64 {
    let order = |(a, near): &(&str, f32), (b, nearer): &(&str, f32)| {
        let grade = |id: &str| judgments.get(id).copied().unwrap_or(0).max(0);
        nearer.total_cmp(near).then_with(|| grade(a).cmp(&grade(b)))
    };
    if found.len() > DEPTH {
        found.select_nth_unstable_by(DEPTH, order);
        found.truncate(DEPTH);
    }
    found.sort_unstable_by(order);
    let ids: Vec<&str> = found.into_iter().map(|(id, _)| id).collect();
    ndcg(&JudgedRanking::new(&ids, judgments), Some(DEPTH), Gain::Linear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_counts_and_what_is_as_near_comes_first() {
        let near = |cosines: &[f32], answers: &[usize]| {
            let ids: Vec<String> = (0..cosines.len()).map(|id| id.to_string()).collect();
            let found = ids.iter().map(String::as_str).zip(cosines.iter().copied());
            let judgments = answers.iter().map(|answer| (answer.to_string(), 1));
            value(found.collect(), &judgments.collect())
        };
        let cosines = [0.5, 0.9, 0.5, 0.1, 0.7];
        assert!((near(&cosines, &[1]) - 1.0).abs() < 1e-12);
        assert!((near(&cosines, &[1, 4]) - 1.0).abs() < 1e-12);
        // Second and fourth, where first and second are the best there is.
        let (gained, most) = (1.0 / 3f64.log2() + 1.0 / 5f64.log2(), 1.0 + 1.0 / 3f64.log2());
        assert!((near(&cosines, &[4, 0]) - gained / most).abs() < 1e-12);
        let far: Vec<f32> = (0..30).map(|n| -(n as f32)).collect();
        assert_eq!(near(&far, &[10]), 0.0);
        assert!((near(&far, &[9]) - 1.0 / 11f64.log2()).abs() < 1e-12);
    }
}
