//! How much of the truth a walk finds, measured when a graph is built.
//!
//! Queries are not known then. Rows in their place would promise too much: a row lies where the graph has links to,
//! and a question lies between passages, farther from all of them, where a walk misses several times as much.
//! Between rows lies the middle of two that are drawn at random, as far from both as a point between them can be.
//! The nearest rows of such a middle are about as far from it as passages are from a question, but stand on two
//! sides, so it is a little harder to answer, and a wanted recall is rather exceeded. It is made from nothing but
//! the rows, so no number in it is fitted to a model. Which rows are drawn depends on what is in them and not on
//! their order, so that segments of the same rows are measured with the same queries, whatever they went through.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

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
/// Values at the beginning of a row by which it is drawn.
const BEGINNING: usize = 16;
/// Rows that a sample is made from; a walk keeps them besides the `ef` that it is measured for.
const OWN: usize = 2;

/// Recall of walks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Rows that a walk keeps on its way.
    pub ef: u32,
    /// The share of the ten nearest rows that it finds, on average, of queries that lie between rows.
    pub recall: f32,
}

/// A query in place of a real one: the middle of two rows, of length 1.
struct Sample {
    query: Vec<f32>,
    /// The rows it is made from, which would be found too easily.
    rows: [u32; OWN],
}

impl Sample {
    /// The middle of two rows.
    fn between(vectors: &Vectors, rows: [u32; OWN]) -> Sample {
        let [one, other] = rows.map(|row| vectors.row(row));
        let mut query: Vec<f32> = one.iter().zip(other).map(|(a, b)| a + b).collect();
        // Rows that point in opposite directions have nothing in between.
        if kernels::normalize(&mut query).is_none() {
            query.copy_from_slice(one);
        }
        Sample { query, rows }
    }

    /// [`QUERIES`] samples, each of two rows; where there are not so many rows, they come again in other pairs.
    fn draw(vectors: &Vectors, seed: u64) -> Vec<Sample> {
        let drawn = draw_rows(vectors, OWN * QUERIES, seed);
        let pair = |at: usize| {
            let (first, round) = (OWN * at % drawn.len(), OWN * at / drawn.len());
            let second = (first + 1 + round % (drawn.len() - 1)) % drawn.len();
            Sample::between(vectors, [drawn[first], drawn[second]])
        };
        (0..QUERIES).map(pair).collect()
    }

    /// The first [`K`] rows besides its own.
    fn others(&self, mut near: Vec<Neighbour>) -> Vec<Neighbour> {
        near.retain(|near| !self.rows.contains(&near.row));
        near.truncate(K);
        near
    }
}

/// Up to so many rows, and in an order, that depend on what is in the rows: those whose beginnings have the smallest
/// hashes.
fn draw_rows(vectors: &Vectors, count: usize, seed: u64) -> Vec<u32> {
    let key = |row: u32| {
        let mut bytes = [0; 4 * BEGINNING];
        for (bytes, value) in bytes.chunks_exact_mut(4).zip(vectors.row(row)) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        (xxh3_64_with_seed(&bytes, seed), row)
    };
    let mut keys: Vec<(u64, u32)> = (0..vectors.len()).into_par_iter().map(key).collect();
    if keys.len() > count {
        keys.select_nth_unstable(count);
        keys.truncate(count);
    }
    keys.sort_unstable();
    keys.into_iter().map(|(_, row)| row).collect()
}

/// Walks for samples, whose own rows are left out of the answers. Recall is made not to fall where `ef` grows.
pub(super) fn measure(vectors: &Vectors, codes: &Codes, graph: &Graph) -> Result<Vec<Measured>, VectorError> {
    if (vectors.len() as usize) < 2 * K {
        return Ok(Vec::new());
    }
    let samples = Sample::draw(vectors, graph.about.seed);
    let truths = samples.par_iter().map(|sample| {
        let near = scan_codes(codes, &sample.query, K + OWN, None)?;
        Ok(sample.others(near))
    });
    let truths = truths.collect::<Result<Vec<_>, VectorError>>()?;
    let wanted: usize = truths.iter().map(Vec::len).sum();
    let mut measured: Vec<Measured> = Vec::new();
    for ef in EFS {
        let walk = Walk::new(vectors, codes, graph, Effort::Ef(ef as usize + OWN))?;
        let found = samples.par_iter().zip(&truths).map(|(sample, truth)| {
            let near = sample.others(walk.walk_only(&sample.query, K + OWN)?);
            let among = |row: u32| near.iter().any(|near| near.row == row);
            Ok(truth.iter().filter(|truth| among(truth.row)).count())
        });
        let found: usize = found.sum::<Result<usize, VectorError>>()?;
        let recall = found as f32 / wanted as f32;
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
    use std::error::Error;

    use super::*;
    use crate::VectorsWriter;

    #[test]
    fn the_same_rows_are_drawn_in_whatever_order_they_are() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let row = |n: u32| [(n as f32).cos(), (n as f32).sin()];
        let stored = |name: &str, numbers: &mut dyn Iterator<Item = u32>| {
            let path = folder.path().join(name);
            let mut writer = VectorsWriter::create(&path, 2)?;
            for n in numbers {
                writer.push(&row(n))?;
            }
            writer.finish()?;
            Vectors::open(&path)
        };
        let ascending = stored("ascending", &mut (0..1000))?;
        let descending = stored("descending", &mut (0..1000).rev())?;
        let drawn = draw_rows(&ascending, 50, 7);
        let other: Vec<u32> = draw_rows(&descending, 50, 7)
            .iter()
            .map(|row| 999 - row)
            .collect();
        assert_eq!(drawn, other);
        assert_ne!(drawn, draw_rows(&ascending, 50, 8));
        let queries = |vectors: &Vectors| -> Vec<Vec<f32>> {
            Sample::draw(vectors, 7)
                .into_iter()
                .map(|sample| sample.query)
                .collect()
        };
        assert_eq!(queries(&ascending), queries(&descending));
        // Few rows come several times, in other pairs.
        let few = stored("few", &mut (0..21))?;
        let mut pairs: Vec<[u32; OWN]> = Sample::draw(&few, 7).iter().map(|sample| sample.rows).collect();
        assert_eq!(pairs.len(), QUERIES);
        pairs.sort_unstable();
        pairs.dedup();
        assert!(pairs.len() > 200, "{}", pairs.len());
        assert!(pairs.iter().all(|[one, other]| one != other));
        Ok(())
    }

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
