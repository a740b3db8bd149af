//! `cloze eval verify`: does a report come out again?

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use infer::ModelSettings;
use launch::Exit;

use super::retrieve::{Setting, file_figures, measure};
use crate::collection::Collection;
use crate::digest;
use crate::figures::Figures;
use crate::models::Models;
use crate::report::{ModelPart, Report};

/// What figures from the same file may differ by: nothing but the order of a sum.
const SAME_FILE: f64 = 1e-9;

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// The report, report.json.
    report: PathBuf,
    /// The collection, when it is not where the report says.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The embedding model, when it is not where the report says.
    #[arg(long)]
    model: Option<String>,
    /// The cross-encoder, when it is not where the report says.
    #[arg(long)]
    reranker: Option<String>,
    /// An index to use again; by default one is built anew and thrown away.
    #[arg(long)]
    index: Option<PathBuf>,
    /// What a mean may differ by: other processors round differently, and near ties change places.
    #[arg(long, default_value_t = 0.0005)]
    tolerance: f64,
    /// Threads [default: one for each processor].
    #[arg(long)]
    threads: Option<usize>,
}

/// Repeats the report; tells the differences, or that there are none.
pub(crate) fn run(options: &VerifyOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let report = Report::read(&options.report)?;
    let differences = differences(options, &report, show_progress)?;
    for difference in &differences {
        writeln!(screen, "differs: {difference}")?;
    }
    if differences.is_empty() {
        writeln!(
            screen,
            "{}: every figure came out again",
            options.report.display()
        )?;
        return Ok(Exit::Success);
    }
    Ok(Exit::Failure)
}

/// Inputs first: when they differ, figures are not computed again.
fn differences(options: &VerifyOptions, report: &Report, show_progress: bool) -> Result<Vec<String>> {
    let folder = options
        .data
        .clone()
        .unwrap_or_else(|| PathBuf::from(&report.data.folder));
    let collection = Collection::open(&folder, &report.settings.split)?;
    let mut found = Vec::new();
    compare(
        &mut found,
        "settings_sha256",
        &report.settings_sha256,
        &digest::json(&report.settings)?,
    );
    for (file, sha256) in &report.data.sha256 {
        let now = collection.files.get(file).map_or("no such file", String::as_str);
        compare(&mut found, &format!("data: {file}"), sha256, now);
    }
    let beside = options.report.parent().unwrap_or(Path::new("."));
    found.extend(run_files(&collection, report, beside)?);
    if !found.is_empty() {
        return Ok(found);
    }
    let scratch = tempfile::tempdir().context("a folder for the repetition")?;
    let index = options
        .index
        .clone()
        .unwrap_or_else(|| scratch.path().join("index"));
    let threads = options.threads.unwrap_or_else(launch::threads);
    let name = options.model.as_deref().unwrap_or(&report.model.name);
    let reranker = report.reranker.as_ref().map(|reranker| reranker.name.as_str());
    let precision = report.settings.precision.parse().map_err(anyhow::Error::msg)?;
    let model_settings = ModelSettings {
        threads,
        precision: Some(precision),
    };
    let models = Models::open(name, options.reranker.as_deref().or(reranker), &model_settings)?;
    compare(
        &mut found,
        "model",
        &report.model.fingerprint,
        &models.embedder_part().fingerprint,
    );
    let fingerprint =
        |part: Option<&ModelPart>| part.map_or("none", |part| part.fingerprint.as_str()).to_owned();
    let now = fingerprint(models.reranker_part().as_ref());
    compare(
        &mut found,
        "reranker",
        &fingerprint(report.reranker.as_ref()),
        &now,
    );
    if !found.is_empty() {
        return Ok(found);
    }
    let setting = Setting {
        collection: &collection,
        models: &models,
        index: &index,
        threads,
        show_progress,
    };
    let again = measure(&setting, &report.settings, scratch.path())?;
    for (then, now) in report.runs.iter().zip(&again.runs) {
        found.extend(figures(
            then.mode.name(),
            &then.figures,
            &now.figures,
            options.tolerance,
        ));
    }
    Ok(found)
}

/// The run files beside the report: are they the ones it was made from, and do they give its figures?
fn run_files(collection: &Collection, report: &Report, beside: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for run in &report.runs {
        let path = beside.join(&run.file);
        let now = if path.is_file() {
            digest::file(&path)?
        } else {
            "no such file".to_owned()
        };
        compare(&mut found, &format!("run file {}", run.file), &run.sha256, &now);
    }
    if found.is_empty() {
        let again = file_figures(collection, &report.settings, beside)?;
        for (run, now) in report.runs.iter().zip(&again) {
            found.extend(figures(&run.file, &run.figures, now, SAME_FILE));
        }
    }
    Ok(found)
}

fn compare(found: &mut Vec<String>, what: &str, then: &str, now: &str) {
    if then != now {
        found.push(format!("{what}: the report has {then}, now it is {now}"));
    }
}

/// The means and interval ends that differ by more than `tolerance`.
fn figures(name: &str, then: &Figures, now: &Figures, tolerance: f64) -> Vec<String> {
    let mut found = Vec::new();
    let mut number = |what: String, then: f64, now: f64| {
        let is_close = (then - now).abs() <= tolerance;
        // A figure that is not a number is not close to anything.
        if !is_close {
            found.push(format!(
                "{name}: {what}: the report has {then:.6}, now it is {now:.6}"
            ));
        }
    };
    number(
        "number of metrics".to_owned(),
        then.figures.len() as f64,
        now.figures.len() as f64,
    );
    for (then, now) in then.figures.iter().zip(&now.figures) {
        number(then.metric.clone(), then.mean, now.mean);
        number(format!("{}, low end", then.metric), then.low, now.low);
        number(format!("{}, high end", then.metric), then.high, now.high);
    }
    for (then, now) in then.against_first.iter().zip(&now.against_first) {
        number(format!("{} against the first", then.metric), then.mean, now.mean);
    }
    found
}
