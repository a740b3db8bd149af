//! The contract of a search, and the list of the best rows so far.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use crate::VectorError;

/// A row with its cosine. It is `Less` than another when it comes before it in an answer: a greater score, or
/// the same score and a smaller row.
#[derive(Debug, Clone, Copy)]
pub struct Neighbour {
    /// The row.
    pub row: u32,
    /// Inner product with the query.
    pub score: f32,
}

impl Ord for Neighbour {
    #[inline]
    fn cmp(&self, other: &Neighbour) -> Ordering {
        other.score.total_cmp(&self.score).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Neighbour {
    #[inline]
    fn partial_cmp(&self, other: &Neighbour) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Neighbour {
    fn eq(&self, other: &Neighbour) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Neighbour {}

/// A search for the rows whose vectors have the greatest cosine with a query's.
pub trait Nearest: Send + Sync {
    /// `min(k, rows that are allowed)` rows, the greatest score first, equal scores by row.
    ///
    /// `allowed` of `None` allows every row; rows in it that do not exist are passed over. An approximate search
    /// may miss rows, but it never gives fewer, and its scores are those of vectors in 16 bits: off by some millionths.
    ///
    /// # Errors
    /// As for [`crate::validate()`] of the query.
    fn nearest(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&RoaringBitmap>,
    ) -> Result<Vec<Neighbour>, VectorError>;
}

/// The `k` first of the rows offered so far.
#[derive(Debug, Default)]
pub(crate) struct Best {
    k: usize,
    last_first: BinaryHeap<Neighbour>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Best {
        Best {
            k,
            last_first: BinaryHeap::new(),
        }
    }

    #[inline]
    pub(crate) fn offer(&mut self, neighbour: Neighbour) {
        if self.last_first.len() < self.k {
            self.last_first.push(neighbour);
        } else if let Some(mut last) = self.last_first.peek_mut()
            && neighbour < *last
        {
            *last = neighbour;
        }
    }

    pub(crate) fn into_sorted(self) -> Vec<Neighbour> {
        self.last_first.into_sorted_vec()
    }
}
