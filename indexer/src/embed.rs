//! `cloze embed`: texts in, vectors out.
//!
//! ```text
//! documents ─ intake ─ round of texts ─ model ─┬─ parts: OUTPUT.parts/000001.arrow, ... ─ join ─ OUTPUT
//!                                              └─ stream: JSON Lines on the standard output
//! ```
//!
//! A part counts once the state of its folder names it, and OUTPUT has its name only when it is whole. A run that
//! goes on reads its input from the start and compares what it reads with what the parts were made of; so it ends
//! with the rows of a run that was never interrupted, or says that the input changed.

mod command;
mod error;
mod intake;
mod join;
mod parts;
mod report;
mod run;
mod state;

pub use command::{EmbedArgs, embed};
pub use error::OutputError;
