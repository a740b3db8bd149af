//! How well people do on SQuAD: the second annotator's answer against those of the others. The expected figures
//! come from the definitions in `tests/reference/measure_golden.py`, applied to the same answers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

use measure::squad::{AnswerScores, v1, v2};
use serde_json::Value;

/// The answers to each question of a development set; `None` without the shared data.
fn answers(file: &str) -> Option<Vec<Vec<String>>> {
    let Ok(shared) = std::env::var("CLOZE_SHARED") else {
        eprintln!("skipped: CLOZE_SHARED does not name the shared data folder");
        return None;
    };
    let bytes = std::fs::read(format!("{shared}/data/squad/{file}")).unwrap();
    let squad: Value = serde_json::from_slice(&bytes).unwrap();
    let items = |value: &Value| value.as_array().unwrap().clone();
    let paragraphs = items(&squad["data"])
        .into_iter()
        .flat_map(|article| items(&article["paragraphs"]));
    let questions = paragraphs.flat_map(|paragraph| items(&paragraph["qas"]));
    let texts = questions.map(|question| {
        items(&question["answers"])
            .iter()
            .map(|answer| answer["text"].as_str().unwrap().to_owned())
            .collect()
    });
    Some(texts.collect())
}

/// The second answer, and all others.
fn one_against_others(answers: &[String]) -> (&str, Vec<String>) {
    (&answers[1], [&answers[..1], &answers[2..]].concat())
}

fn assert_close(scores: AnswerScores, exact: f64, f1: f64) {
    assert!(
        (scores.exact - exact).abs() < 1e-9 && (scores.f1 - f1).abs() < 1e-9,
        "{scores:?}"
    );
}

#[test]
fn people_on_squad_1() {
    let Some(answers) = answers("dev-v1.1.json") else {
        return;
    };
    let people: Vec<_> = answers
        .iter()
        .filter(|answers| answers.len() >= 2)
        .map(|a| one_against_others(a))
        .collect();
    let questions: Vec<(Option<&str>, &[String])> = people
        .iter()
        .map(|(prediction, gold)| (Some(*prediction), gold.as_slice()))
        .collect();
    assert_eq!(questions.len(), 10_567);
    assert_close(
        v1::evaluate(&questions).unwrap(),
        0.815_273_966_120_942_6,
        0.910_444_932_313_731_9,
    );
}

#[test]
fn people_on_squad_2() {
    let Some(answers) = answers("dev-v2.0.json") else {
        return;
    };
    let questions: Vec<v2::Question> = answers
        .iter()
        .filter(|answers| answers.len() != 1)
        .map(|answers| {
            let (prediction, gold) = if answers.is_empty() {
                ("", vec![])
            } else {
                one_against_others(answers)
            };
            v2::Question {
                gold,
                prediction: prediction.to_owned(),
                no_answer: 0.0,
            }
        })
        .collect();
    assert_eq!(questions.len(), 11_872);
    let all = v2::evaluate(&questions, 1.0).unwrap().all;
    assert_close(all, 0.906_671_159_029_649_6, 0.955_565_408_559_724);
}
