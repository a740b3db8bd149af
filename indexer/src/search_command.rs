//! `cloze search`: a question to an index.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use corpus::{Filter, NearestQuery, StoreError, Syntax};
use infer::{Embed, ModelSettings, Read, Reader, Rerank, Reranker};
use launch::Exit;
use search::{
    AnswerRequest, Fusion, Mode, MonotonicClock, RerankRequest, SearchError, SearchRequest, Searcher,
};

use crate::index_command::open_index;
use crate::model::{EngineArgs, open_embedder_of};
use crate::render::{RenderSettings, render};

const EXAMPLES: &str = "\
Examples:
  cloze search \"who designed the tower\" --index wiki
  cloze search \"who designed the tower\" --index wiki --rerank bundled --answer bundled
  cloze search \"error 0x80070005\" --index docs --mode lexical --limit 3
  cloze search \"heat transfer\" --index papers --filter '{\"range\": {\"year\": {\"gte\": 1960}}}' --explain
  cloze search \"merge segments\" --index docs --json | jq -r '.hits[].document'";

/// Ask an index a question.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct SearchArgs {
    /// The question: any text; --syntax says how it is read.
    query: String,
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Which lists are asked.
    #[arg(long, value_enum, default_value_t)]
    mode: ModeArg,
    /// How many hits are wanted.
    #[arg(long, short = 'n', default_value_t = 10)]
    limit: usize,
    /// How many hits are skipped.
    #[arg(long, default_value_t = 0)]
    offset: usize,
    /// Only documents whose metadata fulfil this, for instance {"eq": {"lang": "en"}}.
    #[arg(long, value_name = "JSON", value_parser = filter)]
    filter: Option<Filter>,
    /// How the question is read: plain, or (with --mode lexical) query: words, "phrases", prefixes like neuro*, and
    /// + or - before them to require them or leave them out.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    syntax: SyntaxArg,
    /// Let a word that no passage has stand for the words nearest to it.
    #[arg(long)]
    typos: bool,
    /// Count the values of this metadata field over the documents that fulfil the filter (with --mode lexical: and
    /// match the question); may be repeated.
    #[arg(long = "facet", value_name = "FIELD")]
    facets: Vec<String>,
    /// How the lists of a hybrid search become one: `weighted[:LEXICAL,DENSE[,FEEDBACK]]` or `rrf[:K]`; 0.4, 0.6, 0.3 and 60
    /// where nothing is said.
    #[arg(long, value_name = "HOW", default_value = "weighted")]
    fusion: Fusion,
    /// Candidates taken from each list.
    #[arg(long, default_value_t = 100)]
    depth: usize,
    /// Cross-encoder that reorders the best: "bundled" or a folder.
    #[arg(long, value_name = "NAME|DIR")]
    rerank: Option<String>,
    /// How many of the best are reordered.
    #[arg(long, value_name = "N", default_value_t = 50, requires = "rerank")]
    rerank_top: usize,
    /// How much the cross-encoder's score counts beside the score before, 0 to 1. Default: what the model says of itself.
    #[arg(long, value_name = "SHARE", requires = "rerank")]
    rerank_weight: Option<f32>,
    /// Reader that looks for the words that answer the question in the best passages, and says so when none of them
    /// does: "bundled" or a folder.
    #[arg(long, value_name = "NAME|DIR")]
    answer: Option<String>,
    /// How many of the best passages are read, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = AnswerRequest::default().passages, requires = "answer")]
    answer_passages: usize,
    /// How much surer than of no answer the reader has to be, as a difference of logits; more gives fewer and surer
    /// answers. Default: what the model says of itself.
    #[arg(
        long,
        value_name = "MARGIN",
        requires = "answer",
        allow_negative_numbers = true
    )]
    answer_threshold: Option<f32>,
    /// Show how each hit came to its place.
    #[arg(long)]
    explain: bool,
    /// Share of the nearest vectors to find, 0 to 1; more takes longer.
    #[arg(long, value_name = "SHARE", default_value_t = NearestQuery::RECALL_DEFAULT, conflicts_with = "exact")]
    recall: f64,
    /// Compare with every vector instead of walking the graph: a recall of 1.
    #[arg(long)]
    exact: bool,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
    /// Model that embeds the question. Default: the one that the index remembers.
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum SyntaxArg {
    #[default]
    Plain,
    Query,
}

