//! Walking along links towards a query, in 8 bits.

use kernels::ByteQuery;
use roaring::RoaringBitmap;

use super::pool::Pool;
use crate::{Codes, Neighbour};

/// Working memory that is kept from one search to the next.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) query: ByteQuery,
    /// The best rows of the latest search.
    pub(super) pool: Pool,
    met: Met,
    links: Vec<u32>,
    next_links: Vec<u32>,
    unmet: Vec<u32>,
    pub(super) dots: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(rows: usize) -> Scratch {
        Scratch {
            query: ByteQuery::default(),
            pool: Pool::default(),
            met: Met {
                round_of: vec![0; rows],
                round: 0,
            },
            links: Vec::new(),
            next_links: Vec::new(),
            unmet: Vec::new(),
            dots: Vec::new(),
        }
    }
}

/// The rows that a search came by.
#[derive(Debug)]
struct Met {
    round_of: Vec<u16>,
    round: u16,
}

impl Met {
    fn begin(&mut self) {
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.round_of.fill(0);
            1
        });
    }

    /// Whether the row exists and was not met before.
    #[inline]
    fn meet(&mut self, row: u32) -> bool {
        self.round_of
            .get_mut(row as usize)
            .is_some_and(|round| std::mem::replace(round, self.round) != self.round)
    }
}

/// When a search ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// Rows it keeps; it ends when the links of all of them were followed.
    pub(super) ef: usize,
    /// Comparisons after which it is given up.
    pub(super) comparisons_max: usize,
}

/// Leaves the `ef` best of the rows that it comes by in the pool (algorithm 2 of the paper). Says whether it came
/// to its end.
///
/// `links` adds the links of a row to a list.
pub(super) fn search(
    codes: &Codes,
    starts: &[u32],
    stop: Stop,
    links: impl Fn(u32, &mut Vec<u32>),
    scratch: &mut Scratch,
) -> bool {
    begin(codes, starts, stop.ef, scratch);
    let rows = codes.rows();
    let mut comparisons = starts.len();
    while let Some(from) = scratch.pool.follow() {
        scratch.links.clear();
        links(from, &mut scratch.links);
        let Scratch {
            links, unmet, met, ..
        } = scratch;
        unmet.clear();
        for &to in links.iter() {
            if met.meet(to) {
                rows.prefetch(to);
                unmet.push(to);
            }
        }
        comparisons += scratch.unmet.len();
        if comparisons > stop.comparisons_max {
            return false;
        }
        offer_unmet(codes, scratch);
    }
    true
}

/// As [`search`], but only among allowed rows: where a link leads to one that is not, those are followed that lead
/// on from there, until there are `wanted` rows to compare with.
///
/// It is given up, too, when no allowed row lies near the starts.
pub(super) fn search_allowed(
    codes: &Codes,
    starts: &[u32],
    stop: Stop,
    wanted: usize,
    allowed: &RoaringBitmap,
    links: impl Fn(u32, &mut Vec<u32>),
    scratch: &mut Scratch,
) -> bool {
    begin(codes, &[], stop.ef, scratch);
    let mut comparisons = 0;
    for &start in starts {
        if scratch.met.meet(start) && allowed.contains(start) {
            scratch.unmet.push(start);
        }
    }
    offer_unmet(codes, scratch);
    let mut starts = starts.iter().copied();
    while let Some(from) = starts.next().or_else(|| scratch.pool.follow()) {
        scratch.links.clear();
        links(from, &mut scratch.links);
        let Scratch {
            links: first,
            next_links,
            unmet,
            met,
            ..
        } = scratch;
        unmet.clear();
        next_links.clear();
        for &to in first.iter() {
            if met.meet(to) {
                if allowed.contains(to) {
                    unmet.push(to);
                } else {
                    next_links.push(to);
                }
            }
        }
        for &bridge in next_links.iter() {
            if unmet.len() >= wanted {
                break;
            }
            first.clear();
            links(bridge, first);
            for &to in first.iter() {
                if allowed.contains(to) && met.meet(to) {
                    unmet.push(to);
                }
            }
        }
        comparisons += scratch.unmet.len();
        if comparisons > stop.comparisons_max {
            return false;
        }
        offer_unmet(codes, scratch);
    }
    scratch.pool.len() > 0
}

fn begin(codes: &Codes, starts: &[u32], ef: usize, scratch: &mut Scratch) {
    scratch.met.begin();
    scratch.pool.begin(ef);
    let Scratch { unmet, met, .. } = scratch;
    unmet.clear();
    unmet.extend(starts.iter().copied().filter(|&start| met.meet(start)));
    offer_unmet(codes, scratch);
}

/// Compares the query with the rows just met.
fn offer_unmet(codes: &Codes, scratch: &mut Scratch) {
    let Scratch {
        query,
        pool,
        unmet,
        dots,
        ..
    } = scratch;
    for &row in unmet.iter() {
        codes.touch(row);
    }
    codes.rows().dots(query, unmet, dots);
    for (&row, &score) in unmet.iter().zip(dots.iter()) {
        pool.offer(Neighbour { row, score });
    }
}

/// Goes from a row to the nearest of the rows it has links to, until none is nearer.
pub(super) fn descend(
    codes: &Codes,
    from: Neighbour,
    links: impl Fn(u32, &mut Vec<u32>),
    scratch: &mut Scratch,
) -> Neighbour {
    let mut at = from;
    loop {
        scratch.links.clear();
        links(at.row, &mut scratch.links);
        match nearest(codes, scratch) {
            Some(next) if next < at => at = next,
            _ => return at,
        }
    }
}

/// The nearest of the rows in `scratch.links`.
fn nearest(codes: &Codes, scratch: &mut Scratch) -> Option<Neighbour> {
    let Scratch {
        query, links, dots, ..
    } = scratch;
    links.iter().for_each(|&row| codes.touch(row));
    codes.rows().dots(query, links, dots);
    let near = links.iter().zip(dots.iter());
    near.map(|(&row, &score)| Neighbour { row, score }).min()
}

/// A row with its cosine to the query.
pub(super) fn compare(codes: &Codes, row: u32, scratch: &mut Scratch) -> Neighbour {
    codes.touch(row);
    codes.rows().dots(&scratch.query, &[row], &mut scratch.dots);
    Neighbour {
        row,
        score: scratch.dots[0],
    }
}
