//! Checkpoints: weights, moments and where the run stands, written so that a reader never sees half of one.
//!
//! `checkpoints/step-N.safetensors` holds `weight/NAME`, `mean/NAME` and `square/NAME`, and the state as its
//! metadata. `step-N.json` beside it seals it: it holds the checksum and is renamed into place last, so a checkpoint
//! without it does not exist. The last two are kept, and the best.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result, io};
use crate::optimizer::AdamW;
use crate::run::{History, Losses};

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Steps done. The next batch, its masks and its dropout follow from the seed and this number alone.
    pub(crate) step: u64,
    /// Seconds that the run has taken.
    pub(crate) seconds: f64,
    /// Those that it had taken after its first step.
    #[serde(default)]
    pub(crate) first_step_seconds: Option<f64>,
    /// The recipe, as text.
    pub(crate) recipe: String,
    /// The scores so far.
    pub(crate) history: History,
    /// The losses that spikes are measured against.
    pub(crate) losses: Losses,
}

/// What makes a file a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    /// XXH3 of the safetensors file, in hexadecimal.
    checksum: String,
}

const STATE: &str = "state";

fn folder(out: &Path) -> PathBuf {
    out.join("checkpoints")
}

/// The seal of the checkpoint of a step.
fn seal(out: &Path, step: u64) -> PathBuf {
    folder(out).join(format!("step-{step:010}.json"))
}

/// The seals of all checkpoints, oldest first.
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

/// Whether there is any checkpoint in `out`, and which is the newest.
pub(crate) fn latest(out: &Path) -> Result<Option<PathBuf>> {
    Ok(all(out)?.pop())
}

/// Writes a checkpoint, and removes all but the last two and that of the step `best`.
pub(crate) fn save(out: &Path, adam: &AdamW, state: &State, best: Option<u64>) -> Result<()> {
    let path = seal(out, state.step);
    write_both(&path, adam, state).map_err(|error| match error {
        Error::Io { path, source } => Error::CheckpointNotWritten {
            path,
            source,
            last: latest(out).ok().flatten(),
        },
        other => other,
    })?;
    prune(out, best)
}

fn write_both(seal: &Path, adam: &AdamW, state: &State) -> Result<()> {
    let weights = seal.with_extension("safetensors");
    let folder = seal.parent().unwrap_or(seal);
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let state = serde_json::to_string(state).map_err(|e| io(&weights)(e.into()))?;
    let metadata = HashMap::from([(STATE.to_owned(), state)]);
    let bytes = safetensors::serialize(&tensors(adam)?, Some(metadata)).map_err(|e| Error::Checkpoint {
        path: weights.clone(),
        reason: e.to_string(),
    })?;
    let checksum = format!("{:016x}", xxh3_64(&bytes));
    write(&weights, &bytes)?;
    let json = serde_json::to_vec(&Seal { checksum }).map_err(|e| io(seal)(e.into()))?;
    write(seal, &json)
}

fn tensors(adam: &AdamW) -> Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    let trained = adam.slots().iter().map(|slot| (&slot.name, &slot.var));
    for (name, var) in trained.chain(adam.frozen().iter().map(|(name, var)| (name, var))) {
        let weight = var.as_detached_tensor().to_device(&Device::Cpu)?;
        tensors.insert(format!("weight/{name}"), weight);
    }
    for slot in adam.slots() {
        let (mean, square) = slot.moments()?;
        for (kind, values) in [("mean", mean), ("square", square)] {
            let moment = Tensor::from_vec(values, slot.var.dims(), &Device::Cpu)?;
            tensors.insert(format!("{kind}/{}", slot.name), moment);
        }
    }
    Ok(tensors)
}

/// Writes aside, makes it durable, and gives it its name.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("tmp");
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if written.is_err() {
        // It may be what fills the disk. When it cannot be removed either, the first error says more.
        let _ = std::fs::remove_file(&aside);
    }
    written.map_err(io(path))?;
    std::fs::rename(&aside, path).map_err(io(path))?;
    let folder = path.parent().unwrap_or(path);
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(io(folder))?;
    }
    Ok(())
}

fn prune(out: &Path, best: Option<u64>) -> Result<()> {
    let mut found = all(out)?;
    found.truncate(found.len().saturating_sub(2));
    let best = best.map(|step| seal(out, step));
    for old in found.into_iter().filter(|old| Some(old) != best.as_ref()) {
        // The seal first: without it the other file is only litter.
        std::fs::remove_file(&old).map_err(io(&old))?;
        let weights = old.with_extension("safetensors");
        std::fs::remove_file(&weights).map_err(io(&weights))?;
    }
    Ok(())
}

/// A checkpoint that was read whole and agrees with its seal.
struct Loaded {
    seal: PathBuf,
    state: State,
    tensors: HashMap<String, Tensor>,
}

