//! `cloze serve`: options to a running server.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use index::{Index, MergeSettings, Settings};
use infer::{Embed, Embedder, ModelSettings, Precision, Reader, Reranker};
use search::ingest::IngestSettings;

use crate::serve::serve_following;
use crate::{App, Limits, NamedReader, NamedReranker, Parts, Stop};

/// Answer searches over HTTP, with a search page.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR")]
    pub index: PathBuf,
    /// Address to listen on; the default can be reached from this machine only.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port to listen on; 0 for any that is free.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Model that embeds queries and documents: "bundled" or a folder. Default: the one the index was made with.
    #[arg(long, value_name = "NAME|DIR")]
    pub model: Option<String>,
    /// Cross-encoder for requests that rerank: "bundled" or a folder.
    #[arg(long, value_name = "NAME|DIR")]
    pub reranker: Option<PathBuf>,
    /// Reader for searches that want an answer: "bundled" or a folder.
    #[arg(long, value_name = "NAME|DIR")]
    pub reader: Option<PathBuf>,
    /// Threads of the models. Default: one for each core.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Number type of the models' arithmetic: f32, bf16 or int8. Fewer bits are faster and round more. Default: the fewest
    /// that cost a model at most half a point nDCG@10 where that was measured (eval precision --keep), else f32.
    #[arg(long, value_name = "TYPE")]
    pub precision: Option<Precision>,
    /// Refuse to add, change and delete documents.
    #[arg(long)]
    pub read_only: bool,
    /// Threads that merge segments beside searches and writes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub merge_threads: u16,
    /// Most MiB of texts and vectors that merging reads per second. Default: no limit.
    #[arg(long, value_name = "MIB")]
    pub merge_mib_per_s: Option<NonZeroU32>,
}

impl ServeArgs {
    /// The default options for an index.
    pub fn new(index: impl Into<PathBuf>) -> Self {
        Self {
            index: index.into(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            model: None,
            reranker: None,
            reader: None,
            threads: None,
            precision: None,
            read_only: false,
            merge_threads: 1,
            merge_mib_per_s: None,
        }
    }

    fn model_settings(&self) -> ModelSettings {
        ModelSettings {
            threads: self.threads.map_or_else(launch::threads, NonZeroUsize::get),
            precision: self.precision,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            merging: MergeSettings {
                threads: usize::from(self.merge_threads),
                bytes_per_s: self.merge_mib_per_s.map(|mib| u64::from(mib.get()) << 20),
                ..MergeSettings::default()
            },
            ..Limits::default()
        }
    }
}

/// Opens index and models, prints the address on standard output, and serves until the process is told to end.
///
/// # Errors
/// When index or model cannot be opened or do not belong together, when the address is taken, or when accepted
/// work was left unfinished in the end.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let app = open(args)?;
    let listener = TcpListener::bind((args.host, args.port))
        .with_context(|| format!("cannot listen on {} port {}", args.host, args.port))?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", listener.local_addr()?)?;
    out.flush()?;
    serve_following(app, listener, &Stop::default(), &|| open(args)).context("serving failed")
}

fn open(args: &ServeArgs) -> anyhow::Result<App> {
    let folder = &args.index;
    let index = Index::open(folder).with_context(|| format!("cannot open the index {}", folder.display()))?;
    let settings = index.settings().clone();
    let model = args.model.clone().unwrap_or_else(|| settings.model.clone());
    let embed = embedder(&model, &args.model_settings())?;
    index.check_fingerprint(embed.fingerprint())?;
    App::new(Parts {
        store: Arc::new(index),
        embed,
        model: short_name(&model),
        reranker: args
            .reranker
            .as_deref()
            .map(|folder| reranker(folder, &args.model_settings()))
            .transpose()?,
        reader: args
            .reader
            .as_deref()
            .map(|folder| reader(folder, &args.model_settings()))
            .transpose()?,
        ingest: ingest_settings(&settings),
        read_only: args.read_only,
        limits: args.limits(),
    })
}

fn embedder(model: &str, settings: &ModelSettings) -> anyhow::Result<Arc<dyn Embed>> {
    let files = bundled::open(model).with_context(|| format!("cannot open the model {model}"))?;
    let embedder = Embedder::open(&files, settings)?;
    launch::warn(model, embedder.notes());
    Ok(Arc::new(embedder))
}

fn ingest_settings(settings: &Settings) -> IngestSettings {
    IngestSettings {
        titles: settings.titles,
        chunk_tokens: settings.chunk_tokens,
        chunk_overlap: settings.chunk_overlap,
    }
}

/// The last part of a folder's path: answers need not show where things lie on this machine.
fn short_name(model: &str) -> String {
    Path::new(model)
        .file_name()
        .map_or_else(|| model.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn reranker(folder: &Path, settings: &ModelSettings) -> anyhow::Result<NamedReranker> {
    let name = folder.to_string_lossy();
    let files = bundled::open_reranker(&name).with_context(|| format!("cannot open the reranker {name}"))?;
    let model = Reranker::open(&files, settings)?;
    launch::warn(&name, model.notes());
    Ok(NamedReranker {
        name: short_name(&name),
        model: Arc::new(model),
    })
}

fn reader(folder: &Path, settings: &ModelSettings) -> anyhow::Result<NamedReader> {
    let name = folder.to_string_lossy();
    let files = bundled::open_reader(&name).with_context(|| format!("cannot open the reader {name}"))?;
    let model = Reader::open(&files, settings)?;
    launch::warn(&name, model.notes());
    Ok(NamedReader {
        name: short_name(&name),
        model: Arc::new(model),
    })
}
