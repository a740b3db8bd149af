//! `cloze pack`: weights beside a model in the form that is mapped instead of read.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use encoder::ModelFiles;
use infer::Precision;
use launch::Exit;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  cloze pack models/all-MiniLM-L6-v2                      writes packed-f32.safetensors into the folder, or that of
                                                          fewer bits if they were measured to be enough
  cloze pack models/all-MiniLM-L6-v2 --precision int8     ... packed-int8.safetensors
Whatever opens the model in that precision uses the file by itself. When the model changes, the file is passed over
with a warning until the model is packed again.";

/// Keep a model's weights beside it in packed form, so that it opens in milliseconds and processes share memory.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct PackArgs {
    /// Folder of the model.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Number type of the weights: f32, bf16 or int8. Default: the one in which the model opens when nobody says.
    #[arg(long, value_name = "TYPE")]
    precision: Option<Precision>,
    /// Print a summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Packs a model and says what was written.
///
/// # Errors
/// The folder holds no model, or cannot be written to.
pub fn pack(args: &PackArgs, screen: &mut dyn Write) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let files = ModelFiles::folder(&args.model)
        .with_context(|| "cannot pack the model; accepted: a folder in the Hugging Face layout")?;
    let packing = infer::pack(&files, args.precision)?;
    let seconds = start.elapsed().as_secs_f64();
    let path = packing.path.display().to_string();
    if args.json {
        let summary = json!({
            "file": path, "precision": packing.precision.to_string(), "bytes": packing.bytes, "seconds": seconds,
        });
        writeln!(screen, "{summary}")?;
    } else {
        let mb = packing.bytes as f64 / 1e6;
        writeln!(screen, "{path}: {mb:.1} MB, {seconds:.1} s")?;
    }
    Ok(Exit::Success)
}
