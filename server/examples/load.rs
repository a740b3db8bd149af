//! Many clients ask a running server; prints errors and times.
//!
//! ```text
//! cargo run --release -p server --example load -- http://127.0.0.1:8080 queries.jsonl [hybrid] [8] [10000]
//! ```
//! The questions are the `text` of each line, as in the queries of a BEIR folder.
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What one client saw.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    errors: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, rest @ ..] = &arguments[..] else {
        return Err("usage: load ADDRESS QUERIES [MODE] [CLIENTS] [QUESTIONS]".into());
    };
    let mode = rest.first().map_or("hybrid", String::as_str);
    let clients: usize = rest.get(1).map_or(Ok(8), |text| text.parse())?;
    let count: usize = rest.get(2).map_or(Ok(10_000), |text| text.parse())?;
    let questions = questions(file, count)?;

    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let ask = || ask(address, mode, &questions, &next);
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    report(&seen, begun.elapsed(), clients);
    Ok(())
}

fn questions(file: &str, count: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let lines = std::fs::read_to_string(file)?;
    let text = |line: &str| -> Result<String, Box<dyn Error>> {
        let record: Value = serde_json::from_str(line)?;
        Ok(record["text"].as_str().ok_or("a line has no text")?.to_owned())
    };
    lines.lines().take(count).map(text).collect()
}

/// Takes one question after the other until none is left.
fn ask(address: &str, mode: &str, questions: &[String], next: &AtomicUsize) -> Seen {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut seen = Seen::default();
    while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
        let begun = Instant::now();
        let sent = agent
            .post(format!("{address}/v1/search"))
            .send_json(json!({"query": question, "mode": mode}));
        let answer =
            sent.and_then(|mut response| Ok((response.status(), response.body_mut().read_json::<Value>()?)));
        match answer {
            Ok((status, body)) if status == 200 && body["hits"].is_array() => {
                seen.times.push(begun.elapsed())
            }
            Ok((status, body)) => seen.errors.push(format!("{status}: {}", body["detail"])),
            Err(error) => seen.errors.push(error.to_string()),
        }
    }
    seen
}

fn report(seen: &[Seen], wall: Duration, clients: usize) {
    let mut times: Vec<Duration> = seen.iter().flat_map(|one| one.times.iter().copied()).collect();
    times.sort_unstable();
    let errors: Vec<&String> = seen.iter().flat_map(|one| &one.errors).collect();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    // Nearest rank: the smallest time that at least this share of the answers does not exceed.
    let quantile = |share: f64| {
        let rank = (share * times.len() as f64).ceil().max(1.0) as usize;
        times.get(rank - 1).copied().map_or(f64::NAN, milliseconds)
    };
    println!("answers   {}", times.len());
    println!("errors    {}", errors.len());
    println!("clients   {clients}");
    println!(
        "wall      {:.1} s, {:.0} answers/s",
        wall.as_secs_f64(),
        times.len() as f64 / wall.as_secs_f64()
    );
    println!("p50       {:.1} ms", quantile(0.50));
    println!("p95       {:.1} ms", quantile(0.95));
    println!("p99       {:.1} ms", quantile(0.99));
    println!("longest   {:.1} ms", quantile(1.0));
    for error in errors.iter().take(5) {
        println!("error     {error}");
    }
}
