//! `cloze swap-model`: the vectors of an index by another model, while it is searched and written to.
//!
//! The documents are embedded again into an index beside it, `INDEX.next`, which is brought up to date until nothing
//! was committed meanwhile; then its commit takes the place of the index's own, in one step. The index as it was stays
//! in `INDEX.before`, from where it can be put back, together with what was written since.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use corpus::{DocumentId, ReadStore, StoreError, WriteStore};
use data::{Located, Place};
use index::{Index, MergeSettings, Settings, Snapshot, WriterSettings};
use infer::{Embed, Embedder};
use launch::{Exit, Interrupt, Progress};
use search::{Mode, MonotonicClock, SearchRequest, Searcher};
use serde::{Deserialize, Serialize};

use crate::index_command::{merge, merge_settings, open_index};
use crate::model::{EngineArgs, open_embedder, remembered};
use crate::pipeline::{Indexing, Watch, index_documents};

/// Questions that an index answers about itself where no others are given.
const QUESTIONS: usize = 200;
/// Words of such a question.
const QUESTION_WORDS: usize = 16;
/// Questions that are embedded together.
const BATCH: usize = 32;
/// Ids that are read together.
const PAGE: usize = 10_000;

/// Embed all documents of an index by another model, and put the result in its place.
///
/// The index is searched and written to as before until all is embedded and the new model has shown that it finds what
/// it should; then the new vectors take the place of the old in one step. A server that has the index open goes over to
/// the new model by itself. Ctrl-C leaves the index as it is; the same command goes on from there.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  cloze swap-model --index wiki --model models/e5-small
  cloze swap-model --index wiki --model models/e5-small --judgements questions.jsonl --tolerance 0
  cloze swap-model --index wiki --roll-back

