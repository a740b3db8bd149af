//! The training commands as a program of their own: `cargo run --release -p training --example train -- --help`.

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: training::TrainCommand,
}

fn main() -> anyhow::Result<()> {
    training::run(Options::parse().command, &mut std::io::stderr())
}
