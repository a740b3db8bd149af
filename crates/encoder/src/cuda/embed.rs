//! Embeddings with their norm and dropout.

use candle_core::{DType, Result, Tensor};

use super::launch::{Arg, Gpu, Grid, ROWS, at};
use super::norm::{row_kernel, sum_blocks};
use super::record::{aside, aside_zeros, drop_args, finish_sums, record};
use super::stack::Affine;
use super::texts::Texts;
use crate::pass::Dropout;

/// `dropout(norm(word + position + segment))`: tables (ids, width) f32 to (rows, width) of type `dtype`.
pub(crate) fn embed(
    tables: [Tensor; 3],
    texts: &Texts,
    norm: Affine,
    eps: f64,
    dropout: Option<Dropout>,
    dtype: DType,
) -> Result<Tensor> {
    let gpu = Gpu::of(&tables[0])?;
    let (rows, width) = (texts.rows(), tables[0].dim(1)?);
    let y = gpu.fresh((rows, width), dtype)?;
    let ids = texts.ids().clone();
    let mut args = places(&tables)?;
    args.extend([at(&ids)?, at(&norm.weight)?, at(&norm.bias)?, y.at()?]);
    args.extend(sizes(rows, width, eps, dropout));
    let kernel = row_kernel("embed", dtype, width)?;
    gpu.launch(&ROWS, &kernel, Grid::of(rows.div_ceil(8)), &args)?;
    let word = tables[0].clone();
    record(&word, "embed", y, move |dy| {
        let blocks = sum_blocks(rows);
        let sums = gpu.empty((blocks, 3 * width), DType::F32)?;
        let mut gradients = Vec::with_capacity(3);
        for table in &tables {
            gradients.push(aside_zeros(&gpu, table)?);
        }
        let mut args = places(&tables)?;
        args.extend([at(&ids)?, at(&norm.weight)?, at(dy)?]);
        for gradient in &gradients {
            args.push(at(gradient)?);
        }
        args.push(at(&sums)?);
        args.extend(sizes(rows, width, eps, dropout));
        let kernel = row_kernel("embed_back", dy.dtype(), width)?;
        gpu.launch(&ROWS, &kernel, Grid::of(blocks), &args)?;
        // The third sum is that of segment 0, the first row of its table.
        let outputs = [
            Some(aside(&gpu, &norm.weight)?),
            Some(aside(&gpu, &norm.bias)?),
            Some((gradients[2].clone(), true)),
        ];
        finish_sums(&gpu, &sums, width, &outputs)?;
        Ok(None)
    })
}

fn places(tensors: &[Tensor; 3]) -> Result<Vec<Arg>> {
    tensors.iter().map(at).collect()
}

fn sizes(rows: usize, width: usize, eps: f64, dropout: Option<Dropout>) -> Vec<Arg> {
    let mut args = vec![
        Arg::Int(rows as i32),
        Arg::Int(width as i32),
        Arg::Real(eps as f32),
    ];
    args.extend(drop_args(dropout));
    args
}
