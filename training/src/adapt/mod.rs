//! `cloze train adapt`: a bi-encoder learns a user's own documents, and takes the place of the old one only when it
//! finds more on documents that it did not learn from.
//!
//! ```text
//! corpus ─┬─ held-out documents ─ pairs ───────────────────────────────────┐
//!         └─ the others ─┬─ blanks (MLM) ───────────┐                      ├─ before and after
//!                        └─ pairs ─ hard negatives ─┴─ fine-tuning ─ model ┘
//! ```

mod compare;
mod corpus;
mod model;
mod stages;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use launch::Interrupt;
use measure::Interval;

use crate::mine::{By, MineArgs, mine};
use compare::Compared;
use model::Known;

const EXAMPLES: &str = "\
Examples:
  cloze train adapt handbook/ --out handbook-model
  cloze train adapt notes.jsonl --model my-model --out better-model --set sentence.schedule.steps=500
With the model in another folder, `cloze swap-model` moves an index over to it.";

/// Options of `adapt`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AdaptArgs {
    /// Files and folders of documents, in any format that `cloze index` reads.
    #[arg(required = true)]
    corpus: Vec<PathBuf>,
    /// The bi-encoder to start from: a folder, or "bundled".
    #[arg(long, value_name = "MODEL", default_value = bundled::NAME)]
    model: String,
    /// Folder that receives the new model when it is not worse; it must not exist.
    #[arg(long)]
    out: PathBuf,
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
pub(crate) fn adapt(args: &AdaptArgs, show_progress: bool, screen: &mut dyn Write) -> Result<()> {
    let interrupt = Interrupt::on_ctrl_c();
    let changes = Changes::sort(&args.set)?;
    if args.out.exists() {
        bail!(
            "{}: it is there already; --out names a new folder",
            args.out.display()
        );
    }
    let work = work_folder(&args.out);
    if work.exists() {
        std::fs::remove_dir_all(&work).with_context(|| work.display().to_string())?;
    }
    std::fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let old = Known::open(&args.model, &work.join("old"))?;
    let split = corpus::split(args, &work)?;
    writeln!(
        screen,
        "{} documents, of which {} are held out; {} queries to learn from, {} to compare on",
        split.documents, split.held_out, split.pairs.queries, split.held_out_pairs.queries
    )?;

    let start = match args.mlm || old.has_mlm_head {
        true => stages::blanks(&old, &split, &changes.mlm, &work, show_progress)?,
        false => old.folder.clone(),
    };
    let mined = MineArgs {
        pairs: split.pairs_file.clone(),
        passages: Vec::new(),
        out: stages::mined(&work),
        by: By::Hybrid,
        model: old.folder.display().to_string(),
        negatives: 4,
        depth: 20,
        skip: 0,
        margin: 0.95,
    };
    mine(&mined, show_progress, &interrupt)?;
    writeln!(screen, "hard negatives found")?;
    let candidate = stages::fine_tuning(&old, &start, &split, &changes.sentence, &work, show_progress)?;
    let compared = compare::compare(&old.folder, &candidate, &split)?;
    compared.tell(screen)?;
    keep(&compared, &candidate, &work, &args.out)?;
    writeln!(screen, "model in {}", args.out.display())?;
    Ok(())
}

/// Gives a model that is not worse its name.
fn keep(compared: &Compared, candidate: &Path, work: &Path, out: &Path) -> Result<()> {
    let Interval { mean, .. } = compared.difference;
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
