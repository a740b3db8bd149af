//! Layer norm, alone or over `residual + dropout(x + bias)`.

use candle_core::{DType, Result, Tensor, bail};

use super::launch::{Arg, Fresh, Gpu, Grid, NOWHERE, ROWS, at, suffix};
use super::record::{Aside, aside, drop_args, finish_sums, record};
use crate::pass::Dropout;

/// Widest row that a warp holds in registers.
pub(super) const WIDTH_MAX: usize = 1024;

/// Blocks whose sums over rows are added up in the end: two for each multiprocessor of the largest GPUs.
const BLOCKS_MAX: usize = 264;

/// Name of a kernel that takes a row of this width in one warp.
pub(super) fn row_kernel(name: &str, dtype: DType, width: usize) -> Result<String> {
    if !width.is_multiple_of(8) || width > WIDTH_MAX {
        bail!("rows of {width} values on a GPU, accepted: multiples of 8 up to {WIDTH_MAX}")
    }
    Ok(format!("{name}_{}_{}", suffix(dtype)?, width.div_ceil(256)))
}

/// Blocks of eight rows for a kernel that sums over rows.
pub(super) fn sum_blocks(rows: usize) -> usize {
    rows.div_ceil(8).clamp(1, BLOCKS_MAX)
}

/// The other arguments of a norm: x and the residual are (rows, width), all vectors f32.
pub(super) struct Norm<'a> {
    pub(super) bias: Option<&'a Tensor>,
    pub(super) residual: Option<&'a Tensor>,
    pub(super) weight: &'a Tensor,
    pub(super) shift: &'a Tensor,
    pub(super) eps: f64,
    pub(super) dropout: Option<Dropout>,
}

/// What the backward pass needs: the normed sum before the norm, and mean and scale of each row.
pub(super) struct Summed {
    pub(super) sum: Tensor,
    pub(super) statistics: Tensor,
}

impl Norm<'_> {
    /// The normed rows. With `keep`, x is overwritten by the sum before the norm, unless x is that sum already.
    pub(super) fn forward(&self, gpu: &Gpu, x: &Tensor, keep: bool) -> Result<(Fresh, Option<Summed>)> {
        let (rows, width) = x.dims2()?;
        let y = gpu.fresh((rows, width), x.dtype())?;
        let statistics = keep.then(|| gpu.empty((rows, 2), DType::F32)).transpose()?;
        let maybe = |tensor: Option<&Tensor>| tensor.map_or(Ok(NOWHERE), at);
        let changes = self.bias.is_some() || self.residual.is_some() || self.dropout.is_some();
        let mut args = vec![
            at(x)?,
            maybe(self.bias)?,
            maybe(self.residual)?,
            at(self.weight)?,
            at(self.shift)?,
            if keep && changes { at(x)? } else { NOWHERE },
            y.at()?,
            maybe(statistics.as_ref())?,
            Arg::Int(rows as i32),
            Arg::Int(width as i32),
            Arg::Real(self.eps as f32),
        ];
        args.extend(drop_args(self.dropout));
        let kernel = row_kernel("norm", x.dtype(), width)?;
        gpu.launch(&ROWS, &kernel, Grid::of(rows.div_ceil(8)), &args)?;
        let summed = statistics.map(|statistics| Summed {
            sum: x.clone(),
            statistics,
        });
        Ok((y, summed))
    }

    /// Gradients of the residual and of x, the same where nothing is dropped. Those of weight, shift and, if it is
    /// asked for, bias go to `sums`.
    pub(super) fn backward(
        gpu: &Gpu,
        dy: &Tensor,
        summed: &Summed,
        weight: &Tensor,
        dropout: Option<Dropout>,
        sums: [Option<Aside>; 3],
    ) -> Result<(Tensor, Tensor)> {
        let (rows, width) = dy.dims2()?;
        let dresidual = gpu.empty((rows, width), dy.dtype())?;
        let dx = match dropout {
            Some(_) => gpu.empty((rows, width), dy.dtype())?,
            None => dresidual.clone(),
        };
        let blocks = sum_blocks(rows);
        let partial = gpu.empty((blocks, 3 * width), DType::F32)?;
        let mut args = vec![
            at(dy)?,
            at(&summed.sum)?,
            at(&summed.statistics)?,
            at(weight)?,
            at(&dresidual)?,
            at(&dx)?,
            at(&partial)?,
            Arg::Int(rows as i32),
            Arg::Int(width as i32),
        ];
        args.extend(drop_args(dropout));
        let kernel = row_kernel("norm_back", dy.dtype(), width)?;
        gpu.launch(&ROWS, &kernel, Grid::of(blocks), &args)?;
        finish_sums(gpu, &partial, width, &sums)?;
        Ok((dresidual, dx))
    }
}

/// See [`crate::ops::norm`]: x (rows, width), weight and bias f32.
pub(crate) fn norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let gpu = Gpu::of(x)?;
    let x = x.contiguous()?;
    let norm = Norm {
        bias: None,
        residual: None,
        weight,
        shift: bias,
        eps,
        dropout: None,
    };
    let (y, summed) = norm.forward(&gpu, &x, x.track_op())?;
    let (weight, bias) = (weight.clone(), bias.clone());
    record(&x, "norm", y, move |dy| {
        let Some(summed) = &summed else { return Ok(None) };
        let sums = [Some(aside(&gpu, &weight)?), Some(aside(&gpu, &bias)?), None];
        Ok(Some(Norm::backward(&gpu, dy, summed, &weight, None, sums)?.0))
    })
}
