//! Comparing the query with every row: the truth that the graph is measured against, and the faster way when few
//! rows are in question.

use kernels::ByteQuery;
use roaring::RoaringBitmap;

use crate::nearest::Best;
use crate::{Codes, Nearest, Neighbour, VectorError, Vectors, validate};

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
        scan(self.vectors, query, k, allowed)
    }
}

/// Rows beyond `k` that are compared in 16 bits after a search in 8, whose order is not quite that of the cosines.
pub(crate) const CLOSE_BEYOND: usize = 20;

/// Rows that are compared at a time.
const BATCH: usize = 256;

/// As [`Exact`], for a query that is known to be valid.
pub(crate) fn scan(
    vectors: &Vectors,
    query: &[f32],
    k: usize,
    allowed: Option<&RoaringBitmap>,
) -> Result<Vec<Neighbour>, VectorError> {
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
    vectors.check()?;
    Ok(best.into_sorted())
}

/// The search in 8 bits, for a query that is known to be valid: several times faster, and exact but for rows of the
/// same cosine within some thousandths, of which there are more than [`CLOSE_BEYOND`].
pub(crate) fn scan_codes(
    codes: &Codes,
    query: &[f32],
    k: usize,
    allowed: Option<&RoaringBitmap>,
) -> Result<Vec<Neighbour>, VectorError> {
    let bytes = ByteQuery::new(query);
    let mut best = Best::new(k.saturating_add(CLOSE_BEYOND).min(codes.len() as usize));
    let (mut batch, mut dots) = (Vec::with_capacity(BATCH), Vec::new());
    let mut compare = |batch: &mut Vec<u32>| {
        batch.iter().for_each(|&row| codes.touch(row));
        codes.rows().dots(&bytes, batch, &mut dots);
        for (&row, &score) in batch.iter().zip(&dots) {
            best.offer(Neighbour { row, score });
        }
        batch.clear();
    };
    let mut add = |row| {
        batch.push(row);
        if batch.len() == BATCH {
            compare(&mut batch);
        }
    };
    match allowed {
        None => (0..codes.len()).for_each(&mut add),
        Some(allowed) => allowed.range(0..codes.len()).for_each(&mut add),
    }
    compare(&mut batch);
    let rows = best.into_sorted().into_iter().map(|near| near.row).collect();
    codes.closest(&bytes, rows, k, &mut dots)
}
