//! A hierarchical navigable small world graph over the vectors of a segment, frozen.
//!
//! Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
//! Small World graphs", <https://arxiv.org/abs/1603.09320>. `build` makes it, `repair` sees to it that every row
//! can be reached, `file` keeps it, `search` walks along it.

mod build;
mod file;
mod hnsw;
mod insert;
mod levels;
mod pool;
mod recall;
mod repair;
mod search;
mod settings;
mod walk;

use std::sync::{Mutex, PoisonError};

pub use settings::{Builder, EF_CONSTRUCTION_MAX, GraphSettings, M_MAX, M_MIN, THREADS_MAX};
pub use walk::{EF_MAX, Effort, Walk};

use file::MappedLevels;
use levels::{Level, LevelRef};
pub use recall::Measured;
use search::Scratch;

/// The greatest number of levels, which `hnsw_rs` sets.
const LEVELS_MAX: usize = 16;

/// Links from every row to some of its near rows, on level 0, and between ever fewer rows on the levels above.
///
/// Every row can be reached on level 0 from the entry point along links.
#[derive(Debug)]
pub struct Graph {
    about: About,
    measured: Vec<Measured>,
    levels: Levels,
    /// Working memory of searches, one for each that ran at the same time.
    idle: Mutex<Vec<Scratch>>,
}

/// What a graph says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Rows of the vectors it was built from.
    pub rows: u32,
    /// [`crate::Vectors::checksum`] of those vectors.
    pub vectors_checksum: u64,
    /// [`GraphSettings::m`].
    pub m: u32,
    /// [`GraphSettings::ef_construction`].
    pub ef_construction: u32,
    /// [`GraphSettings::seed`].
    pub seed: u64,
    /// The row where a walk starts; 0 when there are no rows.
    pub entry: u32,
    /// Rows that could not be reached when the graph was built. They can now.
    pub unreachable: u32,
    /// Links that were added so that they can.
    pub repaired: u32,
}

#[derive(Debug)]
enum Levels {
    Built(Vec<Level>),
    Mapped(MappedLevels),
}

impl Graph {
    /// What the graph says of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Recall by `ef`, as it was measured when the graph was built: both ascending, empty for few rows.
    pub fn measured(&self) -> &[Measured] {
        &self.measured
    }

    /// Number of levels, at least 1.
    pub fn levels(&self) -> usize {
        match &self.levels {
            Levels::Built(levels) => levels.len(),
            Levels::Mapped(levels) => levels.len(),
        }
    }

    /// The rows that `row` has links to on a level: none when the row is not on that level.
    ///
    /// # Panics
    /// When there is no such level or no such row.
    pub fn links(&self, level: usize, row: u32) -> &[u32] {
        self.level(level).links_of(row)
    }

    fn level(&self, level: usize) -> LevelRef<'_> {
        match &self.levels {
            Levels::Built(levels) => levels[level].view(),
            Levels::Mapped(levels) => levels.view(level),
        }
    }

    fn new(about: About, measured: Vec<Measured>, levels: Levels) -> Graph {
        Graph {
            about,
            measured,
            levels,
            idle: Mutex::default(),
        }
    }

    /// Runs `work` with working memory that no other search uses meanwhile.
    fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut scratch = taken.unwrap_or_else(|| Scratch::new(self.about.rows as usize));
        let result = work(&mut scratch);
        idle().push(scratch);
        result
    }
}
