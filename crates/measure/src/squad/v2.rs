//! SQuAD 2.0: a question may have no answer, and a model may say so by an empty prediction or by a
//! probability above a threshold.

use super::{AnswerScores, normalize_answer, token_f1};
use crate::MeasureError;

/// One question that has a prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Gold answers; none for an unanswerable question.
    pub gold: Vec<String>,
    /// The predicted answer; empty for "no answer".
    pub prediction: String,
    /// How sure the model is that there is no answer; any scale. 0 when the model does not say.
    pub no_answer: f64,
}

/// The figures of the official evaluation, each in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Over all questions.
    pub all: AnswerScores,
    /// Over those with gold answers; `None` when there are none.
    pub answerable: Option<AnswerScores>,
    /// Over those without; `None` when there are none.
    pub unanswerable: Option<AnswerScores>,
    /// The best exact match that any threshold on `no_answer` reaches.
    pub best_exact: Threshold,
    /// The best F1 that any threshold on `no_answer` reaches.
    pub best_f1: Threshold,
}

/// A score and the threshold that reaches it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// The score in `[0, 1]`.
    pub score: f64,
    /// A question whose `no_answer` is above this counts as answered with "no answer".
    pub threshold: f64,
}

/// Exact match and F1 of one prediction, no threshold applied. Gold answers that normalise to nothing are
/// ignored; without any other, the right answer is the empty one.
pub fn score<G: AsRef<str>>(prediction: &str, gold: &[G]) -> AnswerScores {
    let prediction = normalize_answer(prediction);
    let mut gold: Vec<String> = gold.iter().map(|gold| normalize_answer(gold.as_ref())).collect();
    gold.retain(|gold| !gold.is_empty());
    if gold.is_empty() {
        gold.push(String::new());
    }
    gold.iter()
        .map(|gold| {
            let exact = f64::from(u8::from(prediction == *gold));
            AnswerScores {
                exact,
                f1: token_f1(&prediction, gold).unwrap_or(exact),
            }
        })
        .fold(AnswerScores::default(), AnswerScores::best)
}

/// The figures over all questions. A question whose `no_answer` is above `threshold` counts as answered with
/// "no answer", whatever its prediction. Questions without a prediction are left out by the caller, as the
/// official evaluation leaves them out.
///
/// # Errors
/// [`MeasureError::Empty`] without questions; [`MeasureError::Parameter`] when a `no_answer` is not a number.
pub fn evaluate(questions: &[Question], threshold: f64) -> Result<Evaluation, MeasureError> {
    if questions.is_empty() {
        return Err(MeasureError::Empty);
    }
    if let Some(question) = questions.iter().find(|question| question.no_answer.is_nan()) {
        let accepted = "any number";
        return Err(MeasureError::Parameter {
            name: "no_answer",
            value: question.no_answer,
            accepted,
        });
    }
    let raw: Vec<AnswerScores> = questions.iter().map(|q| score(&q.prediction, &q.gold)).collect();
    let decided = |question: &Question, raw: AnswerScores| {
        let right = f64::from(u8::from(question.gold.is_empty()));
        if question.no_answer > threshold {
            AnswerScores {
                exact: right,
                f1: right,
            }
        } else {
            raw
        }
    };
    let decided: Vec<(bool, AnswerScores)> = questions
        .iter()
        .zip(&raw)
        .map(|(q, raw)| (q.gold.is_empty(), decided(q, *raw)))
        .collect();
    let mean_where = |keep: fn(bool) -> bool| {
        mean(
            decided
                .iter()
                .filter(|(unanswerable, _)| keep(*unanswerable))
                .map(|(_, scores)| *scores),
        )
    };
    Ok(Evaluation {
        all: mean_where(|_| true).unwrap_or_default(),
        answerable: mean_where(|unanswerable| !unanswerable),
        unanswerable: mean_where(|unanswerable| unanswerable),
        best_exact: best_threshold(questions, &raw, |scores| scores.exact),
        best_f1: best_threshold(questions, &raw, |scores| scores.f1),
    })
}

fn mean(scores: impl Iterator<Item = AnswerScores>) -> Option<AnswerScores> {
    let (mut count, mut sum) = (0usize, AnswerScores::default());
    for scores in scores {
        count += 1;
        sum.exact += scores.exact;
        sum.f1 += scores.f1;
    }
    let divisor = count as f64;
    (count > 0).then(|| AnswerScores {
        exact: sum.exact / divisor,
        f1: sum.f1 / divisor,
    })
}

/// Begins with "no answer" for every question and lets the surest ones answer, one by one, as the official
/// evaluation does: equal values are taken in the order of `questions`, and a stretch of them may be cut.
fn best_threshold(
    questions: &[Question],
    raw: &[AnswerScores],
    metric: fn(&AnswerScores) -> f64,
) -> Threshold {
    let mut order: Vec<usize> = (0..questions.len()).collect();
    // partial_cmp: -0 and +0 are one value; not-a-number was refused before.
    order.sort_by(|&left, &right| {
        questions[left]
            .no_answer
            .partial_cmp(&questions[right].no_answer)
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut current = questions
        .iter()
        .filter(|question| question.gold.is_empty())
        .count() as f64;
    let mut best = Threshold {
        score: current,
        threshold: 0.0,
    };
    for place in order {
        let question = &questions[place];
        current += match (question.gold.is_empty(), question.prediction.is_empty()) {
            (false, _) => metric(&raw[place]),
            (true, true) => 0.0,
            (true, false) => -1.0,
        };
        if current > best.score {
            best = Threshold {
                score: current,
                threshold: question.no_answer,
            };
        }
    }
    best.score /= questions.len() as f64;
    best
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn question(gold: &[&str], prediction: &str, no_answer: f64) -> Question {
        let gold = gold.iter().map(|&gold| gold.to_owned()).collect();
        Question {
            gold,
            prediction: prediction.to_owned(),
            no_answer,
        }
    }

    #[test]
    fn the_empty_answer_is_right_where_there_is_none() {
        assert_eq!(score("", &[] as &[&str]), AnswerScores { exact: 1.0, f1: 1.0 });
        assert_eq!(score("the", &["a"]), AnswerScores { exact: 1.0, f1: 1.0 });
        assert_eq!(score("cat", &[] as &[&str]), AnswerScores::default());
        assert_eq!(
            super::super::v1::score("the", &["a"]),
            AnswerScores { exact: 1.0, f1: 0.0 }
        );
    }

    #[test]
    fn the_best_threshold_silences_the_unsure() {
        let questions = [
            question(&["x"], "x", 0.1),
            question(&[], "wrong", 0.9),
            question(&["y"], "y z", 0.2),
        ];
        let evaluation = evaluate(&questions, 1.0).unwrap();
        assert!((evaluation.all.exact - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(
            evaluation.best_exact,
            Threshold {
                score: 2.0 / 3.0,
                threshold: 0.1
            }
        );
        assert!((evaluation.best_f1.score - (2.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        assert_eq!(evaluation.best_f1.threshold, 0.2);
        assert_eq!(evaluate(&questions, 0.5).unwrap().unanswerable.unwrap().f1, 1.0);
        assert!(evaluate(&[question(&[], "", f64::NAN)], 0.0).is_err());
        assert_eq!(evaluate(&[], 0.0), Err(MeasureError::Empty));
    }
}
