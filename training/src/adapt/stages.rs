//! The two runs: filling in blanks, and fine-tuning.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use launch::{Interrupt, Progress};
use trainer::{MlmRecipe, Recipe, Run, SentenceRecipe, recipe};

use super::corpus::Split;
use super::model::Known;
use crate::commands::open_tokenizer;
use crate::show::Shown;

const MLM: &str = include_str!("../../recipes/adapt-mlm.toml");
const SENTENCE: &str = include_str!("../../recipes/adapt-sentence.toml");

/// Positives of a batch, where the corpus has as many.
const POSITIVES: usize = 32;

/// Goes on with masked language modelling; returns the folder of the encoder, which has the old projection.
pub(super) fn blanks(
    old: &Known,
    split: &Split,
    changes: &[String],
    work: &Path,
    show_progress: bool,
) -> Result<PathBuf> {
    let out = work.join("mlm");
    let mut all = common(&old.folder, &old.folder, &out);
    all.push(setting("data.texts", vec![text(&split.texts)]));
    all.extend_from_slice(changes);
    run::<MlmRecipe>(MLM, "adapt-mlm", &all, show_progress)?;
    old.copy_projection(&out)?;
    Ok(out)
}

/// Where the pairs with their negatives are.
pub(super) fn mined(work: &Path) -> PathBuf {
    work.join("mined.jsonl")
}

/// Fine-tunes on pairs with negatives; returns the folder of the model.
pub(super) fn fine_tuning(
    old: &Known,
    start: &Path,
    split: &Split,
    changes: &[String],
    work: &Path,
    show_progress: bool,
) -> Result<PathBuf> {
    let out = work.join("new");
    let mut all = common(&old.folder, start, &out);
    all.push(setting("data.pairs", text(&mined(work))));
    all.push(setting("data.positives", split.pairs.positives.min(POSITIVES)));
    if let Some(width) = old.dense {
        all.push(setting("dense", width));
    }
    all.extend_from_slice(changes);
    run::<SentenceRecipe>(SENTENCE, "adapt-sentence", &all, show_progress)?;
    Ok(out)
}

fn common(tokenizer: &Path, start: &Path, out: &Path) -> Vec<String> {
    vec![
        setting("tokenizer", text(tokenizer)),
        setting("start.model", text(start)),
        setting("out", text(out)),
    ]
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A change as `--set` has it. JSON's strings and lists of strings are TOML's.
fn setting(key: &str, value: impl Into<serde_json::Value>) -> String {
    format!("{key}={}", value.into())
}

fn run<R: Recipe>(text: &str, name: &str, changes: &[String], show_progress: bool) -> Result<()> {
    const PARTS: u64 = 10_000;
    let recipe: R = recipe::parse(text, name, changes)?;
    let plan = recipe.plan()?;
    let tokenizer = open_tokenizer(recipe.frame().tokenizer)?;
    let task = recipe.task(tokenizer)?;
    let start = Instant::now();
    let clock = move || start.elapsed();
    let interrupt = Interrupt::on_ctrl_c();
    let interrupted = || interrupt.is_raised();
    let bar = match show_progress {
        true => Progress::new(Some(PARTS), "steps"),
        false => Progress::hidden(),
    };
    let mut shown = Shown::default();
    let run = Run::new(&task, plan, &clock, false)?.interrupted_by(&interrupted);
    let outcome = run.finish(|news| {
        let (progress, line) = shown.line(news);
        bar.tell((progress * PARTS as f64) as u64, line);
    });
    bar.finish();
    outcome?;
    if interrupt.is_raised() {
        bail!("interrupted; nothing was replaced");
    }
    Ok(())
}
