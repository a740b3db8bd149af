//! `cloze train store`: a model folder again, with smaller numbers.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use encoder::{ModelFiles, Storage};
use text::Tokenizer;

const EXAMPLES: &str = "\
Examples:
  cloze train store models/mine --out models/mine-f16 --type f16
  cloze train store models/mine --out models/mine-int8 --type int8
  cloze train store models/all-MiniLM-L6-v2 --out teacher --drop-unused
Folders in f32 and f16 open in other programs too; those in int8 open in this one alone.";

/// Options of `store`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StoreArgs {
    /// Folder of the model.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Folder that receives the copy.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number type of the stored weights.
    #[arg(long = "type", value_name = "TYPE", default_value = "f16")]
    storage: Type,
    /// Leave out the entries of a WordPiece vocabulary that are named unused, and their rows.
    #[arg(long)]
    drop_unused: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Type {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// 8 bits and a scale for each row.
    Int8,
}

/// Runs `train store`.
pub(crate) fn store(args: &StoreArgs, screen: &mut dyn Write) -> Result<()> {
    let same = std::fs::canonicalize(&args.out).ok() == std::fs::canonicalize(&args.model).ok();
    anyhow::ensure!(
        !same,
        "--out {} is the model itself; accepted: another folder",
        args.out.display()
    );
    let files = ModelFiles::folder(&args.model)
        .with_context(|| "cannot store the model; accepted: a folder in the Hugging Face layout")?;
    let storage = match args.storage {
        Type::F32 => Storage::F32,
        Type::F16 => Storage::F16,
        Type::Int8 => Storage::Int8,
    };
    let compact = match args.drop_unused {
        true => {
            let json = files.read("tokenizer.json")?;
            Some(text::drop_unused(&json).with_context(|| args.model.display().to_string())?)
        }
        false => None,
    };
    let kept = compact.as_ref().map(|compact| compact.kept.as_slice());
    let bytes = encoder::store(&files, &args.out, storage, kept)?;
    if let Some(compact) = &compact {
        let tokenizer =
            Tokenizer::from_files(|name| (name == "tokenizer.json").then(|| compact.json.clone()))?;
        let longest = encoder::Config::open(&files)?.max_position_embeddings;
        tokenizer.save(&args.out, longest)?;
    }
    writeln!(
        screen,
        "{}: {:.1} MB of weights",
        args.out.display(),
        bytes as f64 / 1e6
    )?;
    Ok(())
}
