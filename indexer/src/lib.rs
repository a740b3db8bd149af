//! The commands that build, inspect and search an index, and the one that makes vectors without one.
//!
//! [`index_documents`] is the way from a stream of documents into an index; the rest are the commands around it,
//! each with its options ([`IndexArgs`], [`SearchArgs`], [`InspectArgs`], [`VerifyArgs`], [`EmbedArgs`], ...) and a function that runs
//! it and says how it ended.

mod check;
mod embed;
mod failure;
mod index_command;
#[cfg(test)]
mod letters;
mod memory;
mod model;
mod pack_command;
mod pipeline;
mod reading;
mod rejects;
mod render;
mod render_answer;
mod search_command;
mod seen;
mod summary;
mod swap_command;
mod whole_command;

pub use check::{InspectArgs, VerifyArgs, inspect, verify};
pub use embed::{EmbedArgs, OutputError, embed};
pub use failure::{Cause, Failure};
pub use index_command::{IndexArgs, default_settings, index};
pub use model::open_embedder;
pub use pack_command::{PackArgs, pack};
pub use pipeline::{Indexing, Watch, index_documents};
pub use rejects::Rejects;
pub use render::{RenderSettings, render};
pub use search_command::{SearchArgs, search};
pub use summary::Summary;
pub use swap_command::{SwapModelArgs, swap_model};
pub use whole_command::{
    CompactArgs, ExportArgs, RestoreArgs, SnapshotArgs, compact, export, restore, snapshot,
};

/// Default number of passages after which an indexing run commits.
pub const COMMIT_PASSAGES: usize = 20_000;
