//! The report of `cloze eval retrieve`: what was measured, on what, with what, and what came out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use corpus::TitleUse;
use measure::latency::Latency;
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::retrieval::{EvalMode, Retrieval};

/// The version of the report's form.
pub(crate) const FORMAT: u32 = 1;

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    pub(crate) format: u32,
    /// Version of the program that wrote it.
    pub(crate) cloze: String,
    pub(crate) data: DataPart,
    pub(crate) model: ModelPart,
    /// The cross-encoder of the mode `reranked`.
    pub(crate) reranker: Option<ModelPart>,
    pub(crate) settings: Settings,
    /// SHA-256 of `settings` as compact JSON.
    pub(crate) settings_sha256: String,
    /// One for each mode, in the order of the settings.
    pub(crate) runs: Vec<RunPart>,
}

/// The collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataPart {
    pub(crate) name: String,
    pub(crate) folder: String,
    /// SHA-256 of each file.
    pub(crate) sha256: BTreeMap<String, String>,
    /// Documents in the index.
    pub(crate) documents: usize,
    /// Passages that they were cut into.
    pub(crate) passages: usize,
    /// Documents without text, which are not in the index.
    pub(crate) documents_without_text: usize,
    /// Judged queries.
    pub(crate) queries: usize,
    pub(crate) judgments: usize,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelPart {
    /// `bundled`, or a folder.
    pub(crate) name: String,
    /// SHA-256 over weights, configuration and tokenizer.
    pub(crate) fingerprint: String,
}

/// Everything that decides the figures beside data and models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) split: String,
    /// Number type of the models' arithmetic: f32, bf16 or int8.
    pub(crate) precision: String,
    pub(crate) modes: Vec<EvalMode>,
    pub(crate) titles: TitleUse,
    pub(crate) language: String,
    #[serde(default)]
    pub(crate) bm25: index::Bm25,
    pub(crate) chunk_tokens: usize,
    pub(crate) chunk_overlap: usize,
    pub(crate) retrieval: Retrieval,
    pub(crate) bootstrap: BootstrapPart,
}

/// How intervals and p-values are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BootstrapPart {
    pub(crate) confidence: f64,
    pub(crate) resamples: u32,
    pub(crate) seed: u64,
}

impl Default for BootstrapPart {
    fn default() -> Self {
        let measure::Bootstrap {
            confidence,
            resamples,
            seed,
        } = measure::Bootstrap::default();
        Self {
            confidence,
            resamples,
            seed,
        }
    }
}

impl From<BootstrapPart> for measure::Bootstrap {
    fn from(part: BootstrapPart) -> Self {
        let BootstrapPart {
            confidence,
            resamples,
            seed,
        } = part;
        Self {
            confidence,
            resamples,
            seed,
        }
    }
}

/// One mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunPart {
    pub(crate) mode: EvalMode,
    /// The run file, beside the report.
    pub(crate) file: String,
    pub(crate) sha256: String,
    pub(crate) figures: Figures,
    pub(crate) search_ms: LatencyPart,
}

/// Milliseconds per query without embedding; never compared, since every machine has its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LatencyPart {
    pub(crate) threads: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl LatencyPart {
    pub(crate) fn new(latency: &Latency, threads: usize) -> Self {
        Self {
            threads,
            p50: latency.p50,
            p99: latency.p99,
        }
    }
}

impl Report {
    /// Reads a report.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let report: Self =
            serde_json::from_slice(&bytes).with_context(|| format!("{}: no report", path.display()))?;
        if report.format != FORMAT {
            bail!(
                "{}: format {}; this program reads {FORMAT}",
                path.display(),
                report.format
            );
        }
        if report
            .runs
            .iter()
            .map(|run| run.mode)
            .ne(report.settings.modes.iter().copied())
        {
            bail!("{}: the runs are not those of the settings", path.display());
        }
        Ok(report)
    }

    /// Writes the report.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }
}
