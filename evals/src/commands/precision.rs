//! `cloze eval precision`: what fewer bits cost a model, in retrieval and layer by layer.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use corpus::TitleUse;
use data::Located;
use infer::{Embed, Embedder, Measured, ModelSettings, Precision, Quality, Role};
use launch::Exit;
use measure::{Bootstrap, Gain, Metric, Run};
use serde::Serialize;

use crate::bar::Bar;
use crate::collection::Collection;
use crate::figures::{Figures, figures};
use crate::store::with_text;

/// Depth of the measured metric.
const K: usize = 10;
/// Texts embedded between two steps of the progress bar.
const BATCH_TEXTS: usize = 256;
/// Texts that layers are compared on.
const LAYER_TEXTS: usize = 64;

const EXAMPLES: &str = "\
Examples:
  cloze eval precision --model models/all-MiniLM-L6-v2 --data beir/cranfield --data beir/scifact
  cloze eval precision --model models/all-MiniLM-L6-v2 --data beir/scifact --precision int8 --keep";

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
    /// Between the vectors of documents in this precision and in f32.
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

/// The texts of a collection.
struct Texts {
    collection: Collection,
    ids: Vec<String>,
    documents: Vec<String>,
}

/// Vectors of documents and queries.
struct Vectors {
    documents: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
}

/// Measures and prints. Every document is one vector, cut where the model ends; search is exact, so that nothing but
/// the precision differs.
pub(super) fn run(options: &PrecisionOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let files = bundled::open(&options.model).with_context(|| format!("the model {:?}", options.model))?;
    let threads = options.threads.unwrap_or_else(launch::threads);
    let open = |precision| {
        Embedder::open(
            &files,
            &ModelSettings {
                threads,
                precision: Some(precision),
            },
        )
    };
    let precisions: Vec<Precision> = std::iter::once(Precision::F32)
        .chain(
            options
                .precision
                .iter()
                .copied()
                .filter(|&precision| precision != Precision::F32),
        )
        .collect();
    let models: Vec<Embedder> = precisions.iter().map(|&p| open(p)).collect::<Result<_, _>>()?;
    let mut report = Report {
        model: files.describe(),
        fingerprint: models[0].fingerprint().to_owned(),
        collections: Vec::new(),
        layers: Vec::new(),
    };
    for folder in &options.data {
        let texts = Texts::open(folder, &options.split)?;
        report
            .collections
            .extend(measure(&texts, &precisions, &models, show_progress)?);
        if report.layers.is_empty() {
            report.layers = layers(&texts, &precisions, &models)?;
        }
    }
    if options.keep {
        Quality::keep(&files, &report.fingerprint, report.measured())?;
    }
    match options.json {
        true => writeln!(screen, "{}", serde_json::to_string_pretty(&report)?)?,
        false => report.print(screen)?,
    }
    Ok(Exit::Success)
}

impl Texts {
    fn open(folder: &std::path::Path, split: &str) -> Result<Self> {
        let collection = Collection::open(folder, split)?;
        let (mut ids, mut documents) = (Vec::new(), Vec::new());
        let mut without_text = Vec::new();
        for document in data::beir::corpus(folder)? {
            let Some(Located { value: document, .. }) = with_text(document, &mut without_text)? else {
                continue;
            };
            documents.push(TitleUse::Join.searchable(&document.title, &document.text));
            ids.push(document.id.to_string());
        }
        if documents.is_empty() {
            bail!("{}: the corpus has no documents", folder.display());
        }
        Ok(Self {
            collection,
            ids,
            documents,
        })
    }

    fn embed(&self, model: &Embedder, bar: &Bar) -> Result<Vectors> {
        let embed = |texts: Vec<&str>, role| -> Result<Vec<Vec<f32>>> {
            let mut vectors = Vec::with_capacity(texts.len());
            for batch in texts.chunks(BATCH_TEXTS) {
                vectors.extend(model.embed(batch, role)?);
                bar.add(batch.len());
            }
            Ok(vectors)
        };
        let queries = self.collection.queries.iter().map(|query| query.text.as_str());
        Ok(Vectors {
            documents: embed(self.documents.iter().map(String::as_str).collect(), Role::Passage)?,
            queries: embed(queries.collect(), Role::Query)?,
        })
    }

    /// The documents nearest to each query.
    fn search(&self, vectors: &Vectors) -> Result<Run> {
        let mut run = Run::new();
        for (query, vector) in self.collection.queries.iter().zip(&vectors.queries) {
            let score = |document: &Vec<f32>| kernels::dot(document, vector);
            let mut scores: Vec<(usize, f32)> = vectors.documents.iter().map(score).enumerate().collect();
            let by_score = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1);
            if scores.len() > K {
                scores.select_nth_unstable_by(K - 1, by_score);
                scores.truncate(K);
            }
            for (document, score) in scores {
                run.insert(&query.id, &self.ids[document], f64::from(score))?;
            }
        }
        Ok(run)
    }
}

/// Retrieval in each precision; the first is what the others are compared with.
fn measure(
    texts: &Texts,
    precisions: &[Precision],
    models: &[Embedder],
    show: bool,
) -> Result<Vec<Retrieval>> {
    let queries = texts.collection.queries.len();
    let bar = Bar::new(show, models.len() * (texts.documents.len() + queries), "texts");
    let vectors: Vec<Vectors> = models
        .iter()
        .map(|model| texts.embed(model, &bar))
        .collect::<Result<_>>()?;
    let runs: Vec<Run> = vectors
        .iter()
        .map(|vectors| texts.search(vectors))
        .collect::<Result<_>>()?;
    let metric = Metric::Ndcg(Some(K), Gain::Linear);
    let figures = figures(&texts.collection.qrels, &runs, &[metric], &Bootstrap::default())?;
    let retrievals = precisions.iter().zip(&vectors).zip(figures);
    Ok(retrievals
        .map(|((precision, found), figures)| {
            let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| f64::from(kernels::dot(a, b));
            let cosines: Vec<f64> = found
                .documents
                .iter()
                .zip(&vectors[0].documents)
                .map(cosine)
                .collect();
            Retrieval {
                collection: texts.collection.name(),
                documents: texts.documents.len(),
                queries,
                precision: precision.to_string(),
                figures,
                cosine_mean: cosines.iter().sum::<f64>() / cosines.len() as f64,
                cosine_min: cosines.into_iter().fold(1.0, f64::min),
            }
        })
        .collect())
}

fn layers(texts: &Texts, precisions: &[Precision], models: &[Embedder]) -> Result<Vec<Layer>> {
    let step = texts.documents.len().div_ceil(LAYER_TEXTS);
    let sample: Vec<&str> = texts.documents.iter().step_by(step).map(String::as_str).collect();
    let mut layers = Vec::new();
    for (precision, model) in precisions.iter().zip(models).skip(1) {
        let errors = model.layer_errors(&models[0], &sample)?;
        layers.extend(errors.iter().enumerate().map(|(layer, error)| Layer {
            precision: precision.to_string(),
            layer,
            relative_error: error.relative,
            cosine_min: error.cosine_min,
        }));
    }
    Ok(layers)
}

impl Report {
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
                Some(difference) => writeln!(
                    screen,
                    " {:+.4} [{:+.4}, {:+.4}] | {:.3} | {:.5} / {:.5} |",
                    difference.mean,
                    difference.low,
                    difference.high,
                    difference.p_value,
                    retrieval.cosine_mean,
                    retrieval.cosine_min
                )?,
                None => writeln!(screen, " | | |")?,
            }
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
