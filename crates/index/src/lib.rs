//! An index on disk: segments, the manifest that lists them, commits.
//!
//! ```text
//! manifest.json             format version, generation, settings, live segments with the checksums of their files
//! write.lock                held by the one process that writes
//! segments/<id>/            one segment, in one number space of rows; a row is a passage
//!   ids, texts, metadata    documents, see `segment/documents.rs`
//!   documents, passages     tables of the two, see there
//!   postings/               tantivy, one segment; row n is tantivy's document n
//!   vectors, codes, graph   see the crate `vectors`; small segments have no graph
//!   deletes-<generation>    deleted rows, a roaring bitmap in its portable format
//! ```
//!
//! A file that the manifest lists never changes. A commit writes new files and then replaces the manifest in one
//! step (written aside, synced, renamed, folder synced); what is interrupted before that has not happened, and
//! the next writer removes its remains. A [`Snapshot`] reads one commit for as long as it is held.

mod commit;
#[cfg(test)]
mod crash_tests;
mod disk;
mod error;
mod hash;
mod index;
mod inspect;
mod live;
mod manifest;
mod map;
mod merge;
mod merge_beside;
mod repair;
mod segment;
mod settings;
mod snapshot;
mod top;
mod verify;
mod whole;
mod writer;

pub use hash::content_hash;
pub use index::Index;
pub use inspect::{Inspection, SegmentInspection, inspect};
pub use lexical::{Analyzer, Bm25};
pub use manifest::FORMAT;
pub use merge_beside::{MergeSettings, Merged};
pub use repair::{Repaired, Salvage, repair};
pub use settings::{Settings, WriterSettings};
pub use snapshot::Snapshot;
pub use verify::{Problem, ProblemKind, Verification, verify};
pub use whole::{Copied, copy, replace, replace_generation};
pub use writer::Writer;
