//! `cloze eval squad`: exact match and F1 of predicted answers, or of those that a reader gives.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use data::squad::{Question, Squad};
use infer::Precision;
use launch::Exit;
use measure::squad::{AnswerScores, v1, v2};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::squad_reader;

/// Options of `squad`.
#[derive(Debug, Args)]
pub struct SquadOptions {
    /// The set, in SQuAD's own JSON.
    #[arg(long)]
    pub(super) data: PathBuf,
    /// A JSON object: question id to answer; in 2.0 the empty text says that there is none.
    #[arg(long, required_unless_present = "model", conflicts_with = "model")]
    predictions: Option<PathBuf>,
    /// A reader that answers the questions: "bundled" or the folder of a question answering model. In 2.0 the threshold of "no
    /// answer" is tuned on a share of the articles and the others are scored.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["no_answer", "threshold"])]
    model: Option<String>,
    /// With --model, the share of the articles that the threshold is tuned on (2.0).
    #[arg(long, value_name = "0..1", default_value_t = 0.5, value_parser = parse_share)]
    pub(super) tune_share: f64,
    /// With --model, chooses these articles.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// With --model, the number type of its arithmetic: f32, bf16 or int8.
    #[arg(long, value_name = "TYPE", default_value_t)]
    pub(super) precision: Precision,
    /// With --model, threads [default: one for each processor].
    #[arg(long)]
    pub(super) threads: Option<usize>,
    /// A JSON object: question id to the probability that there is no answer (2.0).
    #[arg(long)]
    no_answer: Option<PathBuf>,
    /// Above this probability a question counts as answered with "no answer" (2.0).
    #[arg(long, default_value_t = 1.0)]
    threshold: f64,
    /// Which evaluation: 1.1 or 2.0. By default 2.0 when the set has questions without an answer.
    #[arg(long, value_parser = ["1.1", "2.0"])]
    version: Option<String>,
}

/// Reads, measures, prints percentages as JSON, as the official evaluations do.
pub(crate) fn run(options: &SquadOptions, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let set = data::squad::read(&options.data)?;
    let unanswerable = questions(&set).any(|question| question.answers.is_empty());
    let is_second = options
        .version
        .as_deref()
        .map_or(unanswerable, |version| version == "2.0");
    if let Some(model) = &options.model {
        return squad_reader::run(options, model, &set, is_second, show_progress, screen);
    }
    let Some(path) = &options.predictions else {
        bail!("accepted: --predictions FILE or --model FOLDER");
    };
    let predictions: HashMap<String, String> = read_json(path)?;
    let figures = match is_second {
        true => second(options, path, &set, &predictions)?,
        false => first(&set, &predictions).with_context(|| options.data.display().to_string())?,
    };
    writeln!(screen, "{}", serde_json::to_string_pretty(&figures)?)?;
    Ok(Exit::Success)
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?}; accepted: 0 to 1"))
}

fn questions(set: &Squad) -> impl Iterator<Item = &Question> {
    set.data
        .iter()
        .flat_map(|article| &article.paragraphs)
        .flat_map(|paragraph| &paragraph.qas)
}

pub(super) fn gold(question: &Question) -> Vec<String> {
    question
        .answers
        .iter()
        .map(|answer| answer.text.clone())
        .collect()
}

fn first(set: &Squad, predictions: &HashMap<String, String>) -> Result<Value> {
    let mut golds = Vec::new();
    for question in questions(set) {
        if question.answers.is_empty() {
            bail!(
                "question {} has no answer; evaluate with --version 2.0",
                question.id
            );
        }
        golds.push((predictions.get(&question.id).map(String::as_str), gold(question)));
    }
    let pairs: Vec<_> = golds
        .iter()
        .map(|(prediction, gold)| (*prediction, gold.as_slice()))
        .collect();
    let scores = v1::evaluate(&pairs)?;
    let missing = pairs
        .iter()
        .filter(|(prediction, _)| prediction.is_none())
        .count();
    Ok(json!({
        "version": "1.1",
        "exact_match": percent(scores.exact),
        "f1": percent(scores.f1),
        "total": pairs.len(),
        "without_prediction": missing,
    }))
}

fn second(
    options: &SquadOptions,
    path: &Path,
    set: &Squad,
    predictions: &HashMap<String, String>,
) -> Result<Value> {
    let no_answer: HashMap<String, f64> = match &options.no_answer {
        Some(path) => read_json(path)?,
        None => HashMap::new(),
    };
    let mut answered = Vec::new();
    let mut missing = 0;
    for question in questions(set) {
        let Some(prediction) = predictions.get(&question.id) else {
            missing += 1;
            continue;
        };
        let no_answer = match (no_answer.get(&question.id), &options.no_answer) {
            (Some(&probability), _) => probability,
            (None, None) => 0.0,
            (None, Some(path)) => bail!("{}: question {} is missing", path.display(), question.id),
        };
        answered.push(v2::Question {
            gold: gold(question),
            prediction: prediction.clone(),
            no_answer,
        });
    }
    let result = v2::evaluate(&answered, options.threshold)
        .with_context(|| format!("{}: no prediction fits the set", path.display()))?;
    let mut figures = BTreeMap::from([
        ("version", json!("2.0")),
        ("all", part(result.all)),
        ("answerable", result.answerable.map_or(Value::Null, part)),
        ("unanswerable", result.unanswerable.map_or(Value::Null, part)),
        ("total", json!(answered.len())),
        ("without_prediction", json!(missing)),
    ]);
    if options.no_answer.is_some() {
        for (name, best) in [("best_exact", result.best_exact), ("best_f1", result.best_f1)] {
            figures.insert(
                name,
                json!({ "score": percent(best.score), "threshold": best.threshold }),
            );
        }
    }
    Ok(json!(figures))
}

fn part(scores: AnswerScores) -> Value {
    json!({ "exact": percent(scores.exact), "f1": percent(scores.f1) })
}

fn percent(share: f64) -> f64 {
    100.0 * share
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}
