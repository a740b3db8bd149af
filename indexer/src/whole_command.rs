//! `cloze snapshot`, `restore`, `compact` and `export`: whole indexes out of, and back into, use.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use corpus::{PreparedDocument, PreparedPassage};
use data::{PassageRow, PassageWriter, VectorSchema};
use index::{Copied, Index, MergeSettings, WriterSettings};
use launch::{Exit, Interrupt, Progress};

use crate::check::bytes;
use crate::index_command::{merge, open_index};

/// Copy the newest commit of an index into a new folder, while it is searched and written to.
///
/// Files are shared by hard links where the file system can: the copy takes a moment and no room.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  cloze snapshot --index wiki backups/monday\n  cloze verify --index backups/monday"
)]
pub struct SnapshotArgs {
    /// Folder of the copy; empty or missing.
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Print what was copied as JSON.
    #[arg(long)]
    json: bool,
}

/// Make an index of a snapshot.
///
/// Every byte of the snapshot is verified first. An index that is in use is replaced only on demand, in one step:
/// who searches it sees the one state or the other.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  cloze restore backups/monday --index wiki-monday\n  cloze restore backups/monday --index wiki --replace"
)]
pub struct RestoreArgs {
    /// Folder of the snapshot.
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Put the snapshot in the place of all that is in the index now.
    #[arg(long)]
    replace: bool,
    /// Print what was copied as JSON.
    #[arg(long)]
    json: bool,
}

/// Make as few segments of an index as can be, with nothing deleted in them.
///
/// Searching is fastest then. The index is searched and written to meanwhile; Ctrl-C leaves it as it is.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  cloze compact --index wiki")]
pub struct CompactArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Threads that build graphs. Default: one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Most MiB of texts and vectors to read per second. Default: no limit.
    #[arg(long, value_name = "MIB")]
    mib_per_s: Option<NonZeroU32>,
}

/// Write all passages with their vectors as Parquet.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  cloze export --index wiki wiki.parquet\nColumns: document, chunk, start, end (bytes of the text), title, text, metadata (JSON), vector."
)]
pub struct ExportArgs {
    /// File to write.
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    overwrite: bool,
}

/// Runs `cloze snapshot`.
///
/// # Errors
/// When the index cannot be read, or the folder is not empty.
pub fn snapshot(args: &SnapshotArgs) -> anyhow::Result<Exit> {
    let (from, to) = (&args.index, &args.to);
    let copied = index::copy(from, to)
        .with_context(|| format!("cannot copy the index {} to {}", from.display(), to.display()))?;
    report(&copied, to, args.json)
}

/// Runs `cloze restore`.
///
/// # Errors
/// When the snapshot is damaged, or there is an index already and it is not to be replaced.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<Exit> {
    let (from, to) = (&args.from, &args.index);
    let doing = || format!("cannot restore {} to {}", from.display(), to.display());
    let found = index::verify(from).with_context(doing)?;
    if let Some(problem) = found.problems.first() {
        bail!(
            "{} is damaged: {}: {}",
            from.display(),
            problem.file.display(),
            problem.message
        );
    }
    let copied = match args.replace && to.join("manifest.json").exists() {
        true => index::replace(to, from),
        false => index::copy(from, to),
    };
    report(&copied.with_context(doing)?, to, args.json)
}

fn report(copied: &Copied, to: &Path, json: bool) -> anyhow::Result<Exit> {
    let mut out = anstream::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, copied)?;
        writeln!(out)?;
    } else {
        writeln!(
            out,
            "{}: {} documents, {} passages, {} files linked, {} copied, {}",
            to.display(),
            copied.documents,
            copied.passages,
            copied.files_linked,
            copied.files_copied,
            bytes(copied.bytes)
        )?;
    }
    Ok(Exit::Success)
}

/// Runs `cloze compact`.
///
/// # Errors
/// When the index cannot be read or written.
pub fn compact(args: &CompactArgs) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::on_ctrl_c();
    let index = open_index(&args.index)?;
    let settings = MergeSettings {
        all: true,
        threads: args.threads.map_or_else(launch::threads, usize::from),
        bytes_per_s: args.mib_per_s.map(|mib| u64::from(mib.get()) << 20),
        ..MergeSettings::default()
    };
    merge(&index, &settings, &interrupt)?;
    // A writer removes what only the commit before lists.
    drop(index.writer(WriterSettings::default())?);
    let found = index::inspect(&args.index)?;
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{}: {} segments, {} documents, {} passages, {}",
        args.index.display(),
        found.segments.len(),
        found.documents,
        found.passages,
        bytes(found.bytes)
    )?;
    Ok(if interrupt.is_raised() {
        Exit::Interrupted
    } else {
        Exit::Success
    })
}

/// Runs `cloze export`. The file has its name when it is complete.
///
/// # Errors
/// When the index cannot be read, or the file is there already or cannot be written.
pub fn export(args: &ExportArgs, show_progress: bool) -> anyhow::Result<Exit> {
    if args.to.exists() && !args.overwrite {
        bail!("{} is there already; --overwrite replaces it", args.to.display());
    }
    let interrupt = Interrupt::on_ctrl_c();
    let index: Index = open_index(&args.index)?;
    let snapshot = index.snapshot()?;
    let settings = index.settings();
    let schema = VectorSchema {
        dimension: settings.dimension,
        about: vec![
            ("model".to_owned(), settings.model.clone()),
            ("fingerprint".to_owned(), settings.fingerprint.clone()),
        ],
    };
    let mut aside = args.to.as_os_str().to_owned();
    aside.push(".tmp");
    let aside = PathBuf::from(aside);
    let mut writer = PassageWriter::create(&aside, &schema)?;
    let total = corpus::ReadStore::info(&*snapshot).passages as u64;
    let progress = match show_progress {
        true => Progress::new(Some(total), "passages"),
        false => Progress::hidden(),
    };
    let mut done = 0;
    for prepared in snapshot.documents() {
        if interrupt.is_raised() {
            drop(writer);
            std::fs::remove_file(&aside)?;
            return Ok(Exit::Interrupted);
        }
        for row in rows(prepared?)? {
            writer.write(row)?;
            done += 1;
        }
        progress.set(done, done);
    }
    writer.finish()?;
    std::fs::rename(&aside, &args.to)?;
    progress.finish();
    writeln!(anstream::stdout(), "{}: {done} passages", args.to.display())?;
    Ok(Exit::Success)
}

fn rows(prepared: PreparedDocument) -> anyhow::Result<Vec<PassageRow>> {
    let PreparedDocument { document, passages } = prepared;
    let metadata = serde_json::to_string(&document.metadata)?;
    let row = |(chunk, passage): (u32, PreparedPassage)| PassageRow {
        document: document.id.to_string(),
        chunk,
        start: passage.span.start as u64,
        end: passage.span.end as u64,
        title: document.title.clone(),
        text: document.text.get(passage.span).unwrap_or_default().to_owned(),
        metadata: metadata.clone(),
        vector: passage.vector,
    };
    Ok((0..).zip(passages).map(row).collect())
}