Judgements are JSON Lines: {\"query\": \"who built the bridge\", \"relevant\": [\"id of a document\", ...]}
The index before the swap stays in DIR.before, for --roll-back; remove it when it is no longer needed.")]
pub struct SwapModelArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// The model that takes over.
    #[arg(long, value_name = "NAME|DIR", required_unless_present = "roll_back")]
    model: Option<String>,
    /// Put back the model before the last swap. Documents that were written since are embedded by it.
    #[arg(long, conflicts_with_all = ["model", "judgements", "tolerance", "no_gate"])]
    roll_back: bool,
    /// Questions with the documents that answer them. Default: 200 stretches of documents, each of which is to find its
    /// own.
    #[arg(long, value_name = "FILE", conflicts_with = "no_gate")]
    judgements: Option<PathBuf>,
    /// By how much recall@10 may be lower than that of the model before.
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    tolerance: f64,
    /// Swap without a check of quality.
    #[arg(long)]
    no_gate: bool,
    /// Print a summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text
        .parse()
        .map_err(|_| "accepted: a number from 0 to 1".to_owned())?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err("accepted: 0 to 1".to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// When a model or an index cannot be opened, when the new model finds less than it should, or when files cannot be
/// written. The index is then as it was.
pub fn swap_model(args: &SwapModelArgs, show_progress: bool) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::on_ctrl_c();
    let index = open_index(&args.index)?;
    let before = beside(&args.index, "before")?;
    let target = match args.roll_back {
        true => before.clone(),
        false => beside(&args.index, "next")?,
    };
    let name = match &args.model {
        Some(name) => name.clone(),
        None => {
            let kept = index::inspect(&target);
            let none = || format!("{} holds no index from before a swap", target.display());
            kept.with_context(none)?.settings.model
        }
    };
    let embedder = open_embedder(&name, &args.engine.settings())?;
    if index.check_fingerprint(embedder.fingerprint()).is_ok() {
        // What an earlier run left when it ended after the swap.
        remove(&target)?;
        let snapshot = index.snapshot()?;
        return report(args, &snapshot, None);
    }
    let next = Index::open_or_create(&target, settings(&index, &embedder, &name)).with_context(|| {
        format!(
            "cannot go on with {}, which another run left; remove it to begin anew",
            target.display()
        )
    })?;
    let mut quality = None;
    loop {
        let snapshot = index.snapshot()?;
        if !bring_up_to_date(&next, &snapshot, &embedder, &interrupt, show_progress)? {
            return Ok(Exit::Interrupted);
        }
        if quality.is_none() && !args.no_gate && !args.roll_back {
            let measured = measure(args, &index, &snapshot, &next, &embedder)?;
            if measured.after < measured.before - args.tolerance {
                bail!(
                    "the model {name} finds {:.4} of what it should (recall@10 over {} questions), the one before {:.4}; \
                     the index is as it was, {} holds the new vectors",
                    measured.after,
                    measured.questions,
                    measured.before,
                    target.display()
                );
            }
            quality = Some(measured);
        }
        if !args.roll_back {
            remove(&before)?;
            index::copy(&args.index, &before)?;
        }
        let generation = snapshot.info().generation;
        if index::replace_generation(&args.index, &target, generation)?.is_some() {
            break;
        }
    }
    let swapped = next.snapshot()?;
    remove(&target)?;
    report(args, &swapped, quality)
}

/// `INDEX.suffix`, in the same folder.
fn beside(index: &Path, suffix: &str) -> anyhow::Result<PathBuf> {
    let index = fs::canonicalize(index)?;
    let mut name = index.file_name().context("the index has no name")?.to_owned();
    name.push(".");
    name.push(suffix);
    Ok(index.with_file_name(name))
}

/// Removes an index, if there is one.
fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.join("manifest.json").exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Those of the index with the new model's own.
fn settings(index: &Index, embedder: &Embedder, name: &str) -> Settings {
    let settings = index.settings().clone();
    let chunk_tokens = settings.chunk_tokens.min(embedder.tokens_max());
    Settings {
        dimension: embedder.dimension(),
        fingerprint: embedder.fingerprint().to_owned(),
        model: remembered(name),
        chunk_tokens,
        chunk_overlap: settings.chunk_overlap.min(chunk_tokens / 4),
        ..settings
    }
}

/// Makes the documents and synonyms of `next` those of a snapshot; false when it was interrupted.
fn bring_up_to_date(
    next: &Index,
    snapshot: &Snapshot,
    embedder: &Embedder,
    interrupt: &Interrupt,
    show_progress: bool,
) -> anyhow::Result<bool> {
    let place = Place {
        file: Arc::from(next.folder()),
        line: None,
    };
    let failed: RefCell<Option<StoreError>> = RefCell::new(None);
    let documents = snapshot.documents().map_while(|document| match document {
        Ok(prepared) => Some(Ok(Located {
            value: prepared.document,
            place: place.clone(),
        })),
        Err(error) => {
            *failed.borrow_mut() = Some(error);
            None
        }
    });
    let watch = Watch {
        progress: match show_progress {
            true => Progress::new(Some(snapshot.info().documents as u64), "documents"),
            false => Progress::hidden(),
        },
        interrupt: interrupt.clone(),
        ..Watch::none()
    };
    let summary = index_documents(documents, next, embedder, &Indexing::of(next), watch)
        .map_err(|failure| anyhow::Error::from(*failure.cause))?;
    if let Some(error) = failed.into_inner() {
        return Err(error.into());
    }
    if summary.interrupted {
        return Ok(false);
    }
    let mut writer = next.writer(WriterSettings::default())?;
    let made = next.snapshot()?;
    for page in pages(&made) {
        for id in page? {
            if snapshot.content_hash(&id)?.is_none() {
                writer.delete(&id)?;
            }
        }
    }
    writer.set_synonyms(snapshot.synonyms())?;
    writer.commit()?;
    drop(writer);
    let merging = MergeSettings {
        all: true,
        ..merge_settings()
    };
    merge(next, &merging, interrupt)?;
    Ok(!interrupt.is_raised())
}

/// All document ids, some at a time.
fn pages(snapshot: &Snapshot) -> impl Iterator<Item = Result<Vec<DocumentId>, StoreError>> {
    let mut after: Option<DocumentId> = None;
    std::iter::from_fn(move || {
        let page = snapshot.document_ids(after.as_ref(), PAGE);
        if let Ok(ids) = &page {
            after = Some(ids.last()?.clone());
        }
        Some(page)
    })
}

/// What both models find.
#[derive(Debug, Clone, Copy, Serialize)]
struct Quality {
    questions: usize,
    /// Mean recall@10 of the model before.
    before: f64,
    /// Mean recall@10 of the new one.
    after: f64,
}

/// A question with the documents that answer it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    query: String,
    relevant: Vec<DocumentId>,
}

