//! What can be trained: a folder a task, with its recipe.

pub mod mlm;
pub mod sentence;
