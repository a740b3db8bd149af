//! Segments, manifest, commits.
