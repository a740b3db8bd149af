//! `cloze train adapt`: a bi-encoder learns a user's own documents, and takes the place of the old one only when it
//! finds more on documents that it did not learn from.
//!
//! ```text
//! corpus ─┬─ held-out documents ─ pairs ─────────────────────────────────────────────┐
//!         └─ the others ─┬─ blanks (MLM) ─────────────────────┐                      ├─ before and after
//!                        └─ pairs ─┬─ hard negatives ─────────┼─ fine-tuning ─ model ┘
//!                                  └─ the old model's vectors ┘
//! ```

mod compare;
mod corpus;
mod model;
mod queries;
mod stages;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use launch::{Exit, OnError};
use serde::Serialize;

use compare::Compared;
use corpus::Split;
use model::Known;
use queries::Queries;
use stages::Stages;

const EXAMPLES: &str = "\
Examples:
  cloze train adapt handbook/ --out handbook-model
  cloze train adapt handbook/ --judged asked/ --out handbook-model
  cloze train adapt notes.jsonl --model my-model --out better-model --set sentence.schedule.steps=500
An adaptation that was interrupted goes on when the same command is given again.
With the model in another folder, `cloze swap-model` moves an index over to it.";

/// Options of `adapt`.
#[derive(Debug, Args, Serialize)]
#[command(after_help = EXAMPLES)]
pub struct AdaptArgs {
    /// Files and folders of documents, in any format that `cloze index` reads.
    #[arg(required = true)]
    corpus: Vec<PathBuf>,
    /// TOML file that says which fields are id, title and text. Default: fields of these names.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// What to do about a record that cannot be used.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    #[serde(skip)]
    on_error: OnError,
    /// The bi-encoder to start from: a folder, or "bundled".
    #[arg(long, value_name = "MODEL", default_value = bundled::NAME)]
    model: String,
    /// Folder that receives the new model when it is not worse; it must not exist.
    #[arg(long)]
    out: PathBuf,
    /// What people ask and which documents of the corpus answer it: a folder with queries.jsonl and qrels/test.tsv, as
    /// `cloze eval retrieve` reads them. Then these decide.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    judged: Option<PathBuf>,
    /// Share of the documents that before and after are compared on.
    #[arg(long, value_name = "0..1", default_value_t = 0.15)]
    held_out: f64,
    /// Passages to learn from at most, a fair sample of them.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    passages: usize,
    /// Fill in the blanks of the corpus first, even when the model has no head for it and gets a fresh one.
    #[arg(long)]
    mlm: bool,
    /// Change a setting of the two recipes: mlm.KEY=VALUE or sentence.KEY=VALUE; see training/recipes/adapt-*.toml.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs `train adapt`.
///
/// # Errors
/// Whatever goes wrong, and a new model that is worse than the old one.
pub(crate) fn adapt(args: &AdaptArgs, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let changes = Changes::sort(&args.set)?;
    if args.out.exists() {
        bail!(
            "{}: it is there already; --out names a new folder",
            args.out.display()
        );
    }
    let judged = args.judged.as_deref().map(|folder| Queries::judged(folder, args));
    let judged = judged.transpose()?;
    let work = work_folder(&args.out);
    std::fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let old = Known::open(&args.model, &work.join("old"))?;
    let split = corpus::split(args, &work)?;
    writeln!(
        screen,
        "{} documents, of which {} are held out{}; {} queries to learn from, {} to compare on",
        split.documents,
        split.held_out,
        split.skipped(),
        split.pairs.queries,
        split.held_out_pairs.queries
    )?;
    let stages = Stages {
        args,
        changes: &changes,
        old: &old,
        split: &split,
        work: &work,
        show_progress,
    };
    let Some(candidate) = stages.all(screen)? else {
        writeln!(screen, "interrupted; the same command goes on from there")?;
        return Ok(Exit::Interrupted);
    };
    let mut compared = Vec::new();
    for queries in std::iter::once(Queries::made(&split)?).chain(judged) {
        let both = compare::compare(&old.folder, &candidate, &queries)?;
        writeln!(screen, "{both}")?;
        compared.push(both);
    }
    note(&candidate, args, &split, &compared)?;
    keep(&compared, &candidate, &work, &args.out)?;
    writeln!(screen, "model in {}", args.out.display())?;
    Ok(Exit::Success)
}

/// Tells the reader of the model's card what it was adapted to and what came of it.
fn note(candidate: &Path, args: &AdaptArgs, split: &Split, compared: &[Compared]) -> Result<()> {
    let path = candidate.join("README.md");
    let corpus: Vec<String> = args
        .corpus
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let (documents, held_out) = (split.documents, split.held_out);
    let compared: Vec<String> = compared.iter().map(|both| format!("{both}.")).collect();
    let text = format!(
        "\n## Adapted\n\nFrom the model {} to {documents} documents, of which {held_out} were held out: {}.\n\n\
         {}\n",
        args.model,
        corpus.join(", "),
        compared.join("\n\n")
    );
    let card = OpenOptions::new().append(true).open(&path);
    card.and_then(|mut card| card.write_all(text.as_bytes()))
        .with_context(|| path.display().to_string())
}

/// Gives a model that is not worse its name; the last comparison decides.
fn keep(compared: &[Compared], candidate: &Path, work: &Path, out: &Path) -> Result<()> {
    let mean = compared.last().map_or(0.0, |both| both.difference.mean);
    if mean < 0.0 {
        bail!(
            "the new model finds less than the old one ({mean:+.4} nDCG@10), so it does not take its place; it was left \
             in {}",
            candidate.display()
        );
    }
    std::fs::rename(candidate, out).with_context(|| out.display().to_string())?;
    std::fs::remove_dir_all(work).with_context(|| work.display().to_string())
}

/// Beside the folder to come.
fn work_folder(out: &Path) -> PathBuf {
    let mut work = out.as_os_str().to_owned();
    work.push(".adapting");
    work.into()
}

/// Changes of settings, by recipe.
#[derive(Debug, Default)]
struct Changes {
    mlm: Vec<String>,
    sentence: Vec<String>,
}

impl Changes {
    fn sort(set: &[String]) -> Result<Self> {
        let mut changes = Self::default();
        for change in set {
            match change.split_once('.') {
                Some(("mlm", change)) => changes.mlm.push(change.to_owned()),
                Some(("sentence", change)) => changes.sentence.push(change.to_owned()),
                _ => bail!("--set {change}: expected mlm.KEY=VALUE or sentence.KEY=VALUE"),
            }
        }
        Ok(changes)
    }
}