impl From<SyntaxArg> for Syntax {
    fn from(syntax: SyntaxArg) -> Self {
        match syntax {
            SyntaxArg::Plain => Self::Plain,
            SyntaxArg::Query => Self::Query,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ModeArg {
    Lexical,
    Dense,
    #[default]
    Hybrid,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Lexical => Self::Lexical,
            ModeArg::Dense => Self::Dense,
            ModeArg::Hybrid => Self::Hybrid,
        }
    }
}

fn filter(text: &str) -> Result<Filter, String> {
    let json = serde_json::from_str(text).map_err(|error| format!("not valid JSON: {error}"))?;
    Filter::from_json(&json).map_err(|error| error.to_string())
}

/// Runs the command.
///
/// # Errors
/// When index or model cannot be opened or do not belong together, or a value is out of range.
pub fn search(args: &SearchArgs) -> anyhow::Result<Exit> {
    let index = open_index(&args.index)?;
    let settings = args.engine.settings();
    let request = args.request();
    let embedder = match request.mode.is_dense() {
        true => Some(open_embedder_of(&index, args.model.as_deref(), &settings)?),
        false => None,
    };
    let reranker = args
        .rerank
        .as_deref()
        .map(|name| open_reranker(name, &settings))
        .transpose()?;
    let reader = args
        .answer
        .as_deref()
        .map(|name| open_reader(name, &settings))
        .transpose()?;
    let snapshot = index.snapshot()?;
    let clock = MonotonicClock::start();
    let searcher = Searcher {
        store: &*snapshot,
        embed: embedder.as_ref().map(|model| model as &dyn Embed),
        rerank: reranker.as_ref().map(|model| model as &dyn Rerank),
        read: reader.as_ref().map(|model| model as &dyn Read),
        clock: &clock,
    };
    let mut out = anstream::stdout().lock();
    match searcher.search(&request) {
        Ok(response) if args.json => {
            serde_json::to_writer(&mut out, &response)?;
            writeln!(out)?;
        }
        Ok(response) => render(&mut out, &response, &RenderSettings::default())?,
        Err(error @ (SearchError::Field { .. } | SearchError::Store(StoreError::Query { .. }))) => {
            writeln!(anstream::stderr(), "error: {error}")?;
            return Ok(Exit::Usage);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Success)
}

impl SearchArgs {
    fn request(&self) -> SearchRequest {
        SearchRequest {
            mode: self.mode.into(),
            limit: self.limit,
            offset: self.offset,
            filter: self.filter.clone(),
            fusion: self.fusion,
            depth: self.depth,
            rerank: self.rerank.as_ref().map(|_| RerankRequest {
                top: self.rerank_top.min(self.depth),
                budget_ms: None,
                weight: self.rerank_weight,
            }),
            answer: self.answer.as_ref().map(|_| AnswerRequest {
                passages: self.answer_passages,
                threshold: self.answer_threshold,
                budget_ms: None,
            }),
            explain: self.explain,
            syntax: self.syntax.into(),
            typos: self.typos,
            facets: self.facets.clone(),
            recall: self.recall,
            exact: self.exact,
            ..SearchRequest::new(&self.query)
        }
    }
}

fn open_reranker(name: &str, settings: &ModelSettings) -> anyhow::Result<Reranker> {
    let files =
        bundled::open_reranker(name).with_context(|| format!("cannot open the cross-encoder {name:?}"))?;
    let reranker = Reranker::open(&files, settings)?;
    launch::warn(name, reranker.notes());
    Ok(reranker)
}

fn open_reader(name: &str, settings: &ModelSettings) -> anyhow::Result<Reader> {
    let files = bundled::open_reader(name).with_context(|| format!("cannot open the reader {name:?}"))?;
    let reader = Reader::open(&files, settings)?;
    launch::warn(name, reader.notes());
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_names_its_place() {
        let error = filter(r#"{"range": {"year": {"since": 1}}}"#)
            .err()
            .unwrap_or_default();
        assert!(
            error.starts_with("filter.range.year.since: unknown bound"),
            "{error}"
        );
        assert!(filter("{").is_err_and(|error| error.starts_with("not valid JSON")));
    }
}
