//! How a graph is built.

use std::ops::RangeInclusive;

use crate::VectorError;

/// The smallest [`GraphSettings::m`].
pub const M_MIN: usize = 2;
/// The greatest [`GraphSettings::m`].
pub const M_MAX: usize = 64;
/// The greatest [`GraphSettings::ef_construction`].
pub const EF_CONSTRUCTION_MAX: usize = 4096;
/// The greatest [`GraphSettings::threads`].
pub const THREADS_MAX: usize = 256;

/// What inserts the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Builder {
    /// This crate, which compares vectors in 8 bits.
    #[default]
    Cloze,
    /// The library `hnsw_rs`, which compares them in 32; several times slower.
    HnswRs,
}

/// How a graph is built. The same settings and vectors give the same graph when there is one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphSettings {
    /// Links of a row on each level, and twice as many on level 0: [`M_MIN`] to [`M_MAX`].
    ///
    /// More links find more and cost memory (about 8 bytes for each, per row) and time. 16 suits most sets; 32 and
    /// above are for recall over 0.99.
    pub m: usize,
    /// Near rows that are looked at when links of a new row are chosen: 1 to [`EF_CONSTRUCTION_MAX`].
    ///
    /// Building time grows with it in proportion, and recall until about 400. Not less than `2 * m` is of use.
    pub ef_construction: usize,
    /// Decides in which order rows are inserted, and up to which level.
    pub seed: u64,
    /// Threads that insert rows: 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// What inserts them.
    pub builder: Builder,
}

impl Default for GraphSettings {
    /// `m` 16, `ef_construction` 200, seed 0, one thread, [`Builder::Cloze`].
    fn default() -> GraphSettings {
        GraphSettings {
            m: 16,
            ef_construction: 200,
            seed: 0,
            threads: 1,
            builder: Builder::default(),
        }
    }
}

impl GraphSettings {
    /// Accepts settings within their ranges; `hnsw_rs` ends the process on some others.
    ///
    /// # Errors
    /// [`VectorError::Setting`] for the first that is not.
    pub fn check(&self) -> Result<(), VectorError> {
        in_range("m", self.m, M_MIN..=M_MAX)?;
        in_range("ef_construction", self.ef_construction, 1..=EF_CONSTRUCTION_MAX)?;
        in_range("threads", self.threads, 1..=THREADS_MAX)
    }
}

/// Accepts a setting within a range.
pub(super) fn in_range(
    field: &'static str,
    value: usize,
    accepted: RangeInclusive<usize>,
) -> Result<(), VectorError> {
    if accepted.contains(&value) {
        return Ok(());
    }
    let accepted = format!("{} to {}", accepted.start(), accepted.end());
    Err(VectorError::Setting {
        field,
        value: value as u64,
        accepted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_their_ends() {
        let good = GraphSettings::default();
        assert!(good.check().is_ok());
        for m in [M_MIN, M_MAX] {
            assert!(GraphSettings { m, ..good }.check().is_ok());
        }
        for (field, wrong) in [
            ("m", GraphSettings { m: M_MIN - 1, ..good }),
            ("m", GraphSettings { m: M_MAX + 1, ..good }),
            (
                "m",
                GraphSettings {
                    m: usize::MAX,
                    ..good
                },
            ),
            (
                "ef_construction",
                GraphSettings {
                    ef_construction: 0,
                    ..good
                },
            ),
            (
                "ef_construction",
                GraphSettings {
                    ef_construction: EF_CONSTRUCTION_MAX + 1,
                    ..good
                },
            ),
            ("threads", GraphSettings { threads: 0, ..good }),
            (
                "threads",
                GraphSettings {
                    threads: THREADS_MAX + 1,
                    ..good
                },
            ),
        ] {
            match wrong.check() {
                Err(VectorError::Setting { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{wrong:?}: {other:?}"),
            }
        }
    }
}
