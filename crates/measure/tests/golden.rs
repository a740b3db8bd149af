//! Every metric against the values of the reference tools, as `tests/reference/measure_golden.py` wrote them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use measure::{Average, Metric, Qrels, Run, classification, correlation, entities, evaluate, latency, squad};
use serde_json::Value;

const TOLERANCE: f64 = 1e-6;

fn golden(part: &str) -> Value {
    let mut all: Value = serde_json::from_str(include_str!("golden/measure.json")).unwrap();
    all[part].take()
}

fn close(ours: f64, reference: &Value, what: &str) {
    let reference = reference.as_f64().unwrap();
    assert!(
        (ours - reference).abs() <= TOLERANCE,
        "{what}: {ours}, the reference has {reference}"
    );
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    array(value)
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

#[test]
fn rankings_agree_with_trec_eval() {
    let golden = golden("rankings");
    let (mut qrels, mut run) = (Qrels::new(), Run::new());
    for (query, judgments) in golden["qrels"].as_object().unwrap() {
        for (document, grade) in judgments.as_object().unwrap() {
            qrels.insert(query, document, grade.as_i64().unwrap()).unwrap();
        }
    }
    for (query, scores) in golden["run"].as_object().unwrap() {
        for (document, score) in scores.as_object().unwrap() {
            run.insert(query, document, score.as_f64().unwrap()).unwrap();
        }
    }
    let expected = golden["expected"].as_object().unwrap();
    let names = expected.values().next().unwrap().as_object().unwrap().keys();
    let metrics: Vec<Metric> = names.map(|name| name.parse().unwrap()).collect();
    assert_eq!(metrics.len(), 20);
    let evaluation = evaluate(&qrels, &run, &metrics);
    for query in evaluation.queries() {
        assert_eq!(
            query.answered,
            expected.contains_key(&query.query),
            "{}",
            query.query
        );
        for (metric, &value) in metrics.iter().zip(&query.values) {
            match expected.get(&query.query) {
                Some(values) => close(
                    value,
                    &values[metric.to_string()],
                    &format!("{} {metric}", query.query),
                ),
                None => assert_eq!(value, 0.0),
            }
        }
    }
    assert_eq!(evaluation.queries().len(), expected.len() + 1);
    assert!(
        evaluation.without_relevant_count() >= 1,
        "the golden file holds queries without relevant documents"
    );
    for metric in metrics {
        let sum: f64 = expected
            .values()
            .map(|values| values[metric.to_string()].as_f64().unwrap())
            .sum();
        let answered = evaluation.mean(metric, Average::AnsweredQueries).unwrap();
        let judged = evaluation.mean(metric, Average::JudgedQueries).unwrap();
        assert!((answered - sum / expected.len() as f64).abs() <= TOLERANCE);
        assert!((judged - sum / (expected.len() + 1) as f64).abs() <= TOLERANCE);
    }
}

#[test]
fn answers_agree_with_both_squad_definitions() {
    let golden = golden("answers");
    let mut questions = Vec::new();
    for case in array(&golden["questions"]) {
        let gold: Vec<String> = array(&case["gold"])
            .iter()
            .map(|gold| text(gold).to_owned())
            .collect();
        let prediction = text(&case["prediction"]);
        if !case["v1"].is_null() {
            let scores = squad::v1::score(prediction, &gold);
            close(scores.exact, &case["v1"][0], &format!("1.1 exact match, {case}"));
            close(scores.f1, &case["v1"][1], &format!("1.1 F1, {case}"));
        }
        let scores = squad::v2::score(prediction, &gold);
        close(scores.exact, &case["v2"][0], &format!("2.0 exact match, {case}"));
        close(scores.f1, &case["v2"][1], &format!("2.0 F1, {case}"));
        let no_answer = case["no_answer"].as_f64().unwrap();
        questions.push(squad::v2::Question {
            gold,
            prediction: prediction.to_owned(),
            no_answer,
        });
    }
    let evaluation = squad::v2::evaluate(&questions, 0.5).unwrap();
    let parts = [
        ("all", evaluation.all),
        ("answerable", evaluation.answerable.unwrap()),
        ("unanswerable", evaluation.unanswerable.unwrap()),
    ];
    for (part, scores) in parts {
        close(scores.exact, &golden["v2_at_half"][part][0], part);
        close(scores.f1, &golden["v2_at_half"][part][1], part);
    }
    for (part, best) in [
        ("best_exact", evaluation.best_exact),
        ("best_f1", evaluation.best_f1),
    ] {
        close(best.score, &golden[part][0], part);
        close(best.threshold, &golden[part][1], part);
    }
}

#[test]
fn entities_agree_with_seqeval() {
    let rows = |value: &Value| -> Vec<Vec<String>> {
        array(value)
            .iter()
            .map(|row| array(row).iter().map(|tag| text(tag).to_owned()).collect())
            .collect()
    };
    for case in array(&golden("entities")) {
        let scores = entities::entity_scores(&rows(&case["gold"]), &rows(&case["predicted"]))
            .unwrap()
            .micro;
        for (place, ours) in [scores.precision, scores.recall, scores.f1]
            .into_iter()
            .enumerate()
        {
            close(ours, &case["micro"][place], "entities");
        }
    }
}

#[test]
fn classes_agree_with_scikit_learn() {
    let labels = |value: &Value| -> Vec<usize> {
        array(value)
            .iter()
            .map(|label| label.as_u64().unwrap() as usize)
            .collect()
    };
    for case in array(&golden("classes")) {
        let ours =
            classification::classification(&labels(&case["gold"]), &labels(&case["predicted"])).unwrap();
        close(ours.accuracy, &case["accuracy"], "accuracy");
        close(ours.f1_macro, &case["f1_macro"], "macro F1");
        close(ours.matthews, &case["matthews"], "Matthews");
        assert_eq!(ours.classes.len(), array(&case["classes"]).len());
        for ((&class, scores), expected) in ours.classes.iter().zip(array(&case["classes"])) {
            let values = [
                class as f64,
                scores.precision,
                scores.recall,
                scores.f1,
                scores.support as f64,
            ];
            for (place, value) in values.into_iter().enumerate() {
                close(value, &expected[place], "class");
            }
        }
    }
}

#[test]
fn correlations_agree_with_scipy() {
    for case in array(&golden("correlations")) {
        let (left, right) = (numbers(&case["left"]), numbers(&case["right"]));
        close(
            correlation::pearson(&left, &right).unwrap().unwrap(),
            &case["pearson"],
            "Pearson",
        );
        close(
            correlation::spearman(&left, &right).unwrap().unwrap(),
            &case["spearman"],
            "Spearman",
        );
    }
}

#[test]
fn percentiles_agree_with_numpy() {
    for case in array(&golden("latencies")) {
        let mut values = numbers(&case["values"]);
        values.sort_unstable_by(f64::total_cmp);
        for (percent, expected) in numbers(&case["percents"])
            .into_iter()
            .zip(array(&case["expected"]))
        {
            close(
                latency::nearest_rank(&values, percent).unwrap(),
                expected,
                "percentile",
            );
        }
    }
}
