//! What an indexing run did.

use corpus::Commit;
use serde::Serialize;

/// What an indexing run did. Only what is committed is counted as added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Documents that were read.
    pub documents_read: u64,
    /// Documents that were not in the index before.
    pub documents_added: u64,
    /// Documents that took the place of an earlier version.
    pub documents_replaced: u64,
    /// Documents that were in the index exactly so, and were passed over.
    pub documents_unchanged: u64,
    /// Records that were not accepted.
    pub records_rejected: u64,
    /// Passages of the documents that were added or replaced.
    pub passages_added: u64,
    /// How often was committed.
    pub commits: u64,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// The index after the last commit.
    pub index: Option<Commit>,
}

/// Counts of one stretch of work between two commits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pending {
    pub(crate) added: u64,
    pub(crate) replaced: u64,
    pub(crate) passages: u64,
}

impl Summary {
    pub(crate) fn commit(&mut self, pending: Pending, commit: Commit) {
        self.documents_added += pending.added;
        self.documents_replaced += pending.replaced;
        self.passages_added += pending.passages;
        self.commits += 1;
        self.index = Some(commit);
    }
}
