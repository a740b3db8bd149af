//! The query pipeline: embed the query, ask both lists, fuse, feed back, rerank, group, highlight, answer, explain.
//!
//! ```text
//! query ─┬─ matching (BM25) ──┐
//!        └─ embed ─ nearest ──┴─ fuse ─ feedback ─ rerank ─ group ─ page ─ highlight ─ answer ─ explain
//! ```
//!
//! It knows the traits of `corpus` and `infer`, never the store or the model behind them. Each step is a pure
//! function in its own file; [`Searcher`] is the one place that calls the store, the models and the clock.
//! [`ingest`] is the way in: documents to passages with vectors. [`memory`] is the slow, obvious store.

mod answer;
mod budget;
mod clock;
mod error;
mod explain;
pub mod feedback;
pub mod fusion;
mod group;
mod highlight;
pub mod ingest;
pub mod memory;
mod request;
mod rerank;
mod response;
mod searcher;

pub use clock::{Clock, MonotonicClock};
pub use error::SearchError;
pub use highlight::best_sentence;
pub use request::{AnswerRequest, Fusion, Mode, RerankRequest, SearchRequest};
pub use response::{
    Answered, BestAnswer, DenseExplanation, Explanation, Facet, FeedbackExplanation, FusionExplanation,
    FusionPart, Highlights, Hit, LexicalExplanation, OtherPassage, ReadPassage, RerankExplanation,
    SearchResponse, Span, Stage, Timings,
};
pub use searcher::Searcher;
