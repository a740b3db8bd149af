//! Texts without padding as the kernels see them.

use candle_core::{Result, Tensor};

use crate::Batch;

/// Queries or keys that one block of the attention takes.
const TILE: usize = 64;

/// Where the texts of a batch begin, their tokens, and the tiles that the attention cuts them into: one upload.
#[derive(Debug, Clone)]
pub struct Texts {
    lengths: Vec<usize>,
    rows: usize,
    /// Token, position and segment of every row, one after the other, (3 rows) u32.
    ids: Tensor,
    /// First row of each text, and the end, (texts + 1) u32.
    starts: Tensor,
    /// Text and number of each tile, (2 tiles) u32.
    tiles: Tensor,
}

impl Texts {
    pub(crate) fn new(batch: &Batch) -> Result<Self> {
        let (mut all, positions, types) = batch.packed();
        let rows = all.len();
        all.extend(positions);
        all.extend(types);
        let lengths = batch.lengths();
        all.push(0);
        all.extend(lengths.iter().scan(0, |sum, &length| {
            *sum += length as u32;
            Some(*sum)
        }));
        let before = all.len();
        for (text, length) in lengths.iter().enumerate() {
            all.extend((0..length.div_ceil(TILE) as u32).flat_map(|tile| [text as u32, tile]));
        }
        let after = all.len();
        let all = Tensor::from_vec(all, after, batch.device())?;
        Ok(Self {
            rows,
            ids: all.narrow(0, 0, 3 * rows)?,
            starts: all.narrow(0, 3 * rows, lengths.len() + 1)?,
            tiles: all.narrow(0, before, after - before)?,
            lengths,
        })
    }

    /// Tokens of each text.
    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn ids(&self) -> &Tensor {
        &self.ids
    }

    pub(super) fn starts(&self) -> &Tensor {
        &self.starts
    }

    pub(super) fn tiles(&self) -> &Tensor {
        &self.tiles
    }

    pub(super) fn tile_count(&self) -> usize {
        self.tiles.elem_count() / 2
    }
}
