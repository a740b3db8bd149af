//! Walking along links towards a query.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Vectors;
use crate::nearest::{Best, Neighbour};

/// When a search ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// Rows it keeps; when it has so many, it ends as soon as the nearest row with links left to follow is farther
    /// than all of them.
    pub(super) ef: usize,
    /// Comparisons after which it is given up.
    pub(super) comparisons_max: usize,
}

/// Working memory that is kept from one search to the next.
#[derive(Debug)]
pub(super) struct Scratch {
    /// `seen[row] == round` when this search has met the row.
    seen: Vec<u16>,
    round: u16,
    open: BinaryHeap<Reverse<Neighbour>>,
    unseen: Vec<u32>,
}

impl Scratch {
    pub(super) fn new(rows: usize) -> Scratch {
        Scratch {
            seen: vec![0; rows],
            round: 0,
            open: BinaryHeap::new(),
            unseen: Vec::new(),
        }
    }

    fn begin(&mut self) {
        self.open.clear();
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.seen.fill(0);
            1
        });
    }

    /// Whether the row was not met before.
    #[inline]
    fn meet(&mut self, row: u32) -> bool {
        std::mem::replace(&mut self.seen[row as usize], self.round) != self.round
    }
}

/// The `ef` best of the accepted rows that it comes by, best first (algorithm 2 of the paper). `None` when it was
/// given up.
///
/// Rows that are not accepted are walked over all the same, so that they do not cut off those behind them. With
/// fewer than `ef` accepted rows it ends when all rows that can be reached were compared.
pub(super) fn search<'a>(
    vectors: &Vectors,
    query: &[f32],
    starts: &[Neighbour],
    stop: Stop,
    links: impl Fn(u32) -> &'a [u32],
    accept: impl Fn(u32) -> bool,
    scratch: &mut Scratch,
) -> Option<Vec<Neighbour>> {
    scratch.begin();
    let mut best = Best::new(stop.ef);
    let mut comparisons = 0;
    for &start in starts {
        if scratch.meet(start.row) {
            scratch.open.push(Reverse(start));
            if accept(start.row) {
                best.offer(start);
            }
        }
    }
    while let Some(Reverse(from)) = scratch.open.pop() {
        if !best.would_take(from) {
            break;
        }
        gather_unseen(vectors, links(from.row), scratch);
        comparisons += scratch.unseen.len();
        if comparisons > stop.comparisons_max {
            return None;
        }
        for &row in &scratch.unseen {
            let found = Neighbour {
                row,
                score: kernels::dot(query, vectors.row(row)),
            };
            if best.would_take(found) {
                scratch.open.push(Reverse(found));
                if accept(row) {
                    best.offer(found);
                }
            }
        }
    }
    Some(best.into_sorted())
}

/// Leaves those of the rows that were not met before in `scratch.unseen`, and asks for their vectors.
fn gather_unseen(vectors: &Vectors, rows: &[u32], scratch: &mut Scratch) {
    scratch.unseen.clear();
    for &row in rows {
        if scratch.meet(row) {
            kernels::prefetch(vectors.row(row));
            scratch.unseen.push(row);
        }
    }
}

/// Goes from a row to the nearest of the rows it has links to, until none is nearer.
pub(super) fn descend<'a>(
    vectors: &Vectors,
    query: &[f32],
    from: Neighbour,
    links: impl Fn(u32) -> &'a [u32],
) -> Neighbour {
    let mut at = from;
    loop {
        let score = |&row: &u32| Neighbour {
            row,
            score: kernels::dot(query, vectors.row(row)),
        };
        match links(at.row).iter().map(score).min() {
            Some(next) if next < at => at = next,
            _ => return at,
        }
    }
}
