//! What can be trained: a folder a task, with its recipe.

pub mod classify;
pub mod distil;
pub mod mlm;
pub mod reader;
pub mod rerank;
pub mod sentence;
pub mod similarity;
pub mod tag;
