//! The best rows of a search, and which of them still have links to follow.

use crate::Neighbour;

/// The best rows so far, in order.
///
/// A row is one number, so that keeping them in order is moving numbers: from the top bit on, the score turned
/// round (the best is the smallest), 31 bits of the row, and whether its links were followed.
#[derive(Debug, Default)]
pub(super) struct Pool {
    keys: Vec<u64>,
    capacity: usize,
    /// All before this one were followed.
    next: usize,
}

const FOLLOWED: u64 = 1;

impl Pool {
    /// Empties the pool for the `capacity` best, at least 1.
    pub(super) fn begin(&mut self, capacity: usize) {
        self.keys.clear();
        self.capacity = capacity.max(1);
        self.keys.reserve(self.capacity);
        self.next = 0;
    }

    /// Keeps a row that was not offered before, unless the pool is full of better ones.
    #[inline]
    pub(super) fn offer(&mut self, neighbour: Neighbour) {
        let key = key(neighbour);
        if self.keys.len() == self.capacity {
            if self.keys.last().is_some_and(|&last| key > last) {
                return;
            }
            self.keys.pop();
        }
        let at = self.keys.partition_point(|&kept| kept < key);
        self.keys.insert(at, key);
        self.next = self.next.min(at);
    }

    /// The best row whose links were not followed; from now on they were.
    #[inline]
    pub(super) fn follow(&mut self) -> Option<u32> {
        let open = |key: &u64| key & FOLLOWED == 0;
        self.next += self.keys.get(self.next..)?.iter().position(open)?;
        let key = &mut self.keys[self.next];
        *key |= FOLLOWED;
        Some(row(*key))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The rows, the best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Neighbour> {
        self.keys.iter().map(|&key| Neighbour {
            row: row(key),
            score: score(key),
        })
    }
}

/// Numbers in the order of [`f32::total_cmp`], turned round.
#[inline]
fn key(neighbour: Neighbour) -> u64 {
    let bits = neighbour.score.to_bits();
    let ascending = bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000);
    u64::from(!ascending) << 32 | u64::from(neighbour.row) << 1
}

fn row(key: u64) -> u32 {
    key as u32 >> 1
}

fn score(key: u64) -> f32 {
    let ascending = !((key >> 32) as u32);
    let sign = ((!ascending as i32 >> 31) as u32) | 0x8000_0000;
    f32::from_bits(ascending ^ sign)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_keeps_what_sorting_would(
            scores in proptest::collection::vec(-1.0_f32..1.0, 1..60),
            capacity in 1_usize..70,
            follow_every in 1_usize..5,
        ) {
            let mut pool = Pool::default();
            pool.begin(capacity);
            let mut all = Vec::new();
            let mut followed = Vec::new();
            for (row, &score) in (0..).zip(&scores) {
                let neighbour = Neighbour { row, score };
                pool.offer(neighbour);
                all.push(neighbour);
                all.sort_unstable();
                all.truncate(capacity);
                if (row as usize).is_multiple_of(follow_every) {
                    let open = all.iter().find(|near| !followed.contains(&near.row)).map(|near| near.row);
                    prop_assert_eq!(pool.follow(), open);
                    followed.extend(open);
                }
                prop_assert!(pool.iter().eq(all.iter().copied()), "{:?}", all);
            }
            while let Some(row) = pool.follow() {
                prop_assert!(!followed.contains(&row));
                followed.push(row);
            }
            prop_assert!(all.iter().all(|near| followed.contains(&near.row)));
        }
    }

    #[test]
    fn keys_are_in_the_order_of_answers() {
        let scores = [f32::INFINITY, 1.0, f32::MIN_POSITIVE, 0.0, -0.0, -1e-40, -2.0];
        let rows = [0, 7, i32::MAX as u32];
        let all: Vec<Neighbour> = scores
            .iter()
            .flat_map(|&score| rows.map(|row| Neighbour { row, score }))
            .collect();
        assert!(all.is_sorted() && all.iter().map(|&near| key(near)).is_sorted());
        for near in all {
            assert_eq!(
                (row(key(near)), score(key(near)).to_bits()),
                (near.row, near.score.to_bits())
            );
        }
    }
}
