//! `cloze eval tune`: ways to fuse the two lists, tried on judged queries.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use data::beir::Query;
use infer::Embed;
use launch::Exit;
use measure::{Average, Bootstrap, Gain, Metric, evaluate};
use search::{Fusion, MonotonicClock, Searcher};
use serde::Serialize;

use super::collection_options::CollectionOptions;
use super::retrieve::{Setting, open_store, query_vectors};
use crate::bar::Bar;
use crate::collection::Collection;
use crate::draw::chosen;
use crate::figures::{Difference, difference};
use crate::report::Settings;
use crate::retrieval::{EvalMode, retrieve};
use crate::run_file;
use crate::tuning::{FOLDS, choose};

/// What decides.
const METRIC: Metric = Metric::Ndcg(Some(DOCUMENTS), Gain::Linear);
const DOCUMENTS: usize = 10;

/// Options of `tune`.
#[derive(Debug, Args)]
pub struct TuneOptions {
    #[command(flatten)]
    searched: CollectionOptions,
    /// Folder of the index; used again when it holds exactly this collection [default: one that is gone afterwards].
    #[arg(long)]
    index: Option<PathBuf>,
    /// Try only so many of the judged queries, drawn at random.
    #[arg(long, value_name = "N")]
    queries: Option<usize>,
    /// Draws these queries and the parts of a cross-validation.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON, with all ways that were tried.
    #[arg(long)]
    json: bool,
}

/// A way to order what both lists found.
struct Way {
    mode: EvalMode,
    fusion: Fusion,
    /// How a search is told.
    option: String,
}

/// Tries, chooses, prints.
pub(crate) fn run(options: &TuneOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let mut collection = options.searched.collection()?;
    draw(
        &mut collection,
        options.queries.unwrap_or(usize::MAX),
        options.seed,
    );
    if collection.queries.len() < FOLDS {
        bail!(
            "{}: {} judged queries to tune by; at least {FOLDS} are needed, and some hundred to tell luck from skill",
            collection.folder.display(),
            collection.queries.len()
        );
    }
    let models = options.searched.models(None)?;
    let settings = options
        .searched
        .settings(&models, vec![EvalMode::Hybrid], DOCUMENTS);
    let own = tempfile::tempdir().context("no temporary folder")?;
    let setting = Setting {
        collection: &collection,
        models: &models,
        index: &options.index.clone().unwrap_or_else(|| own.path().join("index")),
        threads: options.searched.threads(),
        show_progress,
    };
    let ways = ways();
    let values = try_all(&setting, &settings, &ways)?;
    let outcome = outcome(&ways, &values, options.seed)?;
    match options.json {
        true => writeln!(screen, "{}", serde_json::to_string_pretty(&outcome)?)?,
        false => write!(screen, "{}", text(&outcome))?,
    }
    Ok(Exit::Success)
}

/// Leaves so many queries and their judgments.
fn draw(collection: &mut Collection, wanted: usize, seed: u64) {
    let mut keep = chosen(collection.queries.len(), wanted, seed).into_iter();
    collection.queries.retain(|_| keep.next().unwrap_or_default());
    let kept: HashSet<&str> = collection.queries.iter().map(|query| query.id.as_str()).collect();
    collection.qrels.retain(|query| kept.contains(query));
}

/// The default first, then each list alone, ranks, and weights in tenths with little to much feedback.
fn ways() -> Vec<Way> {
    let mut fusions = vec![Fusion::default(), Fusion::Rrf { k: 60 }];
    for lexical in 1..10_u8 {
        let weighted = |feedback| Fusion::Weighted {
            lexical: f32::from(lexical) / 10.0,
            dense: f32::from(10 - lexical) / 10.0,
            feedback,
        };
        fusions.extend([0.0, 0.15, 0.3, 0.5].map(weighted));
    }
    let hybrid = fusions
        .iter()
        .enumerate()
        .filter(|&(at, fusion)| !fusions[..at].contains(fusion));
    let mut ways: Vec<Way> = hybrid
        .map(|(_, &fusion)| Way {
            mode: EvalMode::Hybrid,
            fusion,
            option: format!("--fusion {fusion}"),
        })
        .collect();
    let alone = [EvalMode::Lexical, EvalMode::Dense].map(|mode| Way {
        mode,
        fusion: Fusion::default(),
        option: format!("--mode {}", mode.name()),
    });
    ways.splice(1..1, alone);
    ways
}

