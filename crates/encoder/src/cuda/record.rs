//! Results that the kernels have computed, as nodes of the tensor library's graph.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use super::launch::{Arg, Fresh, Gpu, Grid, NOWHERE, ROWS, at};
use crate::gradients::put_aside;
use crate::pass::Dropout;

struct Recorded<B> {
    name: &'static str,
    result: Mutex<Option<(CudaStorage, Shape)>>,
    backward: B,
}

/// Notes that `result` was computed from `argument`, and how to get the argument's gradient from that of the result:
/// none when `backward` puts everything aside. Nothing is noted, and what `backward` holds is freed, when no gradient
/// is asked for.
pub(super) fn record<B>(argument: &Tensor, name: &'static str, result: Fresh, backward: B) -> Result<Tensor>
where
    B: Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync + 'static,
{
    if !argument.track_op() {
        return Ok(result.tensor());
    }
    argument.apply_op1(Recorded {
        name,
        result: Mutex::new(Some(result.into_parts())),
        backward,
    })
}

impl<B: Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync> CustomOp1 for Recorded<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{} was computed on a GPU", self.name)
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(result) = result.take() else {
            bail!("{} has given its result away", self.name)
        };
        Ok(result)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        (self.backward)(&grad.contiguous()?)
    }
}

/// The place of a variable's gradient, f32, and whether to add to it.
pub(super) type Aside = (Tensor, bool);

/// Where the gradient of a variable goes; it has no values yet unless it is to be added to.
pub(super) fn aside(gpu: &Gpu, variable: &Tensor) -> Result<Aside> {
    put_aside(variable, || gpu.empty(variable.shape(), DType::F32))
}

/// As [`aside`], with zeros where it has no values yet.
pub(super) fn aside_zeros(gpu: &Gpu, variable: &Tensor) -> Result<Tensor> {
    Ok(put_aside(variable, || gpu.zeros(variable.shape()))?.0)
}

/// Three arguments of a kernel: limit, seed and scale of a dropout.
pub(super) fn drop_args(dropout: Option<Dropout>) -> [Arg; 3] {
    match dropout {
        Some(dropout) => [
            Arg::Word(dropout.limit()),
            Arg::Word(dropout.seed),
            Arg::Real(1.0 / (1.0 - dropout.p)),
        ],
        None => [Arg::Word(0), Arg::Word(0), Arg::Real(1.0)],
    }
}

/// Adds up partial sums (blocks, outputs × width): up to three outputs, each of as many values as it has, at most
/// `width`, or left out. Those that are there have the same length.
pub(super) fn finish_sums(gpu: &Gpu, sums: &Tensor, width: usize, outputs: &[Option<Aside>]) -> Result<()> {
    let mut places = [NOWHERE; 3];
    let mut adds = [Arg::Int(0); 3];
    let mut kept = width;
    for (slot, output) in outputs.iter().enumerate() {
        if let Some((tensor, add)) = output {
            places[slot] = at(tensor)?;
            kept = kept.min(tensor.elem_count());
            adds[slot] = Arg::Int(i32::from(*add));
        }
    }
    let count = outputs.len();
    let grid = Grid::columns((width * count).div_ceil(32), 1);
    let mut args = vec![
        at(sums)?,
        Arg::Int(sums.dim(0)? as i32),
        Arg::Int(width as i32),
        Arg::Int(kept as i32),
        Arg::Int(count as i32),
    ];
    args.extend(places);
    args.extend(adds);
    gpu.launch(&ROWS, "finish_sums", grid, &args)
}
