//! `cloze eval precision`: what fewer bits cost a model, in retrieval and layer by layer.

mod encoder;
mod reranker;
mod texts;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use infer::{Embed, Embedder, Measured, ModelSettings, Precision, Quality, Rerank, Reranker};
use launch::Exit;
use measure::{Bootstrap, Gain, Metric, Run};
use serde::Serialize;

use self::texts::Texts;
use crate::figures::{Figures, figures};

/// Depth of the measured metric.
const K: usize = 10;

const EXAMPLES: &str = "\
Examples:
  cloze eval precision --model models/all-MiniLM-L6-v2 --data beir/cranfield --data beir/scifact
  cloze eval precision --model models/all-MiniLM-L6-v2 --data beir/scifact --precision int8 --keep
  cloze eval precision --reranker models/ms-marco-MiniLM-L6-v2 --data beir/scifact --keep";

/// Options of `precision`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PrecisionOptions {
    /// Collections: folders with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.
    #[arg(long, required = true, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Which judgments.
    #[arg(long, default_value = "test")]
    split: String,
    /// The embedding model: `bundled`, or a sentence-transformers folder.
    #[arg(long, default_value = bundled::NAME)]
    model: String,
    /// Measure this cross-encoder instead, `bundled` or a CrossEncoder folder: how it alone orders the 50 documents
    /// that the embedding model finds for a query.
    #[arg(long, value_name = "NAME|DIR")]
    reranker: Option<String>,
    /// What to compare with f32.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "bf16,int8",
        value_name = "TYPES"
    )]
    precision: Vec<Precision>,
    /// Keep the result beside the model. A precision that lost no more than half a point nDCG@10 on any collection is
    /// its default then; who opens it in one that lost more is told so.
    #[arg(long)]
    keep: bool,
    /// Threads [default: one for each processor].
    #[arg(long)]
    threads: Option<usize>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    model: String,
    fingerprint: String,
    collections: Vec<Retrieval>,
    layers: Vec<Layer>,
}

/// One collection in one precision.
#[derive(Serialize)]
struct Retrieval {
    collection: String,
    documents: usize,
    queries: usize,
    precision: String,
    #[serde(flatten)]
    figures: Figures,
    /// Of a bi-encoder.
    #[serde(flatten)]
    cosines: Option<Cosines>,
}

/// Between the vectors of documents in a precision and in f32.
#[derive(Serialize)]
struct Cosines {
    cosine_mean: f64,
    cosine_min: f64,
}

/// One layer in one precision; layer 0 are the embeddings.
#[derive(Serialize)]
struct Layer {
    precision: String,
    layer: usize,
    relative_error: f64,
    cosine_min: f64,
}

/// Measures and prints.
pub(super) fn run(options: &PrecisionOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let report = match &options.reranker {
        Some(reranker) => options.measure_reranker(reranker, show_progress)?,
        None => options.measure_encoder(show_progress)?,
    };
    match options.json {
        true => writeln!(screen, "{}", serde_json::to_string_pretty(&report)?)?,
        false => report.print(screen)?,
    }
    Ok(Exit::Success)
}

impl PrecisionOptions {
    fn measure_encoder(&self, show_progress: bool) -> Result<Report> {
        let files = bundled::open(&self.model).with_context(|| format!("the model {:?}", self.model))?;
        let precisions = self.precisions();
        let open = |&precision: &Precision| Embedder::open(&files, &self.settings(Some(precision)));
        let models: Vec<Embedder> = precisions.iter().map(open).collect::<Result<_, _>>()?;
        let mut report = Report::new(files.describe(), models[0].fingerprint());
        for folder in &self.data {
            let texts = Texts::open(folder, &self.split)?;
            let measured = encoder::measure(&texts, &precisions, &models, show_progress)?;
            report.collections.extend(measured);
            if report.layers.is_empty() {
                report.layers = encoder::layers(&texts, &precisions, &models)?;
            }
        }
        if self.keep {
            Quality::keep(&files, &report.fingerprint, report.measured())?;
        }
        Ok(report)
    }

