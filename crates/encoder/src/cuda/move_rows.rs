//! Choosing rows, and the mean row of each text.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor, bail};

use super::launch::{Arg, Gpu, Grid, ROWS, at, suffix};
use super::record::record;
use super::texts::Texts;
use crate::ops::NO_ROW;

/// Row `i` of the result is row `rows[i]` of x, or zeros for [`NO_ROW`]; no row may be taken twice. The result is of
/// type `dtype`.
pub(crate) fn take_rows(x: &Tensor, rows: Vec<u32>, dtype: DType) -> Result<Tensor> {
    let gpu = Gpu::of(x)?;
    let x = x.contiguous()?;
    let (count, width) = x.dims2()?;
    // The gradient of a row is that of where it went.
    let mut back = vec![NO_ROW; count];
    for (to, &from) in rows.iter().enumerate().filter(|(_, from)| **from != NO_ROW) {
        match back.get_mut(from as usize) {
            None => bail!("row {from} of {count}"),
            Some(place) if *place == NO_ROW => *place = to as u32,
            Some(_) => bail!("row {from} is taken twice"),
        }
    }
    let taken = rows.len();
    let y = gpu.fresh((taken, width), dtype)?;
    let rows = Tensor::from_vec(rows, taken, x.device())?;
    take(&gpu, &x, &rows, y.at()?, dtype)?;
    let before = x.dtype();
    record(&x, "take-rows", y, move |dy| {
        let back = Tensor::new(back.as_slice(), dy.device())?;
        let dx = gpu.empty((count, width), before)?;
        take(&gpu, dy, &back, at(&dx)?, before)?;
        Ok(Some(dx))
    })
}

fn take(gpu: &Gpu, x: &Tensor, rows: &Tensor, out: Arg, dtype: DType) -> Result<()> {
    let (count, width) = (rows.dim(0)?, x.dim(1)?);
    let lanes = super::dense::lanes(width);
    let args = [
        at(x)?,
        at(rows)?,
        out,
        Arg::Int(count as i32),
        Arg::Int(width as i32),
    ];
    let kernel = format!("take_{}_{}_{lanes}", suffix(x.dtype())?, suffix(dtype)?);
    gpu.launch(&ROWS, &kernel, Grid::over(count * width / lanes), &args)
}

/// The mean row of each text: x (rows, width) to (texts, width), f32.
pub(crate) fn mean_rows(x: &Tensor, texts: &Arc<Texts>) -> Result<Tensor> {
    let gpu = Gpu::of(x)?;
    let x = x.contiguous()?;
    let (rows, width) = x.dims2()?;
    let count = texts.lengths().len();
    let y = gpu.fresh((count, width), DType::F32)?;
    let grid = Grid::columns(count, width.div_ceil(256));
    let args = [at(&x)?, at(texts.starts())?, y.at()?, Arg::Int(width as i32)];
    gpu.launch(&ROWS, &format!("mean_{}", suffix(x.dtype())?), grid, &args)?;
    let (texts, dtype) = (texts.clone(), x.dtype());
    record(&x, "mean-rows", y, move |dy| {
        let dx = gpu.empty((rows, width), dtype)?;
        let args = [at(dy)?, at(texts.starts())?, at(&dx)?, Arg::Int(width as i32)];
        gpu.launch(&ROWS, &format!("mean_back_{}", suffix(dtype)?), grid, &args)?;
        Ok(Some(dx))
    })
}
