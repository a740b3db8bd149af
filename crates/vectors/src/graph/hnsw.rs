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

use super::build::LevelLists;
use super::{GraphSettings, LEVELS_MAX};
use crate::Vectors;

/// Rows that are inserted one after the other, before any side by side.
const ROWS_IN_TURN: usize = 256;

/// 1 less the cosine, never below 0.
struct CosineDistance;

impl Distance<f32> for CosineDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - kernels::dot(a, b)).max(0.0)
    }
}

/// Links of all rows, by the threads of the pool that this runs in.
pub(super) fn insert_all(vectors: &Vectors, settings: &GraphSettings) -> Vec<LevelLists> {
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
