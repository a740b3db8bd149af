//! The search that uses a graph, and the choice between walking and comparing with every row in question.

use roaring::RoaringBitmap;

use super::Graph;
use super::search::{Stop, descend, search};
use super::settings::in_range;
use crate::exact::scan;
use crate::{Nearest, Neighbour, VectorError, Vectors, validate};

/// The greatest `ef` of a [`Walk`].
pub const EF_MAX: usize = 65_536;

/// Approximate search along a graph.
///
/// It compares with every allowed row instead where that costs no more ([`scan_is_cheaper`]), and after all where
/// a walk has cost as much without coming to its end: the allowed rows may lie far from the query.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    vectors: &'a Vectors,
    graph: &'a Graph,
    ef: usize,
}

impl<'a> Walk<'a> {
    /// A search that keeps `ef` rows on its way, or `k` if that is more. Time grows in proportion to `ef`; 100 is
    /// a good start, and recall against speed is a matter of measurement.
    ///
    /// # Errors
    /// [`VectorError::OtherVectors`] when the graph was built from other vectors, [`VectorError::Setting`] for an
    /// `ef` outside `1..=EF_MAX`.
    pub fn new(vectors: &'a Vectors, graph: &'a Graph, ef: usize) -> Result<Walk<'a>, VectorError> {
        in_range("ef", ef, 1..=EF_MAX)?;
        let about = graph.about();
        if about.vectors_checksum != vectors.checksum() || about.rows != vectors.len() {
            return Err(VectorError::OtherVectors {
                built_from: about.vectors_checksum,
                given: vectors.checksum(),
            });
        }
        Ok(Walk { vectors, graph, ef })
    }

    /// The best `ef` of the allowed rows that a walk comes by; `None` when it compared more than
    /// `comparisons_max` times.
    fn walk(
        &self,
        query: &[f32],
        ef: usize,
        allowed: Option<&RoaringBitmap>,
        comparisons_max: usize,
    ) -> Option<Vec<Neighbour>> {
        let row = self.graph.about().entry;
        let entry = Neighbour {
            row,
            score: kernels::dot(query, self.vectors.row(row)),
        };
        let mut at = entry;
        for level in (1..self.graph.levels()).rev() {
            let level = self.graph.level(level);
            at = descend(self.vectors, query, at, |row| level.links_of(row));
        }
        let level_0 = self.graph.level(0);
        let accept = |row| allowed.is_none_or(|allowed| allowed.contains(row));
        let stop = Stop { ef, comparisons_max };
        self.graph.with_scratch(|scratch| {
            // The entry point is a start as well: from it every row can be reached.
            search(
                self.vectors,
                query,
                &[at, entry],
                stop,
                |row| level_0.links_of(row),
                accept,
                scratch,
            )
        })
    }
}

impl Nearest for Walk<'_> {
    fn nearest(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&RoaringBitmap>,
    ) -> Result<Vec<Neighbour>, VectorError> {
        validate(query, self.vectors.dimension())?;
        let rows = u64::from(self.vectors.len());
        let matching = allowed.map_or(rows, |allowed| allowed.range_cardinality(0..self.vectors.len()));
        let wanted = matching.min(k as u64) as usize;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let ef = self.ef.max(wanted);
        let links = 2 * u64::from(self.graph.about().m);
        if !scan_is_cheaper(matching, rows, ef as u64, links)
            && let Some(mut found) = self.walk(query, ef, allowed, matching as usize)
            && found.len() >= wanted
        {
            found.truncate(wanted);
            return Ok(found);
        }
        Ok(scan(self.vectors, query, k, allowed))
    }
}

/// Whether comparing with all `matching` of `rows` rows costs no more than a walk.
///
/// A walk follows the links of about `ef` rows that match. Where one row in `rows / matching` does, it has to come
/// by that many times more, each with up to `links` links: `ef * links * rows / matching` comparisons.
///
/// ```
/// use vectors::scan_is_cheaper;
/// assert!(scan_is_cheaper(50_000, 1_000_000, 100, 32));
/// assert!(!scan_is_cheaper(100_000, 1_000_000, 100, 32));
/// ```
pub fn scan_is_cheaper(matching: u64, rows: u64, ef: u64, links: u64) -> bool {
    let product = |factors: &[u64]| {
        factors
            .iter()
            .fold(1_u128, |all, &x| all.saturating_mul(x.into()))
    };
    product(&[matching, matching]) <= product(&[ef, links, rows])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_scanned_and_many_are_walked() {
        // Without a filter: up to `ef * links` rows.
        assert!(scan_is_cheaper(3_200, 3_200, 100, 32));
        assert!(!scan_is_cheaper(3_201, 3_201, 100, 32));
        assert!(scan_is_cheaper(0, 0, 1, 4));
        assert!(scan_is_cheaper(0, u64::MAX, 1, 4));
        assert!(!scan_is_cheaper(u64::MAX, u64::MAX, 1, 4));
        assert!(scan_is_cheaper(u64::MAX, u64::MAX, u64::MAX, u64::MAX));
    }

    #[test]
    fn more_matching_rows_never_turn_a_walk_into_a_scan() {
        let mut scanned = true;
        for matching in 0..=100_000 {
            let now = scan_is_cheaper(matching, 100_000, 50, 32);
            assert!(scanned || !now, "{matching}");
            scanned = now;
        }
        assert!(!scanned);
    }
}
