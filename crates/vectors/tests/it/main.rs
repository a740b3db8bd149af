//! Tests of the library from outside, on files in a temporary folder.
#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

mod damage;
mod data;
mod exact;
mod graph;
