//! Comparing the query with every row: the truth that the graph is measured against, and the faster way when few
//! rows are in question.

use roaring::RoaringBitmap;

use crate::nearest::Best;
use crate::{Nearest, Neighbour, VectorError, Vectors, validate};

/// Search by comparison with every row.
#[derive(Debug, Clone, Copy)]
pub struct Exact<'a> {
    vectors: &'a Vectors,
}

impl<'a> Exact<'a> {
    /// A search among these vectors.
    pub fn new(vectors: &'a Vectors) -> Exact<'a> {
        Exact { vectors }
    }
}

impl Nearest for Exact<'_> {
    fn nearest(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&RoaringBitmap>,
    ) -> Result<Vec<Neighbour>, VectorError> {
        validate(query, self.vectors.dimension())?;
        Ok(scan(self.vectors, query, k, allowed))
    }
}

/// As [`Exact`], for a query that is known to be valid.
pub(crate) fn scan(
    vectors: &Vectors,
    query: &[f32],
    k: usize,
    allowed: Option<&RoaringBitmap>,
) -> Vec<Neighbour> {
    let mut best = Best::new(k);
    match allowed {
        None => {
            for (row, vector) in (0..vectors.len()).zip(vectors.values().chunks_exact(vectors.dimension())) {
                best.offer(Neighbour {
                    row,
                    score: kernels::dot(query, vector),
                });
            }
        }
        Some(allowed) => {
            for row in allowed.range(0..vectors.len()) {
                best.offer(Neighbour {
                    row,
                    score: kernels::dot(query, vectors.row(row)),
                });
            }
        }
    }
    best.into_sorted()
}
