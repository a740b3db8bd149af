//! Measures building a graph and walking along it, filters included, against the exact search.
//!
//! ```text
//! cargo run --release -p vectors --example graph_speed -- [POINTS QUERIES]
//! ```
//! Both are files of little-endian `f32`, rows of unit length one after the other; without them vectors are made up.
//! From the environment: DIMENSION (384), THREADS (2), ROWS of made-up points (50000), BUILDER (cloze, hnsw_rs),
//! SEED (0).
#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::collections::HashSet;
use std::error::Error;
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;
use vectors::{
    Builder, Codes, Effort, Exact, Graph, GraphSettings, Nearest, Neighbour, Vectors, VectorsWriter, Walk,
};

const CLUSTERS: usize = 500;
const K: usize = 10;

type Rows = Vec<Vec<f32>>;

fn main() -> Result<(), Box<dyn Error>> {
    let number = |name: &str, default: usize| -> Result<usize, Box<dyn Error>> {
        Ok(std::env::var(name).map_or(Ok(default), |value| value.parse())?)
    };
    let (dimension, threads) = (number("DIMENSION", 384)?, number("THREADS", 2)?);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (points, queries) = match &arguments[..] {
        [points, queries] => (read(points, dimension)?, read(queries, dimension)?),
        _ => make_up(number("ROWS", 50_000)?, dimension),
    };
    let builder = match std::env::var("BUILDER").as_deref() {
        Ok("hnsw_rs") => Builder::HnswRs,
        _ => Builder::Cloze,
    };

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("vectors");
    let mut writer = VectorsWriter::create(&path, dimension)?;
    for point in &points {
        writer.push(point)?;
    }
    writer.finish()?;
    drop(points);
    let vectors = Vectors::open(&path)?;
    let start = Instant::now();
    let codes = folder.path().join("codes");
    Codes::write(&vectors, &codes)?;
    let codes = Codes::open(&codes)?;
    println!(
        "{} rows of {dimension} values rounded in {:.2} s",
        vectors.len(),
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let settings = GraphSettings {
        threads,
        builder,
        seed: number("SEED", 0)? as u64,
        ..GraphSettings::default()
    };
    let graph = Graph::build(&vectors, &codes, &settings)?;
    println!(
        "built in {:.2} s by {threads} threads and {builder:?}: {:?}",
        start.elapsed().as_secs_f64(),
        graph.about()
    );
    let links: usize = (0..vectors.len()).map(|row| graph.links(0, row).len()).sum();
    println!(
        "{:.1} links per row, {} levels",
        links as f64 / f64::from(vectors.len()),
        graph.levels()
    );
    for measured in graph.measured() {
        print!("{}: {:.4}  ", measured.ef, measured.recall);
    }
    println!();
    graph.write(&folder.path().join("graph"))?;
    drop((vectors, codes, graph));
    let before = resident();
    let start = Instant::now();
    let vectors = Vectors::open(&path)?;
    let codes = Codes::open(&folder.path().join("codes"))?;
    let graph = Graph::open(&folder.path().join("graph"))?;
    println!("opened in {:.3} ms", start.elapsed().as_secs_f64() * 1e3);

    let walk = |effort| Walk::new(&vectors, &codes, &graph, effort);
    let start = Instant::now();
    let truth = answers(&walk(Effort::Recall(1.0))?, &queries, None)?;
    println!(
        "exact: {:.0} queries/s",
        queries.len() as f64 / start.elapsed().as_secs_f64()
    );
    drop(vectors);
    let vectors = Vectors::open(&path)?;
    let walk = |effort| Walk::new(&vectors, &codes, &graph, effort);
    for ef in [10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512] {
        measure(
            &format!("ef {ef}"),
            &walk(Effort::Ef(ef))?,
            &queries,
            None,
            &truth,
        )?;
    }
    println!(
        "resident {:?} MB more than before it was opened",
        resident().map(|now| now - before.unwrap_or(0.0))
    );
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for per_mille in [900, 500, 250, 100, 30, 10, 1] {
        let rows: RoaringBitmap = (0..vectors.len())
            .filter(|_| random.random_range(0..1000) < per_mille)
            .collect();
        let truth = answers(
            &Exact::new(&vectors),
            &queries[..queries.len().min(300)],
            Some(&rows),
        )?;
        for ef in [16, 32, 64] {
            let name = format!("{:.1} % ef {ef}", f64::from(per_mille) / 10.0);
            measure(
                &name,
                &walk(Effort::Ef(ef))?,
                &queries[..truth.len()],
                Some(&rows),
                &truth,
            )?;
        }
    }
    for recall in [0.9, 0.95, 0.98, 0.99] {
        let walk = walk(Effort::Recall(recall))?;
        measure(
            &format!("recall {recall} = ef {:?}", walk.ef(K)),
            &walk,
            &queries,
            None,
            &truth,
        )?;
    }
    Ok(())
}

fn answers(
    search: &dyn Nearest,
    queries: &[Vec<f32>],
    allowed: Option<&RoaringBitmap>,
) -> Result<Vec<Vec<Neighbour>>, Box<dyn Error>> {
    let answers = queries.iter().map(|query| search.nearest(query, K, allowed));
    Ok(answers.collect::<Result<_, _>>()?)
}

/// Prints queries per second of one thread, the best of three rounds, and recall of the first `K`.
fn measure(
    name: &str,
    search: &dyn Nearest,
    queries: &[Vec<f32>],
    allowed: Option<&RoaringBitmap>,
    truth: &[Vec<Neighbour>],
) -> Result<(), Box<dyn Error>> {
    let mut per_second = 0.0_f64;
    let mut found = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        found = answers(search, queries, allowed)?;
        per_second = per_second.max(queries.len() as f64 / start.elapsed().as_secs_f64());
    }
    let hits = truth.iter().zip(&found).map(|(truth, answer)| {
        let rows: HashSet<u32> = answer.iter().map(|n| n.row).collect();
        truth.iter().filter(|n| rows.contains(&n.row)).count()
    });
    let all: usize = truth.iter().map(Vec::len).sum();
    let recall = hits.sum::<usize>() as f64 / all as f64;
    println!("{name:>20}: {per_second:8.0} queries/s, recall@{K} {recall:.4}");
    Ok(())
}

