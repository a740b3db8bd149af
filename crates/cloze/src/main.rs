//! Cloze: a search and retrieval engine around BERT encoders.
//!
//! The program parses the command line and calls one part for each command.

mod demo;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use launch::{Exit, OutputArgs};

// Freed tensors stay mapped, and the next ones need no page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Search, rerank, embed, train and measure with BERT encoders.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_help = "Start with:  cloze demo")]
struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Index(Box<indexer::IndexArgs>),
    Search(Box<indexer::SearchArgs>),
    Serve(server::ServeArgs),
    Embed(Box<indexer::EmbedArgs>),
    Inspect(indexer::InspectArgs),
    Verify(indexer::VerifyArgs),
    Snapshot(indexer::SnapshotArgs),
    Restore(indexer::RestoreArgs),
    Export(indexer::ExportArgs),
    Compact(indexer::CompactArgs),
    SwapModel(indexer::SwapModelArgs),
    Pack(indexer::PackArgs),
    /// Measure how good and how fast searching is.
    #[command(subcommand)]
    Eval(evals::EvalCommand),
    /// Time the parts on this machine.
    #[command(subcommand)]
    Bench(evals::BenchCommand),
    /// Train vocabularies and encoders.
    #[command(subcommand)]
    Train(training::TrainCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.output.start();
    match run(cli) {
        Ok(exit) => exit.into(),
        // Whoever reads the output has enough: `cloze search ... | head -1`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // When even this cannot be written, the exit code is all that is left.
            let _ = writeln!(anstream::stderr(), "error: {}", message(&error));
            Exit::Failure.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let show_progress = cli.output.shows_progress();
    let screen = &mut anstream::stdout();
    match cli.command {
        Command::Demo(args) => demo::run(&args, show_progress),
        Command::Index(args) => indexer::index(&args, show_progress),
        Command::Search(args) => indexer::search(&args),
        Command::Serve(args) => server::run(&args).map(|()| Exit::Success),
        Command::Embed(args) => indexer::embed(&args, show_progress),
        Command::Inspect(args) => indexer::inspect(&args),
        Command::Verify(args) => indexer::verify(&args),
        Command::Snapshot(args) => indexer::snapshot(&args),
        Command::Restore(args) => indexer::restore(&args),
        Command::Export(args) => indexer::export(&args, show_progress),
        Command::Compact(args) => indexer::compact(&args),
        Command::SwapModel(args) => indexer::swap_model(&args, show_progress),
        Command::Pack(args) => indexer::pack(&args, screen),
        Command::Eval(command) => evals::run(&command, show_progress, screen),
        Command::Bench(command) => evals::bench(&command, screen),
        Command::Train(command) => training::run(command, show_progress, screen),
    }
}

/// The error with its causes, without those that say again what the one above them said.
fn message(error: &anyhow::Error) -> String {
    let causes = error.chain().map(ToString::to_string);
    causes.fold(String::new(), |said, cause| {
        match (said.as_str(), said.ends_with(&cause)) {
            ("", _) => cause,
            (_, true) => said,
            (_, false) => format!("{said}: {cause}"),
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        io.or_else(|| {
            cause
                .downcast_ref::<serde_json::Error>()
                .and_then(serde_json::Error::io_error_kind)
        })
    };
    error
        .chain()
        .any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}
