//! Weights to start from, taken from a file by name.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};

use crate::error::{Error, Result};

/// Sets the variables that a safetensors file has under the same name and shape; the names of an encoder are
/// tried with and without `bert.`. At least one must fit.
pub(crate) fn initialise(vars: &[(String, Var)], path: &Path) -> Result<()> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
    let mut fitting = 0;
    for (name, var) in vars {
        let found = tensors.get(name).or_else(|| tensors.get(&format!("bert.{name}")));
        let stacked = || stacked(&tensors, name).transpose();
        let Some(tensor) = found.cloned().map(Ok).or_else(stacked).transpose()? else {
            continue;
        };
        if tensor.dims() != var.dims() {
            return Err(Error::Mismatch {
                what: format!("{name} in {}", path.display()),
                expected: format!("{:?}", var.dims()),
                found: format!("{:?}", tensor.dims()),
            });
        }
        var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
        fitting += 1;
    }
    if fitting == 0 {
        return Err(Error::Mismatch {
            what: format!("initial weights {}", path.display()),
            expected: "at least one variable of the model".into(),
            found: "none".into(),
        });
    }
    Ok(())
}

/// Query, key and value are one variable here and three on disk.
fn stacked(tensors: &HashMap<String, Tensor>, name: &str) -> Result<Option<Tensor>> {
    let Some((before, after)) = name.split_once(".qkv.") else {
        return Ok(None);
    };
    let parts: Vec<&Tensor> = ["query", "key", "value"]
        .iter()
        .filter_map(|part| {
            let part = format!("{before}.{part}.{after}");
            tensors
                .get(&part)
                .or_else(|| tensors.get(&format!("bert.{part}")))
        })
        .collect();
    if parts.len() < 3 {
        return Ok(None);
    }
    Ok(Some(Tensor::cat(&parts, 0)?))
}
