//! `cloze index`: documents into an index, and out of it.

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use corpus::{DocumentId, ReadStore, StoreError, TitleUse, WriteStore};
use data::{Documents, ReadSettings};
use index::{Analyzer, Bm25, Index, MergeSettings, Settings, WriterSettings};
use infer::{Embed, Embedder};
use launch::{Exit, Interrupt, OnError, Progress};
use search::ingest::IngestSettings;
use serde::Serialize;

use crate::memory;
use crate::model::{EngineArgs, open_embedder, remembered};
use crate::pipeline::ingest_of;
use crate::reading::{ReadingArgs, Titles};
use crate::{Indexing, Rejects, Summary, Watch, index_documents};

const EXAMPLES: &str = "\
Examples:
  cloze index docs/ --index notes                     a folder of Markdown, HTML, text, CSV, ...
  cloze index dump.jsonl.zst --index wiki --id-field url --text-field abstract --text-field body
  zcat big.jsonl.gz | cloze index - --index big       JSON Lines on standard input
  cloze index --delete 17 18 --index wiki             documents by id
  cloze index --merge-from part1 part2 --index wiki   parts that other machines built
Running it again goes on where it was interrupted: documents that did not change are passed over.";

/// Read documents into an index.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct IndexArgs {
    /// Files and folders to read; - is JSON Lines on standard input.
    #[arg(
        value_name = "PATH",
        required_unless_present_any = ["delete", "merge_from"],
        conflicts_with_all = ["delete", "merge_from"]
    )]
    paths: Vec<PathBuf>,
    /// Folder of the index; created when missing.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Model that makes the vectors: "bundled" or a folder. Default: that of the index, else bundled.
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Field to keep as metadata; an empty name for none. Default: all others.
    #[arg(
        long,
        value_name = "FIELD",
        conflicts_with = "mapping",
        help_heading = "Reading"
    )]
    metadata_field: Option<Vec<String>>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// What to do about a record that cannot be used.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_error: OnError,
    /// Write records that were skipped to this file, as JSON Lines with the reason.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Commit after this many passages; what is committed survives whatever happens next.
    #[arg(long, value_name = "PASSAGES", default_value = "20000")]
    commit_every: NonZeroUsize,
    /// Most memory to take, for instance 2GiB; less than the rest needs makes smaller segments. Memory that maps files
    /// does not count: the system takes it back at will.
    #[arg(long, value_name = "SIZE", value_parser = memory::size)]
    memory: Option<u64>,
    /// Delete the documents of these ids instead of reading any.
    #[arg(long, value_name = "ID", num_args = 1..)]
    delete: Vec<String>,
    /// Add the documents of these indexes, of the same model and settings, instead of reading any: parts that other
    /// machines built. Each document replaces the one of its id; a later index the one before it.
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with = "delete")]
    merge_from: Vec<PathBuf>,
    /// Replace the synonyms of the index by those of this file; an empty file removes them. Lines are
    /// "car, automobile" (any finds all) or "ev => electric car" (the left finds the right).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["delete", "merge_from"])]
    synonyms: Option<PathBuf>,
    /// Print a summary as JSON.
    #[arg(long)]
    json: bool,
}

/// What is fixed when the index is created.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Fixed when the index is created")]
struct ShapeArgs {
    /// Whether titles are embedded and matched with each passage. Default: join.
    #[arg(long, value_enum)]
    titles: Option<Titles>,
    /// Language of the texts, for stemming and stop words; none for neither, cjk for characters and pairs of characters
    /// (Chinese, Japanese, Korean). Default: english.
    #[arg(long)]
    language: Option<String>,
    /// Whether cafe finds café. Default: true for english and cjk, else false.
    #[arg(long, value_name = "BOOL")]
    fold_accents: Option<bool>,
    /// How often a title counts in lexical search, 0 to 20. Default: 1.
    #[arg(long, value_name = "TIMES")]
    title_weight: Option<u32>,
    /// BM25's k1: how soon more of the same word stops to count, 0 to 10. Default: 1.2.
    #[arg(long, value_name = "K1")]
    bm25_k1: Option<f32>,
    /// BM25's b: how much the length of a passage counts, 0 to 1. Default: 0.75.
    #[arg(long, value_name = "B")]
    bm25_b: Option<f32>,
    /// Tokens of a passage at most. Default: 256, or less when the model reads less.
    #[arg(long, value_name = "TOKENS")]
    chunk_tokens: Option<usize>,
    /// Tokens that neighbouring passages share. Default: 32.
    #[arg(long, value_name = "TOKENS")]
    chunk_overlap: Option<usize>,
}

