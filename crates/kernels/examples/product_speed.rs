//! Rates of the matrix products of a small BERT, on one thread: `cargo run --release -p kernels --example product_speed`.
#![allow(clippy::print_stdout, reason = "prints a table")]

use std::time::Instant;

use kernels::{Activation, InstructionSet, Linear, Precision, Rows, Target};

fn main() {
    for set in InstructionSet::available().iter().rev().take(2) {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            for (rows, inputs, outputs) in [
                (160, 384, 1152),
                (160, 384, 1536),
                (160, 1536, 384),
                (48, 384, 1536),
                (14, 384, 1536),
                (14, 1536, 384),
            ] {
                let rate = |activation| best_rate(*set, precision, [rows, inputs, outputs], activation);
                println!(
                    "{set} {precision:?} {rows}x{inputs}x{outputs}: {:.0} GFLOP/s, with GELU {:.0}",
                    rate(None),
                    rate(Some(Activation::Gelu))
                );
            }
        }
    }
}

fn best_rate(
    set: InstructionSet,
    precision: Precision,
    [rows, inputs, outputs]: [usize; 3],
    activation: Option<Activation>,
) -> f64 {
    let value = |at: usize| (at * 7919 % 1000) as f32 / 1000.0 - 0.5;
    let weight: Vec<f32> = (0..inputs * outputs).map(value).collect();
    let linear = Linear::pack(&weight, &vec![0.1; outputs], inputs, precision);
    let mut x = Rows::new(precision, inputs);
    x.resize(rows);
    x.encode(set, 0, &(0..rows * inputs).map(value).collect::<Vec<_>>());
    let mut out = vec![0.0; rows * outputs];
    let mut best = f64::INFINITY;
    for _ in 0..60 {
        let start = Instant::now();
        for _ in 0..5 {
            linear.apply(set, &x, 0..rows, activation, Target::Floats(&mut out));
        }
        best = best.min(start.elapsed().as_secs_f64() / 5.0);
    }
    2.0 * (rows * inputs * outputs) as f64 / best / 1e9
}
