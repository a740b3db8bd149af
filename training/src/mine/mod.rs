//! `cloze train mine`: hard negatives, texts that a search takes for answers and that are none, for the pairs of a
//! sentence or reranking recipe.
//!
//! The distinct positives go into an index, and every query searches it. Pairs are read line by line, twice; memory
//! holds two hashes a pair and what the index needs. A run that was interrupted goes on where it was.

mod guard;
mod library;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use data::jsonl;
use index::Snapshot;
use infer::{Embed, ModelSettings, Role};
use launch::{Exit, Interrupt, Progress};
use rayon::prelude::*;
use search::Mode;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::line::Line;
use crate::model::open_embedder;
use crate::work::Work;
use guard::Known;
use library::{Filling, Search, candidates, hash};

const EXAMPLES: &str = "\
Examples:
  cloze train mine --pairs pairs.jsonl --out mined.jsonl
  cloze train mine --pairs pairs.jsonl --by hybrid --model first-round --negatives 8 --skip 2 --out mined.jsonl
A run that was interrupted goes on when the same command is given again.";

/// Lines of the pairs file that are worked on together.
const CHUNK_LINES: usize = 512;

/// Options of `mine`.
#[derive(Debug, Clone, Args, Serialize)]
#[command(after_help = EXAMPLES)]
pub struct MineArgs {
    /// The pairs, lines of {query, positive}; more fields are kept. The strings of a field `answers` are what a
    /// negative must not contain. May be compressed (.zst).
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: PathBuf,
    /// More passages that may be negatives, beside the positives of other queries: .jsonl with a field `text`, or
    /// .txt with a passage a line.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) passages: Vec<PathBuf>,
    /// The file to write: the lines of the pairs, each with a list `negatives`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// What searches. Only lexical needs no vectors; it takes no margin.
    #[arg(long, value_enum, default_value_t = By::Lexical)]
    pub(crate) by: By,
    /// The bi-encoder of dense and hybrid searches: a folder, or "bundled".
    #[arg(long, value_name = "MODEL", default_value = bundled::NAME)]
    pub(crate) model: String,
    /// Negatives of each query, the first that pass.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) negatives: usize,
    /// Candidates that are looked at.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) depth: usize,
    /// Candidates at the top of the list that are passed over: the likeliest to be answers that nobody marked.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) skip: usize,
    /// The most that the cosine of a negative may be, as a share of the positive's. In dense and hybrid searches.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    pub(crate) margin: f32,
}

/// What finds the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// Words, by BM25.
    Lexical,
    /// Vectors, by their cosine.
    Dense,
    /// Both, by reciprocal ranks.
    Hybrid,
}

