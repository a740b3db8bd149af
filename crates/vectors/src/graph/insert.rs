//! Inserting rows side by side.
//!
//! Links stand in flat lists of atomic numbers, which searches read without a lock: whatever they see is a row of
//! that level. A row's own links are there on all levels before any other row has a link to it, so no search comes
//! to a row that leads nowhere. Changes of one list are one after the other.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use kernels::ByteQuery;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::build::LevelLists;
use super::search::{Scratch, Stop, compare, descend, search};
use super::{GraphSettings, LEVELS_MAX};
use crate::{Codes, Neighbour};

/// Rows that are inserted one after the other, before any side by side.
const ROWS_IN_TURN: usize = 256;

/// Locks that the rows share.
const LOCKS: usize = 4096;

/// Links of all rows (algorithms 1 and 4 of the paper).
pub(super) fn insert_all(
    codes: &Codes,
    rows: u32,
    settings: &GraphSettings,
    pool: &rayon::ThreadPool,
) -> Vec<LevelLists> {
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut order: Vec<u32> = (0..rows).collect();
    order.shuffle(&mut random);
    let tops: Vec<u8> = (0..rows).map(|_| top_level(&mut random, settings.m)).collect();
    // The first row is on every level: where all searches start does not change then.
    if let Some(first) = (0..order.len()).max_by_key(|&at| (tops[order[at] as usize], usize::MAX - at)) {
        order.swap(0, first);
    }
    let Some(&entry) = order.first() else {
        return Vec::new();
    };
    let builder = Builder::new(codes, tops, entry, settings);
    let (in_turn, others) = order.split_at(order.len().min(ROWS_IN_TURN));
    let mut work = Work::new(order.len());
    in_turn
        .iter()
        .skip(1)
        .for_each(|&row| builder.insert(row, &mut work));
    let next = AtomicUsize::new(0);
    pool.broadcast(|_| {
        let mut work = Work::new(order.len());
        while let Some(&row) = others.get(next.fetch_add(1, Ordering::Relaxed)) {
            builder.insert(row, &mut work);
        }
    });
    builder.into_lists()
}

/// The level up to which a row is: each has `m` times fewer than the one below.
fn top_level(random: &mut ChaCha8Rng, m: usize) -> u8 {
    let uniform = 1.0 - random.random::<f64>();
    let level = -uniform.ln() / (m as f64).ln();
    level.min((LEVELS_MAX - 1) as f64) as u8
}

struct Builder<'a> {
    codes: &'a Codes,
    m: usize,
    ef_construction: usize,
    entry: u32,
    tops: Vec<u8>,
    level_0: Lists,
    /// Of each row that is on level 1, its lists from level 1 on, one after the other.
    above: Lists,
    above_at: Vec<u32>,
    locks: Vec<Mutex<()>>,
}

/// Working memory of one thread.
struct Work {
    scratch: Scratch,
    /// What was chosen on each level.
    chosen: Vec<Vec<Neighbour>>,
    candidates: Vec<Neighbour>,
    choice: Choice,
}

impl Work {
    fn new(rows: usize) -> Work {
        Work {
            scratch: Scratch::new(rows),
            chosen: vec![Vec::new(); LEVELS_MAX],
            candidates: Vec::new(),
            choice: Choice::default(),
        }
    }
}

impl<'a> Builder<'a> {
    fn new(codes: &'a Codes, tops: Vec<u8>, entry: u32, settings: &GraphSettings) -> Builder<'a> {
        let mut lists_above = 0;
        let above_at = tops
            .iter()
            .map(|&top| {
                let at = lists_above;
                lists_above += u32::from(top);
                at
            })
            .collect();
        Builder {
            codes,
            m: settings.m,
            ef_construction: settings.ef_construction,
            entry,
            level_0: Lists::new(tops.len(), 2 * settings.m),
            above: Lists::new(lists_above as usize, settings.m),
            above_at,
            tops,
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
        }
    }

    fn list(&self, level: usize, row: u32) -> List<'_> {
        match level {
            0 => self.level_0.get(row as usize),
            _ => self.above.get(self.above_at[row as usize] as usize + level - 1),
        }
    }

    fn insert(&self, row: u32, work: &mut Work) {
        let Work {
            scratch,
            chosen,
            candidates,
            choice,
        } = work;
        self.codes.rows().take(row, &mut scratch.query);
        let top = usize::from(self.tops[row as usize]);
        let mut at = compare(self.codes, self.entry, scratch);
        for level in (top + 1..=usize::from(self.tops[self.entry as usize])).rev() {
            at = descend(
                self.codes,
                at,
                |row, links| self.list(level, row).read(links),
                scratch,
            );
        }
        for level in (0..=top).rev() {
            let stop = Stop {
                ef: self.ef_construction,
                comparisons_max: usize::MAX,
            };
            let links = |row, links: &mut Vec<u32>| self.list(level, row).read(links);
            search(self.codes, &[at.row], stop, links, scratch);
            candidates.clear();
            candidates.extend(scratch.pool.iter());
            at = candidates.first().copied().unwrap_or(at);
            choice.choose(self.codes, candidates, self.m, &mut chosen[level]);
        }
        for (level, chosen) in chosen.iter().enumerate().take(top + 1) {
            self.list(level, row).write(chosen);
        }
        for (level, chosen) in chosen.iter_mut().enumerate().take(top + 1) {
            for near in chosen.iter() {
                self.link_back(level, near.row, Neighbour { row, ..*near }, candidates, choice);
            }
        }
    }