    fn measure_reranker(&self, name: &str, show_progress: bool) -> Result<Report> {
        let encoder = bundled::open(&self.model).with_context(|| format!("the model {:?}", self.model))?;
        let encoder = Embedder::open(&encoder, &self.settings(None))?;
        let files = bundled::open_reranker(name).with_context(|| format!("the reranker {name:?}"))?;
        let precisions = self.precisions();
        let open = |&precision: &Precision| Reranker::open(&files, &self.settings(Some(precision)));
        let models: Vec<Reranker> = precisions.iter().map(open).collect::<Result<_, _>>()?;
        let mut report = Report::new(files.describe(), models[0].fingerprint());
        for folder in &self.data {
            let texts = Texts::open(folder, &self.split)?;
            let measured = reranker::measure(&texts, &encoder, &precisions, &models, show_progress)?;
            report.collections.extend(measured);
        }
        if self.keep {
            Quality::keep(&files, &report.fingerprint, report.measured())?;
        }
        Ok(report)
    }

    /// f32, and what is compared with it.
    fn precisions(&self) -> Vec<Precision> {
        let others = self.precision.iter().copied();
        let others = others.filter(|&precision| precision != Precision::F32);
        std::iter::once(Precision::F32).chain(others).collect()
    }

    fn settings(&self, precision: Option<Precision>) -> ModelSettings {
        ModelSettings {
            threads: self.threads.unwrap_or_else(launch::threads),
            precision,
        }
    }
}

/// What the runs of the precisions are worth; the first is what the others are compared with.
fn retrievals(texts: &Texts, precisions: &[Precision], runs: &[Run]) -> Result<Vec<Retrieval>> {
    let metric = Metric::Ndcg(Some(K), Gain::Linear);
    let figures = figures(&texts.collection.qrels, runs, &[metric], &Bootstrap::default())?;
    let measured = precisions.iter().zip(figures);
    Ok(measured
        .map(|(precision, figures)| Retrieval {
            collection: texts.collection.name(),
            documents: texts.documents.len(),
            queries: texts.collection.queries.len(),
            precision: precision.to_string(),
            figures,
            cosines: None,
        })
        .collect())
}

impl Report {
    fn new(model: String, fingerprint: &str) -> Self {
        Self {
            model,
            fingerprint: fingerprint.to_owned(),
            collections: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// What is kept beside the model.
    fn measured(&self) -> Vec<Measured> {
        let exact: BTreeMap<&str, f64> = self
            .collections
            .iter()
            .filter(|retrieval| retrieval.precision == Precision::F32.to_string())
            .map(|retrieval| (retrieval.collection.as_str(), retrieval.ndcg()))
            .collect();
        let others = self
            .collections
            .iter()
            .filter(|retrieval| !retrieval.figures.against_first.is_empty());
        others
            .map(|retrieval| Measured {
                precision: retrieval.precision.clone(),
                collection: retrieval.collection.clone(),
                queries: retrieval.queries,
                ndcg_at_10_f32: exact[retrieval.collection.as_str()],
                ndcg_at_10: retrieval.ndcg(),
            })
            .collect()
    }

    fn print(&self, screen: &mut dyn Write) -> Result<()> {
        writeln!(
            screen,
            "| collection | precision | nDCG@10 | difference from f32 | p | cosine to f32, mean / least |\n|---|---|---|---|---|---|"
        )?;
        for retrieval in &self.collections {
            let (name, precision) = (&retrieval.collection, &retrieval.precision);
            write!(screen, "| {name} | {precision} | {:.4} |", retrieval.ndcg())?;
            match retrieval.figures.against_first.first() {
                Some(difference) => write!(
                    screen,
                    " {:+.4} [{:+.4}, {:+.4}] | {:.3} |",
                    difference.mean, difference.low, difference.high, difference.p_value
                )?,
                None => write!(screen, " | |")?,
            }
            match &retrieval.cosines {
                Some(found) if !retrieval.figures.against_first.is_empty() => {
                    writeln!(screen, " {:.5} / {:.5} |", found.cosine_mean, found.cosine_min)?;
                }
                _ => writeln!(screen, " |")?,
            }
        }
        if self.layers.is_empty() {
            return Ok(());
        }
        writeln!(
            screen,
            "\n| precision | layer (0: embeddings) | relative error of hidden states | least cosine of a token |\n|---|---|---|---|"
        )?;
        for layer in &self.layers {
            let (precision, at) = (&layer.precision, layer.layer);
            writeln!(
                screen,
                "| {precision} | {at} | {:.5} | {:.5} |",
                layer.relative_error, layer.cosine_min
            )?;
        }
        Ok(())
    }
}

impl Retrieval {
    fn ndcg(&self) -> f64 {
        self.figures.figures.first().map_or(0.0, |figure| figure.mean)
    }
}
