//! `cloze train score`: a cross-encoder's scores of positives and negatives, for bi-encoders to learn from.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use data::jsonl;
use encoder::ModelFiles;
use infer::{ModelSettings, Rerank as _, Reranker};
use launch::{Interrupt, Progress};

use crate::line::Line;

/// Options of `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Folder of the cross-encoder.
    #[arg(long)]
    model: PathBuf,
    /// The pairs, lines of {query, positive, negatives}, as `cloze train mine` writes them.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// The file to write: the same lines, each with a list `scores`, the positive's first.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs `train score`.
pub(crate) fn score_pairs(args: &ScoreArgs, show_progress: bool, screen: &mut dyn Write) -> Result<()> {
    let files = ModelFiles::folder(&args.model)?;
    let teacher = Reranker::open(&files, &ModelSettings::new(launch::threads()))?;
    let interrupt = Interrupt::on_ctrl_c();
    let bar = match show_progress {
        true => Progress::new(None, "queries"),
        false => Progress::hidden(),
    };
    let mut aside = args.out.as_os_str().to_owned();
    aside.push(".part");
    let aside = PathBuf::from(aside);
    let at = || aside.display().to_string();
    let mut file = BufWriter::new(File::create(&aside).with_context(at)?);
    let mut done = 0;
    for line in jsonl::records::<Line>(&args.pairs)? {
        if interrupt.is_raised() {
            bail!("interrupted after {done} queries; the beginning is in {}", at());
        }
        let mut line = line?.value;
        let passages: Vec<&str> = std::iter::once(&line.positive)
            .chain(&line.negatives)
            .map(String::as_str)
            .collect();
        line.scores = teacher.score(&line.query, &passages)?;
        serde_json::to_writer(&mut file, &line).with_context(at)?;
        file.write_all(b"\n").with_context(at)?;
        done += 1;
        bar.set(done, done);
    }
    bar.finish();
    file.flush().with_context(at)?;
    std::fs::rename(&aside, &args.out).with_context(|| args.out.display().to_string())?;
    writeln!(screen, "{done} queries with scores in {}", args.out.display())?;
    Ok(())
}
