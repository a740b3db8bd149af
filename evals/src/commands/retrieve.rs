//! `cloze eval retrieve`: a collection, an index, the modes, one report.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use corpus::ReadStore;
use data::beir::Query;
use infer::Embed;
use launch::Exit;
use measure::{Gain, Metric};
use search::{Fusion, MonotonicClock, Searcher};

use super::collection_options::CollectionOptions;
use crate::bar::Bar;
use crate::collection::Collection;
use crate::figures;
use crate::models::Models;
use crate::query_vectors::QueryVectors;
use crate::report::{DataPart, FORMAT, LatencyPart, Report, RunPart, Settings};
use crate::retrieval::{EvalMode, Retrieved, retrieve};
use crate::store::{Store, build_or_reuse};
use crate::{digest, markdown, run_file};

/// Options of `retrieve`.
#[derive(Debug, Args)]
pub struct RetrieveOptions {
    #[command(flatten)]
    searched: CollectionOptions,
    /// The cross-encoder of the mode reranked: "bundled" or a CrossEncoder folder.
    #[arg(long, value_name = "NAME|DIR")]
    reranker: Option<String>,
    /// Passages that the cross-encoder scores.
    #[arg(long, default_value_t = 50)]
    rerank_top: usize,
    /// How much its score counts beside the score before, 0 to 1 [default: what the model says of itself].
    #[arg(long, value_name = "SHARE")]
    rerank_weight: Option<f32>,
    /// Folder of the index; used again when it holds exactly this collection [default: OUT/index].
    #[arg(long)]
    index: Option<PathBuf>,
    /// Folder that receives report.json, report.md and one run file for each mode.
    #[arg(long, default_value = "eval")]
    out: PathBuf,
    /// What to compare; the first is what the others are compared with.
    /// [default: lexical,dense,hybrid, and reranked with a reranker].
    #[arg(long, value_delimiter = ',')]
    modes: Vec<EvalMode>,
    /// How hybrid search makes one list of two: `weighted[:LEXICAL,DENSE[,FEEDBACK]]` or `rrf[:K]`; 0.4, 0.6, 0.3 and 60
    /// where nothing is said.
    #[arg(long, default_value = "weighted")]
    fusion: Fusion,
    /// Documents kept per query.
    #[arg(long, default_value_t = 100)]
    documents: usize,
}

impl RetrieveOptions {
    /// The modes that were named, or all that the models can do.
    fn modes(&self) -> Result<Vec<EvalMode>> {
        let mut modes = self.modes.clone();
        if modes.is_empty() {
            modes = vec![EvalMode::Lexical, EvalMode::Dense, EvalMode::Hybrid];
            modes.extend(self.reranker.as_ref().map(|_| EvalMode::Reranked));
        }
        if (1..modes.len()).any(|i| modes[..i].contains(&modes[i])) {
            bail!("--modes names a mode twice");
        }
        if modes.contains(&EvalMode::Reranked) && self.reranker.is_none() {
            bail!("the mode reranked needs a cross-encoder: --reranker bundled, or a folder");
        }
        Ok(modes)
    }

    fn settings(&self, models: &Models) -> Result<Settings> {
        let mut settings = self.searched.settings(models, self.modes()?, self.documents);
        settings.retrieval.fusion = self.fusion;
        settings.retrieval.rerank_top = self.rerank_top;
        settings.retrieval.rerank_weight = self.rerank_weight;
        Ok(settings)
    }
}

/// Measures, writes the files, prints the report.
pub(crate) fn run(options: &RetrieveOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let collection = options.searched.collection()?;
    std::fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let models = options.searched.models(options.reranker.as_deref())?;
    let settings = options.settings(&models)?;
    let setting = Setting {
        collection: &collection,
        models: &models,
        index: &options.index.clone().unwrap_or_else(|| options.out.join("index")),
        threads: options.searched.threads(),
        show_progress,
    };
    let report = measure(&setting, &settings, &options.out)?;
    report.write(&options.out.join("report.json"))?;
    let text = markdown::report(&report);
    let path = options.out.join("report.md");
    std::fs::write(&path, &text).with_context(|| path.display().to_string())?;
    write!(screen, "{text}")?;
    Ok(Exit::Success)
}

/// Where things are.
pub(crate) struct Setting<'a> {
    pub(crate) collection: &'a Collection,
    pub(crate) models: &'a Models,
    /// Folder of the index.
    pub(crate) index: &'a Path,
    pub(crate) threads: usize,
    pub(crate) show_progress: bool,
}

