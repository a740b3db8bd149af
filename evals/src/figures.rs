//! The figures of runs: means with intervals, and differences from the first run with p-values.

use anyhow::Result;
use measure::{Average, Bootstrap, Evaluation, Metric, Qrels, Run, bootstrap_mean, compare_paired, evaluate};
use serde::{Deserialize, Serialize};

/// The mean of one metric over all judged queries; a query without an answer counts as 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) metric: String,
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// How a run differs from the first one in one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub(crate) metric: String,
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) p_value: f64,
    /// Queries on which this run is better than the first.
    pub(crate) wins: usize,
    /// Queries on which it is worse.
    pub(crate) losses: usize,
}

/// All figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) figures: Vec<Figure>,
    /// Empty for the first run.
    pub(crate) against_first: Vec<Difference>,
    /// Judged queries for which the run has nothing.
    pub(crate) unanswered: usize,
}

/// The figures of each run, in order.
pub(crate) fn figures(
    qrels: &Qrels,
    runs: &[Run],
    metrics: &[Metric],
    bootstrap: &Bootstrap,
) -> Result<Vec<Figures>> {
    let evaluations: Vec<Evaluation> = runs.iter().map(|run| evaluate(qrels, run, metrics)).collect();
    let figures = evaluations.iter().enumerate().map(|(position, evaluation)| {
        let first = (position > 0).then_some(&evaluations[0]);
        Ok(Figures {
            figures: metrics
                .iter()
                .map(|&m| figure(evaluation, m, bootstrap))
                .collect::<Result<_>>()?,
            against_first: match first {
                Some(first) => differences(first, evaluation, bootstrap)?,
                None => Vec::new(),
            },
            unanswered: evaluation.unanswered_count(),
        })
    });
    figures.collect()
}

fn figure(evaluation: &Evaluation, metric: Metric, bootstrap: &Bootstrap) -> Result<Figure> {
    let interval = bootstrap_mean(&evaluation.values(metric, Average::JudgedQueries), bootstrap)?;
    let metric = metric.to_string();
    Ok(Figure {
        metric,
        mean: interval.mean,
        low: interval.low,
        high: interval.high,
    })
}

fn differences(first: &Evaluation, other: &Evaluation, bootstrap: &Bootstrap) -> Result<Vec<Difference>> {
    let values = |evaluation: &Evaluation, metric| evaluation.values(metric, Average::JudgedQueries);
    let compared =
        |&metric: &Metric| difference(metric, &values(first, metric), &values(other, metric), bootstrap);
    first.metrics().iter().map(compared).collect()
}

/// How the values of a metric differ from those of `base`, query by query.
pub(crate) fn difference(
    metric: Metric,
    base: &[f64],
    other: &[f64],
    bootstrap: &Bootstrap,
) -> Result<Difference> {
    let compared = compare_paired(base, other, bootstrap)?;
    let interval = compared.difference;
    Ok(Difference {
        metric: metric.to_string(),
        mean: interval.mean,
        low: interval.low,
        high: interval.high,
        p_value: compared.p_value,
        wins: compared.wins,
        losses: compared.losses,
    })
}
