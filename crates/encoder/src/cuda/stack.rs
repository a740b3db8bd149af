//! Transformer layers as one operation (Devlin et al. 2018, section 3; Vaswani et al. 2017, section 3.1).
//!
//! A layer is attention, a norm of its residual, two dense layers with an activation between them, and a norm of that
//! residual. What the backward pass needs is kept, or computed again from the layer's input.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::dense::{Before, add_bias, as_type, bias_gradient, weight_gradient};
use super::launch::{ATTENTION, Arg, Fresh, Gpu, Grid, Sizes, at, suffix};
use super::norm::{Norm, Summed};
use super::record::{aside, drop_args, record};
use super::texts::Texts;
use crate::Activation;
use crate::ops::Heads;
use crate::pass::Dropout;

/// Weight and bias of a dense layer or a norm, f32.
#[derive(Clone)]
pub(crate) struct Affine {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

/// The weights of a layer.
#[derive(Clone)]
pub(crate) struct LayerWeights {
    pub(crate) qkv: Affine,
    pub(crate) attention: Affine,
    pub(crate) attention_norm: Affine,
    pub(crate) intermediate: Affine,
    pub(crate) output: Affine,
    pub(crate) output_norm: Affine,
    pub(crate) drops: Drops,
}

/// What a layer drops: attention weights, and what is added to the two residuals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drops {
    pub(crate) weights: Option<Dropout>,
    pub(crate) attended: Option<Dropout>,
    pub(crate) output: Option<Dropout>,
}

/// What all layers share.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) texts: Arc<Texts>,
    pub(crate) heads: Heads,
    pub(crate) act: Activation,
    pub(crate) eps: f64,
    /// Whether activations are computed again in the backward pass.
    pub(crate) recompute: bool,
}

/// The weights of a layer's products in the type of the activations.
struct Cast {
    qkv: Tensor,
    attention: Tensor,
    intermediate: Tensor,
    output: Tensor,
}

/// What the backward pass of a layer looks at.
struct Kept {
    qkv: Tensor,
    context: Tensor,
    /// Logarithm of the sum of exponentials of each row of scores, (heads, rows).
    totals: Tensor,
    attended: Summed,
    /// The input of the dense layers.
    middle: Tensor,
    /// Before the activation and its bias, and after it.
    wide: Tensor,
    activated: Tensor,
    output: Summed,
}

/// A layer that has run.
struct Ran {
    input: Tensor,
    cast: Cast,
    kept: Option<Kept>,
}

impl Stack {
    /// Runs x (rows, hidden) through the layers; without a layer it is x.
    pub(crate) fn forward(self, x: &Tensor, layers: Vec<LayerWeights>) -> Result<Tensor> {
        let gpu = Gpu::of(x)?;
        let trained = x.track_op();
        let mut input = x.detach();
        let mut ran = Vec::with_capacity(layers.len());
        let mut result = None;
        for (at, weights) in layers.iter().enumerate() {
            let cast = Cast::new(&gpu, weights, x.dtype())?;
            let (y, kept) = self.layer(&gpu, weights, &cast, &input, trained && !self.recompute)?;
            let next = if at + 1 < layers.len() {
                Some(y.tensor())
            } else {
                result.replace(y);
                None
            };
            if trained {
                ran.push(Ran { input, cast, kept });
            }
            let Some(next) = next else { break };
            input = next;
        }
        let Some(result) = result else {
            return Ok(x.clone());
        };
        record(x, "transformer", result, move |dy| {
            let mut dy = dy.clone();
            for (weights, ran) in layers.iter().zip(&ran).rev() {
                dy = self.layer_back(&gpu, weights, ran, &dy)?;
            }
            Ok(Some(dy))
        })
    }

