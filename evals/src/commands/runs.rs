//! `cloze eval runs`: metrics of run files.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use launch::Exit;
use measure::{Bootstrap, Metric, Qrels};

use crate::{figures, markdown, run_file};

/// Options of `runs`.
#[derive(Debug, Args)]
pub struct RunsOptions {
    /// Judgments: a BEIR qrels file, or the four columns of TREC.
    #[arg(long)]
    qrels: PathBuf,
    /// Run files, `query Q0 document rank score tag`; the others are compared with the first.
    #[arg(long = "run", required = true, num_args = 1..)]
    runs: Vec<PathBuf>,
    /// Metrics: `ndcg[@k]`, `ndcg_exp[@k]`, `map[@k]`, `mrr[@k]`, `recall@k`, `precision@k`, `success@k`.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "ndcg@10,mrr@10,recall@10,recall@100,map@100"
    )]
    metrics: Vec<Metric>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Reads, measures, prints.
pub(crate) fn run(options: &RunsOptions, screen: &mut dyn Write) -> Result<Exit> {
    let mut qrels = Qrels::new();
    for judgment in data::trec::read_qrels(&options.qrels)? {
        let inserted = qrels.insert(&judgment.query, &judgment.document, judgment.grade);
        inserted.with_context(|| options.qrels.display().to_string())?;
    }
    let runs: Vec<_> = options
        .runs
        .iter()
        .map(|path| run_file::read(path))
        .collect::<Result<_>>()?;
    let figures = figures::figures(&qrels, &runs, &options.metrics, &Bootstrap::default())
        .with_context(|| options.qrels.display().to_string())?;
    let names: Vec<String> = options
        .runs
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(&figures).collect();
    if options.json {
        let object: serde_json::Map<String, serde_json::Value> = named
            .iter()
            .map(|(name, figures)| Ok(((*name).to_owned(), serde_json::to_value(figures)?)))
            .collect::<Result<_>>()?;
        writeln!(screen, "{}", serde_json::to_string_pretty(&object)?)?;
    } else {
        writeln!(
            screen,
            "{}\n{}",
            markdown::means(&named),
            markdown::differences(&named)
        )?;
    }
    Ok(Exit::Success)
}
