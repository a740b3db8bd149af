//! `cloze train score`: a cross-encoder's scores of positives and negatives, for bi-encoders to learn from.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use data::jsonl;
use infer::{ModelSettings, Rerank as _, Reranker};
use launch::{Exit, Interrupt, Progress};
use serde::Serialize;
use trainer::card;

use crate::line::Line;
use crate::work::Work;

const EXAMPLES: &str = "\
Examples:
  cloze train score --model cross-encoder --pairs mined.jsonl --out scored.jsonl
A run that was interrupted goes on when the same command is given again.";

/// Options of `score`.
#[derive(Debug, Args, Serialize)]
#[command(after_help = EXAMPLES)]
pub struct ScoreArgs {
    /// The cross-encoder: a folder, or "bundled".
    #[arg(long)]
    model: String,
    /// The pairs, lines of {query, positive, negatives}, as `cloze train mine` writes them.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// The file to write: the same lines, each with a list `scores`, the positive's first.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs `train score`.
pub(crate) fn score_pairs(args: &ScoreArgs, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let name = &args.model;
    let files = bundled::open_reranker(name).with_context(|| format!("cannot open the model {name:?}"))?;
    let teacher = Reranker::open(&files, &ModelSettings::new(launch::threads()))?;
    launch::warn(&files.describe(), teacher.notes());
    let pairs = jsonl::records::<Line>(&args.pairs)?;
    let read = serde_json::json!([args.pairs]).to_string();
    let named = serde_json::json!({
        "options": args,
        "pairs": card::inputs(&read)?,
        "model": teacher.fingerprint(),
    });
    let mut work = Work::open(&args.out, "scoring", &named.to_string())?;
    let interrupt = Interrupt::on_ctrl_c();
    let bar = match show_progress {
        true => Progress::new(None, "queries"),
        false => Progress::hidden(),
    };
    let mut done = work.done();
    bar.begin_at(done);
    for line in pairs.skip(done as usize) {
        if interrupt.is_raised() {
            bar.finish();
            writeln!(
                screen,
                "interrupted after {done} queries; the same command goes on from there"
            )?;
            return Ok(Exit::Interrupted);
        }
        let mut line = line?.value;
        let passages: Vec<&str> = std::iter::once(&line.positive)
            .chain(&line.negatives)
            .map(String::as_str)
            .collect();
        line.scores = teacher.score(&line.query, &passages)?;
        work.write(&[line])?;
        done += 1;
        bar.set(done, done);
    }
    bar.finish();
    work.finish(&args.out)?;
    writeln!(screen, "{done} queries with scores in {}", args.out.display())?;
    Ok(Exit::Success)
}
