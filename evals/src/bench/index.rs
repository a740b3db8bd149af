//! `cloze bench index`: what an index costs, and how fast it finds how much, on the user's own vectors.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use corpus::{PreparedDocument, WriteStore};
use index::{Index, WriterSettings};
use launch::Exit;
use serde::Serialize;
use vectors::{
    Builder, Codes, Effort, Graph, GraphSettings, Nearest, Neighbour, Vectors, VectorsWriter, Walk,
};

use super::plot;

const EXAMPLES: &str = "\
Examples:
  cloze bench index --index wiki
  cloze bench index --index wiki --svg wiki.svg --json > wiki.json
  cloze bench index --index wiki --m 32 --ef-construction 400
The index itself is only read: everything is built anew in a temporary folder.";

/// Hits of a query.
const K: usize = 10;
const EFS: [usize; 14] = [10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];
/// Rounds of all queries, of which the fastest counts.
const ROUNDS: usize = 3;
/// Documents that are handed to a writer together.
const GROUP: usize = 256;

/// Options of `index`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct IndexOptions {
    /// Folder of the index whose documents and vectors are used.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Queries: the vectors of so many passages, each of which is left out of its own answer.
    #[arg(long, value_name = "N", default_value = "1000")]
    queries: NonZeroUsize,
    /// Threads that build; searching takes one. Default: one for each core.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Links of a row on each level of the graph, and twice as many on the lowest.
    #[arg(long, default_value_t = GraphSettings::default().m)]
    m: usize,
    /// Near rows that are looked at when links are chosen.
    #[arg(long, default_value_t = GraphSettings::default().ef_construction)]
    ef_construction: usize,
    /// Build with hnsw_rs instead of our own inserter.
    #[arg(long)]
    hnsw_rs: bool,
    /// Draw recall against speed to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    processor: String,
    build_threads: usize,
    search_threads: usize,
    passages: u32,
    dimension: usize,
    /// Passages per second into an index, vectors given, and the seconds that took.
    writing_passages_per_s: f64,
    writing_s: f64,
    /// One graph over all vectors: rounding them and building.
    build_s: f64,
    builder: &'static str,
    unreachable: u32,
    /// Opening vectors, codes and graph.
    open_ms: f64,
    /// What searching takes in memory when all has been read, in bytes: codes and graph.
    codes_bytes: u64,
    graph_bytes: u64,
    vectors_bytes: u64,
    queries: usize,
    exact_queries_per_s: f64,
    curve: Vec<Point>,
}

/// A place on the curve.
#[derive(Debug, Serialize)]
struct Point {
    ef: usize,
    recall_at_10: f64,
    queries_per_s: f64,
}

