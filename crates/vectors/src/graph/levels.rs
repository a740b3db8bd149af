//! The links of one level in two flat lists.

use std::ops::Range;

use crate::sealed::Sealed;

/// A level, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    /// The rows on this level, ascending; `None` on level 0, where all rows are.
    pub(super) rows: Option<Vec<u32>>,
    /// The links of the `i`th row are those from `offsets[i]` to `offsets[i + 1]`.
    pub(super) offsets: Vec<u64>,
    pub(super) links: Vec<u32>,
}

impl Level {
    /// Flattens lists of links, the `i`th of which is that of the `i`th row.
    pub(super) fn freeze(rows: Option<Vec<u32>>, lists: &[Vec<u32>]) -> Level {
        let mut end = 0;
        let ends = lists.iter().map(|list| {
            end += list.len() as u64;
            end
        });
        let offsets = std::iter::once(0).chain(ends).collect();
        Level {
            rows,
            offsets,
            links: lists.concat(),
        }
    }

    pub(super) fn view(&self) -> LevelRef<'_> {
        LevelRef {
            rows: self.rows.as_deref(),
            offsets: &self.offsets,
            links: &self.links,
            file: None,
        }
    }
}

/// A level, wherever it is kept. Offsets ascend from 0 to the number of links.
#[derive(Debug, Clone, Copy)]
pub(super) struct LevelRef<'a> {
    pub(super) rows: Option<&'a [u32]>,
    pub(super) offsets: &'a [u64],
    pub(super) links: &'a [u32],
    /// The file it is in, where it is verified as it is read.
    pub(super) file: Option<(&'a Sealed, &'a Sections)>,
}

/// Where the parts of a level stand in the file, in bytes.
#[derive(Debug)]
pub(super) struct Sections {
    /// `None` on level 0.
    pub(super) rows: Option<Range<usize>>,
    pub(super) offsets: Range<usize>,
    pub(super) links: Range<usize>,
}

impl<'a> LevelRef<'a> {
    /// The links of a row: none when it is not on this level.
    #[inline]
    pub(super) fn links_of(&self, row: u32) -> &'a [u32] {
        let place = match self.rows {
            None => row as usize,
            Some(rows) => match rows.binary_search(&row) {
                Ok(place) => place,
                Err(_) => return &[],
            },
        };
        self.links_at(place)
    }

    /// As [`LevelRef::links_of`], of the row at a place of this level.
    #[inline]
    fn links_at(&self, place: usize) -> &'a [u32] {
        if let Some((file, sections)) = self.file {
            let start = sections.offsets.start + 8 * place;
            file.touch(start..start + 16);
        }
        let (start, end) = (self.offsets[place] as usize, self.offsets[place + 1] as usize);
        // Offsets that make no sense lead to no links; [`super::Graph::verify`] names them.
        let links = self.links.get(start..end).unwrap_or_default();
        if let Some((file, sections)) = self.file
            && !links.is_empty()
        {
            file.touch(sections.links.start + 4 * start..sections.links.start + 4 * end);
        }
        links
    }
}
