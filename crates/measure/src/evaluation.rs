//! A run against its judgments: every metric for every query, and their means.

use crate::{JudgedRanking, MeasureError, Metric, Qrels, Run};

/// Over which queries a mean is taken. The two differ when a system finds nothing at all for some query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Average {
    /// Every judged query; one that is missing from the run counts as 0. This is trec_eval with `-c`, the
    /// figure of BEIR's tables, and the one to publish: a system cannot gain by staying silent.
    JudgedQueries,
    /// Only queries that are judged and in the run: trec_eval's default.
    AnsweredQueries,
}

/// The values of one judged query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryValues {
    /// The query.
    pub query: String,
    /// Whether the run has it; when not, all values are 0.
    pub answered: bool,
    /// One value per metric, in the order of [`Evaluation::metrics`].
    pub values: Vec<f64>,
}

/// All values of a run. Queries of the run without judgments have no part in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    metrics: Vec<Metric>,
    queries: Vec<QueryValues>,
    without_relevant_count: usize,
}

/// Computes each metric for each judged query.
///
/// A query that has judgments but no relevant document has the value 0 in every metric and takes part in the
/// means, as in trec_eval; [`Evaluation::without_relevant_count`] says how many there are.
pub fn evaluate(qrels: &Qrels, run: &Run, metrics: &[Metric]) -> Evaluation {
    let mut without_relevant_count = 0;
    let queries = qrels
        .iter()
        .map(|(query, judgments)| {
            let ranking = run.ranking(query);
            let judged = JudgedRanking::new(ranking.as_deref().unwrap_or_default(), judgments);
            without_relevant_count += usize::from(judged.relevant_count() == 0);
            let values = metrics.iter().map(|metric| metric.value(&judged)).collect();
            QueryValues {
                query: query.to_owned(),
                answered: ranking.is_some(),
                values,
            }
        })
        .collect();
    Evaluation {
        metrics: metrics.to_vec(),
        queries,
        without_relevant_count,
    }
}

impl Evaluation {
    /// The metrics, in the order in which they were asked for.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Every judged query, in the order of their ids.
    pub fn queries(&self) -> &[QueryValues] {
        &self.queries
    }

    /// Number of judged queries without a relevant document.
    pub fn without_relevant_count(&self) -> usize {
        self.without_relevant_count
    }

    /// Number of judged queries for which the run has nothing.
    pub fn unanswered_count(&self) -> usize {
        self.queries.iter().filter(|query| !query.answered).count()
    }

    /// One metric's value for each query that `average` counts, in the order of the query ids: what
    /// [`bootstrap_mean`](crate::bootstrap_mean) and [`compare_paired`](crate::compare_paired) take.
    /// Empty for a metric that was not asked for.
    pub fn values(&self, metric: Metric, average: Average) -> Vec<f64> {
        let Some(column) = self.metrics.iter().position(|&known| known == metric) else {
            return Vec::new();
        };
        let counted = |query: &&QueryValues| average == Average::JudgedQueries || query.answered;
        self.queries
            .iter()
            .filter(counted)
            .map(|query| query.values[column])
            .collect()
    }

    /// The mean of one metric.
    ///
    /// # Errors
    /// [`MeasureError::Empty`] when no query counts, or the metric was not asked for.
    pub fn mean(&self, metric: Metric, average: Average) -> Result<f64, MeasureError> {
        let values = self.values(metric, average);
        if values.is_empty() {
            return Err(MeasureError::Empty);
        }
        Ok(values.iter().sum::<f64>() / values.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_two_averages_differ_by_the_missing_query() {
        let mut qrels = Qrels::new();
        for (query, document, grade) in [("1", "a", 1), ("2", "b", 1), ("3", "c", 0)] {
            qrels.insert(query, document, grade).unwrap();
        }
        let mut run = Run::new();
        for (query, document) in [("1", "a"), ("3", "c"), ("unjudged", "a")] {
            run.insert(query, document, 1.0).unwrap();
        }
        let metric = Metric::Success(1);
        let evaluation = evaluate(&qrels, &run, &[metric]);
        assert_eq!(
            evaluation.mean(metric, Average::JudgedQueries).unwrap(),
            1.0 / 3.0
        );
        assert_eq!(evaluation.mean(metric, Average::AnsweredQueries).unwrap(), 0.5);
        assert_eq!(
            (evaluation.without_relevant_count(), evaluation.unanswered_count()),
            (1, 1)
        );
        assert_eq!(
            evaluation.mean(Metric::Success(2), Average::JudgedQueries),
            Err(MeasureError::Empty)
        );
    }
}