/// Runs the command.
///
/// # Errors
/// When paths, model or index cannot be opened, or a record is not accepted and `--on-error` says stop.
pub fn index(args: &IndexArgs, show_progress: bool) -> anyhow::Result<Exit> {
    if !args.delete.is_empty() {
        return delete(args);
    }
    if !args.merge_from.is_empty() {
        return merge_from(args);
    }
    let interrupt = Interrupt::on_ctrl_c();
    let started = Instant::now();
    let documents = data::documents(&args.paths, &args.read_settings()?)?;
    let (files, files_skipped) = (documents.files_count(), documents.files_skipped());
    let (index, embedder) = open(args)?;
    if let Some(file) = &args.synonyms {
        set_synonyms(&index, file)?;
    }
    let (writing, merging) = match args.memory {
        Some(bytes) => memory::within(bytes, launch::threads(), index.settings().dimension)?,
        None => (WriterSettings::default(), merge_settings()),
    };
    let settings = Indexing {
        writing,
        on_error: args.on_error,
        commit_passages: args.commit_every.get(),
        ..Indexing::of(&index)
    };
    let interrupted = interrupt.clone();
    let watch = watch(args, &documents, interrupt, show_progress)?;
    let ended = index_documents(documents, &index, &embedder, &settings, watch);
    let (summary, error) = match ended {
        Ok(summary) => (summary, None),
        Err(failure) => (failure.summary, Some(failure.cause)),
    };
    if error.is_none() && !summary.interrupted {
        // What a run adds is worth as much work on segments: after much of it there are as few as after a compaction.
        let live = index.snapshot()?.info().passages as u64;
        let merging = MergeSettings {
            all: 3 * summary.passages_added >= live && summary.passages_added > 0,
            ..merging
        };
        merge(&index, &merging, &interrupted)?;
    }
    let report = Report {
        summary,
        files,
        files_skipped,
        seconds: started.elapsed().as_secs_f64(),
        error: error.as_ref().map(ToString::to_string),
    };
    report.print(args)?;
    match error {
        Some(cause) => Err(anyhow::Error::new(*cause).context(stopped(&summary))),
        None if summary.interrupted => Ok(Exit::Interrupted),
        None => Ok(Exit::Success),
    }
}

/// Merges full segments until there are few. Where it is interrupted, or another process does the same, the index is
/// good as it is.
pub(crate) fn merge(index: &Index, settings: &MergeSettings, interrupt: &Interrupt) -> anyhow::Result<()> {
    loop {
        match index.merge(settings, &|| interrupt.is_raised()) {
            Ok(Some(_)) => {}
            Ok(None) | Err(StoreError::Locked { .. }) => return Ok(()),
            Err(error) => {
                return Err(error).context("the documents are there, but segments could not be merged");
            }
        }
    }
}

/// As the machine allows.
pub(crate) fn merge_settings() -> MergeSettings {
    MergeSettings {
        threads: launch::threads(),
        ..MergeSettings::default()
    }
}

fn stopped(summary: &Summary) -> String {
    let kept = summary.documents_added + summary.documents_replaced;
    format!("indexing stopped; {kept} documents that were accepted before are kept")
}

fn watch(
    args: &IndexArgs,
    documents: &Documents,
    interrupt: Interrupt,
    show_progress: bool,
) -> anyhow::Result<Watch> {
    Ok(Watch {
        progress: match show_progress {
            true => Progress::new(documents.bytes_total(), "passages"),
            false => Progress::hidden(),
        },
        meter: Some(documents.meter()),
        interrupt,
        rejects: args.rejects.as_deref().map(Rejects::create).transpose()?,
    })
}

impl IndexArgs {
    fn read_settings(&self) -> anyhow::Result<ReadSettings> {
        let mut settings = self.reading.settings()?;
        if let Some(fields) = &self.metadata_field {
            let named = fields.iter().filter(|field| !field.is_empty());
            settings.mapping.metadata = Some(named.cloned().collect());
        }
        Ok(settings)
    }
}

/// Opens the index with its model, or creates it. What the options leave open is as it was, or the default.
fn open(args: &IndexArgs) -> anyhow::Result<(Index, Embedder)> {
    let made = match args.index.join("manifest.json").exists() {
        true => Some(
            index::inspect(&args.index)
                .with_context(|| opening(&args.index))?
                .settings,
        ),
        false => None,
    };
    let recorded = made.as_ref().map(|made| made.model.as_str());
    let model = args.model.as_deref().or(recorded).unwrap_or(bundled::NAME);
    let embedder = open_embedder(model, &args.engine.settings())?;
    if let Some(made) = made
        .as_ref()
        .filter(|made| made.fingerprint != embedder.fingerprint())
    {
        let (expected, found) = (made.fingerprint.clone(), embedder.fingerprint().to_owned());
        return Err(StoreError::OtherModel { expected, found }.into());
    }
    let wanted = Settings {
        dimension: embedder.dimension(),
        fingerprint: embedder.fingerprint().to_owned(),
        model: remembered(model),
        ..args
            .shape
            .over(made.unwrap_or_else(|| default_settings(&embedder)))
    };
    ingest_of(&wanted).validate(&embedder)?;
    let index = Index::open_or_create(&args.index, wanted).with_context(|| opening(&args.index))?;
    Ok((index, embedder))
}

