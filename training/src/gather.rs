//! `cloze train pairs`: the pairs of a sentence recipe out of documents, pairs and questions.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use trainer::gather::{self, Settings};

const EXAMPLES: &str = "\
Examples:
  cloze train pairs --documents wiki.jsonl.zst --out pairs.jsonl
  cloze train pairs --documents wiki-*.jsonl.zst --documents-share 0.2 --pairs faq.jsonl \\
      --squad train-v1.1.json --exclude-titles-of dev-v1.1.json --max-per-source 5000 --out pairs.jsonl
The same files, options and seed give the same pairs.";

/// Options of `pairs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PairsArgs {
    /// Documents, lines of {source, title, sections: [{heading, paragraphs}]}: passages are cut out of them, and
    /// headings and sentences ask for them. All inputs may be compressed (.zst).
    #[arg(long, value_name = "FILE", num_args = 1..)]
    documents: Vec<PathBuf>,
    /// Share of the documents' passages to take.
    #[arg(long, value_name = "0..1", default_value_t = 1.0)]
    documents_share: f64,
    /// Pairs, lines of {query, positive, source}.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pairs: Vec<PathBuf>,
    /// Questions in the layout of SQuAD 1.1, each for its paragraph.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    squad: Vec<PathBuf>,
    /// SQuAD files whose articles are left out of documents and questions, because they measure the model later.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    exclude_titles_of: Vec<PathBuf>,
    /// Different positives of one source at most, a fair sample of them. Default: all.
    #[arg(long, value_name = "N")]
    max_per_source: Option<usize>,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The pairs file to write, lines of {query, positive, source} in random order; of questions with their answers.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs `train pairs`.
pub(crate) fn gather_pairs(args: &PairsArgs, screen: &mut dyn Write) -> Result<()> {
    let settings = Settings {
        documents: args.documents.clone(),
        documents_share: args.documents_share,
        pairs: args.pairs.clone(),
        squad: args.squad.clone(),
        exclude_titles_of: args.exclude_titles_of.clone(),
        per_source_max: args.max_per_source.unwrap_or(usize::MAX),
        seed: args.seed,
    };
    let counts = gather::gather(&settings, &args.out)?;
    writeln!(
        screen,
        "{} queries of {} positives in {}",
        counts.queries,
        counts.positives,
        args.out.display()
    )?;
    writeln!(
        screen,
        "{} positives seen again were joined, {} articles left out by title",
        counts.joined, counts.excluded
    )?;
    Ok(())
}
