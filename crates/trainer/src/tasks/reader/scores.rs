//! How well the model answers held-out questions.

use encoder::Pass;
use infer::{Reading, WindowLogits};
use measure::squad::{v1, v2};

use super::ReaderTask;
use super::questions::Question;
use crate::batches::{Rows, in_groups};
use crate::error::Result;

impl ReaderTask {
    /// F1 and exact match; nothing without held-out questions. When some of them have no answer the rules are those
    /// of SQuAD 2.0 at the threshold that is best for them, so the figures are a little too good.
    pub(super) fn scores_of_held_out(&self) -> Result<Vec<(&'static str, f64)>> {
        let all = &self.held_out.questions;
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = self.recipe.data.held_out_questions.unwrap_or(all.len());
        let wanted = wanted.clamp(1, all.len());
        let chosen: Vec<&Question> = (0..wanted).map(|at| &all[at * all.len() / wanted]).collect();
        let readings = self.readings(&chosen)?;
        let answer = |question: &Question, reading: &Reading| {
            self.held_out.contexts[question.context].text[reading.span.clone()].to_owned()
        };
        let answers: Vec<String> = chosen.iter().zip(&readings).map(|(q, r)| answer(q, r)).collect();
        if chosen.iter().all(|question| !question.answers.is_empty()) {
            let pairs: Vec<_> = chosen
                .iter()
                .zip(&answers)
                .map(|(question, answer)| (Some(answer.as_str()), question.answers.as_slice()))
                .collect();
            let scores = v1::evaluate(&pairs)?;
            return Ok(vec![("f1", scores.f1), ("exact", scores.exact)]);
        }
        let questions = chosen.iter().zip(answers).zip(&readings);
        let questions: Vec<v2::Question> = questions
            .map(|((question, prediction), reading)| v2::Question {
                gold: question.answers.clone(),
                prediction,
                no_answer: f64::from(-reading.margin()),
            })
            .collect();
        let scores = v2::evaluate(&questions, f64::INFINITY)?;
        Ok(vec![
            ("f1", scores.best_f1.score),
            ("exact", scores.best_exact.score),
        ])
    }

    /// The best answer to each question in its paragraph.
    fn readings(&self, questions: &[&Question]) -> Result<Vec<Reading>> {
        let data = &self.recipe.data;
        let (mut rows, mut parts, mut windows) = (Rows::default(), Vec::new(), Vec::new());
        for (at, question) in questions.iter().enumerate() {
            let ids = &self.held_out.contexts[question.context].pieces.ids;
            for window in self
                .frame
                .windows(question.ids.len(), ids.len(), data.tokens, data.overlap)?
            {
                let pair = self
                    .frame
                    .join(&question.ids, &ids[window.clone()], data.tokens)?;
                rows.push(pair.ids, pair.type_ids);
                parts.push(pair.second);
                windows.push((at, window));
            }
        }
        let logits = in_groups(&rows, |rows| {
            Ok(self.logits(rows, &mut Pass::infer())?.to_vec3::<f32>()?)
        })?;
        let mut of_questions: Vec<Vec<WindowLogits<'_>>> = vec![Vec::new(); questions.len()];
        for (((at, window), part), logits) in windows.into_iter().zip(parts).zip(&logits) {
            let spans = &self.held_out.contexts[questions[at].context].pieces.spans;
            of_questions[at].push(WindowLogits {
                nothing: logits[0][0] + logits[0][1],
                logits: logits[part].iter().map(|both| [both[0], both[1]]).collect(),
                spans: &spans[window],
            });
        }
        let readings = of_questions.iter();
        Ok(readings
            .map(|windows| Reading::of_windows(windows, data.answer_tokens))
            .collect())
    }
}
