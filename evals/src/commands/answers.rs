//! `cloze eval answers`: the answers that searches give to the questions of a SQuAD set when all its paragraphs are
//! searched together: exact match and F1 with their intervals.
//!
//! A question may be answered from any paragraph, but is scored by the answers that people gave in its own. One that
//! its own paragraph does not answer counts as having no answer, though another paragraph may have one.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use corpus::{Document, DocumentId, Metadata, ReadStore, WriteStore};
use data::squad::{Question, Squad};
use index::{Analyzer, Bm25, Index, Settings, WriterSettings};
use infer::{Embed, ModelSettings, Precision, Read};
use launch::Exit;
use measure::squad::v2;
use search::ingest::{IngestSettings, prepare};
use search::{AnswerRequest, MonotonicClock, RerankRequest, SearchRequest, Searcher};
use serde_json::{Value, json};

use super::squad::gold;
use super::squad_reader::{self, open_reader};
use crate::bar::Bar;
use crate::draw::chosen;
use crate::models::Models;

/// Paragraphs that are embedded in one call.
const BATCH_PARAGRAPHS: usize = 64;

/// Options of `answers`.
#[derive(Debug, Args)]
pub struct AnswersOptions {
    /// The set, in SQuAD's own JSON: its paragraphs are searched, its questions are asked.
    #[arg(long)]
    data: PathBuf,
    /// The embedding model: "bundled", or a sentence-transformers folder.
    #[arg(long, value_name = "NAME|DIR", default_value = bundled::NAME)]
    model: String,
    /// The reader: "bundled", or the folder of a question answering model.
    #[arg(long, value_name = "NAME|DIR", default_value = bundled::NAME)]
    reader: String,
    /// A cross-encoder that reorders before reading: "bundled" or a CrossEncoder folder.
    #[arg(long, value_name = "NAME|DIR")]
    reranker: Option<String>,
    /// How many of the best passages are read; several numbers are compared.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [AnswerRequest::default().passages])]
    passages: Vec<usize>,
    /// The margin above which a passage answers [default: what the reader says of itself].
    #[arg(long, value_name = "MARGIN", allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Ask only so many questions, drawn at random.
    #[arg(long, value_name = "N")]
    questions: Option<usize>,
    /// Draws these questions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number type of the models' arithmetic: f32, bf16 or int8.
    #[arg(long, value_name = "TYPE", default_value_t)]
    precision: Precision,
    /// Threads [default: one for each processor].
    #[arg(long)]
    threads: Option<usize>,
}

/// A question and the document of its paragraph.
struct Asked<'a> {
    question: &'a Question,
    paragraph: DocumentId,
}

/// What a search said to a question.
struct Answer {
    /// The best words, whether they answer or not; empty when nothing was read.
    words: String,
    /// Whether their margin is above the threshold.
    answers: bool,
    /// Whether the question's own paragraph was read.
    has_read: bool,
    reading_ms: f64,
    total_ms: f64,
}

/// Indexes the paragraphs, asks, measures, prints percentages as JSON.
pub(crate) fn run(options: &AnswersOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let set = data::squad::read(&options.data)?;
    let (documents, asked) = content(&set)?;
    let asked = drawn(asked, options.questions, options.seed);
    if asked.is_empty() {
        bail!("{}: there are no questions to ask", options.data.display());
    }
    let settings = ModelSettings {
        threads: options.threads.unwrap_or_else(launch::threads),
        precision: Some(options.precision),
    };
    let models = Models::open(&options.model, options.reranker.as_deref(), &settings)?;
    let reader = open_reader(&options.reader, &settings)?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let paragraphs = documents.len();
    let index = build(folder.path(), documents, &models, show_progress)?;
    let snapshot = index.snapshot()?;
    let searcher = Searcher {
        store: &*snapshot,
        embed: Some(&models.embedder),
        rerank: models.reranker(),
        read: Some(&reader),
        clock: &MonotonicClock::start(),
    };
    let threshold = options.threshold.unwrap_or(reader.threshold());
    let mut compared = Vec::new();
    for &passages in &options.passages {
        let answers = ask(&searcher, &asked, passages, threshold, show_progress)?;
        compared.push(figures(&asked, &answers, passages)?);
    }
    let figures = json!({
        "paragraphs": paragraphs,
        "indexed_passages": snapshot.info().passages,
        "questions": asked.len(),
        "threshold": threshold,
        "by_passages": compared,
    });
    writeln!(screen, "{}", serde_json::to_string_pretty(&figures)?)?;
    Ok(Exit::Success)
}

/// A document for each paragraph, titled as its article, and the questions.
fn content(set: &Squad) -> Result<(Vec<Document>, Vec<Asked<'_>>)> {
    let (mut documents, mut asked) = (Vec::new(), Vec::new());
    for (article, content) in set.data.iter().enumerate() {
        for (paragraph, one) in content.paragraphs.iter().enumerate() {
            let id = DocumentId::new(format!("{article}/{paragraph}"))?;
            asked.extend(one.qas.iter().map(|question| Asked {
                question,
                paragraph: id.clone(),
            }));
            documents.push(Document {
                id,
                title: content.title.replace('_', " "),
                text: one.context.clone(),
                metadata: Metadata::new(),
            });
        }
    }
    Ok((documents, asked))
}

