//! Cross-entropy over many classes in one pass, and with the decoder of a language model before it.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, bail};

use super::dense::{as_type, bias_gradient, lanes, weight_gradient};
use super::launch::{Arg, Fresh, Gpu, Grid, LOSS, NOWHERE, Sizes, at, suffix};
use super::record::record;

/// Logits whose rows may be longer than the classes.
#[derive(Clone)]
struct Logits {
    values: Tensor,
    bias: Option<Tensor>,
    targets: Tensor,
    rows: usize,
    classes: usize,
    stride: usize,
}

impl Logits {
    fn kernel(&self, name: &str) -> Result<String> {
        Ok(format!(
            "{name}_{}_{}",
            suffix(self.values.dtype())?,
            lanes(self.stride)
        ))
    }

    fn args(&self) -> Result<Vec<Arg>> {
        Ok(vec![
            at(&self.values)?,
            Arg::Int(self.stride as i32),
            self.bias.as_ref().map_or(Ok(NOWHERE), at)?,
            at(&self.targets)?,
        ])
    }

    /// The mean loss, a scalar, and the logarithm of the sum of exponentials of each row.
    fn loss(&self, gpu: &Gpu) -> Result<(Fresh, Tensor)> {
        let totals = gpu.empty(self.rows, DType::F32)?;
        let losses = gpu.empty(self.rows, DType::F32)?;
        let mut args = self.args()?;
        args.extend([at(&totals)?, at(&losses)?, Arg::Int(self.classes as i32)]);
        gpu.launch(&LOSS, &self.kernel("entropy")?, Grid::of(self.rows), &args)?;
        let mean = gpu.fresh((), DType::F32)?;
        let args = [at(&losses)?, mean.at()?, Arg::Int(self.rows as i32)];
        gpu.launch(&LOSS, "mean_all", Grid::of(1), &args)?;
        Ok((mean, totals))
    }

    /// The gradient of the logits, to `out`, which may be the logits.
    fn gradient(&self, gpu: &Gpu, totals: &Tensor, grad: &Tensor, out: &Tensor) -> Result<()> {
        let mut args = self.args()?;
        args.extend([at(totals)?, at(grad)?, at(out)?, Arg::Int(self.classes as i32)]);
        gpu.launch(&LOSS, &self.kernel("entropy_back")?, Grid::of(self.rows), &args)
    }
}

/// Mean of `-log softmax(logits)[target]`: logits (rows, classes) f32 or bf16, targets (rows) u32, each below the
/// number of classes; a scalar, f32.
///
/// # Errors
/// When the shapes do not fit or the GPU refuses.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let gpu = Gpu::of(logits)?;
    let values = logits.contiguous()?;
    let (rows, classes) = values.dims2()?;
    check(rows, targets)?;
    let held = Logits {
        values: values.detach(),
        bias: None,
        targets: targets.contiguous()?,
        rows,
        classes,
        stride: classes,
    };
    let (loss, totals) = held.loss(&gpu)?;
    record(&values, "cross-entropy", loss, move |grad| {
        let out = gpu.empty((rows, classes), held.values.dtype())?;
        held.gradient(&gpu, &totals, grad, &out)?;
        Ok(Some(out))
    })
}

fn check(rows: usize, targets: &Tensor) -> Result<()> {
    if targets.dims() != [rows] || targets.dtype() != DType::U32 || rows == 0 {
        bail!(
            "{rows} rows of logits and targets {:?} {:?}",
            targets.dtype(),
            targets.dims()
        )
    }
    Ok(())
}

/// Cross-entropy of `x weightᵀ + bias`: x (rows, width), weight (classes, width) and bias (classes) f32. The
/// logits are kept once and become their own gradient.
pub(crate) fn decode_loss(x: &Tensor, weight: &Tensor, bias: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let gpu = Gpu::of(x)?;
    let x = x.contiguous()?;
    let (rows, input) = x.dims2()?;
    check(rows, targets)?;
    let classes = weight.dim(0)?;
    let sizes = Sizes {
        rows,
        out: classes,
        input,
        // Rows that begin at multiples of 16 bytes keep the products fast.
        stride: classes.next_multiple_of(8),
    };
    let cast = as_type(&gpu, weight, x.dtype())?;
    let held = Logits {
        values: gpu.product(sizes, &x.detach(), &cast)?,
        bias: Some(bias.detach()),
        targets: targets.contiguous()?,
        rows,
        classes,
        stride: sizes.stride,
    };
    let (loss, totals) = held.loss(&gpu)?;
    let (inputs, weight, bias) = (x.detach(), weight.clone(), bias.clone());
    // A decoder may be trained above an encoder that is not.
    let wanted = x.track_op();
    let tracked = if wanted { x } else { weight.clone() };
    let held = Mutex::new(Some(held));
    record(&tracked, "decode-loss", loss, move |grad| {
        let Some(held) = held.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("the logits were used up by an earlier backward pass")
        };
        let dlogits = &held.values;
        held.gradient(&gpu, &totals, grad, dlogits)?;
        bias_gradient(&gpu, dlogits, None, &bias)?;
        weight_gradient(&gpu, sizes, dlogits, &inputs, &weight)?;
        if !wanted {
            return Ok(None);
        }
        let dx = gpu.empty((rows, input), inputs.dtype())?;
        gpu.input_gradient(sizes, dlogits, &cast, &dx, false)?;
        Ok(Some(dx))
    })
}
