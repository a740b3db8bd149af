//! The teacher's vectors of a run's texts.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use super::recipe::SentenceRecipe;
use crate::error::{Error, Result};

/// The teacher's vectors, a row for each line of the pairs file, in the type they have on disk.
pub(super) struct Teacher {
    queries: Tensor,
    positives: Tensor,
}

impl Teacher {
    /// None when no part of the loss asks for a teacher's vectors.
    pub(super) fn open(recipe: &SentenceRecipe, lines: usize, dimension: usize) -> Result<Option<Self>> {
        if recipe.loss.teacher_vectors <= 0.0 && recipe.loss.teacher_rows <= 0.0 {
            return Ok(None);
        }
        let read = |path: &Option<PathBuf>, field: &'static str| {
            let path = path.as_ref().ok_or_else(|| Error::Setting {
                field,
                value: "not set".into(),
                accepted: "an NPY file, because the loss has a teacher".into(),
            })?;
            let vectors = Tensor::read_npy(path)?;
            let (rows, width) = vectors.dims2()?;
            let fits = rows == lines && (recipe.loss.teacher_vectors <= 0.0 || width == dimension);
            if !fits {
                return Err(Error::Mismatch {
                    what: format!("vectors in {}", path.display()),
                    expected: format!("({lines}, {dimension})"),
                    found: format!("({rows}, {width})"),
                });
            }
            Ok(vectors)
        };
        let queries = read(&recipe.data.query_vectors, "data.query_vectors")?;
        let positives = read(&recipe.data.positive_vectors, "data.positive_vectors")?;
        Ok(Some(Self { queries, positives }))
    }

    /// Vectors of the queries on these lines, (lines, dimension) in f32 on `device`.
    pub(super) fn queries(&self, lines: &[u32], device: &Device) -> Result<Tensor> {
        rows_of(&self.queries, lines, device)
    }

    /// Vectors of the positives on these lines.
    pub(super) fn positives(&self, lines: &[u32], device: &Device) -> Result<Tensor> {
        rows_of(&self.positives, lines, device)
    }
}

fn rows_of(vectors: &Tensor, lines: &[u32], device: &Device) -> Result<Tensor> {
    let lines = Tensor::new(lines, &Device::Cpu)?;
    let chosen = vectors.index_select(&lines, 0)?.to_dtype(DType::F32)?;
    Ok(chosen.to_device(device)?)
}
