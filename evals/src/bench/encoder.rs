//! `cloze bench encoder`: rates and latencies of a bi-encoder in each precision, in turns.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use infer::{Embed, Embedder, ModelSettings, Precision, Role};
use launch::Exit;
use measure::latency::{Latency, summarize};
use serde::Serialize;

use super::machine;

const EXAMPLES: &str = "\
Examples:
  cloze bench encoder                                     the bundled model on made-up passages
  cloze bench encoder --data beir/scifact --threads 1     passages and queries of a collection
  cloze bench encoder --model DIR --precision int8 --json";

/// Options of `encoder`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EncoderOptions {
    /// The model: "bundled" or a folder.
    #[arg(long, value_name = "NAME|DIR", default_value = bundled::NAME)]
    model: String,
    /// Test collection (BEIR layout) whose passages and queries are embedded; without it, made-up words.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Passages of one repetition.
    #[arg(long, value_name = "N", default_value = "128")]
    passages: NonZeroUsize,
    /// Queries of one repetition, each embedded alone.
    #[arg(long, value_name = "N", default_value = "300")]
    queries: NonZeroUsize,
    /// Repetitions; rates are their median.
    #[arg(long, value_name = "N", default_value = "5")]
    repetitions: NonZeroUsize,
    /// Threads of the model. Default: one for each core.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Number types to run: f32, bf16, int8.
    #[arg(long, value_delimiter = ',', default_value = "f32,bf16,int8")]
    precision: Vec<Precision>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    processor: String,
    instruction_set: String,
    threads: usize,
    model: String,
    passages: usize,
    tokens: usize,
    queries: usize,
    repetitions: usize,
    /// Of the process, after everything: in bytes.
    memory: Option<Memory>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Memory {
    resident: u64,
    peak: u64,
}

/// Figures of one precision.
#[derive(Debug, Serialize)]
struct Row {
    precision: String,
    opening_ms: f64,
    passages_per_s: f64,
    tokens_per_s: f64,
    gflops: f64,
    /// The machine's best on as many threads.
    peak_gflops: f64,
    query_p50_ms: f64,
    query_p99_ms: f64,
    /// Of the vectors to those of the first precision: mean and smallest.
    cosine_mean: f64,
    cosine_min: f64,
}

/// Texts to embed, with the tokens that the model reads of the passages.
struct Work {
    passages: Vec<String>,
    queries: Vec<String>,
    lengths: Vec<usize>,
}

/// A model and the seconds of what it did.
struct Runner {
    precision: Precision,
    model: Embedder,
    opening: f64,
    rounds: Vec<f64>,
    queries: Vec<f64>,
    vectors: Vec<Vec<f32>>,
}

/// Measures and prints.
pub(super) fn run(options: &EncoderOptions, screen: &mut dyn Write) -> Result<Exit> {
    let threads = options.threads.map_or_else(launch::threads, NonZeroUsize::get);
    let files = bundled::open(&options.model).with_context(|| format!("the model {:?}", options.model))?;
    let open = |&precision: &Precision| -> Result<Runner> {
        let start = Instant::now();
        let model = Embedder::open(
            &files,
            &ModelSettings {
                threads,
                precision: Some(precision),
            },
        )?;
        Ok(Runner {
            precision,
            model,
            opening: start.elapsed().as_secs_f64(),
            rounds: Vec::new(),
            queries: Vec::new(),
            vectors: Vec::new(),
        })
    };
    let mut runners = options.precision.iter().map(open).collect::<Result<Vec<_>>>()?;
    let first = runners.first().context("--precision names none")?;
    let work = work(options, &first.model)?;
    for runner in &mut runners {
        // The first round fills caches and memory.
        runner.round(&work)?;
        runner.rounds.clear();
        runner.queries.clear();
    }
    for round in 0..options.repetitions.get() {
        // In turns, so that a change of the machine's speed meets all.
        let count = runners.len();
        for at in 0..count {
            runners[(round + at) % count].round(&work)?;
        }
    }
    let report = report(options, threads, &work, &runners);
    if options.json {
        writeln!(screen, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report, screen)?;
    }
    Ok(Exit::Success)
}