/// The settings of a new index with the bundled model.
pub fn default_settings(embedder: &Embedder) -> Settings {
    let default = IngestSettings::default();
    let chunk_tokens = default.chunk_tokens.min(embedder.tokens_max());
    Settings {
        dimension: embedder.dimension(),
        fingerprint: embedder.fingerprint().to_owned(),
        model: bundled::NAME.to_owned(),
        titles: default.titles,
        language: "english".to_owned(),
        fold_accents: Analyzer::folds_accents("english"),
        title_weight: 1,
        bm25: Bm25::default(),
        chunk_tokens,
        chunk_overlap: default.chunk_overlap.min(chunk_tokens / 4),
    }
}

impl ShapeArgs {
    /// The settings with what the options say.
    fn over(&self, settings: Settings) -> Settings {
        let fold_accents = match &self.language {
            Some(language) if *language != settings.language => Analyzer::folds_accents(language),
            _ => settings.fold_accents,
        };
        Settings {
            titles: self.titles.map_or(settings.titles, TitleUse::from),
            fold_accents: self.fold_accents.unwrap_or(fold_accents),
            language: self.language.clone().unwrap_or(settings.language),
            title_weight: self.title_weight.unwrap_or(settings.title_weight),
            bm25: Bm25 {
                k1: self.bm25_k1.unwrap_or(settings.bm25.k1),
                b: self.bm25_b.unwrap_or(settings.bm25.b),
            },
            chunk_tokens: self.chunk_tokens.unwrap_or(settings.chunk_tokens),
            chunk_overlap: self.chunk_overlap.unwrap_or(settings.chunk_overlap),
            ..settings
        }
    }
}

pub(crate) fn open_index(folder: &Path) -> anyhow::Result<Index> {
    Index::open(folder).with_context(|| opening(folder))
}

fn opening(folder: &Path) -> String {
    format!("cannot open the index {}", folder.display())
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    summary: Summary,
    files: usize,
    files_skipped: usize,
    seconds: f64,
    error: Option<String>,
}

impl Report {
    fn print(&self, args: &IndexArgs) -> anyhow::Result<()> {
        let mut out = anstream::stdout().lock();
        if args.json {
            serde_json::to_writer(&mut out, self)?;
            return Ok(writeln!(out)?);
        }
        let Summary {
            documents_added: added,
            documents_replaced: replaced,
            documents_unchanged: unchanged,
            records_rejected: rejected,
            passages_added: passages,
            ..
        } = self.summary;
        let rate = passages as f64 / self.seconds.max(1e-3);
        let seconds = self.seconds;
        writeln!(
            out,
            "{added} documents added, {replaced} replaced, {unchanged} unchanged, {rejected} rejected"
        )?;
        writeln!(out, "{passages} passages in {seconds:.1} s, {rate:.0}/s")?;
        if self.files_skipped > 0 {
            writeln!(out, "{} files of unknown formats passed over", self.files_skipped)?;
        }
        if let Some(commit) = self.summary.index {
            let folder = args.index.display();
            writeln!(
                out,
                "{folder}: {} documents, {} passages",
                commit.documents, commit.passages
            )?;
        }
        if self.summary.interrupted {
            writeln!(out, "interrupted; the same command goes on from here")?;
        }
        Ok(())
    }
}

fn set_synonyms(index: &Index, file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut writer = index.writer(WriterSettings::default())?;
    let name = || file.display().to_string();
    writer.set_synonyms(&text).with_context(name)?;
    writer.commit()?;
    Ok(())
}

fn merge_from(args: &IndexArgs) -> anyhow::Result<Exit> {
    let first = index::inspect(&args.merge_from[0]).with_context(|| opening(&args.merge_from[0]))?;
    let index = Index::open_or_create(&args.index, first.settings).with_context(|| opening(&args.index))?;
    let limits = WriterSettings {
        threads: launch::threads(),
        ..WriterSettings::default()
    };
    let mut writer = index.writer(limits)?;
    for from in &args.merge_from {
        let adding = || format!("cannot add the index {}; nothing was added", from.display());
        writer.add_index(from).with_context(adding)?;
    }
    let commit = writer.commit()?;
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &commit)?;
        return Ok(writeln!(out).map(|()| Exit::Success)?);
    }
    let folder = args.index.display();
    writeln!(
        out,
        "{folder}: {} documents, {} passages",
        commit.documents, commit.passages
    )?;
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Deleted<'a> {
    deleted: usize,
    unknown: Vec<&'a str>,
    index: corpus::Commit,
}

fn delete(args: &IndexArgs) -> anyhow::Result<Exit> {
    let ids: Vec<DocumentId> = args
        .delete
        .iter()
        .map(DocumentId::new)
        .collect::<Result<_, _>>()?;
    let mut writer = open_index(&args.index)?.writer(WriterSettings::default())?;
    let mut unknown = Vec::new();
    for id in &ids {
        if !writer.delete(id)? {
            unknown.push(id.as_str());
        }
    }
    let report = Deleted {
        deleted: ids.len() - unknown.len(),
        index: writer.commit()?,
        unknown,
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(
            out,
            "{} documents deleted, {} left",
            report.deleted, report.index.documents
        )?;
        for id in &report.unknown {
            writeln!(out, "no document {id:?}")?;
        }
    }
    Ok(if report.unknown.is_empty() {
        Exit::Success
    } else {
        Exit::Failure
    })
}
