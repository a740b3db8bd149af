//! Tokens per second of an encoder: inference and training steps on random texts.
//!
//! `RAYON_NUM_THREADS=2 cargo run --release -p encoder --example speed -- [layers hidden heads] [tokens texts]`

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::Instant;

use encoder::{Batch, Config, Device, Parameters, Pass, Pooling, Result, SentenceEncoder};

// glibc gives freed tensors back to the kernel, whose page faults then cost as much as the arithmetic. With
// MIMALLOC_PURGE_DELAY=-1 in the environment mimalloc keeps all of them, which long training runs want.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (layers, hidden, heads) = (number(0, 6), number(1, 384), number(2, 12));
    let (tokens, texts) = (number(3, 128), number(4, 32));
    let config = Config {
        num_hidden_layers: layers,
        hidden_size: hidden,
        num_attention_heads: heads,
        intermediate_size: 4 * hidden,
        ..Config::tiny()
    };
    let params = Parameters::fresh(1, &Device::Cpu);
    let model = SentenceEncoder::fresh(&params, &config, Pooling::Mean, None, true)?;
    let rows: Vec<Vec<u32>> = (0..texts)
        .map(|text| {
            (0..tokens)
                .map(|at| ((text * 7919 + at * 104_729) % config.vocab_size) as u32)
                .collect()
        })
        .collect();
    let batch = Batch::new(&rows, None, 0, &Device::Cpu)?;
    let infer = best_of(5, || {
        model
            .forward(&batch, &mut Pass::infer())?
            .sum_all()?
            .to_scalar::<f32>()
            .map_err(Into::into)
    })?;
    let train = best_of(3, || {
        let vectors = model.forward(&batch, &mut Pass::train(1))?;
        let _ = vectors.sqr()?.sum_all()?.backward()?;
        Ok(0.0)
    })?;
    let count = (tokens * texts) as f64;
    println!("{layers} layers of {hidden}, {texts} texts of {tokens} tokens");
    println!("inference: {:.0} tokens/s", count / infer);
    println!("forward and backward: {:.0} tokens/s", count / train);
    Ok(())
}

/// Seconds of the fastest of `times` runs.
fn best_of(times: usize, mut run: impl FnMut() -> Result<f32>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
