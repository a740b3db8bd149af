//! What fewer bits cost a model: measured once, kept beside it, told when it is opened.

use encoder::ModelFiles;
use kernels::Precision;
use serde::{Deserialize, Serialize};

use crate::InferError;

/// The file beside the model.
const FILE: &str = "precision.json";
/// A precision that loses more nDCG@10 is not chosen by itself, and told when a model is opened in it.
const LOSS_MAX: f64 = 0.005;

/// What was measured of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Fingerprint of the model that was measured.
    pub fingerprint: String,
    /// One entry for each precision and collection.
    pub measured: Vec<Measured>,
}

/// Retrieval by exact search over the vectors of one collection, in f32 and in a precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the precision.
    pub precision: String,
    /// Name of the collection.
    pub collection: String,
    /// Queries with judgments.
    pub queries: usize,
    /// nDCG@10 in f32.
    pub ndcg_at_10_f32: f64,
    /// nDCG@10 in the precision.
    pub ndcg_at_10: f64,
}

impl Measured {
    /// nDCG@10 that the precision costs.
    fn loss(&self) -> f64 {
        self.ndcg_at_10_f32 - self.ndcg_at_10
    }
}

impl Quality {
    /// What is kept beside a model, if anything is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(files: &ModelFiles) -> Result<Option<Self>, InferError> {
        if !files.has(FILE) {
            return Ok(None);
        }
        let read = files.read(FILE).map_err(|error| error.to_string());
        let parsed =
            read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| format!("{FILE}: {error}")));
        parsed.map(Some).map_err(|reason| refuse(files, reason))
    }

    /// Keeps `measured` beside the model, in the place of what was measured before with the same precision and
    /// collection, or of everything when the model changed since.
    ///
    /// # Errors
    /// The model is inside of the program, or the file cannot be written.
    pub fn keep(files: &ModelFiles, fingerprint: &str, measured: Vec<Measured>) -> Result<(), InferError> {
        let Some(folder) = files.path() else {
            return Err(refuse(
                files,
                "its files are inside of the program; accepted: a folder".to_owned(),
            ));
        };
        let before = Self::open(files)?.filter(|quality| quality.fingerprint == fingerprint);
        let mut all = before.map(|quality| quality.measured).unwrap_or_default();
        all.retain(|old| {
            let is_replaced =
                |new: &Measured| (&new.precision, &new.collection) == (&old.precision, &old.collection);
            !measured.iter().any(is_replaced)
        });
        all.extend(measured);
        let quality = Self {
            fingerprint: fingerprint.to_owned(),
            measured: all,
        };
        let write = || -> std::io::Result<()> {
            let (path, partial) = (folder.join(FILE), folder.join(format!("{FILE}.partial")));
            std::fs::write(&partial, format!("{:#}\n", serde_json::to_value(&quality)?))?;
            std::fs::rename(partial, path)
        };
        write().map_err(|error| refuse(files, format!("{FILE}: {error}")))
    }

    /// The precision with the fewest bits that was measured and lost no more than half a point nDCG@10 on any
    /// collection; else f32.
    pub fn enough(&self) -> Precision {
        let is_enough = |precision: &Precision| {
            let name = precision.to_string();
            let mut here = self.measured.iter().filter(|measured| measured.precision == name);
            here.clone().count() > 0 && here.all(|measured| measured.loss() <= LOSS_MAX)
        };
        let mut narrow = [Precision::Int8, Precision::Bf16].into_iter();
        narrow.find(is_enough).unwrap_or(Precision::F32)
    }

    /// What somebody who opens the model in this precision should know.
    pub(crate) fn notes(&self, fingerprint: &str, precision: Precision) -> Vec<String> {
        let name = precision.to_string();
        let here = self.measured.iter().filter(|measured| measured.precision == name);
        let lost = here.filter(|measured| self.fingerprint == fingerprint && measured.loss() > LOSS_MAX);
        lost.map(|measured| {
            format!(
                "{name} loses {:.1} points nDCG@10 on {} (f32 {:.4}, {name} {:.4}): choose another precision",
                100.0 * measured.loss(),
                measured.collection,
                measured.ndcg_at_10_f32,
                measured.ndcg_at_10,
            )
        })
        .collect()
    }
}

fn refuse(files: &ModelFiles, reason: String) -> InferError {
    InferError::Open {
        model: files.describe(),
        reason,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
mod tests {
    use super::*;

    fn measured(collection: &str, ndcg_at_10: f64) -> Measured {
        Measured {
            precision: "int8".into(),
            collection: collection.into(),
            queries: 10,
            ndcg_at_10_f32: 0.7,
            ndcg_at_10,
        }
    }

    #[test]
    fn a_loss_is_told_of_the_model_that_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let files = ModelFiles::folder(folder.path()).unwrap();
        assert_eq!(Quality::open(&files).unwrap(), None);
        Quality::keep(&files, "one", vec![measured("a", 0.699), measured("b", 0.6)]).unwrap();
        Quality::keep(&files, "one", vec![measured("a", 0.68)]).unwrap();
        let quality = Quality::open(&files).unwrap().unwrap();
        let notes = quality.notes("one", Precision::Int8);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[1].contains("2.0 points nDCG@10 on a"), "{notes:?}");
        assert!(quality.notes("another", Precision::Int8).is_empty());
        assert!(quality.notes("one", Precision::Bf16).is_empty());

        Quality::keep(&files, "two", vec![measured("a", 0.699)]).unwrap();
        let quality = Quality::open(&files).unwrap().unwrap();
        assert_eq!(quality.measured, [measured("a", 0.699)], "the model changed");
        assert!(
            quality.notes("two", Precision::Int8).is_empty(),
            "half a point is accepted"
        );
    }

    #[test]
    fn the_fewest_bits_that_lose_nothing_are_enough() {
        let enough = |found: &[(&str, f64)]| {
            let one = |&(precision, ndcg_at_10): &(&str, f64)| Measured {
                precision: precision.into(),
                ..measured("a", ndcg_at_10)
            };
            let quality = Quality {
                fingerprint: "one".into(),
                measured: found.iter().map(one).collect(),
            };
            quality.enough()
        };
        assert_eq!(enough(&[]), Precision::F32);
        assert_eq!(enough(&[("int8", 0.699)]), Precision::Int8);
        assert_eq!(enough(&[("int8", 0.699), ("int8", 0.6)]), Precision::F32);
        assert_eq!(enough(&[("int8", 0.6), ("bf16", 0.7)]), Precision::Bf16);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        let files = ModelFiles::folder(folder.path()).unwrap();
        let error = Quality::open(&files).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
    }
}