/// So many of the questions at random, in their order; all when there are no more.
fn drawn(asked: Vec<Asked<'_>>, wanted: Option<usize>, seed: u64) -> Vec<Asked<'_>> {
    let keep = chosen(asked.len(), wanted.unwrap_or(usize::MAX), seed);
    let pairs = asked.into_iter().zip(keep);
    pairs.filter_map(|(one, keep)| keep.then_some(one)).collect()
}

fn build(folder: &Path, documents: Vec<Document>, models: &Models, show_progress: bool) -> Result<Index> {
    let model = &models.embedder;
    let default = IngestSettings::default();
    let chunk_tokens = default.chunk_tokens.min(model.tokens_max());
    let ingest = IngestSettings {
        chunk_tokens,
        chunk_overlap: default.chunk_overlap.min(chunk_tokens / 4),
        ..default
    };
    let settings = Settings {
        dimension: model.dimension(),
        fingerprint: model.fingerprint().to_owned(),
        model: models.embedder_name.clone(),
        titles: ingest.titles,
        language: "english".to_owned(),
        fold_accents: Analyzer::folds_accents("english"),
        title_weight: 1,
        bm25: Bm25::default(),
        chunk_tokens: ingest.chunk_tokens,
        chunk_overlap: ingest.chunk_overlap,
    };
    let index = Index::create(&folder.join("index"), settings)?;
    let mut writer = index.writer(WriterSettings::default())?;
    let bar = Bar::new(show_progress, documents.len(), "paragraphs");
    for batch in documents.chunks(BATCH_PARAGRAPHS) {
        writer.add(prepare(model, batch.to_vec(), &ingest)?)?;
        bar.add(batch.len());
    }
    writer.commit()?;
    Ok(index)
}

fn ask(
    searcher: &Searcher<'_>,
    asked: &[Asked<'_>],
    passages: usize,
    threshold: f32,
    show_progress: bool,
) -> Result<Vec<Answer>> {
    let bar = Bar::new(show_progress, asked.len(), "questions");
    let mut answers = Vec::with_capacity(asked.len());
    for one in asked {
        // At the least threshold the best words come whatever their margin; the threshold that counts is applied to it.
        let request = SearchRequest {
            limit: 1,
            explain: true,
            highlight: false,
            rerank: searcher.rerank.map(|_| RerankRequest::default()),
            answer: Some(AnswerRequest {
                passages,
                threshold: Some(-SearchRequest::ANSWER_THRESHOLD_MAX),
                budget_ms: None,
            }),
            ..SearchRequest::new(one.question.question.trim())
        };
        let response = searcher.search(&request)?;
        let read = response
            .answer
            .context("a search without the answer it asked for")?;
        answers.push(Answer {
            answers: read.margin.is_some_and(|margin| margin > threshold),
            has_read: read
                .passages
                .iter()
                .flatten()
                .any(|passage| passage.document == one.paragraph),
            words: read.best.map(|best| best.text).unwrap_or_default(),
            reading_ms: response.timings_ms.answer,
            total_ms: response.timings_ms.total,
        });
        bar.add(1);
    }
    Ok(answers)
}

fn figures(asked: &[Asked<'_>], answers: &[Answer], passages: usize) -> Result<Value> {
    let all: Vec<(&Asked<'_>, &Answer)> = asked.iter().zip(answers).collect();
    let (with, without): (Vec<_>, Vec<_>) = all
        .iter()
        .copied()
        .partition(|(asked, _)| !asked.question.answers.is_empty());
    let decided = |answer: &Answer| match answer.answers {
        true => answer.words.clone(),
        false => String::new(),
    };
    let share = |of: &[(&Asked<'_>, &Answer)], is: fn(&Answer) -> bool| {
        let count = of.iter().filter(|(_, answer)| is(answer)).count();
        (!of.is_empty()).then(|| 100.0 * count as f64 / of.len() as f64)
    };
    let mean = |time: fn(&Answer) -> f64| answers.iter().map(time).sum::<f64>() / answers.len() as f64;
    Ok(json!({
        "passages": passages,
        "own_paragraph_read": share(&with, |answer| answer.has_read),
        "answered": share(&all, |answer| answer.answers),
        "all": scores(&all, decided)?,
        "answerable": scores(&with, decided)?,
        "unanswerable": scores(&without, decided)?,
        "answerable_at_any_margin": scores(&with, |answer| answer.words.clone())?,
        "reading_ms": mean(|answer| answer.reading_ms),
        "search_ms": mean(|answer| answer.total_ms),
    }))
}

/// Exact match and F1 of what `said` makes of each answer; none without questions.
fn scores(of: &[(&Asked<'_>, &Answer)], said: impl Fn(&Answer) -> String) -> Result<Value> {
    let score = |(asked, answer): &(&Asked<'_>, &Answer)| v2::score(&said(answer), &gold(asked.question));
    squad_reader::figures(&of.iter().map(score).collect::<Vec<_>>())
}
