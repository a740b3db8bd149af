//! SQuAD 1.1: every question has at least one gold answer, and the best match with any of them counts.

use super::{AnswerScores, normalize_answer, token_f1};
use crate::MeasureError;

/// Exact match and F1 of one prediction against one question's gold answers; 0 without gold answers.
/// An answer that normalises to nothing has F1 0, even against another such answer.
pub fn score<G: AsRef<str>>(prediction: &str, gold: &[G]) -> AnswerScores {
    let prediction = normalize_answer(prediction);
    gold.iter()
        .map(|gold| {
            let gold = normalize_answer(gold.as_ref());
            AnswerScores {
                exact: f64::from(u8::from(prediction == gold)),
                f1: token_f1(&prediction, &gold).unwrap_or(0.0),
            }
        })
        .fold(AnswerScores::default(), AnswerScores::best)
}

/// The means over questions, each given as its prediction (`None` counts as 0) and its gold answers.
///
/// # Errors
/// [`MeasureError::Empty`] without questions, or when a question has no gold answer.
pub fn evaluate<G: AsRef<str>>(questions: &[(Option<&str>, &[G])]) -> Result<AnswerScores, MeasureError> {
    if questions.is_empty() || questions.iter().any(|(_, gold)| gold.is_empty()) {
        return Err(MeasureError::Empty);
    }
    let mut sum = AnswerScores::default();
    for (prediction, gold) in questions {
        let scores = prediction
            .map(|prediction| score(prediction, gold))
            .unwrap_or_default();
        sum.exact += scores.exact;
        sum.f1 += scores.f1;
    }
    let count = questions.len() as f64;
    Ok(AnswerScores {
        exact: sum.exact / count,
        f1: sum.f1 / count,
    })
}