/// The metric of each query, in the order of their ids, for each way.
fn try_all(setting: &Setting<'_>, settings: &Settings, ways: &[Way]) -> Result<Vec<Vec<f64>>> {
    let store = open_store(setting, settings)?;
    let queries: &[Query] = &setting.collection.queries;
    let known = query_vectors(setting, queries)?;
    let searcher = Searcher {
        store: store.snapshot.as_ref(),
        embed: Some(&known as &dyn Embed),
        rerank: None,
        read: None,
        clock: &MonotonicClock::start(),
    };
    let bar = Bar::new(setting.show_progress, queries.len() * ways.len(), "searches");
    let values = |way: &Way| {
        let mut retrieval = settings.retrieval.clone();
        retrieval.fusion = way.fusion;
        let retrieved = retrieve(&searcher, queries, way.mode, &retrieval, setting.threads, &bar)?;
        let run = run_file::in_memory(&retrieved.rankings)?;
        let evaluation = evaluate(&setting.collection.qrels, &run, &[METRIC]);
        Ok(evaluation.values(METRIC, Average::JudgedQueries))
    };
    ways.iter().map(values).collect()
}

/// A way and its mean over all queries.
#[derive(Serialize)]
struct Tried {
    option: String,
    mean: f64,
}

/// What trying came to.
#[derive(Serialize)]
struct Outcome {
    metric: String,
    queries: usize,
    folds: usize,
    /// The default first.
    tried: Vec<Tried>,
    /// The option of the best.
    best: String,
    /// Mean of what was chosen without the query that it is valued on.
    held_out: f64,
    /// That against the default.
    against_default: Difference,
    /// Whether the interval of that lies above 0.
    is_better: bool,
}

fn outcome(ways: &[Way], values: &[Vec<f64>], seed: u64) -> Result<Outcome> {
    let chosen = choose(values, seed).context("there are no queries")?;
    let queries = chosen.held_out.len();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / queries as f64;
    let against_default = difference(METRIC, &values[0], &chosen.held_out, &Bootstrap::default())?;
    let tried = ways.iter().zip(values).map(|(way, values)| Tried {
        option: way.option.clone(),
        mean: mean(values),
    });
    Ok(Outcome {
        metric: METRIC.to_string(),
        queries,
        folds: FOLDS,
        tried: tried.collect(),
        best: ways[chosen.best].option.clone(),
        held_out: mean(&chosen.held_out),
        is_better: chosen.best != 0 && against_default.low > 0.0,
        against_default,
    })
}

/// The outcome for people: the default, each list alone, and the best five.
fn text(outcome: &Outcome) -> String {
    let mut order: Vec<usize> = (0..outcome.tried.len()).collect();
    order.sort_by(|&a, &b| outcome.tried[b].mean.total_cmp(&outcome.tried[a].mean));
    let shown = order
        .iter()
        .enumerate()
        .filter(|&(rank, &way)| rank < 5 || way < 3);
    let mut text = format!("| search with | {} |\n|---|---|\n", outcome.metric);
    for (_, &way) in shown {
        let Tried { option, mean } = &outcome.tried[way];
        let note = if way == 0 { ", the default" } else { "" };
        text.push_str(&format!("| `{option}`{note} | {mean:.4} |\n"));
    }
    let Difference {
        mean,
        low,
        high,
        p_value,
        ..
    } = outcome.against_default;
    text.push_str(&format!(
        "\n{} ways on {} judged queries. Chosen by {} parts of {} and valued on the other, the best has {:.4}: {mean:+.4} \
         ({low:+.4} to {high:+.4}, p {p_value:.4}) against the default.\n",
        outcome.tried.len(),
        outcome.queries,
        outcome.folds - 1,
        outcome.folds,
        outcome.held_out
    ));
    text.push_str(&match outcome.is_better {
        true => format!("Better than the default: {}\n", outcome.best),
        false => "No better than the default as far as these queries can tell.\n".to_owned(),
    });
    text
}
