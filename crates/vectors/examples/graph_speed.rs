//! Measures building a graph and walking along it, against the exact search, on made-up vectors in clusters.
//!
//! ```text
//! cargo run --release -p vectors --example graph_speed -- [rows 50000] [dimension 384] [threads 2]
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::collections::HashSet;
use std::error::Error;
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vectors::{Exact, Graph, GraphSettings, Nearest, Neighbour, Vectors, VectorsWriter, Walk};

const CLUSTERS: usize = 500;
const QUERIES: usize = 500;
const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (rows, dimension, threads) = (next(50_000)?, next(384)?, next(2)?);

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("vectors");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let centers: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| direction(&mut random, dimension)).collect();
    let mut writer = VectorsWriter::create(&path, dimension)?;
    for _ in 0..rows {
        writer.push(&near_a_center(&mut random, &centers))?;
    }
    writer.finish()?;
    let queries: Vec<Vec<f32>> = (0..QUERIES)
        .map(|_| near_a_center(&mut random, &centers))
        .collect();

    let start = Instant::now();
    let vectors = Vectors::open(&path)?;
    println!(
        "{rows} rows of {dimension} values, opened and verified in {:.3} s",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let graph = Graph::build(
        &vectors,
        &GraphSettings {
            threads,
            ..GraphSettings::default()
        },
    )?;
    println!(
        "built in {:.1} s by {threads} threads: {:?}",
        start.elapsed().as_secs_f64(),
        graph.about()
    );
    let links: usize = (0..vectors.len()).map(|row| graph.links(0, row).len()).sum();
    println!(
        "{:.1} links per row, {} levels",
        links as f64 / rows as f64,
        graph.levels()
    );
    graph.write(&folder.path().join("graph"))?;
    let graph = Graph::open(&folder.path().join("graph"))?;

    let exact = measure("exact", &Exact::new(&vectors), &queries, None)?;
    for ef in [16, 32, 64, 100, 200, 400] {
        measure(
            &format!("ef {ef}"),
            &Walk::new(&vectors, &graph, ef)?,
            &queries,
            Some(&exact),
        )?;
    }
    Ok(())
}

/// Prints queries per second of one thread, and recall of the first `K`.
fn measure(
    name: &str,
    search: &dyn Nearest,
    queries: &[Vec<f32>],
    exact: Option<&[Vec<Neighbour>]>,
) -> Result<Vec<Vec<Neighbour>>, Box<dyn Error>> {
    let start = Instant::now();
    let answers = queries
        .iter()
        .map(|query| search.nearest(query, K, None))
        .collect::<Result<Vec<_>, _>>()?;
    let per_second = queries.len() as f64 / start.elapsed().as_secs_f64();
    let truth = exact.unwrap_or(&answers);
    let hits = truth.iter().zip(&answers).map(|(truth, answer)| {
        let rows: HashSet<u32> = answer.iter().map(|n| n.row).collect();
        truth.iter().filter(|n| rows.contains(&n.row)).count()
    });
    let recall = hits.sum::<usize>() as f64 / (K * queries.len()) as f64;
    println!("{name:>8}: {per_second:8.0} queries/s, recall@{K} {recall:.4}");
    Ok(answers)
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