    fn layer(
        &self,
        gpu: &Gpu,
        w: &LayerWeights,
        cast: &Cast,
        x: &Tensor,
        keep: bool,
    ) -> Result<(Fresh, Option<Kept>)> {
        let qkv = gpu.product(sizes(x, &cast.qkv)?, x, &cast.qkv)?;
        add_bias(gpu, &qkv, &w.qkv.bias, None, at(&qkv)?)?;
        let (context, totals) = self.attend(gpu, &qkv, w.drops.weights)?;
        let product = gpu.product(sizes(&context, &cast.attention)?, &context, &cast.attention)?;
        let norm = self.norm(&w.attention, x, &w.attention_norm, w.drops.attended);
        let (middle, attended) = norm.forward(gpu, &product, keep)?;
        let middle = middle.tensor();
        let wide = gpu.product(sizes(&middle, &cast.intermediate)?, &middle, &cast.intermediate)?;
        let activated = if keep {
            gpu.empty(wide.shape(), wide.dtype())?
        } else {
            wide.clone()
        };
        add_bias(gpu, &wide, &w.intermediate.bias, Some(self.act), at(&activated)?)?;
        let product = gpu.product(sizes(&activated, &cast.output)?, &activated, &cast.output)?;
        let norm = self.norm(&w.output, &middle, &w.output_norm, w.drops.output);
        let (y, output) = norm.forward(gpu, &product, keep)?;
        let kept = attended.zip(output).map(|(attended, output)| Kept {
            qkv,
            context,
            totals,
            attended,
            middle,
            wide,
            activated,
            output,
        });
        Ok((y, kept))
    }

