//! The server as its clients meet it: a real router, index and model on a real port.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod answer;
mod connections;
mod documents;
mod embeddings;
mod load;
mod openapi;
mod parts;
mod queues;
mod rerank;
mod search;
mod service;
mod writes;
