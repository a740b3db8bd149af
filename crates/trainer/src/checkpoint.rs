//! Checkpoints: weights, moments and the step, written so that a reader never sees half of one.
//!
//! `checkpoints/step-N.safetensors` holds `weight/NAME`, `mean/NAME` and `square/NAME`; `step-N.json` beside it
//! holds the step, the seconds, the recipe and the checksum. The JSON is renamed into place last: a checkpoint
//! without it does not exist. The last two are kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result, io};
use crate::optimizer::AdamW;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Steps done. The next batch, its masks and its dropout follow from the seed and this number alone.
    pub step: u64,
    /// Seconds that the run has taken.
    pub seconds: f64,
    /// The recipe, as text.
    pub recipe: String,
    /// XXH3 of the safetensors file, in hexadecimal.
    checksum: String,
}

impl State {
    pub(crate) fn new(step: u64, seconds: f64, recipe: &str) -> Self {
        Self {
            step,
            seconds,
            recipe: recipe.to_owned(),
            checksum: String::new(),
        }
    }
}

fn folder(out: &Path) -> PathBuf {
    out.join("checkpoints")
}

/// The JSON files of all checkpoints, oldest first.
fn all(out: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder(out);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io(&folder))? {
        let path = entry.map_err(io(&folder))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    // Steps have a fixed number of digits, so the names sort as the numbers.
    found.sort();
    Ok(found)
}

/// The newest checkpoint of the run in `out`, if it has any.
///
/// # Errors
/// When the folder cannot be read.
pub fn latest(out: &Path) -> Result<Option<PathBuf>> {
    Ok(all(out)?.pop())
}

/// Writes a checkpoint and removes all but the last two.
pub(crate) fn save(out: &Path, adam: &AdamW, mut state: State) -> Result<()> {
    let folder = folder(out);
    std::fs::create_dir_all(&folder).map_err(io(&folder))?;
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for slot in adam.slots() {
        let (mean, square) = slot.moments()?;
        let shape = slot.var.dims();
        let weight = slot.var.as_detached_tensor().to_device(&Device::Cpu)?;
        tensors.insert(format!("weight/{}", slot.name), weight);
        tensors.insert(
            format!("mean/{}", slot.name),
            Tensor::from_vec(mean, shape, &Device::Cpu)?,
        );
        tensors.insert(
            format!("square/{}", slot.name),
            Tensor::from_vec(square, shape, &Device::Cpu)?,
        );
    }
    let weights = folder.join(format!("step-{:010}.safetensors", state.step));
    let bytes = safetensors::serialize(&tensors, None).map_err(|e| Error::Checkpoint {
        path: weights.clone(),
        reason: e.to_string(),
    })?;
    state.checksum = format!("{:016x}", xxh3_64(&bytes));
    write(&weights, &bytes)?;
    let json = serde_json::to_vec_pretty(&state).map_err(|e| io(&weights)(e.into()))?;
    write(&weights.with_extension("json"), &json)?;
    let mut found = all(out)?;
    found.truncate(found.len().saturating_sub(2));
    for old in found {
        // The JSON first: without it the other file is only litter.
        std::fs::remove_file(&old).map_err(io(&old))?;
        let weights = old.with_extension("safetensors");
        std::fs::remove_file(&weights).map_err(io(&weights))?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes).map_err(io(&temporary))?;
    std::fs::File::open(&temporary)
        .and_then(|file| file.sync_all())
        .map_err(io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(io(path))
}

/// Puts the weights and moments of a checkpoint into the optimizer's variables.
///
/// # Errors
/// When the file is damaged or belongs to another recipe.
pub(crate) fn load(json: &Path, adam: &AdamW, recipe: &str) -> Result<State> {
    let refuse = |reason: String| Error::Checkpoint {
        path: json.to_owned(),
        reason,
    };
    let text = std::fs::read(json).map_err(io(json))?;
    let state: State = serde_json::from_slice(&text).map_err(|e| refuse(e.to_string()))?;
    if state.recipe != recipe {
        return Err(refuse("it was made with another recipe".into()));
    }
    let weights = json.with_extension("safetensors");
    let bytes = std::fs::read(&weights).map_err(io(&weights))?;
    let checksum = format!("{:016x}", xxh3_64(&bytes));
    if checksum != state.checksum {
        return Err(refuse(format!(
            "checksum {checksum}, expected {}",
            state.checksum
        )));
    }
    let mut tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
    for slot in adam.slots() {
        let mut take = |kind: &str| {
            let name = format!("{kind}/{}", slot.name);
            let found = tensors
                .remove(&name)
                .filter(|tensor| tensor.dims() == slot.var.dims());
            found.ok_or_else(|| refuse(format!("no {name} of shape {:?}", slot.var.dims())))
        };
        let (weight, mean, square) = (take("weight")?, take("mean")?, take("square")?);
        slot.var.set(&weight.to_device(slot.var.device())?)?;
        slot.restore(mean.flatten_all()?.to_vec1()?, square.flatten_all()?.to_vec1()?)?;
    }
    Ok(state)
}
