//! Seeing to it that every row can be reached.
//!
//! Links are one-way: a row that no other row keeps a link to, or a group of rows that only link to one another,
//! would never be found. Such rows get a link from a near row that can be reached.

use super::search::{Scratch, Stop, search};
use crate::Vectors;
use crate::nearest::Neighbour;

/// Near rows that are looked at as the start of a new link.
const EF_REPAIR: usize = 64;

/// What was found and done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Repair {
    /// Rows that could not be reached.
    pub(super) unreachable: u32,
    /// Links that were added.
    pub(super) repaired: u32,
}

/// Adds links on level 0 until every row can be reached from `entry`.
///
/// A new link starts at the nearest row of those a search for the lost row finds that has fewer than `links_wanted`
/// links, or else at the one with the fewest.
pub(super) fn repair(vectors: &Vectors, entry: u32, links_wanted: usize, links: &mut [Vec<u32>]) -> Repair {
    let mut reached = vec![false; links.len()];
    reach(entry, links, &mut reached);
    let lost: Vec<u32> = (0..vectors.len()).filter(|&row| !reached[row as usize]).collect();
    let mut scratch = Scratch::new(links.len());
    let mut repaired = 0;
    for &row in &lost {
        if reached[row as usize] {
            continue;
        }
        let from = anchor(vectors, row, entry, links_wanted, links, &mut scratch);
        links[from as usize].push(row);
        repaired += 1;
        reach(row, links, &mut reached);
    }
    Repair {
        unreachable: lost.len() as u32,
        repaired,
    }
}

/// The row that a link to `row` should start at. It can be reached, because the search for it started at `entry`.
fn anchor(
    vectors: &Vectors,
    row: u32,
    entry: u32,
    links_wanted: usize,
    links: &[Vec<u32>],
    scratch: &mut Scratch,
) -> u32 {
    let query = vectors.row(row);
    let start = [Neighbour {
        row: entry,
        score: kernels::dot(query, vectors.row(entry)),
    }];
    let stop = Stop {
        ef: EF_REPAIR,
        comparisons_max: usize::MAX,
    };
    let near = search(
        vectors,
        query,
        &start,
        stop,
        |from| &links[from as usize],
        |_| true,
        scratch,
    );
    let near = near.unwrap_or_default();
    let count = |near: &Neighbour| links[near.row as usize].len();
    let roomy = near.iter().find(|near| count(near) < links_wanted);
    roomy
        .or_else(|| near.iter().min_by_key(|near| count(near)))
        .map_or(entry, |near| near.row)
}

/// Marks what can be reached from a row, stopping at rows that are marked.
fn reach(from: u32, links: &[Vec<u32>], reached: &mut [bool]) {
    let mut open = vec![from];
    reached[from as usize] = true;
    while let Some(row) = open.pop() {
        for &to in &links[row as usize] {
            if !std::mem::replace(&mut reached[to as usize], true) {
                open.push(to);
            }
        }
    }
}