/// Builds or opens the index, runs the modes, writes the run files into `out`, and reports.
pub(crate) fn measure(setting: &Setting<'_>, settings: &Settings, out: &Path) -> Result<Report> {
    let collection = setting.collection;
    let store = open_store(setting, settings)?;
    let retrieved = retrieve_all(setting, settings, &store)?;
    let mut files = Vec::new();
    for (mode, retrieved) in settings.modes.iter().zip(&retrieved) {
        let file = format!("{}.run", mode.name());
        let path = out.join(&file);
        run_file::write(&path, &retrieved.rankings, &format!("cloze-{}", mode.name()))?;
        files.push((file, digest::file(&path)?));
    }
    let figures = file_figures(collection, settings, out)?;
    let runs = settings.modes.iter().zip(&retrieved).zip(files).zip(figures);
    let info = store.snapshot.info();
    Ok(Report {
        format: FORMAT,
        cloze: env!("CARGO_PKG_VERSION").to_owned(),
        data: DataPart {
            name: collection.name(),
            folder: collection.folder.display().to_string(),
            sha256: collection.files.clone(),
            documents: info.documents,
            passages: info.passages,
            documents_without_text: store.without_text.len(),
            queries: collection.qrels.len(),
            judgments: collection.judgments_count,
        },
        model: setting.models.embedder_part(),
        reranker: setting.models.reranker_part(),
        settings: settings.clone(),
        settings_sha256: digest::json(settings)?,
        runs: runs
            .map(|(((&mode, retrieved), (file, sha256)), figures)| RunPart {
                mode,
                file,
                sha256,
                figures,
                search_ms: LatencyPart::new(&retrieved.search_ms, setting.threads),
            })
            .collect(),
    })
}

/// The figures of the run files in `out`: a report says what its files say.
pub(crate) fn file_figures(
    collection: &Collection,
    settings: &Settings,
    out: &Path,
) -> Result<Vec<figures::Figures>> {
    let read = |mode: &EvalMode| run_file::read(&out.join(format!("{}.run", mode.name())));
    let runs: Vec<_> = settings.modes.iter().map(read).collect::<Result<_>>()?;
    let metrics = metrics(settings.retrieval.documents_per_query);
    figures::figures(&collection.qrels, &runs, &metrics, &settings.bootstrap.into())
}

/// The metrics of a report; average precision sees as many documents as the run has.
fn metrics(documents_per_query: usize) -> [Metric; 5] {
    [
        Metric::Ndcg(Some(10), Gain::Linear),
        Metric::Mrr(Some(10)),
        Metric::Recall(10),
        Metric::Recall(100),
        Metric::Map(Some(documents_per_query)),
    ]
}

pub(crate) fn open_store(setting: &Setting<'_>, settings: &Settings) -> Result<Store> {
    let model = &setting.models.embedder;
    let index_settings = index::Settings {
        dimension: model.dimension(),
        fingerprint: model.fingerprint().to_owned(),
        model: setting.models.embedder_name.clone(),
        titles: settings.titles,
        language: settings.language.clone(),
        fold_accents: index::Analyzer::folds_accents(&settings.language),
        title_weight: 1,
        bm25: settings.bm25,
        chunk_tokens: settings.chunk_tokens,
        chunk_overlap: settings.chunk_overlap,
    };
    build_or_reuse(
        setting.index,
        setting.collection,
        model,
        index_settings,
        setting.show_progress,
    )
}

fn retrieve_all(setting: &Setting<'_>, settings: &Settings, store: &Store) -> Result<Vec<Retrieved>> {
    let queries = &setting.collection.queries;
    let known = match settings.modes.iter().any(|&mode| mode != EvalMode::Lexical) {
        true => Some(query_vectors(setting, queries)?),
        false => None,
    };
    let searcher = Searcher {
        store: store.snapshot.as_ref(),
        embed: known.as_ref().map(|known| known as &dyn Embed),
        rerank: setting.models.reranker(),
        read: None,
        clock: &MonotonicClock::start(),
    };
    let answer = |&mode: &EvalMode| {
        let bar = Bar::new(setting.show_progress, queries.len(), mode.unit());
        retrieve(
            &searcher,
            queries,
            mode,
            &settings.retrieval,
            setting.threads,
            &bar,
        )
    };
    settings.modes.iter().map(answer).collect()
}

/// The embedding model with the vectors of these queries.
pub(crate) fn query_vectors<'a>(setting: &Setting<'a>, queries: &[Query]) -> Result<QueryVectors<'a>> {
    let texts = queries.iter().map(|query| query.text.as_str());
    let bar = Bar::new(setting.show_progress, queries.len(), "queries embedded");
    Ok(QueryVectors::embed(&setting.models.embedder, texts, &bar)?)
}
