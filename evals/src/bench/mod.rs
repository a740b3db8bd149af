//! `cloze bench ...`: how fast the parts are on this machine.

mod encoder;
mod index;
mod machine;
mod plot;

use std::io::Write;

use anyhow::Result;
use clap::Subcommand;
use launch::Exit;

/// What can be timed.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Embed passages and single queries; report rates, latencies and the share of the machine's peak.
    Encoder(encoder::EncoderOptions),
    /// Write an index and build its graph anew; report times, memory, and recall against speed.
    Index(index::IndexOptions),
}

/// Runs a benchmark and prints its figures on `screen`.
///
/// # Errors
/// Whatever went wrong, with the file or setting it is about.
pub fn bench(command: &BenchCommand, screen: &mut dyn Write) -> Result<Exit> {
    match command {
        BenchCommand::Encoder(options) => encoder::run(options, screen),
        BenchCommand::Index(options) => index::run(options, screen),
    }
}
