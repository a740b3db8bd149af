//! The file of a graph.
//!
//! ```text
//! byte  0   8 bytes   "CLOZEGRF"
//! byte  8   u32       version, 2
//! byte 12   u32       number of rows
//! byte 16   u64       checksum of the vectors' file
//! byte 24   u64       seed
//! byte 32   u32       m
//! byte 36   u32       ef_construction
//! byte 40   u32       entry point; 0 when there are no rows
//! byte 44   u32       number of levels, 1 to 16
//! byte 48   u32       rows that could not be reached when the graph was built
//! byte 52   u32       links that were added so that they can
//! byte 56   u32       number of measured recalls, at most 64
//! byte 60   u32       zero
//! byte 64             for each level, from 0:
//!           u64           rows on it
//!           u64           links on it
//!                     for each measured recall, ascending:
//!           u32           ef
//!           f32           recall@10
//!                     for each level, from 0:
//!           u32 ...       its rows, ascending, zeros up to a multiple of 8 (not for level 0: all rows)
//!           u64 ...       where the links of each row start, and where the last ones end
//!           u32 ...       links, zeros up to a multiple of 8
//!           ...       checksums, as in every sealed file
//! ```
//! All numbers are little-endian.

use std::path::Path;

use super::levels::{LevelRef, Sections};
use super::recall::Measured;
use super::{About, Graph, LEVELS_MAX, Levels};
use crate::VectorError;
use crate::sealed::{Kind, Sealed, SealedWriter};

const KIND: Kind = Kind {
    mark: *b"CLOZEGRF",
    version: 2,
    name: "graph",
};
const ROWS_OFFSET: usize = 12;
const VECTORS_OFFSET: usize = 16;
const SEED_OFFSET: usize = 24;
const M_OFFSET: usize = 32;
const EF_CONSTRUCTION_OFFSET: usize = 36;
const ENTRY_OFFSET: usize = 40;
const LEVELS_OFFSET: usize = 44;
const UNREACHABLE_OFFSET: usize = 48;
const REPAIRED_OFFSET: usize = 52;
const MEASURED_OFFSET: usize = 56;
const MEASURED_MAX: usize = 64;
const MEASURED_BYTES: usize = 8;
const TABLE_OFFSET: usize = 64;
const TABLE_ENTRY_BYTES: usize = 16;

impl Graph {
    /// Writes the graph to a file, as [`crate::VectorsWriter`] does: beside `path` first, synced, then renamed.
    ///
    /// # Errors
    /// [`VectorError::Io`]; nothing has the name then.
    pub fn write(&self, path: &Path) -> Result<(), VectorError> {
        let mut file = SealedWriter::create(path, KIND)?;
        let about = &self.about;
        file.write(&about.rows.to_le_bytes())?;
        file.write(&about.vectors_checksum.to_le_bytes())?;
        file.write(&about.seed.to_le_bytes())?;
        let levels = self.levels() as u32;
        for number in [
            about.m,
            about.ef_construction,
            about.entry,
            levels,
            about.unreachable,
            about.repaired,
            self.measured.len() as u32,
            0,
        ] {
            file.write(&number.to_le_bytes())?;
        }
        for level in 0..self.levels() {
            let level = self.level(level);
            file.write(&(level.offsets.len() as u64 - 1).to_le_bytes())?;
            file.write(&(level.links.len() as u64).to_le_bytes())?;
        }
        for measured in &self.measured {
            file.write(&measured.ef.to_le_bytes())?;
            file.write(&measured.recall.to_le_bytes())?;
        }
        for level in 0..self.levels() {
            let level = self.level(level);
            write_u32s(&mut file, level.rows.unwrap_or_default())?;
            write_all(&mut file, level.offsets.iter().map(|offset| offset.to_le_bytes()))?;
            write_u32s(&mut file, level.links)?;
        }
        file.finish()
    }

