//! What the old and the new model find, on queries of documents that neither learned from here.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use anyhow::Result;
use data::pairs;
use infer::{Embed, ModelSettings, Role};
use measure::{Bootstrap, Comparison, Gain, Interval, JudgedRanking, compare_paired, ndcg};

use super::corpus::Split;
use crate::model::open_embedder;

/// Ranks that count.
const DEPTH: usize = 10;
/// Passages that the model learned from stand beside those that are looked for, up to so many.
const OTHERS_MAX: usize = 20_000;
/// Queries to compare on at most; the file is in random order.
const QUERIES_MAX: usize = 2_000;

/// Both models on the same queries.
pub(super) struct Compared {
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) queries: usize,
    pub(super) passages: usize,
    pub(super) difference: Interval,
    pub(super) p_value: f64,
}

impl Display for Compared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Interval { mean, low, high } = self.difference;
        write!(
            f,
            "nDCG@10 of {} held-out queries among {} passages: {:.4} before, {:.4} after; difference {mean:+.4}, 95 % \
             from {low:+.4} to {high:+.4}, p = {:.4}",
            self.queries, self.passages, self.before, self.after, self.p_value
        )
    }
}

/// Queries, the passages that answer each, by their numbers, and the passages.
#[derive(Default)]
struct Judged {
    queries: Vec<String>,
    answers: Vec<Vec<usize>>,
    passages: Vec<String>,
}

/// Compares two model folders.
///
/// # Errors
/// A model or file that cannot be opened.
pub(super) fn compare(old: &Path, new: &Path, split: &Split) -> Result<Compared> {
    let judged = Judged::read(split)?;
    let (before, after) = (judged.values(old)?, judged.values(new)?);
    let Comparison {
        difference, p_value, ..
    } = compare_paired(&before, &after, &Bootstrap::default())?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    Ok(Compared {
        before: mean(&before),
        after: mean(&after),
        queries: before.len(),
        passages: judged.passages.len(),
        difference,
        p_value,
    })
}

impl Judged {
    fn read(split: &Split) -> Result<Self> {
        let mut judged = Self::default();
        let (mut numbers, mut places) = (HashMap::new(), HashMap::new());
        for pair in pairs::read(&split.held_out_file)? {
            let pair = pair?.value;
            if judged.queries.len() < QUERIES_MAX && !numbers.contains_key(&pair.query) {
                numbers.insert(pair.query.clone(), judged.queries.len());
                judged.queries.push(pair.query.clone());
                judged.answers.push(Vec::new());
            }
            if let Some(&number) = numbers.get(&pair.query) {
                judged.add_answer(number, pair.positive, &mut places);
            }
        }
        let most = judged.passages.len() + OTHERS_MAX;
        for pair in pairs::read(&split.pairs_file)? {
            if judged.passages.len() == most {
                break;
            }
            let pair = pair?.value;
            match numbers.get(&pair.query) {
                Some(&number) => judged.add_answer(number, pair.positive, &mut places),
                None => _ = judged.place(pair.positive, &mut places),
            }
        }
        Ok(judged)
    }

    fn add_answer(&mut self, query: usize, passage: String, places: &mut HashMap<String, usize>) {
        let place = self.place(passage, places);
        if !self.answers[query].contains(&place) {
            self.answers[query].push(place);
        }
    }

    fn place(&mut self, passage: String, places: &mut HashMap<String, usize>) -> usize {
        *places.entry(passage).or_insert_with_key(|passage| {
            self.passages.push(passage.clone());
            self.passages.len() - 1
        })
    }

    /// nDCG@10 of each query.
    fn values(&self, model: &Path) -> Result<Vec<f64>> {
        let model = open_embedder(&model.to_string_lossy(), &ModelSettings::new(launch::threads()))?;
        let texts = |texts: &[String], role| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            model.embed(&texts, role)
        };
        let (queries, passages) = (
            texts(&self.queries, Role::Query)?,
            texts(&self.passages, Role::Passage)?,
        );
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let one = |(query, answers): (&Vec<f32>, &Vec<usize>)| {
            let cosines: Vec<f32> = passages.iter().map(|passage| dot(query, passage)).collect();
            value(&cosines, answers)
        };
        Ok(queries.iter().zip(&self.answers).map(one).collect())
    }
}

/// nDCG@10 of the passages in the order of their cosines, where `answers` are relevant and all others are not. A passage
/// that is as near as an answer comes before it.
fn value(cosines: &[f32], answers: &[usize]) -> f64 {
    let order = |a: &usize, b: &usize| {
        let is_answer = |place: &usize| answers.contains(place);
        cosines[*b]
            .total_cmp(&cosines[*a])
            .then_with(|| is_answer(a).cmp(&is_answer(b)))
    };
    let mut found: Vec<usize> = (0..cosines.len()).collect();
    if found.len() > DEPTH {
        found.select_nth_unstable_by(DEPTH, order);
        found.truncate(DEPTH);
    }
    found.sort_unstable_by(order);
    let found: Vec<String> = found.iter().map(usize::to_string).collect();
    let ids: Vec<&str> = found.iter().map(String::as_str).collect();
    let judgments = answers.iter().map(|answer| (answer.to_string(), 1)).collect();
    ndcg(&JudgedRanking::new(&ids, &judgments), Some(DEPTH), Gain::Linear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_counts_and_what_is_as_near_comes_first() {
        let cosines = [0.5, 0.9, 0.5, 0.1, 0.7];
        assert!((value(&cosines, &[1]) - 1.0).abs() < 1e-12);
        assert!((value(&cosines, &[1, 4]) - 1.0).abs() < 1e-12);
        // Second and fourth, where first and second are the best there is.
        let (gained, most) = (1.0 / 3f64.log2() + 1.0 / 5f64.log2(), 1.0 + 1.0 / 3f64.log2());
        assert!((value(&cosines, &[4, 0]) - gained / most).abs() < 1e-12);
        let far: Vec<f32> = (0..30).map(|n| -(n as f32)).collect();
        assert_eq!(value(&far, &[10]), 0.0);
        assert!((value(&far, &[9]) - 1.0 / 11f64.log2()).abs() < 1e-12);
    }
}