impl Runner {
    fn round(&mut self, work: &Work) -> Result<()> {
        let passages: Vec<&str> = work.passages.iter().map(String::as_str).collect();
        let start = Instant::now();
        self.vectors = self.model.embed(&passages, Role::Passage)?;
        self.rounds.push(start.elapsed().as_secs_f64());
        for query in &work.queries {
            let start = Instant::now();
            self.model.embed(&[query], Role::Query)?;
            self.queries.push(start.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// A fixed sample of the collection, or words by rule: passages of 40 to 200 words, queries of 10.
fn work(options: &EncoderOptions, model: &Embedder) -> Result<Work> {
    let (count, queries_count) = (options.passages.get(), options.queries.get());
    let (passages, queries) = match &options.data {
        Some(folder) => {
            let passages = data::beir::corpus(folder)?
                .map(|document| document.map(|document| document.value.text))
                .collect::<Result<Vec<_>, _>>()?;
            let queries = data::beir::queries(folder)?
                .into_iter()
                .map(|query| query.text)
                .collect();
            (sample(passages, count), sample(queries, queries_count))
        }
        None => {
            let passage = |at: usize| words(at, 40 + at * 37 % 161);
            let query = |at: usize| words(at, 10);
            (
                (0..count).map(passage).collect(),
                (0..queries_count).map(query).collect(),
            )
        }
    };
    ensure!(!passages.is_empty(), "no passages to embed");
    let length = |text: &String| Ok((model.count_tokens(text)? + 2).min(model.tokens_max()));
    let lengths = passages.iter().map(length).collect::<Result<_>>()?;
    Ok(Work {
        passages,
        queries,
        lengths,
    })
}

/// Every n-th, so that they come from everywhere.
fn sample(texts: Vec<String>, count: usize) -> Vec<String> {
    let every = (texts.len() / count).max(1);
    texts.into_iter().step_by(every).take(count).collect()
}

fn words(seed: usize, count: usize) -> String {
    const WORDS: [&str; 16] = [
        "the", "river", "of", "data", "runs", "through", "every", "old", "city", "and", "nobody", "measures",
        "its", "speed", "in", "winter",
    ];
    let word = |at: usize| WORDS[(seed * 7 + at * at + at / 3) % WORDS.len()];
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

fn report(options: &EncoderOptions, threads: usize, work: &Work, runners: &[Runner]) -> Report {
    let tokens: usize = work.lengths.iter().sum();
    let first = &runners[0];
    let row = |runner: &Runner| {
        let seconds = median(&runner.rounds);
        let operations: u64 = work
            .lengths
            .iter()
            .map(|&length| runner.model.operations(length))
            .sum();
        let latency = summarize(&runner.queries);
        let query = |of: fn(&Latency) -> f64| latency.as_ref().map_or(0.0, |latency| 1e3 * of(latency));
        let cosines: Vec<f64> = runner
            .vectors
            .iter()
            .zip(&first.vectors)
            .map(|(a, b)| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum())
            .collect();
        Row {
            precision: runner.precision.to_string(),
            opening_ms: 1e3 * runner.opening,
            passages_per_s: work.passages.len() as f64 / seconds,
            tokens_per_s: tokens as f64 / seconds,
            gflops: operations as f64 / seconds / 1e9,
            peak_gflops: machine::peak(runner.model.instruction_set(), runner.precision, threads) / 1e9,
            query_p50_ms: query(|latency| latency.p50),
            query_p99_ms: query(|latency| latency.p99),
            cosine_mean: cosines.iter().sum::<f64>() / cosines.len() as f64,
            cosine_min: cosines.iter().copied().fold(1.0, f64::min),
        }
    };
    Report {
        processor: launch::processor(),
        instruction_set: first.model.instruction_set().to_string(),
        threads,
        model: options.model.clone(),
        passages: work.passages.len(),
        tokens,
        queries: work.queries.len(),
        repetitions: options.repetitions.get(),
        memory: launch::memory().map(|(resident, peak)| Memory { resident, peak }),
        rows: runners.iter().map(row).collect(),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn print(report: &Report, screen: &mut dyn Write) -> Result<()> {
    writeln!(
        screen,
        "{}, {}, {} threads; model {}; {} passages of {} tokens in all, {} queries; {} repetitions",
        report.processor,
        report.instruction_set,
        report.threads,
        report.model,
        report.passages,
        report.tokens,
        report.queries,
        report.repetitions
    )?;
    if let Some(memory) = &report.memory {
        let mib = |bytes: u64| bytes >> 20;
        writeln!(
            screen,
            "memory: {} MiB, at most {} MiB, with all models open",
            mib(memory.resident),
            mib(memory.peak)
        )?;
    }
    writeln!(
        screen,
        "\n| precision | passages/s | tokens/s | GFLOP/s (share of the peak) | one query, p50 / p99 ms | opening ms | cosine, mean / least |\n|---|---|---|---|---|---|---|"
    )?;
    for row in &report.rows {
        writeln!(
            screen,
            "| {} | {:.1} | {:.0} | {:.0} ({:.0} % of {:.0}) | {:.2} / {:.2} | {:.0} | {:.5} / {:.5} |",
            row.precision,
            row.passages_per_s,
            row.tokens_per_s,
            row.gflops,
            100.0 * row.gflops / row.peak_gflops,
            row.peak_gflops,
            row.query_p50_ms,
            row.query_p99_ms,
            row.opening_ms,
            row.cosine_mean,
            row.cosine_min
        )?;
    }
    Ok(())
}
