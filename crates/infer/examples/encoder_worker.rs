//! An embedder that does timed work on request, one JSON line for each: so that a script can time it in turns with
//! other engines. `encoder_worker MODEL THREADS PRECISION PASSAGES QUERIES`, the last two JSON arrays of texts.
//! Requests: `docs given|sorted N FILE` (vectors are written to FILE unless it is `-`) and `query`.
#![allow(clippy::print_stdout, reason = "answers on standard output")]
#![allow(clippy::unwrap_used, reason = "a benchmark may stop")]

use std::io::BufRead;
use std::time::Instant;

use encoder::ModelFiles;
use infer::{Embed, Embedder, ModelSettings, Role};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let settings = ModelSettings {
        threads: args[2].parse().unwrap(),
        precision: Some(args[3].parse().unwrap()),
    };
    let model = Embedder::open(&ModelFiles::folder(&args[1]).unwrap(), &settings).unwrap();
    let read = |path: &str| -> Vec<String> { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (passages, queries) = (read(&args[4]), read(&args[5]));
    let tokens = |text: &str| (model.count_tokens(text).unwrap() + 2).min(model.tokens_max());
    let lengths: Vec<usize> = passages.iter().map(|text| tokens(text)).collect();
    model.embed(&[&passages[0]], Role::Passage).unwrap();
    println!("{}", json!({"ready": true, "hwm_mb": peak_mb()}));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "query" {
            let timed = |query: &String| {
                let start = Instant::now();
                model.embed(&[query], Role::Query).unwrap();
                1e3 * start.elapsed().as_secs_f64()
            };
            let latencies: Vec<f64> = queries.iter().map(timed).collect();
            println!("{}", json!({"lat_ms": latencies, "hwm_mb": peak_mb()}));
            continue;
        }
        let count = words[2].parse::<usize>().unwrap().min(passages.len());
        let texts: Vec<&str> = passages[..count].iter().map(String::as_str).collect();
        let start = Instant::now();
        let vectors = model.embed(&texts, Role::Passage).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        if words[3] != "-" {
            let bytes: Vec<u8> = vectors.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
            std::fs::write(words[3], bytes).unwrap();
        }
        let tokens: usize = lengths[..count].iter().sum();
        println!(
            "{}",
            json!({"s": seconds, "cpu_s": 0, "docs": count, "tokens": tokens, "padded": tokens, "hwm_mb": peak_mb()})
        );
    }
}

/// The most memory that the process had, in MiB.
fn peak_mb() -> f64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