impl Loaded {
    fn read(seal: &Path) -> Result<Self> {
        let refuse = |reason: String| Error::Checkpoint {
            path: seal.to_owned(),
            reason,
        };
        let text = std::fs::read(seal).map_err(io(seal))?;
        let Seal { checksum } = serde_json::from_slice(&text).map_err(|e| refuse(e.to_string()))?;
        let weights = seal.with_extension("safetensors");
        let bytes = std::fs::read(&weights).map_err(io(&weights))?;
        let found = format!("{:016x}", xxh3_64(&bytes));
        if found != checksum {
            return Err(refuse(format!("checksum {found}, expected {checksum}")));
        }
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| refuse(e.to_string()))?;
        let state = metadata.metadata().as_ref().and_then(|named| named.get(STATE));
        let state = state.ok_or_else(|| refuse("it does not say where the run stood".into()))?;
        Ok(Self {
            seal: seal.to_owned(),
            state: serde_json::from_str(state).map_err(|e| refuse(e.to_string()))?,
            tensors: candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?,
        })
    }

    fn take(&mut self, kind: &str, name: &str, var: &Var) -> Result<Tensor> {
        let name = format!("{kind}/{name}");
        let found = self.tensors.remove(&name);
        let fits = found.filter(|tensor| tensor.dims() == var.dims());
        fits.ok_or_else(|| Error::Checkpoint {
            path: self.seal.clone(),
            reason: format!("no {name} of shape {:?}", var.dims()),
        })
    }

    fn restore_weights(&mut self, adam: &AdamW) -> Result<()> {
        let trained = adam.slots().iter().map(|slot| (&slot.name, &slot.var));
        for (name, var) in trained.chain(adam.frozen().iter().map(|(name, var)| (name, var))) {
            var.set(&self.take("weight", name, var)?.to_device(var.device())?)?;
        }
        Ok(())
    }

    fn restore(mut self, adam: &AdamW) -> Result<State> {
        self.restore_weights(adam)?;
        for slot in adam.slots() {
            let mean = self.take("mean", &slot.name, &slot.var)?;
            let square = self.take("square", &slot.name, &slot.var)?;
            slot.restore(mean.flatten_all()?.to_vec1()?, square.flatten_all()?.to_vec1()?)?;
        }
        Ok(self.state)
    }
}

/// Puts the newest checkpoint that is whole into the optimizer's variables and moments. Damaged ones are passed over,
/// newest first, and what is wrong with each is said in `notes`. None when there is no checkpoint at all.
///
/// # Errors
/// When all are damaged, or the checkpoint belongs to another recipe.
pub(crate) fn resume(
    out: &Path,
    adam: &AdamW,
    recipe: &str,
    notes: &mut Vec<String>,
) -> Result<Option<State>> {
    let mut first = None;
    for seal in all(out)?.into_iter().rev() {
        match Loaded::read(&seal) {
            Ok(loaded) => {
                if let Some(reason) = difference(&loaded.state.recipe, recipe) {
                    return Err(Error::Checkpoint { path: seal, reason });
                }
                return loaded.restore(adam).map(Some);
            }
            Err(error) => {
                notes.push(format!("{error}; the one before it is used"));
                first = first.or(Some(error));
            }
        }
    }
    first.map_or(Ok(None), Err)
}

/// Puts the weights of the checkpoint of a step into the optimizer's variables.
///
/// # Errors
/// When it is damaged or gone.
pub(crate) fn restore_weights(out: &Path, step: u64, adam: &AdamW) -> Result<()> {
    Loaded::read(&seal(out, step))?.restore_weights(adam)
}

/// The first setting in which two recipes differ, if any.
fn difference(theirs: &str, ours: &str) -> Option<String> {
    if theirs == ours {
        return None;
    }
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let place = first_difference("", &parsed(theirs), &parsed(ours));
    let detail = place.map_or(String::new(), |(path, theirs, ours)| {
        format!(": {path} was {theirs} and is {ours}")
    });
    Some(format!("it was made with another recipe{detail}"))
}

fn first_difference(path: &str, one: &Value, other: &Value) -> Option<(String, Value, Value)> {
    if let (Value::Object(one), Value::Object(other)) = (one, other) {
        let keys = one.keys().chain(other.keys());
        return keys.into_iter().find_map(|key| {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let at = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
            first_difference(&path, &at(one), &at(other))
        });
    }
    (one != other).then(|| (path.to_owned(), one.clone(), other.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_of_two_recipes_is_named() {
        let (one, other) = (r#"{"a":1,"b":{"c":2,"d":3}}"#, r#"{"a":1,"b":{"c":2,"d":4}}"#);
        assert_eq!(difference(one, one), None);
        let said = difference(one, other).unwrap_or_default();
        assert!(said.ends_with(": b.d was 3 and is 4"), "{said}");
        let said = difference(one, r#"{"a":1,"b":{"c":2}}"#).unwrap_or_default();
        assert!(said.ends_with(": b.d was 3 and is null"), "{said}");
        assert_eq!(
            difference("one", "other").as_deref(),
            Some("it was made with another recipe")
        );
    }
}
