//! `cloze demo`: searches the documentation of the crates that Cloze is built from.
//!
//! They lie in cargo's registry folder after the build, so nothing has to be fetched.

mod registry;

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use corpus::{DocumentId, WriteStore};
use index::{Index, WriterSettings};
use indexer::{Indexing, RenderSettings, Watch, index_documents, render};
use infer::{Embed, Embedder, ModelSettings};
use launch::{Exit, Interrupt, Progress};
use search::{MonotonicClock, SearchRequest, Searcher};
use server::ServeArgs;

const QUESTIONS: [&str; 3] = [
    "how do I merge segments in a search index",
    "parse command line arguments with derive",
    "show a progress bar in the terminal",
];

const HITS: usize = 3;

/// Index the documentation of the crates that Cloze is built from, ask three questions, and serve a page.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  cloze demo\n  cloze demo --no-serve")]
pub(crate) struct DemoArgs {
    /// Folder of the index. Default: cloze/demo-MODEL in the user's cache folder.
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    /// End after the three questions.
    #[arg(long)]
    no_serve: bool,
    /// Port of the page; another one when it is taken.
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

/// Runs the command.
pub(crate) fn run(args: &DemoArgs, show_progress: bool) -> anyhow::Result<Exit> {
    let settings = ModelSettings {
        threads: launch::threads(),
        precision: None,
    };
    let embedder = indexer::open_embedder(bundled::NAME, &settings)?;
    let folder = args
        .index
        .clone()
        .unwrap_or_else(|| default_folder(embedder.fingerprint()));
    let index = Index::open_or_create(&folder, indexer::default_settings(&embedder))
        .with_context(|| format!("cannot open the index {}", folder.display()))?;
    if fill(&index, &embedder, show_progress)? == Exit::Interrupted {
        return Ok(Exit::Interrupted);
    }
    ask(&index, &embedder)?;
    drop((index, embedder));
    let mut out = anstream::stdout().lock();
    writeln!(out, "More:  cloze search \"...\" --index {}", folder.display())?;
    if args.no_serve {
        return Ok(Exit::Success);
    }
    writeln!(out, "The page, until Ctrl-C:")?;
    drop(out);
    let mut serve = ServeArgs::new(folder);
    serve.reader = Some(bundled::NAME.into());
    let is_free = TcpListener::bind((serve.host, args.port)).is_ok();
    serve.port = if is_free { args.port } else { 0 };
    server::run(&serve)?;
    Ok(Exit::Success)
}

/// An index per model, so that a new model starts anew instead of being refused.
fn default_folder(fingerprint: &str) -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let model = &fingerprint[..fingerprint.len().min(8)];
    cache
        .unwrap_or_else(std::env::temp_dir)
        .join("cloze")
        .join(format!("demo-{model}"))
}

/// Brings the index up to the crates of this build.
fn fill(index: &Index, embedder: &Embedder, show_progress: bool) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let found = registry::collect(&registry::folders()?)?;
    let ids: HashSet<DocumentId> = found.documents.iter().map(|read| read.value.id.clone()).collect();
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{} documents from the {} crates that Cloze is built from",
        ids.len(),
        found.crates
    )?;
    let watch = Watch {
        progress: match show_progress {
            true => Progress::new(Some(ids.len() as u64), "passages"),
            false => Progress::hidden(),
        },
        interrupt: Interrupt::on_ctrl_c(),
        ..Watch::none()
    };
    let summary = index_documents(
        found.documents.into_iter().map(Ok),
        index,
        embedder,
        &Indexing::of(index),
        watch,
    )?;
    if summary.interrupted {
        writeln!(out, "interrupted; the same command goes on from here")?;
        return Ok(Exit::Interrupted);
    }
    remove_others(index, &ids)?;
    let (added, seconds) = (summary.passages_added, started.elapsed().as_secs_f64());
    match added {
        0 => writeln!(out, "index up to date ({})", index.folder().display())?,
        _ => writeln!(
            out,
            "{added} passages indexed in {seconds:.0} s ({})",
            index.folder().display()
        )?,
    }
    writeln!(out)?;
    Ok(Exit::Success)
}

/// Deletes what an earlier build was made of and this one is not.
fn remove_others(index: &Index, ids: &HashSet<DocumentId>) -> anyhow::Result<()> {
    let stored = index.snapshot()?.document_ids(None, usize::MAX)?;
    let mut writer = index.writer(WriterSettings::default())?;
    for id in stored.iter().filter(|id| !ids.contains(id)) {
        writer.delete(id)?;
    }
    writer.commit()?;
    Ok(())
}

fn ask(index: &Index, embedder: &Embedder) -> anyhow::Result<()> {
    let snapshot = index.snapshot()?;
    let clock = MonotonicClock::start();
    let searcher = Searcher {
        store: &*snapshot,
        embed: Some(embedder),
        rerank: None,
        read: None,
        clock: &clock,
    };
    let mut out = anstream::stdout().lock();
    let shown = RenderSettings {
        snippet_chars: 200,
        ..RenderSettings::default()
    };
    for question in QUESTIONS {
        writeln!(out, "> {question}\n")?;
        let request = SearchRequest {
            limit: HITS,
            ..SearchRequest::new(question)
        };
        render(&mut out, &searcher.search(&request)?, &shown)?;
        writeln!(out)?;
    }
    Ok(())
}

/// The folder that must be there for the demo to have something to read.
fn registry_missing(searched: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "no crate sources in {}; the demo reads what cargo unpacked there when it built Cloze \
         (CARGO_HOME may name another folder)",
        searched.display()
    )
}
