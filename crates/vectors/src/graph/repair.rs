//! Seeing to it that every row can be reached.
//!
//! Links are one-way: a row that no other row keeps a link to, or a group of rows that only link to one another,
//! would never be found. Such rows get a link from a near row that can be reached.

use super::search::{Scratch, Stop, search};
use crate::{Codes, Neighbour};

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
pub(super) fn repair(codes: &Codes, entry: u32, links_wanted: usize, links: &mut [Vec<u32>]) -> Repair {
    let mut reached = vec![false; links.len()];
    reach(entry, links, &mut reached);
    let lost: Vec<u32> = (0..links.len() as u32)
        .filter(|&row| !reached[row as usize])
        .collect();
    let mut scratch = Scratch::new(links.len());
    let mut repaired = 0;
    for &row in &lost {
        if reached[row as usize] {
            continue;
        }
        let from = anchor(codes, row, entry, links_wanted, links, &mut scratch);
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
    codes: &Codes,
    row: u32,
    entry: u32,
    links_wanted: usize,
    links: &[Vec<u32>],
    scratch: &mut Scratch,
) -> u32 {
    codes.rows().take(row, &mut scratch.query);
    let stop = Stop {
        ef: EF_REPAIR,
        comparisons_max: usize::MAX,
    };
    let links_of = |from: u32, list: &mut Vec<u32>| list.extend_from_slice(&links[from as usize]);
    search(codes, &[entry], stop, links_of, scratch);
    let count = |near: &Neighbour| links[near.row as usize].len();
    let roomy = scratch.pool.iter().find(|near| count(near) < links_wanted);
    roomy
        .or_else(|| scratch.pool.iter().min_by_key(count))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

    use super::*;
    use crate::{Vectors, VectorsWriter};

    /// Rows on a quarter of a circle, from one end to the other.
    fn quarter(folder: &std::path::Path, rows: u16) -> Codes {
        let path = folder.join("vectors");
        let mut writer = VectorsWriter::create(&path, 2).unwrap();
        for row in 0..rows {
            let (y, x) = (f32::from(row) / f32::from(rows) * std::f32::consts::FRAC_PI_2).sin_cos();
            writer.push(&[x, y]).unwrap();
        }
        writer.finish().unwrap();
        let codes = folder.join("codes");
        Codes::write(&Vectors::open(&path).unwrap(), &codes).unwrap();
        Codes::open(&codes).unwrap()
    }

    #[test]
    fn islands_and_lone_rows_get_one_link_each() {
        let folder = tempfile::tempdir().unwrap();
        let codes = quarter(folder.path(), 8);
        // 0, 1 and 2 hang together; 3 links there but nothing links to it; 4 and 5 only to one another; 6 and 7 not.
        let mut links = [
            vec![1],
            vec![0, 2],
            vec![1],
            vec![2],
            vec![5],
            vec![4],
            vec![],
            vec![],
        ];
        let done = repair(&codes, 0, 4, &mut links);
        assert_eq!(
            done,
            Repair {
                unreachable: 5,
                repaired: 4
            }
        );
        // Each new link starts at the nearest row that could be reached by then.
        assert_eq!(links[2], [1, 3]);
        assert_eq!(links[3], [2, 4]);
        assert_eq!(links[5], [4, 6]);
        assert_eq!(links[6], [7]);
        assert_eq!(repair(&codes, 0, 4, &mut links), Repair::default());
    }

    #[test]
    fn rows_with_room_are_preferred() {
        let folder = tempfile::tempdir().unwrap();
        let codes = quarter(folder.path(), 4);
        let mut links = [vec![1, 2], vec![0], vec![0, 1], vec![]];
        repair(&codes, 0, 2, &mut links);
        assert_eq!(links, [vec![1, 2], vec![0, 3], vec![0, 1], vec![]]);
    }
}