/// Resident memory of this process in MB, where Linux says.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn read(path: &str, dimension: usize) -> Result<Rows, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let (numbers, _) = bytes.as_chunks::<4>();
    let values: Vec<f32> = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Ok(values.chunks_exact(dimension).map(<[f32]>::to_vec).collect())
}

/// Points in clusters, and queries of the same kind.
fn make_up(rows: usize, dimension: usize) -> (Rows, Rows) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let centers: Rows = (0..CLUSTERS).map(|_| direction(&mut random, dimension)).collect();
    let mut some = |count| (0..count).map(|_| near_a_center(&mut random, &centers)).collect();
    (some(rows), some(500))
}

fn direction(random: &mut ChaCha8Rng, dimension: usize) -> Vec<f32> {
    // The sum of a few uniform numbers is near enough to normal for directions to be even.
    let value = |_| (0..6).map(|_| random.random_range(-1.0..1.0_f32)).sum();
    let mut vector: Vec<f32> = (0..dimension).map(value).collect();
    kernels::normalize(&mut vector);
    vector
}

/// A center plus noise of the same length.
fn near_a_center(random: &mut ChaCha8Rng, centers: &[Vec<f32>]) -> Vec<f32> {
    let center = &centers[random.random_range(0..centers.len())];
    let noise = direction(random, center.len());
    let mut vector: Vec<f32> = center.iter().zip(&noise).map(|(c, n)| c + n).collect();
    kernels::normalize(&mut vector);
    vector
}
