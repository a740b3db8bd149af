//! The query pipeline.
