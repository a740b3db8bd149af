//! Moving rows: embedding lookup, rows with and without padding, the mean of each text, dropout.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::fused::{PIECE, held, tensor, values};
use super::norm::drop_row;
use super::simd::{dispatched, each};
use crate::pass::Dropout;

/// Stands for a row of zeros in [`Take`].
pub(crate) const NO_ROW: u32 = u32::MAX;

/// Row `i` of the result is row `rows[i]` of x, or zeros for [`NO_ROW`].
pub(super) struct Take {
    pub(super) rows: Vec<u32>,
}

impl CustomOp1 for Take {
    fn name(&self) -> &'static str {
        "take-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, width) = layout.shape().dims2()?;
        let x = values(x, layout)?;
        let mut out = vec![0f32; self.rows.len() * width];
        for (out, &row) in out.chunks_exact_mut(width).zip(&self.rows) {
            if row != NO_ROW {
                check_row(row, count)?;
                out.copy_from_slice(&x[row as usize * width..][..width]);
            }
        }
        Ok((CpuStorage::F32(out), (self.rows.len(), width).into()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let mut out = vec![0f32; x.elem_count()];
        scatter_rows(held(&storage, layout)?, &self.rows, &mut out, x.dim(1)?);
        Ok(Some(tensor(out, x.dims())?))
    }
}

fn check_row(row: u32, count: usize) -> Result<()> {
    if row as usize >= count {
        candle_core::bail!("row {row} of {count}");
    }
    Ok(())
}

dispatched! {
    /// Adds row `i` of x to row `rows[i]` of out.
    fn scatter_rows(x: &'a [f32], rows: &'a [u32], out: &'a mut [f32], width: usize) {
        for (x, &row) in x.chunks_exact(width).zip(rows) {
            if row != NO_ROW {
                for (out, &x) in out[row as usize * width..][..width].iter_mut().zip(x) {
                    *out += x;
                }
            }
        }
    }

    fn drop_values(x: &'a [f32], first: u32, dropout: Dropout, out: &'a mut [f32]) {
        drop_row(x, first, dropout, out);
    }

    /// Sum of three rows.
    fn add_three(a: &'a [f32], b: &'a [f32], c: &'a [f32], out: &'a mut [f32]) {
        for (((out, &a), &b), &c) in out.iter_mut().zip(a).zip(b).zip(c) {
            *out = a + b + c;
        }
    }

    /// The mean of the rows of x.
    fn mean_row(x: &'a [f32], out: &'a mut [f32]) {
        let count = (x.len() / out.len()) as f32;
        for x in x.chunks_exact(out.len()) {
            for (out, &x) in out.iter_mut().zip(x) {
                *out += x;
            }
        }
        each!(out in out.iter_mut() => *out /= count);
    }
}

/// Sum of token, position and segment embeddings; the three tables are the arguments.
pub(super) struct Embed {
    pub(super) ids: [Vec<u32>; 3],
}

impl CustomOp3 for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(
        &self,
        word: &CpuStorage,
        word_layout: &Layout,
        position: &CpuStorage,
        position_layout: &Layout,
        segment: &CpuStorage,
        segment_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = word_layout.shape().dims2()?;
        let tables = [
            values(word, word_layout)?,
            values(position, position_layout)?,
            values(segment, segment_layout)?,
        ];
        for (ids, table) in self.ids.iter().zip(tables) {
            ids.iter()
                .try_for_each(|&id| check_row(id, table.len() / width))?;
        }
        let count = self.ids[0].len();
        let mut out = vec![0f32; count * width];
        out.par_chunks_mut(PIECE * width)
            .enumerate()
            .for_each(|(piece, out)| {
                for (at, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = |what: usize| {
                        &tables[what][self.ids[what][piece * PIECE + at] as usize * width..][..width]
                    };
                    add_three(row(0), row(1), row(2), out);
                }
            });
        Ok((CpuStorage::F32(out), (count, width).into()))
    }

    fn bwd(
        &self,
        word: &Tensor,
        position: &Tensor,
        segment: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let grads = held(&storage, layout)?;
        let scatter = |ids: &[u32], table: &Tensor| {
            let mut out = vec![0f32; table.elem_count()];
            scatter_rows(grads, ids, &mut out, layout.dims()[1]);
            tensor(out, table.dims()).map(Some)
        };
        let [words, positions, segments] = &self.ids;
        let (word, rest) = rayon::join(
            || scatter(words, word),
            || (scatter(positions, position), scatter(segments, segment)),
        );
        Ok((word?, rest.0?, rest.1?))
    }
}

/// Mean of the rows of each text, which lie back to back.
pub(super) struct MeanRows {
    pub(super) lengths: Arc<[usize]>,
}

impl CustomOp1 for MeanRows {
    fn name(&self) -> &'static str {
        "mean-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, width) = layout.shape().dims2()?;
        check_lengths(&self.lengths, count)?;
        let mut rest = values(x, layout)?;
        let mut out = vec![0f32; self.lengths.len() * width];
        for (out, &length) in out.chunks_exact_mut(width).zip(self.lengths.iter()) {
            let (text, after) = rest.split_at(length * width);
            mean_row(text, out);
            rest = after;
        }
        Ok((CpuStorage::F32(out), (self.lengths.len(), width).into()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let mut out = Vec::with_capacity(x.elem_count());
        for (grad, &length) in held(&storage, layout)?
            .chunks_exact(layout.dims()[1])
            .zip(self.lengths.iter())
        {
            for _ in 0..length {
                out.extend(grad.iter().map(|grad| grad / length as f32));
            }
        }
        Ok(Some(tensor(out, x.dims())?))
    }
}

/// The lengths must cover all rows.
pub(super) fn check_lengths(lengths: &[usize], rows: usize) -> Result<()> {
    let sum: usize = lengths.iter().sum();
    if sum != rows || lengths.contains(&0) {
        candle_core::bail!("texts of {sum} rows in a matrix of {rows}");
    }
    Ok(())
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = dropped(values(x, layout)?, *self);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        Ok(Some(tensor(
            dropped(held(&storage, layout)?, *self),
            layout.dims(),
        )?))
    }
}

fn dropped(x: &[f32], dropout: Dropout) -> Vec<f32> {
    const VALUES: usize = 1 << 14;
    let mut out = vec![0f32; x.len()];
    let pieces = out.par_chunks_mut(VALUES).zip(x.par_chunks(VALUES)).enumerate();
    pieces.for_each(|(at, (out, x))| drop_values(x, (at * VALUES) as u32, dropout, out));
    out
}
