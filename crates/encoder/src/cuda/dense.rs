//! Dense layers of heads, and dropout.

use candle_core::{DType, Result, Tensor};

use super::launch::{Arg, DENSE, Gpu, Grid, NOWHERE, Sizes, at, suffix};
use super::record::{aside, drop_args, finish_sums, record};
use crate::Activation;
use crate::pass::Dropout;

/// Blocks of rows whose sums are added up in the end.
const SUM_BLOCKS: usize = 32;

/// How many values a thread takes at a time in rows of this width.
pub(super) fn lanes(width: usize) -> usize {
    if width.is_multiple_of(8) { 8 } else { 1 }
}

fn number(act: Option<Activation>) -> Arg {
    Arg::Int(match act {
        None => 0,
        Some(Activation::Gelu) => 1,
        Some(Activation::GeluTanh) => 2,
        Some(Activation::Relu) => 3,
    })
}

/// Writes `act(x + bias)` to out, which may be x.
pub(super) fn add_bias(
    gpu: &Gpu,
    x: &Tensor,
    bias: &Tensor,
    act: Option<Activation>,
    out: Arg,
) -> Result<()> {
    let (rows, width) = x.dims2()?;
    let lanes = lanes(width);
    let args = [
        at(x)?,
        at(bias)?,
        out,
        Arg::Int(rows as i32),
        Arg::Int(width as i32),
        number(act),
    ];
    let kernel = format!("bias_{}_{lanes}", suffix(x.dtype())?);
    gpu.launch(&DENSE, &kernel, Grid::over(rows * width / lanes), &args)
}

/// What an activation was applied to, without the bias, and where the gradient before it goes, which may be where that
/// after it is.
pub(super) struct Before<'a> {
    pub(super) product: &'a Tensor,
    pub(super) act: Activation,
    pub(super) gradient: &'a Tensor,
}

/// Takes dy back through the activation if there is one, and sums the columns up as the gradient of bias.
pub(super) fn bias_gradient(gpu: &Gpu, dy: &Tensor, before: Option<Before<'_>>, bias: &Tensor) -> Result<()> {
    let (rows, width) = dy.dims2()?;
    let lanes = lanes(width);
    let blocks = rows.div_ceil(8).clamp(1, SUM_BLOCKS);
    let sums = gpu.empty((blocks, width), DType::F32)?;
    let args = [
        at(dy)?,
        before.as_ref().map_or(Ok(NOWHERE), |before| at(before.product))?,
        at(bias)?,
        before
            .as_ref()
            .map_or(Ok(NOWHERE), |before| at(before.gradient))?,
        at(&sums)?,
        Arg::Int(rows as i32),
        Arg::Int(width as i32),
        number(before.map(|before| before.act)),
    ];
    let kernel = format!("bias_back_{}_{lanes}", suffix(dy.dtype())?);
    gpu.launch(
        &DENSE,
        &kernel,
        Grid::columns(width.div_ceil(32 * lanes), blocks),
        &args,
    )?;
    finish_sums(gpu, &sums, width, &[Some(aside(gpu, bias)?)])
}

/// A weight (f32) in the type of the activations that it meets.
pub(super) fn as_type(gpu: &Gpu, weight: &Tensor, dtype: DType) -> Result<Tensor> {
    if dtype == DType::F32 {
        return Ok(weight.detach());
    }
    let out = gpu.empty(weight.shape(), dtype)?;
    let count = weight.elem_count();
    let args = [at(weight)?, at(&out)?, Arg::Count(count as u64)];
    gpu.launch(&DENSE, "round_weights", Grid::over(count.div_ceil(8)), &args)?;
    Ok(out)
}

/// Puts aside `dweight = dyᵀ x`.
pub(super) fn weight_gradient(
    gpu: &Gpu,
    sizes: Sizes,
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
) -> Result<()> {
    let (place, add) = aside(gpu, weight)?;
    gpu.weight_gradient(sizes, dy, x, &place, add)
}

/// See [`crate::ops::linear()`], with its activation if any: x (rows, in), weight (out, in) and bias (out) f32.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, act: Option<Activation>) -> Result<Tensor> {
    let gpu = Gpu::of(x)?;
    let x = x.contiguous()?;
    let (rows, input) = x.dims2()?;
    let out = weight.dim(0)?;
    let sizes = Sizes {
        rows,
        out,
        input,
        stride: out,
    };
    let cast = as_type(&gpu, weight, x.dtype())?;
    let product = gpu.product(sizes, &x.detach(), &cast)?;
    let y = gpu.fresh((rows, out), x.dtype())?;
    add_bias(&gpu, &product, bias, act, y.at()?)?;
    let tracked = if x.track_op() { &x } else { weight };
    let (wanted, held, weight, bias) = (x.track_op(), x.detach(), weight.clone(), bias.clone());
    // Only an activation looks at the product again.
    let product = act.map(|act| (product, act));
    record(tracked, "linear", y, move |dy| {
        let gradient = match product {
            Some(_) => gpu.empty((rows, out), dy.dtype())?,
            None => dy.clone(),
        };
        let before = product.as_ref().map(|(product, act)| Before {
            product,
            act: *act,
            gradient: &gradient,
        });
        bias_gradient(&gpu, dy, before, &bias)?;
        weight_gradient(&gpu, sizes, &gradient, &held, &weight)?;
        if !wanted {
            return Ok(None);
        }
        let dx = gpu.empty((rows, input), dy.dtype())?;
        gpu.input_gradient(sizes, &gradient, &cast, &dx, false)?;
        Ok(Some(dx))
    })
}

/// See [`crate::ops::dropout`].
pub(crate) fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    let gpu = Gpu::of(x)?;
    let x = x.contiguous()?;
    let run = move |gpu: &Gpu, x: &Tensor, out: Arg| {
        let count = x.elem_count();
        let mut args = vec![at(x)?, out, Arg::Count(count as u64)];
        args.extend(drop_args(Some(dropout)));
        let kernel = format!("drop_{}", suffix(x.dtype())?);
        gpu.launch(&DENSE, &kernel, Grid::over(count), &args)
    };
    let y = gpu.fresh(x.shape(), x.dtype())?;
    run(&gpu, &x, y.at()?)?;
    record(&x, "dropout", y, move |dy| {
        let dx = gpu.empty(dy.shape(), dy.dtype())?;
        run(&gpu, dy, at(&dx)?)?;
        Ok(Some(dx))
    })
}
