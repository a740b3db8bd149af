//! A segment as one commit sees it.

use std::path::Path;
use std::sync::Arc;

use corpus::{Filter, NearestQuery, StoreError};
use lexical::Totals;
use roaring::RoaringBitmap;
use vectors::Neighbour;

use crate::disk;
use crate::error::damaged;
use crate::manifest::{SegmentEntry, segment_folder};
use crate::merge::Size;
use crate::segment::{Segment, check_sum};

/// A segment with the rows that are deleted in one commit.
pub(crate) struct Live {
    pub(crate) segment: Arc<Segment>,
    pub(crate) entry: SegmentEntry,
    pub(crate) deleted: RoaringBitmap,
    pub(crate) totals: Totals,
}

impl Live {
    pub(crate) fn open(
        index: &Path,
        entry: &SegmentEntry,
        segment: Arc<Segment>,
    ) -> Result<Self, StoreError> {
        let deleted = read_deletes(&segment_folder(index, entry.id), entry)?;
        let totals = segment.postings.totals(&deleted);
        Ok(Self {
            segment,
            entry: entry.clone(),
            deleted,
            totals,
        })
    }

    pub(crate) fn size(&self) -> Size {
        Size {
            passages: self.entry.passages,
            live: self.entry.live_passages(),
        }
    }

    /// The rows that a query may return; none when that is every row.
    pub(crate) fn allowed(&self, filter: Option<&Filter>) -> Result<Option<RoaringBitmap>, StoreError> {
        match filter {
            Some(filter) => Ok(Some(&*self.segment.fulfilling(filter)? - &self.deleted)),
            None if self.deleted.is_empty() => Ok(None),
            None => {
                let mut live = RoaringBitmap::new();
                live.insert_range(0..self.entry.passages);
                Ok(Some(live - &self.deleted))
            }
        }
    }

    /// The `k` nearest rows, and every further one with the score of the last.
    pub(crate) fn nearest(&self, query: &NearestQuery<'_>) -> Result<Vec<Neighbour>, StoreError> {
        let allowed = self.allowed(query.filter)?;
        let mut wanted = query.k.saturating_add(1);
        loop {
            let found = self
                .segment
                .nearest(query.vector, wanted, allowed.as_ref(), query.recall)?;
            let tie_at_the_end = match (found.get(query.k - 1), found.last()) {
                (Some(last), Some(further)) => found.len() == wanted && last.score == further.score,
                _ => false,
            };
            if !tie_at_the_end {
                return Ok(found);
            }
            wanted = wanted.saturating_mul(2);
        }
    }
}

/// Reads the deleted rows of a segment.
pub(crate) fn read_deletes(folder: &Path, entry: &SegmentEntry) -> Result<RoaringBitmap, StoreError> {
    let Some(deletes) = &entry.deletes else {
        return Ok(RoaringBitmap::new());
    };
    let path = folder.join(&deletes.file);
    check_sum(&path, &deletes.sum)?;
    let bytes = disk::read(&path)?;
    let rows = RoaringBitmap::deserialize_from(disk::content(&path, &bytes)?)
        .map_err(|e| damaged(&path, e.to_string()))?;
    let fits = rows.len() == u64::from(deletes.passages) && rows.max().is_none_or(|row| row < entry.passages);
    if fits {
        Ok(rows)
    } else {
        Err(damaged(
            &path,
            format!("{} rows instead of {}", rows.len(), deletes.passages),
        ))
    }
}
