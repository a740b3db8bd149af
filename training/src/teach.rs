//! `cloze train teach`: a teacher's vectors of the texts of a pairs file, for a sentence recipe to learn from.

use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use encoder::{ModelFiles, SentenceEncoder};
use infer::{Embed as _, Embedder, ModelSettings, Role};
use launch::{Exit, Interrupt, Progress};
use trainer::recipe::{Compute, Precision, Processor};
use trainer::teach::{self, Embed};

use crate::commands::open_tokenizer;
use crate::model::open_embedder;

/// Texts that are embedded before the bar moves, and before an interrupt is seen.
const GROUP: usize = 1024;

/// Options of `teach`.
#[derive(Debug, Args)]
pub struct TeachArgs {
    /// Folder of the teacher, a sentence-transformers model.
    #[arg(long)]
    model: PathBuf,
    /// The pairs file.
    #[arg(long)]
    pairs: PathBuf,
    /// Folder that receives queries.npy and positives.npy.
    #[arg(long)]
    out: PathBuf,
    /// Where it computes.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    /// The central processor.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

/// Runs `train teach`.
pub(crate) fn teach_pairs(args: &TeachArgs, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let (pairs, out) = (&args.pairs, &args.out);
    let lines = match args.device {
        Device::Cpu => {
            let settings = ModelSettings::new(launch::threads());
            let model = open_embedder(&args.model.to_string_lossy(), &settings)?;
            by_embedder(&model, pairs, out, show_progress)?
        }
        Device::Cuda => {
            let compute = Compute {
                device: Processor::Cuda,
                precision: Precision::Bf16,
                ..Compute::default()
            };
            let files = ModelFiles::folder(&args.model)?;
            let model = SentenceEncoder::open(&files, &compute.open()?)?;
            let tokenizer = open_tokenizer(&args.model)?;
            let embed = |texts: &[&str]| teach::by_model(&model, &tokenizer, texts, model.max_seq_length());
            write(&embed, pairs, out, show_progress)?
        }
    };
    match lines {
        Some(lines) => {
            writeln!(screen, "vectors of {lines} lines in {}", out.display())?;
            Ok(Exit::Success)
        }
        None => {
            writeln!(screen, "interrupted; the same command begins anew")?;
            Ok(Exit::Interrupted)
        }
    }
}

/// Writes queries.npy and positives.npy, the model's vectors of a pairs file; how many lines, none when interrupted.
///
/// # Errors
/// A file that is damaged or cannot be written; what the model says.
pub(crate) fn by_embedder(
    model: &Embedder,
    pairs: &Path,
    out: &Path,
    show_progress: bool,
) -> Result<Option<usize>> {
    let embed = |texts: &[&str]| {
        let vectors = model.embed(texts, Role::Passage);
        vectors.map_err(|error| trainer::Error::Teacher(error.to_string()))
    };
    write(&embed, pairs, out, show_progress)
}

fn write(embed: &Embed<'_>, pairs: &Path, out: &Path, show_progress: bool) -> Result<Option<usize>> {
    let interrupt = Interrupt::on_ctrl_c();
    let bar = match show_progress {
        true => Progress::new(None, "texts"),
        false => Progress::hidden(),
    };
    let (done, mut lines) = (Cell::new(0), 0);
    let in_groups = |texts: &[&str]| {
        let mut vectors = Vec::with_capacity(texts.len());
        for group in texts.chunks(GROUP) {
            if interrupt.is_raised() {
                return Err(trainer::Error::Teacher("interrupted".into()));
            }
            vectors.extend(embed(group)?);
            done.set(done.get() + group.len() as u64);
            bar.set(done.get(), done.get());
        }
        Ok(vectors)
    };
    let taught = teach::teach(&in_groups, pairs, out, |count| lines = count);
    bar.finish();
    match taught {
        Err(_) if interrupt.is_raised() => Ok(None),
        taught => Ok(taught.map(|()| Some(lines))?),
    }
}