fn measure(
    args: &SwapModelArgs,
    index: &Index,
    snapshot: &Snapshot,
    next: &Index,
    embedder: &Embedder,
) -> anyhow::Result<Quality> {
    let questions = match &args.judgements {
        Some(file) => judgements(file, snapshot)?,
        None => own_questions(snapshot)?,
    };
    let model = &index.settings().model;
    let old = open_embedder(model, &args.engine.settings())
        .context("the model before cannot be compared with; --no-gate swaps without")?;
    Ok(Quality {
        questions: questions.len(),
        before: recall(snapshot, &old, &questions)?,
        after: recall(&*next.snapshot()?, embedder, &questions)?,
    })
}

fn judgements(file: &Path, snapshot: &Snapshot) -> anyhow::Result<Vec<Question>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut questions = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let at = || format!("{}: line {}", file.display(), number + 1);
        let question: Question = serde_json::from_str(line).with_context(at)?;
        if question.query.trim().is_empty() || question.relevant.is_empty() {
            bail!("{}: accepted are a query and one relevant document or more", at());
        }
        for id in &question.relevant {
            if snapshot.content_hash(id)?.is_none() {
                bail!("{}: no document {id} in the index", at());
            }
        }
        questions.push(question);
    }
    if questions.is_empty() {
        bail!("{}: no questions", file.display());
    }
    Ok(questions)
}

/// Stretches from the middle of documents that are spread over the index.
fn own_questions(snapshot: &Snapshot) -> anyhow::Result<Vec<Question>> {
    let documents = snapshot.info().documents;
    let step = documents.div_ceil(QUESTIONS).max(1);
    let mut questions = Vec::new();
    let mut number = 0;
    for page in pages(snapshot) {
        for id in page? {
            if number % step == 0
                && let Some(document) = snapshot.document(&id)?
            {
                let words: Vec<&str> = document.text.split_whitespace().collect();
                let start = words.len().saturating_sub(QUESTION_WORDS) / 2;
                let query: Vec<&str> = words.into_iter().skip(start).take(QUESTION_WORDS).collect();
                // A word may be as long as a text.
                let query: String = query.join(" ").chars().take(1000).collect();
                questions.push(Question {
                    query,
                    relevant: vec![id],
                });
            }
            number += 1;
        }
    }
    Ok(questions)
}

/// Mean share of the relevant documents among the first ten.
fn recall(store: &dyn ReadStore, embed: &dyn Embed, questions: &[Question]) -> anyhow::Result<f64> {
    let searcher = Searcher {
        store,
        embed: Some(embed),
        rerank: None,
        read: None,
        clock: &MonotonicClock::start(),
    };
    let mut sum = 0.0;
    for batch in questions.chunks(BATCH) {
        let requests: Vec<SearchRequest> = batch
            .iter()
            .map(|question| SearchRequest {
                mode: Mode::Dense,
                highlight: false,
                ..SearchRequest::new(&question.query)
            })
            .collect();
        for (question, response) in batch.iter().zip(searcher.search_batch(&requests)?) {
            let found = |id: &&DocumentId| response.hits.iter().any(|hit| hit.document == **id);
            let found = question.relevant.iter().filter(found).count();
            sum += found as f64 / question.relevant.len() as f64;
        }
    }
    Ok(sum / questions.len().max(1) as f64)
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    documents: usize,
    passages: usize,
    quality: Option<Quality>,
}

fn report(args: &SwapModelArgs, snapshot: &Snapshot, quality: Option<Quality>) -> anyhow::Result<Exit> {
    let info = snapshot.info();
    let report = Report {
        model: &snapshot.settings().model,
        documents: info.documents,
        passages: info.passages,
        quality,
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
        return Ok(Exit::Success);
    }
    if let Some(Quality {
        questions,
        before,
        after,
    }) = quality
    {
        writeln!(
            out,
            "recall@10 over {questions} questions: {before:.4} before, {after:.4} now"
        )?;
    }
    writeln!(
        out,
        "{}: {} documents, {} passages by the model {}",
        args.index.display(),
        report.documents,
        report.passages,
        report.model
    )?;
    Ok(Exit::Success)
}