    /// Opens a file of [`Graph::write`] and verifies all levels but level 0, whose links are verified when they are
    /// first used, or by [`Graph::verify`].
    ///
    /// The file must not be changed as long as the value lives; removing it is fine.
    ///
    /// # Errors
    /// Each names the file and the offset of what is wrong: [`VectorError::Io`], [`VectorError::Kind`],
    /// [`VectorError::Version`], [`VectorError::Length`], [`VectorError::Checksum`], [`VectorError::Field`].
    pub fn open(path: &Path) -> Result<Graph, VectorError> {
        let file = Sealed::open(path, KIND)?;
        file.expect_content_from(TABLE_OFFSET as u64)?;
        file.expect_touched(0..TABLE_OFFSET)?;
        let about = About {
            rows: file.u32_at(ROWS_OFFSET),
            vectors_checksum: file.u64_at(VECTORS_OFFSET),
            m: file.u32_at(M_OFFSET),
            ef_construction: file.u32_at(EF_CONSTRUCTION_OFFSET),
            seed: file.u64_at(SEED_OFFSET),
            entry: file.u32_at(ENTRY_OFFSET),
            unreachable: file.u32_at(UNREACHABLE_OFFSET),
            repaired: file.u32_at(REPAIRED_OFFSET),
        };
        if about.entry >= about.rows.max(1) {
            let accepted = format!("below {} rows", about.rows);
            return Err(file.field(ENTRY_OFFSET, "entry point", about.entry.into(), accepted));
        }
        let (levels, measured) = MappedLevels::read(file, about.rows)?;
        Ok(Graph::new(about, measured, Levels::Mapped(levels)))
    }

    /// Refuses a graph of which a damaged part was read.
    ///
    /// # Errors
    /// [`VectorError::Checksum`].
    pub fn check(&self) -> Result<(), VectorError> {
        match &self.levels {
            Levels::Built(_) => Ok(()),
            Levels::Mapped(levels) => levels.file.check(),
        }
    }

    /// Verifies the whole file, if it is in one, with every number in it.
    ///
    /// # Errors
    /// [`VectorError::Checksum`], [`VectorError::Field`].
    pub fn verify(&self) -> Result<(), VectorError> {
        match &self.levels {
            Levels::Built(_) => Ok(()),
            Levels::Mapped(levels) => {
                levels.file.verify()?;
                (0..levels.len()).try_for_each(|level| levels.check(level, self.about.rows))
            }
        }
    }

    /// The checksum of the file it is in.
    pub fn checksum(&self) -> Option<u64> {
        match &self.levels {
            Levels::Built(_) => None,
            Levels::Mapped(levels) => Some(levels.file.checksum),
        }
    }
}

fn write_u32s(file: &mut SealedWriter, numbers: &[u32]) -> Result<(), VectorError> {
    write_all(file, numbers.iter().map(|number| number.to_le_bytes()))?;
    if numbers.len() % 2 == 1 {
        file.write(&[0; 4])?;
    }
    Ok(())
}

/// Writes numbers in pieces of some size.
fn write_all<const N: usize>(
    file: &mut SealedWriter,
    numbers: impl Iterator<Item = [u8; N]>,
) -> Result<(), VectorError> {
    const PIECE_BYTES: usize = 1 << 16;
    let mut piece = Vec::with_capacity(PIECE_BYTES + N);
    for number in numbers {
        piece.extend_from_slice(&number);
        if piece.len() >= PIECE_BYTES {
            file.write(&piece)?;
            piece.clear();
        }
    }
    file.write(&piece)
}

/// The levels in a mapped file.
#[derive(Debug)]
pub(super) struct MappedLevels {
    file: Sealed,
    sections: Vec<Sections>,
}

impl MappedLevels {
    fn read(file: Sealed, rows: u32) -> Result<(MappedLevels, Vec<Measured>), VectorError> {
        let count = file.u32_at(LEVELS_OFFSET) as usize;
        if !(1..=LEVELS_MAX).contains(&count) {
            let accepted = format!("1 to {LEVELS_MAX}");
            return Err(file.field(LEVELS_OFFSET, "number of levels", count as u64, accepted));
        }
        let measured_count = file.u32_at(MEASURED_OFFSET) as usize;
        if measured_count > MEASURED_MAX {
            let accepted = format!("at most {MEASURED_MAX}");
            let found = measured_count as u64;
            return Err(file.field(MEASURED_OFFSET, "number of measured recalls", found, accepted));
        }
        let measured_start = TABLE_OFFSET + count * TABLE_ENTRY_BYTES;
        let table_end = measured_start + measured_count * MEASURED_BYTES;
        file.expect_content_from(table_end as u64)?;
        file.expect_touched(0..table_end)?;
        let measured = (measured_start..table_end).step_by(MEASURED_BYTES);
        let measured = measured.map(|at| Measured {
            ef: file.u32_at(at),
            recall: f32::from_bits(file.u32_at(at + 4)),
        });
        let measured = measured.collect();
        let mut sections = Vec::with_capacity(count);
        let mut end = table_end;
        for level in 0..count {
            let section = Sections::place(&file, level, rows, end)?;
            end = section.links.end.next_multiple_of(8);
            sections.push(section);
        }
        file.expect_content(end as u64)?;
        let levels = MappedLevels { file, sections };
        for level in 1..count {
            let Sections { offsets, links, .. } = &levels.sections[level];
            let start = levels.sections[level - 1].links.end;
            levels.file.expect_touched(start.min(offsets.start)..links.end)?;
            levels.check(level, rows)?;
        }
        Ok((levels, measured))
    }