/// Runs the benchmark.
///
/// # Errors
/// When the index cannot be read, or the temporary folder has no room.
pub(super) fn run(options: &IndexOptions, screen: &mut dyn Write) -> Result<Exit> {
    let report = measure(options)?;
    if let Some(path) = &options.svg {
        let points: Vec<_> = report
            .curve
            .iter()
            .map(|at| (at.recall_at_10, at.queries_per_s))
            .collect();
        let title = format!("{}, {} passages", options.index.display(), report.passages);
        std::fs::write(path, plot::recall_curve(&title, &points))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.json {
        serde_json::to_writer_pretty(&mut *screen, &report)?;
        writeln!(screen)?;
    } else {
        print(&report, screen)?;
    }
    Ok(Exit::Success)
}

fn measure(options: &IndexOptions) -> Result<Report> {
    let threads = options.threads.map_or_else(launch::threads, NonZeroUsize::get);
    let folder = tempfile::tempdir()?;
    let (vectors_path, passages, writing_s) = write_again(options, folder.path(), threads)?;
    let vectors = Vectors::open(&vectors_path)?;
    ensure!(
        vectors.len() as usize > K,
        "{passages} passages; accepted: more than {K}"
    );

    let start = Instant::now();
    let (codes_path, graph_path) = (folder.path().join("codes"), folder.path().join("graph"));
    Codes::write(&vectors, &codes_path)?;
    let settings = GraphSettings {
        m: options.m,
        ef_construction: options.ef_construction,
        threads,
        builder: if options.hnsw_rs {
            Builder::HnswRs
        } else {
            Builder::Cloze
        },
        ..GraphSettings::default()
    };
    let built = Graph::build(&vectors, &Codes::open(&codes_path)?, &settings)?;
    built.write(&graph_path)?;
    let build_s = start.elapsed().as_secs_f64();
    drop((vectors, built));

    let start = Instant::now();
    let vectors = Vectors::open(&vectors_path)?;
    let codes = Codes::open(&codes_path)?;
    let graph = Graph::open(&graph_path)?;
    let open_ms = start.elapsed().as_secs_f64() * 1e3;

    let queries = sample(vectors.len(), options.queries.get());
    let all = Walk::new(&vectors, &codes, &graph, Effort::Recall(1.0))?;
    let (truth, exact_queries_per_s) = answers(&all, &vectors, &queries, 1)?;
    let mut curve = Vec::with_capacity(EFS.len());
    for ef in EFS {
        let walk = Walk::new(&vectors, &codes, &graph, Effort::Ef(ef))?;
        let (found, queries_per_s) = answers(&walk, &vectors, &queries, ROUNDS)?;
        curve.push(Point {
            ef,
            recall_at_10: recall(&truth, &found),
            queries_per_s,
        });
    }
    let size = |path: &PathBuf| std::fs::metadata(path).map(|meta| meta.len());
    Ok(Report {
        processor: launch::processor(),
        build_threads: threads,
        search_threads: 1,
        passages,
        dimension: vectors.dimension(),
        writing_passages_per_s: f64::from(passages) / writing_s,
        writing_s,
        build_s,
        builder: if options.hnsw_rs { "hnsw_rs" } else { "cloze" },
        unreachable: graph.about().unreachable,
        open_ms,
        codes_bytes: size(&codes_path)?,
        graph_bytes: size(&graph_path)?,
        vectors_bytes: size(&vectors_path)?,
        queries: queries.len(),
        exact_queries_per_s,
        curve,
    })
}

/// Writes the documents of the index into a new one, timed, and their vectors into one file.
fn write_again(
    options: &IndexOptions,
    folder: &std::path::Path,
    threads: usize,
) -> Result<(PathBuf, u32, f64)> {
    let opening = || format!("cannot open the index {}", options.index.display());
    let index = Index::open(&options.index).with_context(opening)?;
    let snapshot = index.snapshot()?;
    let path = folder.join("vectors");
    let mut vectors = VectorsWriter::create(&path, index.settings().dimension)?;
    let again = Index::create(&folder.join("index"), index.settings().clone())?;
    let mut writer = again.writer(WriterSettings {
        threads,
        ..WriterSettings::default()
    })?;
    let mut documents = snapshot.documents();
    let mut seconds = 0.0;
    loop {
        let group: Vec<PreparedDocument> = documents.by_ref().take(GROUP).collect::<Result<_, _>>()?;
        if group.is_empty() {
            break;
        }
        for passage in group.iter().flat_map(|document| &document.passages) {
            vectors.push(&passage.vector)?;
        }
        let start = Instant::now();
        writer.add(group)?;
        seconds += start.elapsed().as_secs_f64();
    }
    let start = Instant::now();
    writer.commit()?;
    seconds += start.elapsed().as_secs_f64();
    Ok((path, vectors.finish()?, seconds))
}

/// Rows at equal distances.
fn sample(rows: u32, wanted: usize) -> Vec<u32> {
    let count = wanted.min(rows as usize) as u64;
    (0..count).map(|n| (n * u64::from(rows) / count) as u32).collect()
}

/// The others near each of the rows, and queries per second of the fastest round.
fn answers(
    search: &dyn Nearest,
    vectors: &Vectors,
    queries: &[u32],
    rounds: usize,
) -> Result<(Vec<Vec<Neighbour>>, f64)> {
    let mut best = (Vec::new(), 0.0_f64);
    for _ in 0..rounds {
        let start = Instant::now();
        let found = queries
            .iter()
            .map(|&row| search.nearest(vectors.row(row), K + 1, None));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let rate = queries.len() as f64 / start.elapsed().as_secs_f64();
        best = (found, best.1.max(rate));
    }
    for (near, &row) in best.0.iter_mut().zip(queries) {
        near.retain(|near| near.row != row);
        near.truncate(K);
    }
    Ok(best)
}

fn recall(truth: &[Vec<Neighbour>], found: &[Vec<Neighbour>]) -> f64 {
    let hits = |(truth, found): (&Vec<Neighbour>, &Vec<Neighbour>)| {
        let among = |near: &&Neighbour| found.iter().any(|found| found.row == near.row);
        truth.iter().filter(among).count()
    };
    let wanted: usize = truth.iter().map(Vec::len).sum();
    truth.iter().zip(found).map(hits).sum::<usize>() as f64 / wanted.max(1) as f64
}

fn print(report: &Report, screen: &mut dyn Write) -> Result<()> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    writeln!(
        screen,
        "{}, {} threads build, 1 searches",
        report.processor, report.build_threads
    )?;
    writeln!(
        screen,
        "passages      {} of {} dimensions",
        report.passages, report.dimension
    )?;
    writeln!(
        screen,
        "writing       {:.2} s, {:.0} passages/s, vectors given",
        report.writing_s, report.writing_passages_per_s
    )?;
    writeln!(
        screen,
        "one graph     {:.2} s by {}, {} rows had to be made reachable",
        report.build_s, report.builder, report.unreachable
    )?;
    writeln!(
        screen,
        "in memory     {:.1} MB: codes {:.1}, graph {:.1}; vectors on disk {:.1}",
        megabytes(report.codes_bytes + report.graph_bytes),
        megabytes(report.codes_bytes),
        megabytes(report.graph_bytes),
        megabytes(report.vectors_bytes)
    )?;
    writeln!(screen, "opening       {:.2} ms", report.open_ms)?;
    writeln!(
        screen,
        "exact         {:.0} queries/s",
        report.exact_queries_per_s
    )?;
    writeln!(
        screen,
        "    ef  recall@{K}  queries/s   ({} passages as queries)",
        report.queries
    )?;
    for at in &report.curve {
        writeln!(
            screen,
            "{:6}  {:9.4}  {:9.0}",
            at.ef, at.recall_at_10, at.queries_per_s
        )?;
    }
    Ok(())
}
