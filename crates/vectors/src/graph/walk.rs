//! The search that uses a graph, and the choice between its ways.

use roaring::RoaringBitmap;

use super::Graph;
use super::recall::{K, ef_for};
use super::search::{Scratch, Stop, compare, descend, search, search_allowed};
use super::settings::in_range;
use crate::exact::{CLOSE_BEYOND, scan, scan_codes};
use crate::{Codes, Nearest, Neighbour, VectorError, Vectors, validate};

/// The greatest `ef` of a [`Walk`].
pub const EF_MAX: usize = 65_536;

/// How much a search is to find.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effort {
    /// Rows that it keeps on its way: 1 to [`EF_MAX`], or `k` if that is more. Time grows in proportion.
    Ef(usize),
    /// The share of the true answer: 0 to 1. What was measured when the graph was built says which `ef` that takes
    /// ([`Graph::measured`]); where none was enough, the query is compared with every row.
    Recall(f64),
}

/// Approximate search along a graph.
///
/// Without a filter it walks. With one it takes the cheapest of three ways, by the number of allowed rows: to
/// compare with all of them, to walk along them alone, or to walk along all rows and keep those allowed. Where a
/// walk comes to cost more than comparing, or finds too few, it compares.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    vectors: &'a Vectors,
    codes: &'a Codes,
    graph: &'a Graph,
    /// `None` for a search that compares with every row.
    ef: Option<usize>,
    /// Whether `ef` is that for [`K`] hits, and more take more.
    by_recall: bool,
}

/// The ways of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Compare with every allowed row.
    Scan,
    /// Walk along allowed rows.
    AmongAllowed,
    /// Walk along all rows with so great an `ef`, and keep those allowed.
    AmongAll(usize),
}

impl<'a> Walk<'a> {
    /// A search with some effort.
    ///
    /// # Errors
    /// [`VectorError::OtherVectors`] when graph or codes were made from other vectors, [`VectorError::Setting`] for
    /// an effort outside its range.
    pub fn new(
        vectors: &'a Vectors,
        codes: &'a Codes,
        graph: &'a Graph,
        effort: Effort,
    ) -> Result<Walk<'a>, VectorError> {
        let ef = match effort {
            Effort::Ef(ef) => {
                in_range("ef", ef, 1..=EF_MAX)?;
                Some(ef)
            }
            Effort::Recall(recall) => {
                if !(0.0..=1.0).contains(&recall) {
                    return Err(VectorError::Recall { value: recall });
                }
                // What was measured on a sample is no proof.
                ef_for(graph.measured(), recall as f32).filter(|_| recall < 1.0)
            }
        };
        codes.expect_of(vectors)?;
        let about = graph.about();
        if about.vectors_checksum != vectors.checksum() || about.rows != vectors.len() {
            return Err(VectorError::OtherVectors {
                built_from: about.vectors_checksum,
                given: vectors.checksum(),
            });
        }
        Ok(Walk {
            vectors,
            codes,
            graph,
            ef,
            by_recall: matches!(effort, Effort::Recall(_)),
        })
    }

    /// The `ef` it walks with for so many hits; `None` when it compares with every row.
    ///
    /// To find the same share of more hits takes a greater one: about by the square root of their number (measured
    /// for 10 and 100 hits among 80,000 paragraphs and sentences).
    pub fn ef(&self, hits: usize) -> Option<usize> {
        let more = if self.by_recall {
            (hits as f64 / K as f64).sqrt().max(1.0)
        } else {
            1.0
        };
        self.ef.map(|ef| ((ef as f64 * more).ceil() as usize).max(hits))
    }

    /// The nearest of all rows that walking finds, for a query that is known to be valid.
    pub(super) fn walk_only(&self, query: &[f32], k: usize) -> Result<Vec<Neighbour>, VectorError> {
        let ef = self.ef(k).unwrap_or(k);
        Ok(self.walk(query, k, ef, None, usize::MAX)?.unwrap_or_default())
    }

    /// Up to `wanted` rows by walking; `None` when that came to nothing.
    fn walk(
        &self,
        query: &[f32],
        wanted: usize,
        ef: usize,
        allowed: Option<(&RoaringBitmap, Way)>,
        comparisons_max: usize,
    ) -> Result<Option<Vec<Neighbour>>, VectorError> {
        let graph = self.graph;
        let codes = self.codes;
        graph.with_scratch(|scratch| {
            scratch.query.set(query);
            let entry = graph.about().entry;
            let mut at = compare(codes, entry, scratch);
            for level in (1..graph.levels()).rev() {
                let level = graph.level(level);
                at = descend(
                    codes,
                    at,
                    |row, links| links.extend_from_slice(level.links_of(row)),
                    scratch,
                );
            }
            let level_0 = graph.level(0);
            let links = |row, links: &mut Vec<u32>| links.extend_from_slice(level_0.links_of(row));
            let stop = Stop { ef, comparisons_max };
            // The entry point is a start as well: from it every row can be reached.
            let starts = [at.row, entry];
            let came_to_end = match allowed {
                Some((allowed, Way::AmongAllowed)) => {
                    let wanted = 2 * graph.about().m as usize;
                    search_allowed(codes, &starts, stop, wanted, allowed, links, scratch)
                }
                _ => search(codes, &starts, stop, links, scratch),
            };
            if !came_to_end {
                return Ok(None);
            }
            let accept = |row: u32| allowed.is_none_or(|(allowed, _)| allowed.contains(row));
            let found = self.look_closer(wanted, accept, scratch)?;
            graph.check()?;
            Ok(Some(found))
        })
    }

    /// The best `wanted` of the rows in the pool.
    fn look_closer(
        &self,
        wanted: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) -> Result<Vec<Neighbour>, VectorError> {
        let accepted = scratch
            .pool
            .iter()
            .map(|near| near.row)
            .filter(|&row| accept(row));
        let rows: Vec<u32> = accepted.take(wanted + CLOSE_BEYOND).collect();
        self.codes
            .closest(&scratch.query, rows, wanted, &mut scratch.dots)
    }

    fn way(&self, ef: usize, matching: u64) -> Way {
        let rows = u64::from(self.vectors.len());
        let links = u64::from(self.graph.about().m);
        let ef = ef as u64;
        let ef_among_all = ef.saturating_mul(rows) / matching.max(1);
        // In comparisons along links: one after the other they cost less, through rows that are not allowed more.
        let scan = matching / 3;
        let among_all = ef_among_all.saturating_mul(links);
        let among_allowed = ef.saturating_mul(links).saturating_mul(6);
        if scan <= among_all.min(among_allowed) {
            Way::Scan
        } else if among_all <= among_allowed {
            Way::AmongAll(ef_among_all as usize)
        } else {
            Way::AmongAllowed
        }
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
        let Some(ef) = self.ef(wanted) else {
            return scan(self.vectors, query, k, allowed);
        };
        let allowed = allowed.filter(|_| matching < rows);
        let way = self.way(ef, matching);
        if way != Way::Scan {
            let ef = if let Way::AmongAll(ef) = way { ef } else { ef };
            let allowed = allowed.map(|allowed| (allowed, way));
            let found = self.walk(query, wanted, ef, allowed, matching as usize)?;
            if let Some(found) = found.filter(|found| found.len() == wanted) {
                return Ok(found);
            }
        }
        scan_codes(self.codes, query, k, allowed)
    }
}