    pub(super) fn len(&self) -> usize {
        self.sections.len()
    }

    pub(super) fn view(&self, level: usize) -> LevelRef<'_> {
        let Sections { rows, offsets, links } = &self.sections[level];
        let map = &self.file.map;
        LevelRef {
            rows: rows.clone().map(|rows| map.u32s(rows)),
            offsets: map.u64s(offsets.clone()),
            links: map.u32s(links.clone()),
            file: Some((&self.file, &self.sections[level])),
        }
    }

    /// Refuses numbers that would lead a search out of the file.
    fn check(&self, level: usize, rows: u32) -> Result<(), VectorError> {
        let view = self.view(level);
        let section = &self.sections[level];
        let wrong = |start: usize, place: usize, size: usize, field, value, accepted: String| {
            Err(self.file.field(start + place * size, field, value, accepted))
        };
        if let (Some(on_level), Some(range)) = (view.rows, &section.rows) {
            let ascending = (0..on_level.len()).find(|&i| i > 0 && on_level[i] <= on_level[i - 1]);
            let known = (0..on_level.len()).find(|&i| on_level[i] >= rows);
            if let Some(i) = ascending.or(known) {
                let accepted = format!("ascending and below {rows}");
                return wrong(range.start, i, 4, "row", on_level[i].into(), accepted);
            }
        }
        let (offsets, links) = (view.offsets, view.links);
        let last = offsets.len() - 1;
        let good = |i: usize| match i {
            0 => offsets[0] == 0,
            _ => offsets[i - 1] <= offsets[i] && (i < last || offsets[i] == links.len() as u64),
        };
        if let Some(i) = (0..=last).find(|&i| !good(i)) {
            let accepted = format!("ascending from 0 to {}", links.len());
            return wrong(
                section.offsets.start,
                i,
                8,
                "start of links",
                offsets[i],
                accepted,
            );
        }
        match links.iter().position(|&to| to >= rows) {
            Some(i) => wrong(
                section.links.start,
                i,
                4,
                "link",
                links[i].into(),
                format!("below {rows}"),
            ),
            None => Ok(()),
        }
    }
}

impl Sections {
    /// The parts of a level that starts at a byte, if the file is long enough for it.
    fn place(file: &Sealed, level: usize, rows: u32, start: usize) -> Result<Sections, VectorError> {
        let entry = TABLE_OFFSET + level * TABLE_ENTRY_BYTES;
        let count = file.u64_at(entry);
        let right = if level == 0 {
            count == u64::from(rows)
        } else {
            count <= u64::from(rows)
        };
        if !right {
            let accepted = if level == 0 {
                format!("{rows}")
            } else {
                format!("at most {rows}")
            };
            return Err(file.field(entry, "rows on a level", count, accepted));
        }
        let content = file.content_bytes() as u64;
        let links = file.u64_at(entry + 8);
        if links > content / 4 {
            let accepted = format!("at most {}", content / 4);
            return Err(file.field(entry + 8, "links on a level", links, accepted));
        }
        // No overflow from here on: a level has at most 2^32 rows, and the file is as long as its links.
        let count = count as usize;
        let rows_end = start + if level == 0 { 0 } else { 4 * count };
        let offsets = rows_end.next_multiple_of(8)..rows_end.next_multiple_of(8) + 8 * (count + 1);
        let links = offsets.end..offsets.end + 4 * links as usize;
        file.expect_content_from(links.end.next_multiple_of(8) as u64)?;
        Ok(Sections {
            rows: (level > 0).then_some(start..rows_end),
            offsets,
            links,
        })
    }
}
