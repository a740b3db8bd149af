//! Building with `hnsw_rs`, and taking its links over into our own form.
//!
//! That library ends the process on more than 256 links, panics on a distance that is negative or not a number,
//! and leaves rows without links when the first ones are inserted side by side. Hence: settings and vectors are
//! checked before, distances are never below 0, and the first rows go in one after the other.

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::hnsw::Hnsw;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::levels::Level;
use super::repair::{Repair, repair};
use super::{About, Graph, GraphSettings, LEVELS_MAX, Levels};
use crate::{VectorError, Vectors};

/// Rows that are inserted one after the other, before any side by side.
const ROWS_IN_TURN: usize = 256;

/// The greatest number of rows that the building library can number.
const ROWS_MAX: u32 = i32::MAX as u32;

/// 1 less the cosine, never below 0.
struct CosineDistance;

impl Distance<f32> for CosineDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - kernels::dot(a, b)).max(0.0)
    }
}

impl Graph {
    /// Builds a graph over all rows.
    ///
    /// # Errors
    /// As for [`GraphSettings::check`], [`VectorError::TooManyRows`], [`VectorError::Threads`].
    pub fn build(vectors: &Vectors, settings: &GraphSettings) -> Result<Graph, VectorError> {
        settings.check()?;
        if vectors.len() > ROWS_MAX {
            return Err(VectorError::TooManyRows { limit: ROWS_MAX });
        }
        let threads = settings.threads;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| VectorError::Threads {
                threads,
                reason: error.to_string(),
            })?;
        let mut lists = pool.install(|| insert_all(vectors, settings));

        let entry = lists.last().map_or(0, |top| top.rows[0]);
        let Repair {
            unreachable,
            repaired,
        } = match lists.first_mut() {
            Some(level_0) => repair(vectors, entry, 2 * settings.m, &mut level_0.links),
            None => Repair::default(),
        };
        let about = About {
            rows: vectors.len(),
            vectors_checksum: vectors.checksum(),
            m: settings.m as u32,
            ef_construction: settings.ef_construction as u32,
            seed: settings.seed,
            entry,
            unreachable,
            repaired,
        };
        Ok(Graph::new(about, Levels::Built(freeze(lists))))
    }
}

/// The rows on one level, ascending, and the links of each.
#[derive(Default)]
struct LevelLists {
    rows: Vec<u32>,
    links: Vec<Vec<u32>>,
}

fn insert_all(vectors: &Vectors, settings: &GraphSettings) -> Vec<LevelLists> {
    let rows = vectors.len() as usize;
    let mut order: Vec<u32> = (0..vectors.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(settings.seed));
    let hnsw = Hnsw::new(
        settings.m,
        rows,
        LEVELS_MAX,
        settings.ef_construction,
        CosineDistance,
    );
    let insert = |&row: &u32| hnsw.insert_slice((vectors.row(row), row as usize));
    let (first, others) = order.split_at(rows.min(ROWS_IN_TURN));
    first.iter().for_each(insert);
    if settings.threads == 1 {
        others.iter().for_each(insert);
    } else {
        others.par_iter().for_each(insert);
    }
    take_over(&hnsw, rows)
}

/// Copies the links of the levels that have rows. A link is left out when it leads to a row that is not on its
/// level, to the row itself, or where an earlier one leads.
fn take_over(hnsw: &Hnsw<'_, f32, CosineDistance>, rows: usize) -> Vec<LevelLists> {
    let mut tops = vec![0; rows];
    let mut links_of: Vec<Vec<Vec<u32>>> = vec![Vec::new(); rows];
    for level in 0..LEVELS_MAX {
        for point in hnsw.get_point_indexation().get_layer_iterator(level) {
            let row = point.get_origin_id();
            tops[row] = level;
            let lists = point.get_neighborhood_id().into_iter().take(level + 1);
            links_of[row] = lists
                .map(|list| list.iter().map(|n| n.d_id as u32).collect())
                .collect();
        }
    }
    let mut levels: Vec<LevelLists> = Vec::new();
    for (row, lists) in (0..).zip(links_of) {
        for (level, mut list) in lists.into_iter().enumerate() {
            if levels.len() == level {
                levels.push(LevelLists::default());
            }
            keep_links(row, level, &tops, &mut list);
            levels[level].rows.push(row);
            levels[level].links.push(list);
        }
    }
    levels
}

fn keep_links(row: u32, level: usize, tops: &[usize], list: &mut Vec<u32>) {
    let mut seen = Vec::with_capacity(list.len());
    list.retain(|&to| {
        let keep = to != row && tops[to as usize] >= level && !seen.contains(&to);
        seen.push(to);
        keep
    });
}

fn freeze(lists: Vec<LevelLists>) -> Vec<Level> {
    if lists.is_empty() {
        return vec![Level::freeze(None, &[])];
    }
    let above_0 = |(level, list): (usize, LevelLists)| {
        let rows = (level > 0).then_some(list.rows);
        Level::freeze(rows, &list.links)
    };
    lists.into_iter().enumerate().map(above_0).collect()
}
