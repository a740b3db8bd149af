//! Building a graph.

use super::levels::Level;
use super::repair::{Repair, repair};
use super::{About, Builder, Graph, GraphSettings, Levels, hnsw, insert, recall};
use crate::{Codes, VectorError, Vectors};

/// The greatest number of rows: keys of a search have 31 bits for a row, and `hnsw_rs` numbers no more.
const ROWS_MAX: u32 = i32::MAX as u32;

impl Graph {
    /// Builds a graph over all rows.
    ///
    /// # Errors
    /// As for [`GraphSettings::check`], [`VectorError::TooManyRows`], [`VectorError::Threads`],
    /// [`VectorError::OtherVectors`] when the codes are not those of the vectors, [`VectorError::Checksum`].
    pub fn build(vectors: &Vectors, codes: &Codes, settings: &GraphSettings) -> Result<Graph, VectorError> {
        settings.check()?;
        codes.expect_of(vectors)?;
        codes.verify()?;
        let rows = vectors.len();
        if rows > ROWS_MAX {
            return Err(VectorError::TooManyRows { limit: ROWS_MAX });
        }
        let threads = settings.threads;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| VectorError::Threads {
            threads,
            reason: error.to_string(),
        })?;
        let mut lists = match settings.builder {
            Builder::Cloze => insert::insert_all(codes, rows, settings, &pool),
            Builder::HnswRs => pool.install(|| hnsw::insert_all(vectors, settings)),
        };

        let entry = lists.last().map_or(0, |top| top.rows[0]);
        let Repair {
            unreachable,
            repaired,
        } = match lists.first_mut() {
            Some(level_0) => repair(codes, entry, 2 * settings.m, &mut level_0.links),
            None => Repair::default(),
        };
        vectors.check()?;
        let about = About {
            rows,
            vectors_checksum: vectors.checksum(),
            m: settings.m as u32,
            ef_construction: settings.ef_construction as u32,
            seed: settings.seed,
            entry,
            unreachable,
            repaired,
        };
        let mut graph = Graph::new(about, Vec::new(), Levels::Built(freeze(lists)));
        graph.measured = pool.install(|| recall::measure(vectors, codes, &graph))?;
        Ok(graph)
    }
}

/// The rows on one level, ascending, and the links of each.
#[derive(Default)]
pub(super) struct LevelLists {
    pub(super) rows: Vec<u32>,
    pub(super) links: Vec<Vec<u32>>,
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