    /// Adds a link; where there is no room, those are kept that would be chosen.
    fn link_back(
        &self,
        level: usize,
        from: u32,
        to: Neighbour,
        candidates: &mut Vec<Neighbour>,
        choice: &mut Choice,
    ) {
        let list = self.list(level, from);
        let lock = &self.locks[from as usize % LOCKS];
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if list.push(to) {
            return;
        }
        candidates.clear();
        list.read_scored(candidates);
        candidates.push(to);
        candidates.sort_unstable();
        let mut kept = std::mem::take(&mut choice.kept);
        choice.choose(self.codes, candidates, list.links.len(), &mut kept);
        list.write(&kept);
        choice.kept = kept;
    }

    fn into_lists(self) -> Vec<LevelLists> {
        let levels = usize::from(self.tops[self.entry as usize]) + 1;
        let mut lists: Vec<LevelLists> = (0..levels).map(|_| LevelLists::default()).collect();
        for row in 0..self.tops.len() as u32 {
            for (level, lists) in lists
                .iter_mut()
                .enumerate()
                .take(usize::from(self.tops[row as usize]) + 1)
            {
                let mut links = Vec::new();
                self.list(level, row).read(&mut links);
                lists.rows.push(row);
                lists.links.push(links);
            }
        }
        lists
    }
}

/// Choosing links that lead in different directions.
#[derive(Default)]
struct Choice {
    candidate: ByteQuery,
    rows: Vec<u32>,
    dots: Vec<f32>,
    kept: Vec<Neighbour>,
}

impl Choice {
    /// Up to `limit` of the candidates, which are in order: all when they are not more, else those that are nearer
    /// to the row in question than to any chosen before.
    fn choose(&mut self, codes: &Codes, candidates: &[Neighbour], limit: usize, chosen: &mut Vec<Neighbour>) {
        chosen.clear();
        if candidates.len() <= limit {
            chosen.extend_from_slice(candidates);
            return;
        }
        self.rows.clear();
        let rows = codes.rows();
        for candidate in candidates {
            rows.take(candidate.row, &mut self.candidate);
            rows.dots(&self.candidate, &self.rows, &mut self.dots);
            if self.dots.iter().all(|&dot| dot <= candidate.score) {
                self.rows.push(candidate.row);
                chosen.push(*candidate);
                if chosen.len() == limit {
                    return;
                }
            }
        }
    }
}

/// Lists of links of the same capacity.
struct Lists {
    capacity: usize,
    /// Of each list, how many links there are, then the links.
    links: Vec<AtomicU32>,
    /// Bits of the cosines, for whoever holds the lock.
    scores: Vec<AtomicU32>,
}

/// A list of links.
struct List<'a> {
    count: &'a AtomicU32,
    links: &'a [AtomicU32],
    scores: &'a [AtomicU32],
}

impl Lists {
    fn new(lists: usize, capacity: usize) -> Lists {
        let zeros = |count: usize| (0..count).map(|_| AtomicU32::new(0)).collect();
        Lists {
            capacity,
            links: zeros(lists * (1 + capacity)),
            scores: zeros(lists * capacity),
        }
    }

    #[inline]
    fn get(&self, list: usize) -> List<'_> {
        let start = list * (1 + self.capacity);
        List {
            count: &self.links[start],
            links: &self.links[start + 1..start + 1 + self.capacity],
            scores: &self.scores[list * self.capacity..(list + 1) * self.capacity],
        }
    }
}

impl List<'_> {
    /// Adds the links to a list.
    #[inline]
    fn read(&self, links: &mut Vec<u32>) {
        let count = self.count.load(Ordering::Acquire) as usize;
        let these = &self.links[..count.min(self.links.len())];
        links.extend(these.iter().map(|link| link.load(Ordering::Acquire)));
    }

    fn read_scored(&self, links: &mut Vec<Neighbour>) {
        let count = self.count.load(Ordering::Acquire) as usize;
        let pairs = self.links.iter().zip(self.scores).take(count);
        links.extend(pairs.map(|(link, score)| Neighbour {
            row: link.load(Ordering::Relaxed),
            score: f32::from_bits(score.load(Ordering::Relaxed)),
        }));
    }

    fn write(&self, links: &[Neighbour]) {
        for (at, &link) in links.iter().enumerate() {
            self.set(at, link);
        }
        self.count.store(links.len() as u32, Ordering::Release);
    }

    /// Adds a link if there is room.
    fn push(&self, link: Neighbour) -> bool {
        let count = self.count.load(Ordering::Relaxed) as usize;
        let room = count < self.links.len();
        if room {
            self.set(count, link);
            self.count.store(count as u32 + 1, Ordering::Release);
        }
        room
    }

    fn set(&self, at: usize, link: Neighbour) {
        // Who sees this link sees the lists of the row it leads to.
        self.links[at].store(link.row, Ordering::Release);
        self.scores[at].store(link.score.to_bits(), Ordering::Relaxed);
    }
}
