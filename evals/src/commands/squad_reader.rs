//! A reader's own answers to a SQuAD set, measured: exact match and F1 with their intervals.
//!
//! Where questions have no answer the threshold decides much. It is tuned on some of the articles and the figures
//! are those of the others, so that nothing is measured on what it was tuned on.

use std::io::Write;

use anyhow::{Context as _, Result, bail};
use data::squad::{Article, Question, Squad};
use infer::{ModelSettings, Reader, Reading};
use launch::Exit;
use measure::squad::{AnswerScores, v1, v2};
use measure::{Bootstrap, bootstrap_mean};
use serde_json::{Value, json};

use super::squad::{SquadOptions, gold};
use crate::bar::Bar;
use crate::draw::chosen;

/// Questions that are read at a time.
const BATCH: usize = 64;

/// A question of an article with what the reader says.
struct Answered<'a> {
    article: usize,
    question: &'a Question,
    prediction: &'a str,
    /// How much surer the reader is of this than of there being no answer.
    margin: f32,
}

/// Reads, answers, measures, prints percentages as JSON.
pub(super) fn run(
    options: &SquadOptions,
    model: &str,
    set: &Squad,
    is_second: bool,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<Exit> {
    let settings = ModelSettings {
        threads: options.threads.unwrap_or_else(launch::threads),
        precision: Some(options.precision),
    };
    let reader = open_reader(model, &settings)?;
    let answered = answers(&reader, set, show_progress)?;
    if answered.is_empty() {
        bail!("{}: the set has no questions", options.data.display());
    }
    let figures = match is_second {
        true => second(options, set.data.len(), &answered)?,
        false => first(&answered)?,
    };
    writeln!(screen, "{}", serde_json::to_string_pretty(&figures)?)?;
    Ok(Exit::Success)
}

/// Opens the reader of that name, and warns of what should be known of it.
pub(super) fn open_reader(name: &str, settings: &ModelSettings) -> Result<Reader> {
    let files = bundled::open_reader(name).with_context(|| {
        format!("the reader {name:?}; accepted: bundled, or a folder of a question answering model")
    })?;
    let reader = Reader::open(&files, settings)?;
    launch::warn(name, reader.notes());
    Ok(reader)
}

fn answers<'a>(reader: &Reader, set: &'a Squad, show_progress: bool) -> Result<Vec<Answered<'a>>> {
    let of_article = |(article, content): (usize, &'a Article)| {
        let paragraphs = content.paragraphs.iter();
        paragraphs.flat_map(move |paragraph| {
            let context = paragraph.context.as_str();
            paragraph
                .qas
                .iter()
                .map(move |question| (article, question, context))
        })
    };
    let all: Vec<(usize, &Question, &str)> = set.data.iter().enumerate().flat_map(of_article).collect();
    let bar = Bar::new(show_progress, all.len(), "questions");
    let mut answered = Vec::with_capacity(all.len());
    for part in all.chunks(BATCH) {
        let asked: Vec<(&str, &str)> = part
            .iter()
            .map(|&(_, question, context)| (question.question.as_str(), context))
            .collect();
        let readings = reader.read(&asked)?;
        answered.extend(
            part.iter()
                .zip(readings)
                .map(|(&(article, question, context), reading)| {
                    let margin = reading.margin();
                    let Reading { span, .. } = reading;
                    Answered {
                        article,
                        question,
                        prediction: &context[span],
                        margin,
                    }
                }),
        );
        bar.add(part.len());
    }
    Ok(answered)
}

/// The figures of 1.1.
fn first(answered: &[Answered<'_>]) -> Result<Value> {
    let mut scores = Vec::new();
    for one in answered {
        if one.question.answers.is_empty() {
            bail!(
                "question {} has no answer; evaluate with --version 2.0",
                one.question.id
            );
        }
        scores.push(v1::score(one.prediction, &gold(one.question)));
    }
    Ok(json!({
        "version": "1.1",
        "exact_match": figure(&scores, |scores| scores.exact)?,
        "f1": figure(&scores, |scores| scores.f1)?,
        "total": answered.len(),
    }))
}

/// The figures of 2.0 at a threshold that other articles gave.
fn second(options: &SquadOptions, articles: usize, answered: &[Answered<'_>]) -> Result<Value> {
    let tuning = tuned_on(articles, options.tune_share, options.seed);
    let (tune, test): (Vec<&Answered<'_>>, Vec<_>) = answered.iter().partition(|one| tuning[one.article]);
    if tune.is_empty() || test.is_empty() {
        bail!(
            "--tune-share {} of {articles} articles leaves {} questions to tune on and {} to score; accepted: a share \
             that leaves some of both",
            options.tune_share,
            tune.len(),
            test.len()
        );
    }
    let questions: Vec<v2::Question> = tune
        .iter()
        .map(|one| v2::Question {
            gold: gold(one.question),
            prediction: one.prediction.to_owned(),
            no_answer: f64::from(-one.margin),
        })
        .collect();
    let tuned = v2::evaluate(&questions, f64::INFINITY)?.best_f1;
    let decided = |one: &&Answered<'_>| {
        let answers = f64::from(-one.margin) <= tuned.threshold;
        v2::score(if answers { one.prediction } else { "" }, &gold(one.question))
    };
    let of = |keep: &dyn Fn(&Answered<'_>) -> bool| -> Result<Value> {
        let scores: Vec<AnswerScores> = test.iter().filter(|one| keep(one)).map(decided).collect();
        figures(&scores)
    };
    Ok(json!({
        "version": "2.0",
        "threshold": -tuned.threshold,
        "tuned_on": {"articles": tuning.iter().filter(|tunes| **tunes).count(), "questions": tune.len(),
            "f1": 100.0 * tuned.score},
        "all": of(&|_| true)?,
        "answerable": of(&|one| !one.question.answers.is_empty())?,
        "unanswerable": of(&|one| one.question.answers.is_empty())?,
    }))
}

/// Exact match and F1 over some questions; null without any.
pub(super) fn figures(scores: &[AnswerScores]) -> Result<Value> {
    if scores.is_empty() {
        return Ok(Value::Null);
    }
    Ok(json!({
        "exact": figure(scores, |scores| scores.exact)?,
        "f1": figure(scores, |scores| scores.f1)?,
        "total": scores.len(),
    }))
}

/// Which of so many articles are tuned on: a share of them.
fn tuned_on(articles: usize, share: f64, seed: u64) -> Vec<bool> {
    chosen(articles, (articles as f64 * share).round() as usize, seed)
}

/// A mean in percent with its interval of 95 %, questions drawn again.
fn figure(scores: &[AnswerScores], metric: fn(&AnswerScores) -> f64) -> Result<Value> {
    let values: Vec<f64> = scores.iter().map(metric).collect();
    let interval = bootstrap_mean(&values, &Bootstrap::default())?;
    Ok(json!({
        "mean": 100.0 * interval.mean,
        "interval": [100.0 * interval.low, 100.0 * interval.high],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_articles_is_tuned_on_always_the_same() {
        let one = tuned_on(11, 0.5, 1);
        assert_eq!(one.iter().filter(|tunes| **tunes).count(), 6);
        assert_eq!(one, tuned_on(11, 0.5, 1));
        assert_ne!(one, tuned_on(11, 0.5, 2));
        assert_eq!(tuned_on(3, 0.0, 1), [false; 3]);
        assert_eq!(tuned_on(3, 1.0, 1), [true; 3]);
    }
}