    fn norm<'a>(
        &self,
        dense: &'a Affine,
        residual: &'a Tensor,
        norm: &'a Affine,
        dropout: Option<Dropout>,
    ) -> Norm<'a> {
        Norm {
            bias: Some(&dense.bias),
            residual: Some(residual),
            weight: &norm.weight,
            shift: &norm.bias,
            eps: self.eps,
            dropout,
        }
    }

    /// The gradient of the layer's input; those of its weights are put aside.
    fn layer_back(&self, gpu: &Gpu, w: &LayerWeights, ran: &Ran, dy: &Tensor) -> Result<Tensor> {
        let again = match ran.kept {
            Some(_) => None,
            None => self.layer(gpu, w, &ran.cast, &ran.input, true)?.1,
        };
        let Some(kept) = ran.kept.as_ref().or(again.as_ref()) else {
            candle_core::bail!("a layer kept nothing for its backward pass")
        };
        let dmiddle = self.dense_back(gpu, w, &ran.cast, kept, dy)?;
        let sums = [
            Some(aside(gpu, &w.attention_norm.weight)?),
            Some(aside(gpu, &w.attention_norm.bias)?),
            Some(aside(gpu, &w.attention.bias)?),
        ];
        let (dx, dattended) = Norm::backward(
            gpu,
            &dmiddle,
            &kept.attended,
            &w.attention_norm.weight,
            w.drops.attended,
            sums,
        )?;
        weight_back(gpu, &dattended, &kept.context, &w.attention.weight)?;
        let dcontext = gpu.empty(kept.context.shape(), dy.dtype())?;
        gpu.input_gradient(
            sizes(&dcontext, &ran.cast.attention)?,
            &dattended,
            &ran.cast.attention,
            &dcontext,
            false,
        )?;
        let dqkv = self.attend_back(gpu, kept, &dcontext, w.drops.weights)?;
        bias_gradient(gpu, &dqkv, None, &w.qkv.bias)?;
        weight_back(gpu, &dqkv, &ran.input, &w.qkv.weight)?;
        gpu.input_gradient(sizes(&dx, &ran.cast.qkv)?, &dqkv, &ran.cast.qkv, &dx, true)?;
        Ok(dx)
    }

    /// From the layer's output to the input of its dense layers.
    fn dense_back(
        &self,
        gpu: &Gpu,
        w: &LayerWeights,
        cast: &Cast,
        kept: &Kept,
        dy: &Tensor,
    ) -> Result<Tensor> {
        let sums = [
            Some(aside(gpu, &w.output_norm.weight)?),
            Some(aside(gpu, &w.output_norm.bias)?),
            Some(aside(gpu, &w.output.bias)?),
        ];
        let (dmiddle, doutput) =
            Norm::backward(gpu, dy, &kept.output, &w.output_norm.weight, w.drops.output, sums)?;
        weight_back(gpu, &doutput, &kept.activated, &w.output.weight)?;
        let dwide = gpu.empty(kept.wide.shape(), dy.dtype())?;
        gpu.input_gradient(
            sizes(&dwide, &cast.output)?,
            &doutput,
            &cast.output,
            &dwide,
            false,
        )?;
        let before = Before {
            product: &kept.wide,
            act: self.act,
            gradient: &dwide,
        };
        bias_gradient(gpu, &dwide, Some(before), &w.intermediate.bias)?;
        weight_back(gpu, &dwide, &kept.middle, &w.intermediate.weight)?;
        gpu.input_gradient(
            sizes(&dmiddle, &cast.intermediate)?,
            &dwide,
            &cast.intermediate,
            &dmiddle,
            true,
        )?;
        Ok(dmiddle)
    }

    /// The context of qkv, and the totals of its rows of scores.
    fn attend(&self, gpu: &Gpu, qkv: &Tensor, dropout: Option<Dropout>) -> Result<(Tensor, Tensor)> {
        let (rows, width) = qkv.dims2()?;
        let context = gpu.empty((rows, width / 3), qkv.dtype())?;
        let totals = gpu.empty((self.heads.count, rows), DType::F32)?;
        let mut args = self.places(qkv)?;
        args.extend([at(&context)?, at(&totals)?]);
        args.extend(self.settings(rows, width / 3, dropout));
        self.launch(gpu, "attend", qkv, (3, 0), &args)?;
        Ok((context, totals))
    }

    fn attend_back(
        &self,
        gpu: &Gpu,
        kept: &Kept,
        dcontext: &Tensor,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        let (rows, width) = kept.qkv.dims2()?;
        let dqkv = gpu.empty((rows, width), dcontext.dtype())?;
        let inner = gpu.empty((self.heads.count, rows), DType::F32)?;
        let mut args = self.places(&kept.qkv)?;
        args.extend([
            at(&kept.context)?,
            at(dcontext)?,
            at(&kept.totals)?,
            at(&inner)?,
            at(&dqkv)?,
        ]);
        args.extend(self.settings(rows, width / 3, dropout));
        self.launch(gpu, "attend_back_queries", &kept.qkv, (4, 0), &args)?;
        let mut args = self.places(&kept.qkv)?;
        args.extend([at(dcontext)?, at(&kept.totals)?, at(&inner)?, at(&dqkv)?]);
        args.extend(self.settings(rows, width / 3, dropout));
        self.launch(gpu, "attend_back_keys", &kept.qkv, (4, 2), &args)?;
        Ok(dqkv)
    }

    fn places(&self, qkv: &Tensor) -> Result<Vec<Arg>> {
        Ok(vec![at(qkv)?, at(self.texts.starts())?, at(self.texts.tiles())?])
    }

    fn settings(&self, rows: usize, hidden: usize, dropout: Option<Dropout>) -> Vec<Arg> {
        let size = hidden / self.heads.count;
        let mut args = vec![
            Arg::Int(rows as i32),
            Arg::Int(hidden as i32),
            Arg::Real(1.0 / (size as f32).sqrt()),
            Arg::Int(i32::from(self.heads.causal)),
        ];
        args.extend(drop_args(dropout));
        args
    }

    /// Launches a kernel of the attention over all tiles and heads. Its shared memory holds so many tiles of
    /// activations and rows of 64 numbers.
    fn launch(
        &self,
        gpu: &Gpu,
        name: &str,
        qkv: &Tensor,
        (tiles, rows): (usize, usize),
        args: &[Arg],
    ) -> Result<()> {
        const TILE: usize = 64;
        let size = qkv.dim(1)? / 3 / self.heads.count;
        let row = (size + 16 / qkv.dtype().size_in_bytes()) * qkv.dtype().size_in_bytes();
        let grid = Grid {
            blocks: (self.texts.tile_count(), self.heads.count),
            threads: (128, 1),
            shared: TILE * (tiles * row + rows * 4),
        };
        let kernel = format!("{name}_{}_{size}", suffix(qkv.dtype())?);
        gpu.launch(&ATTENTION, &kernel, grid, args)
    }
}

impl Cast {
    fn new(gpu: &Gpu, weights: &LayerWeights, dtype: DType) -> Result<Self> {
        let cast = |dense: &Affine| as_type(gpu, &dense.weight, dtype);
        Ok(Self {
            qkv: cast(&weights.qkv)?,
            attention: cast(&weights.attention)?,
            intermediate: cast(&weights.intermediate)?,
            output: cast(&weights.output)?,
        })
    }
}

/// Sizes of the product of x (rows, in) with a weight (out, in).
fn sizes(x: &Tensor, weight: &Tensor) -> Result<Sizes> {
    let (out, input) = weight.dims2()?;
    Ok(Sizes {
        rows: x.dim(0)?,
        out,
        input,
        stride: out,
    })
}

fn weight_back(gpu: &Gpu, dy: &Tensor, x: &Tensor, weight: &Tensor) -> Result<()> {
    weight_gradient(gpu, sizes(x, weight)?, dy, x, weight)
}
