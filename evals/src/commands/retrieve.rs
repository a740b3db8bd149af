//! `cloze eval retrieve`: a collection, an index, the modes, one report.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use corpus::{ReadStore, TitleUse};
use index::Bm25;
use infer::{Embed, ModelSettings, Precision};
use launch::Exit;
use measure::{Gain, Metric};
use search::{Fusion, MonotonicClock, Searcher};

use crate::bar::Bar;
use crate::collection::Collection;
use crate::figures;
use crate::models::Models;
use crate::query_vectors::QueryVectors;
use crate::report::{BootstrapPart, DataPart, FORMAT, LatencyPart, Report, RunPart, Settings};
use crate::retrieval::{EvalMode, Retrieval, Retrieved, retrieve};
use crate::store::{Store, build_or_reuse};
use crate::{digest, fusion, markdown, run_file};

/// Tokens of a passage when nobody says.
const CHUNK_TOKENS: usize = 256;

/// Options of `retrieve`.
#[derive(Debug, Args)]
pub struct RetrieveOptions {
    /// The collection: a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.
    #[arg(long)]
    data: PathBuf,
    /// Which judgments.
    #[arg(long, default_value = "test")]
    split: String,
    /// The embedding model: `bundled`, or a sentence-transformers folder.
    #[arg(long, default_value = bundled::NAME)]
    model: String,
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
    /// Whether titles are embedded and matched: join or ignore.
    #[arg(long, default_value = "join", value_parser = parse_titles)]
    titles: TitleUse,
    /// The language of the lexical analysis.
    #[arg(long, default_value = "english")]
    language: String,
    /// BM25's k1.
    #[arg(long, default_value_t = Bm25::default().k1)]
    bm25_k1: f32,
    /// BM25's b.
    #[arg(long, default_value_t = Bm25::default().b)]
    bm25_b: f32,
    /// Tokens of a passage at most [default: 256, or less when the model reads less].
    #[arg(long)]
    chunk_tokens: Option<usize>,
    /// Tokens that neighbouring passages share.
    #[arg(long, default_value_t = 32)]
    chunk_overlap: usize,
    /// How hybrid search makes one list of two: `weighted[:LEXICAL,DENSE]` or `rrf[:K]`.
    #[arg(long, default_value = "weighted", value_parser = fusion::parse)]
    fusion: Fusion,
    /// Candidate passages from each list.
    #[arg(long, default_value_t = 100)]
    depth: usize,
    /// Documents kept per query.
    #[arg(long, default_value_t = 100)]
    documents: usize,
    /// Compare each query's vector with all others instead of walking the graph.
    #[arg(long)]
    exact: bool,
    /// Number type of the models' arithmetic: f32, bf16 or int8. Fewer bits are faster and round more.
    #[arg(long, value_name = "TYPE", default_value_t)]
    precision: Precision,
    /// Threads [default: one for each processor].
    #[arg(long)]
    threads: Option<usize>,
}

fn parse_titles(text: &str) -> Result<TitleUse, String> {
    match text {
        "join" => Ok(TitleUse::Join),
        "ignore" => Ok(TitleUse::Ignore),
        _ => Err(format!("{text:?}; accepted: join, ignore")),
    }
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
        Ok(Settings {
            split: self.split.clone(),
            precision: self.precision.to_string(),
            modes: self.modes()?,
            titles: self.titles,
            language: self.language.clone(),
            bm25: Bm25 {
                k1: self.bm25_k1,
                b: self.bm25_b,
            },
            chunk_tokens: self
                .chunk_tokens
                .unwrap_or(models.embedder.tokens_max().min(CHUNK_TOKENS)),
            chunk_overlap: self.chunk_overlap,
            retrieval: Retrieval {
                documents_per_query: self.documents,
                depth: self.depth,
                fusion: self.fusion,
                exact: self.exact,
                rerank_top: self.rerank_top,
                rerank_weight: self.rerank_weight,
            },
            bootstrap: BootstrapPart::default(),
        })
    }
}

/// Measures, writes the files, prints the report.
pub(crate) fn run(options: &RetrieveOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let collection = Collection::open(&options.data, &options.split)?;
    std::fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let threads = options.threads.unwrap_or_else(launch::threads);
    let model_settings = ModelSettings {
        threads,
        precision: Some(options.precision),
    };
    let models = Models::open(&options.model, options.reranker.as_deref(), &model_settings)?;
    let settings = options.settings(&models)?;
    let setting = Setting {
        collection: &collection,
        models: &models,
        index: &options.index.clone().unwrap_or_else(|| options.out.join("index")),
        threads,
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

fn open_store(setting: &Setting<'_>, settings: &Settings) -> Result<Store> {
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
    let bar = |unit| Bar::new(setting.show_progress, queries.len(), unit);
    let texts = queries.iter().map(|query| query.text.as_str());
    let known = match settings.modes.iter().any(|&mode| mode != EvalMode::Lexical) {
        true => Some(QueryVectors::embed(
            &setting.models.embedder,
            texts,
            &bar("queries embedded"),
        )?),
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
        let bar = bar(mode.unit());
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
