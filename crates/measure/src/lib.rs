//! Metrics, by their published definitions, without any dependency.
//!
//! | question | start at |
//! |---|---|
//! | how good is a ranking? | [`Qrels`], [`Run`], [`Metric`], [`evaluate`] |
//! | how sure is that mean, and is one run better than another? | [`bootstrap_mean`], [`compare_paired`] |
//! | how good are extracted answers? | [`squad`] |
//! | how good are tagged entities? | [`entities`] |
//! | how good are predicted classes and scores? | [`classification`], [`correlation`] |
//! | how long did requests take? | [`latency`] |
//! | how does that look? | [`plot`] |
//!
//! Every value that is a share lies in `[0, 1]`; programs that want percent multiply.

mod average_precision;
mod bootstrap;
pub mod classification;
pub mod correlation;
pub mod entities;
mod error;
mod evaluation;
mod judged;
pub mod latency;
mod metric;
mod ndcg;
pub mod plot;
mod precision;
mod qrels;
mod random;
mod recall;
mod reciprocal_rank;
mod run;
mod significance;
pub mod squad;
mod success;

pub use average_precision::average_precision;
pub use bootstrap::{Bootstrap, Interval, bootstrap_mean};
pub use error::MeasureError;
pub use evaluation::{Average, Evaluation, QueryValues, evaluate};
pub use judged::JudgedRanking;
pub use metric::Metric;
pub use ndcg::{Gain, ndcg};
pub use precision::precision;
pub use qrels::{GRADE_MAX, GRADE_MIN, Judgments, Qrels};
pub use random::SplitMix64;
pub use recall::recall;
pub use reciprocal_rank::reciprocal_rank;
pub use run::Run;
pub use significance::{Comparison, compare_paired};
pub use success::success;
