//! How much of the truth a walk finds, measured when a graph is built.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::Graph;
use super::walk::{Effort, Walk};
use crate::exact::scan_codes;
use crate::{Codes, Neighbour, VectorError, Vectors};

/// Hits of a query whose share is measured.
pub(super) const K: usize = 10;
/// Queries of which the average is taken.
const QUERIES: usize = 256;
/// Measured values of `ef`; the last ones only while recall is below [`ENOUGH`].
const EFS: [u32; 18] = [
    10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048,
];
const ENOUGH: f32 = 0.999;

/// How many times more a query misses than a row does that is searched for by its own vector. Queries are of another
/// kind than passages, and lie farther from all of them: three times for questions among paragraphs (SQuAD,
/// all-MiniLM-L6-v2).
const MISSES: f32 = 3.0;

/// Recall of walks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Rows that a walk keeps on its way.
    pub ef: u32,
    /// The share of the ten nearest rows that it finds, on average; estimated low.
    pub recall: f32,
}

/// Walks for the vectors of some rows, which themselves are left out of the answers; what is missed counts
/// [`MISSES`] times. Recall is made not to fall where `ef` grows.
pub(super) fn measure(vectors: &Vectors, codes: &Codes, graph: &Graph) -> Result<Vec<Measured>, VectorError> {
    let rows = vectors.len();
    if (rows as usize) < 2 * K {
        return Ok(Vec::new());
    }
    let mut random = ChaCha8Rng::seed_from_u64(graph.about.seed);
    let queries: Vec<u32> = (0..QUERIES).map(|_| random.random_range(0..rows)).collect();
    let others = |mut near: Vec<Neighbour>, row: u32| {
        near.retain(|near| near.row != row);
        near.truncate(K);
        near
    };
    let truths = queries.par_iter().map(|&row| {
        let near = scan_codes(codes, vectors.row(row), K + 1, None)?;
        Ok(others(near, row))
    });
    let truths = truths.collect::<Result<Vec<_>, VectorError>>()?;
    let mut measured: Vec<Measured> = Vec::new();
    for ef in EFS {
        let walk = Walk::new(vectors, codes, graph, Effort::Ef(ef as usize))?;
        let found = queries.par_iter().zip(&truths).map(|(&row, truth)| {
            let near = others(walk.walk_only(vectors.row(row), K + 1)?, row);
            let among = |row: u32| near.iter().any(|near| near.row == row);
            Ok(truth.iter().filter(|truth| among(truth.row)).count())
        });
        let found: usize = found.sum::<Result<usize, VectorError>>()?;
        let missed = K * QUERIES - found;
        let recall = 1.0 - MISSES * missed as f32 / (K * QUERIES) as f32;
        let before = measured.last().map_or(0.0, |last: &Measured| last.recall);
        measured.push(Measured {
            ef,
            recall: recall.max(before),
        });
        if recall >= ENOUGH {
            break;
        }
    }
    Ok(measured)
}

/// The `ef` by which a recall is reached, in between measured ones by a straight line; `None` when none was.
pub(super) fn ef_for(measured: &[Measured], recall: f32) -> Option<usize> {
    let after = measured.iter().position(|m| m.recall >= recall)?;
    let at = measured[after];
    let Some(before) = after.checked_sub(1).map(|i| measured[i]) else {
        return Some(at.ef as usize);
    };
    let share = (recall - before.recall) / (at.recall - before.recall);
    let ef = before.ef as f32 + share * (at.ef - before.ef) as f32;
    Some(ef.ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_measured_recalls_ef_lies_between_too() {
        let measured =
            [(10, 0.5), (20, 0.9), (40, 0.9), (80, 1.0)].map(|(ef, recall)| Measured { ef, recall });
        for (recall, ef) in [
            (0.0, Some(10)),
            (0.5, Some(10)),
            (0.7, Some(15)),
            (0.9, Some(20)),
            (0.95, Some(60)),
            (1.0, Some(80)),
        ] {
            assert_eq!(ef_for(&measured, recall), ef, "{recall}");
        }
        assert_eq!(ef_for(&measured[..3], 0.91), None);
        assert_eq!(ef_for(&[], 0.1), None);
    }
}