impl By {
    fn mode(self) -> Mode {
        match self {
            Self::Lexical => Mode::Lexical,
            Self::Dense => Mode::Dense,
            Self::Hybrid => Mode::Hybrid,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines written.
    pub(crate) lines: u64,
    /// Lines of this run with fewer negatives than were asked for.
    pub(crate) short: u64,
}

/// Runs `train mine`.
pub(crate) fn mine_pairs(args: &MineArgs, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let Some(counts) = mine(args, show_progress, &Interrupt::on_ctrl_c())? else {
        writeln!(screen, "interrupted; the same command goes on from there")?;
        return Ok(Exit::Interrupted);
    };
    let (lines, out) = (counts.lines, args.out.display());
    writeln!(
        screen,
        "{lines} queries in {out}; {} of this run have fewer than {} negatives",
        counts.short, args.negatives
    )?;
    Ok(Exit::Success)
}

/// Mines as the options say; none when interrupted.
///
/// # Errors
/// Options out of range; files that are damaged or cannot be written.
pub(crate) fn mine(args: &MineArgs, show_progress: bool, interrupt: &Interrupt) -> Result<Option<Counts>> {
    args.check()?;
    let settings = ModelSettings {
        threads: launch::threads(),
        precision: None,
    };
    let model = match args.by {
        By::Lexical => None,
        By::Dense | By::Hybrid => Some(open_embedder(&args.model, &settings)?),
    };
    let embed = model.as_ref().map(|model| model as &dyn Embed);
    let pairs = Pairs::read(args)?;
    let named = serde_json::json!({
        "options": args,
        "pairs": format!("{:032x}", pairs.digest),
        "model": embed.map(Embed::fingerprint),
    });
    let mut work = Work::open(&args.out, "mining", &named.to_string())?;
    let bar = |unit| match show_progress {
        true => Progress::new(Some(pairs.lines), unit),
        false => Progress::hidden(),
    };
    let filling = Filling::open(&work.folder().join("index"), embed)?;
    let Some(library) = fill(filling, args, &bar("lines indexed"), interrupt)? else {
        return Ok(None);
    };
    let miner = Miner {
        args,
        embed,
        library: &library,
        pairs: &pairs,
    };
    let Some(counts) = miner.all(&mut work, &bar("queries"), interrupt)? else {
        return Ok(None);
    };
    drop(library);
    work.finish(&args.out)?;
    Ok(Some(counts))
}

impl MineArgs {
    fn check(&self) -> Result<()> {
        if self.negatives == 0 || self.negatives > self.depth {
            let (negatives, depth) = (self.negatives, self.depth);
            bail!("--negatives is {negatives}; accepted are 1 to {depth}, which is --depth");
        }
        if !(self.margin > 0.0 && self.margin <= 1.0) {
            bail!("--margin is {}; accepted is above 0 and at most 1", self.margin);
        }
        Ok(())
    }
}

/// What is known of the pairs file after it was read once.
struct Pairs {
    lines: u64,
    digest: u128,
    /// Hashes of query and positive, sorted, without doubles.
    asked: Vec<(u128, u128)>,
}

impl Pairs {
    fn read(args: &MineArgs) -> Result<Self> {
        let mut digest = Xxh3::new();
        let mut asked = Vec::new();
        let mut lines = 0;
        for line in jsonl::records::<Line>(&args.pairs)? {
            let line = line?.value;
            let pair = (hash(&line.query), hash(&line.positive));
            digest.update(&pair.0.to_le_bytes());
            digest.update(&pair.1.to_le_bytes());
            asked.push(pair);
            lines += 1;
        }
        if lines == 0 {
            bail!("{}: there is no pair", args.pairs.display());
        }
        asked.sort_unstable();
        asked.dedup();
        Ok(Self {
            lines,
            digest: digest.digest128(),
            asked,
        })
    }

    /// Whether the text is a positive of the query, on any line.
    fn is_positive(&self, query: u128, text: &str) -> bool {
        self.asked.binary_search(&(query, hash(text))).is_ok()
    }
}

/// Puts all passages into the index; none when interrupted.
fn fill(
    mut filling: Filling<'_>,
    args: &MineArgs,
    bar: &Progress,
    interrupt: &Interrupt,
) -> Result<Option<std::sync::Arc<Snapshot>>> {
    let positives = jsonl::records::<Line>(&args.pairs)?.map(|line| Ok(line?.value.positive));
    let more = trainer::texts::all_documents(&args.passages)?.map(|text| Ok(text?));
    let mut seen = HashSet::new();
    for (number, text) in (1..).zip(positives.chain(more)) {
        let text: String = text.map_err(|error: anyhow::Error| error)?;
        if interrupt.is_raised() {
            break;
        }
        if seen.insert(hash(&text)) {
            filling.add(text)?;
        }
        bar.set(number, number);
    }
    bar.finish();
    filling.finish(interrupt)
}

struct Miner<'a> {
    args: &'a MineArgs,
    embed: Option<&'a dyn Embed>,
    library: &'a Snapshot,
    pairs: &'a Pairs,
}

impl Miner<'_> {
    /// Mines every line after those that are done; none when interrupted.
    fn all(&self, work: &mut Work, bar: &Progress, interrupt: &Interrupt) -> Result<Option<Counts>> {
        let mut counts = Counts {
            lines: work.done(),
            short: 0,
        };
        bar.begin_at(counts.lines);
        let mut lines = jsonl::records::<Line>(&self.args.pairs)?.skip(counts.lines as usize);
        loop {
            let chunk = lines.by_ref().take(CHUNK_LINES).map(|line| Ok(line?.value));
            let chunk: Vec<Line> = chunk.collect::<Result<_>>()?;
            if chunk.is_empty() {
                break;
            }
            if interrupt.is_raised() {
                bar.finish();
                return Ok(None);
            }
            let mined = self.chunk(chunk)?;
            let is_short = |line: &&Line| line.negatives.len() < self.args.negatives;
            counts.short += mined.iter().filter(is_short).count() as u64;
            counts.lines += mined.len() as u64;
            work.write(&mined)?;
            bar.set(counts.lines, counts.lines);
        }
        bar.finish();
        Ok(Some(counts))
    }

    fn chunk(&self, lines: Vec<Line>) -> Result<Vec<Line>> {
        let queries: Vec<&str> = lines.iter().map(|line| line.query.as_str()).collect();
        let vectors = match self.embed {
            Some(embed) => embed
                .embed(&queries, Role::Query)?
                .into_iter()
                .map(Some)
                .collect(),
            None => vec![None; lines.len()],
        };
        let lines = lines.into_par_iter().zip(vectors);
        lines
            .map(|(line, vector)| self.line(line, vector.as_deref()))
            .collect()
    }

    fn line(&self, mut line: Line, vector: Option<&[f32]>) -> Result<Line> {
        let search = Search {
            mode: self.args.by.mode(),
            skip: self.args.skip,
            depth: self.args.depth,
        };
        let (mut found, cosine) = candidates(self.library, search, &line.query, vector, &line.positive)?;
        let query = hash(&line.query);
        found.retain(|candidate| !self.pairs.is_positive(query, &candidate.text));
        let known = Known {
            positive: &line.positive,
            answers: &line.answers,
            cosine,
        };
        line.negatives = guard::negatives(found, &known, self.args.margin);
        line.negatives.truncate(self.args.negatives);
        // They were those of other negatives.
        line.scores.clear();
        Ok(line)
    }
}

#[cfg(test)]
mod tests;
