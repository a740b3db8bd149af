//! Gradients and values of whole models.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod folders;
mod fused;
mod golden;
mod gradients;
