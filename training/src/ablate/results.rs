//! What a finished run leaves in its folder.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

const FILE: &str = "result.json";

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunResult {
    /// The recipe and probes that it is the result of, as JSON.
    pub(super) of: String,
    /// Trainable numbers.
    pub(super) parameters: usize,
    /// Tokens of its budget.
    pub(super) tokens: u64,
    /// Seconds of pre-training.
    pub(super) seconds: f64,
    /// Scores on held-out texts, which compare runs of one objective only.
    pub(super) held_out: Vec<(String, f64)>,
    /// One for each probe, in their order.
    pub(super) probes: Vec<ProbeResult>,
}

/// What a probe says of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ProbeResult {
    /// The probe's name.
    pub(super) name: String,
    /// For each row of its test file, in order: 1 when its class was found, 0 when not.
    pub(super) right: String,
}

impl ProbeResult {
    /// 1 or 0 for each row.
    pub(super) fn values(&self) -> Vec<f64> {
        self.right
            .bytes()
            .map(|byte| f64::from(u8::from(byte == b'1')))
            .collect()
    }

    /// Share of the rows whose class was found.
    pub(super) fn accuracy(&self) -> f64 {
        let values = self.values();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }
}

impl RunResult {
    /// The result in a folder, if it is finished.
    ///
    /// # Errors
    /// When it is damaged or that of another recipe.
    pub(super) fn read(folder: &Path, of: &str) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(path.display().to_string()),
        };
        let result: Self = serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
        if result.of != of {
            bail!(
                "{} is the result of other settings; choose another `out`, or remove the folder",
                path.display()
            );
        }
        Ok(Some(result))
    }

    /// Writes the result in one step.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let (path, beside) = (folder.join(FILE), folder.join("result.json.new"));
        std::fs::write(&beside, serde_json::to_vec_pretty(self)?)
            .with_context(|| beside.display().to_string())?;
        std::fs::rename(&beside, &path).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    #[test]
    fn results_come_back_and_those_of_other_settings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let result = RunResult {
            of: "settings".into(),
            parameters: 7,
            tokens: 640,
            seconds: 1.5,
            held_out: vec![("masked_accuracy".into(), 0.25)],
            probes: vec![ProbeResult {
                name: "p".into(),
                right: "0111".into(),
            }],
        };
        assert_eq!(RunResult::read(folder.path(), "settings").unwrap(), None);
        result.write(folder.path()).unwrap();
        assert_eq!(
            RunResult::read(folder.path(), "settings").unwrap(),
            Some(result.clone())
        );
        assert_eq!(result.probes[0].accuracy(), 0.75);
        let other = RunResult::read(folder.path(), "others").unwrap_err().to_string();
        assert!(other.contains("result of other settings"), "{other}");
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(RunResult::read(folder.path(), "settings").is_err());
    }
}
