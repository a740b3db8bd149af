//! What can be wrong with the input of a metric; each case carries the values.

use std::fmt;

/// An input that no metric can be computed from.
#[derive(Debug, Clone, PartialEq)]
pub enum MeasureError {
    /// One document was judged twice for one query.
    DuplicateJudgment {
        /// The query.
        query: String,
        /// The document.
        document: String,
    },
    /// One document was retrieved twice for one query.
    DuplicateDocument {
        /// The query.
        query: String,
        /// The document.
        document: String,
    },
    /// A grade outside [`GRADE_MIN`](crate::GRADE_MIN)..=[`GRADE_MAX`](crate::GRADE_MAX).
    Grade {
        /// The query.
        query: String,
        /// The document.
        document: String,
        /// The refused grade.
        grade: i64,
    },
    /// A score that is not a finite 32-bit number.
    Score {
        /// The query.
        query: String,
        /// The document.
        document: String,
        /// The refused score.
        score: f64,
    },
    /// A metric name that is not known, or a cutoff below 1.
    MetricName {
        /// The text that was given.
        name: String,
    },
    /// Two lists that belong together differ in length.
    Lengths {
        /// Length of the first (or expected) list.
        left: usize,
        /// Length of the second (or predicted) list.
        right: usize,
    },
    /// A mean, or an interval around it, was asked of no values.
    Empty,
    /// A parameter outside its range.
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// The refused value.
        value: f64,
        /// The accepted range, in words.
        accepted: &'static str,
    },
    /// An entity tag that is neither `O` nor `B-TYPE` nor `I-TYPE`.
    Tag {
        /// Position of the tag in its sentence, from 0.
        position: usize,
        /// The refused tag.
        tag: String,
    },
}

impl fmt::Display for MeasureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateJudgment { query, document } => {
                write!(f, "query {query:?}: document {document:?} is judged twice")
            }
            Self::DuplicateDocument { query, document } => {
                write!(f, "query {query:?}: document {document:?} is retrieved twice")
            }
            Self::Grade {
                query,
                document,
                grade,
            } => write!(
                f,
                "query {query:?}, document {document:?}: grade {grade} is outside {}..={}",
                crate::GRADE_MIN,
                crate::GRADE_MAX
            ),
            Self::Score {
                query,
                document,
                score,
            } => write!(
                f,
                "query {query:?}, document {document:?}: score {score} is not a finite 32-bit number"
            ),
            Self::MetricName { name } => write!(
                f,
                "unknown metric {name:?}; known: ndcg[@k], ndcg_exp[@k], map[@k], mrr[@k], recall@k, \
                 precision@k, success@k, with k >= 1"
            ),
            Self::Lengths { left, right } => {
                write!(
                    f,
                    "two lists that belong together have {left} and {right} entries"
                )
            }
            Self::Empty => write!(f, "there are no values to average"),
            Self::Parameter {
                name,
                value,
                accepted,
            } => {
                write!(f, "{name} is {value}; accepted: {accepted}")
            }
            Self::Tag { position, tag } => {
                write!(
                    f,
                    "tag {tag:?} at position {position} is neither O nor B-TYPE nor I-TYPE"
                )
            }
        }
    }
}

impl std::error::Error for MeasureError {}
