//! The ranking metrics by name, as options and reports spell them.

use std::fmt;
use std::str::FromStr;

use crate::{
    Gain, JudgedRanking, MeasureError, average_precision, ndcg, precision, recall, reciprocal_rank, success,
};

/// A ranking metric with its cutoff. Written and read as `ndcg@10`, `ndcg_exp@10`, `map`, `map@100`, `mrr@10`,
/// `recall@100`, `precision@5`, `success@1`. A cutoff of `None` means all retrieved documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// See [`ndcg()`].
    Ndcg(Option<usize>, Gain),
    /// See [`average_precision()`].
    Map(Option<usize>),
    /// See [`reciprocal_rank()`].
    Mrr(Option<usize>),
    /// See [`recall()`].
    Recall(usize),
    /// See [`precision()`].
    Precision(usize),
    /// See [`success()`].
    Success(usize),
}

impl Metric {
    /// The metric's value for one query, in `[0, 1]`.
    pub fn value(self, ranking: &JudgedRanking) -> f64 {
        match self {
            Self::Ndcg(k, gain) => ndcg(ranking, k, gain),
            Self::Map(k) => average_precision(ranking, k),
            Self::Mrr(k) => reciprocal_rank(ranking, k),
            Self::Recall(k) => recall(ranking, k),
            Self::Precision(k) => precision(ranking, k),
            Self::Success(k) => success(ranking, k),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, k) = match *self {
            Self::Ndcg(k, Gain::Linear) => ("ndcg", k),
            Self::Ndcg(k, Gain::Exponential) => ("ndcg_exp", k),
            Self::Map(k) => ("map", k),
            Self::Mrr(k) => ("mrr", k),
            Self::Recall(k) => ("recall", Some(k)),
            Self::Precision(k) => ("precision", Some(k)),
            Self::Success(k) => ("success", Some(k)),
        };
        match k {
            Some(k) => write!(f, "{name}@{k}"),
            None => f.write_str(name),
        }
    }
}

impl FromStr for Metric {
    type Err = MeasureError;

    fn from_str(text: &str) -> Result<Self, MeasureError> {
        let unknown = || MeasureError::MetricName {
            name: text.to_owned(),
        };
        let (name, k) = match text.split_once('@') {
            Some((name, k)) => (
                name,
                Some(k.parse().ok().filter(|&k| k >= 1).ok_or_else(unknown)?),
            ),
            None => (text, None),
        };
        match (name, k) {
            ("ndcg", k) => Ok(Self::Ndcg(k, Gain::Linear)),
            ("ndcg_exp", k) => Ok(Self::Ndcg(k, Gain::Exponential)),
            ("map", k) => Ok(Self::Map(k)),
            ("mrr", k) => Ok(Self::Mrr(k)),
            ("recall", Some(k)) => Ok(Self::Recall(k)),
            ("precision", Some(k)) => Ok(Self::Precision(k)),
            ("success", Some(k)) => Ok(Self::Success(k)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "ndcg",
            "ndcg@10",
            "ndcg_exp@5",
            "map",
            "map@100",
            "mrr@10",
            "recall@1",
            "precision@5",
            "success@3",
        ] {
            assert_eq!(name.parse::<Metric>().unwrap().to_string(), name);
        }
        for name in ["", "recall", "ndcg@0", "ndcg@-1", "ndcg@ten", "NDCG@10", "map@"] {
            assert!(name.parse::<Metric>().is_err(), "{name:?} is no metric");
        }
    }
}
