//! The commands that measure.
//!
//! `cloze eval retrieve` answers every question of a test collection in several modes and writes one report;
//! `cloze eval verify` repeats a report and says what differs; `cloze eval runs` and `cloze eval squad` measure
//! files that any system wrote; `cloze eval answers` measures the answers that searches give. A figure never stands without its confidence interval, a difference never
//! without its p-value, a report never without the hashes of what it was made from.

mod bar;
mod bench;
mod collection;
mod commands;
mod digest;
mod draw;
mod figures;
mod markdown;
mod models;
mod query_vectors;
mod report;
mod retrieval;
mod run_file;
mod store;
mod tuning;

pub use bench::{BenchCommand, bench};
pub use commands::{EvalCommand, run};
