//! What the server needs of an index: the newest snapshot to read, and a writer for a while.

use std::sync::Arc;

use corpus::{ReadStore, StoreError, WriteStore};
use index::{Index, MergeSettings, WriterSettings};

/// An index as the server sees it.
pub trait Store: Send + Sync {
    /// The newest commit, also when another process made it. When an index of another model was put in the place of
    /// this one, it stays the last of this one.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn snapshot(&self) -> Result<Arc<dyn ReadStore>, StoreError>;

    /// Whether an index of another model was put in the place of this one.
    fn is_replaced(&self) -> bool {
        false
    }

    /// The right to write, until the writer is dropped.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while someone else has it.
    fn writer(&self) -> Result<Box<dyn WriteStore>, StoreError>;

    /// Merges some segments beside searches and writes within the limits of `settings`, until `stop` says so. Says
    /// whether there were any.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while someone else merges; whatever the disk refuses.
    fn merge(&self, settings: &MergeSettings, stop: &dyn Fn() -> bool) -> Result<bool, StoreError>;
}

impl Store for Index {
    fn snapshot(&self) -> Result<Arc<dyn ReadStore>, StoreError> {
        match Index::snapshot(self) {
            Err(StoreError::OtherModel { .. }) => Ok(self.held()),
            newest => Ok(newest?),
        }
    }

    fn is_replaced(&self) -> bool {
        matches!(Index::snapshot(self), Err(StoreError::OtherModel { .. }))
    }

    fn writer(&self) -> Result<Box<dyn WriteStore>, StoreError> {
        Ok(Box::new(Index::writer(self, WriterSettings::default())?))
    }

    fn merge(&self, settings: &MergeSettings, stop: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        Ok(Index::merge(self, settings, stop)?.is_some())
    }
}
