//! What the old and the new model find, on queries of documents that neither learned from here.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use anyhow::Result;
use data::pairs;
use infer::{Embed, ModelSettings, Role};
use measure::{Bootstrap, Comparison, Interval, compare_paired};

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

/// Queries, the number of each one's passage, and the passages.
struct Judged {
    queries: Vec<String>,
    owners: Vec<usize>,
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
        let mut judged = Self {
            queries: Vec::new(),
            owners: Vec::new(),
            passages: Vec::new(),
        };
        let mut places = HashMap::new();
        for pair in pairs::read(&split.held_out_file)? {
            let pair = pair?.value;
            if judged.queries.len() == QUERIES_MAX {
                break;
            }
            let owner = judged.place(pair.positive, &mut places);
            judged.owners.push(owner);
            judged.queries.push(pair.query);
        }
        let most = judged.passages.len() + OTHERS_MAX;
        for pair in pairs::read(&split.pairs_file)? {
            if judged.passages.len() == most {
                break;
            }
            judged.place(pair?.value.positive, &mut places);
        }
        Ok(judged)
    }

    fn place(&mut self, passage: String, places: &mut HashMap<String, usize>) -> usize {
        *places.entry(passage).or_insert_with_key(|passage| {
            self.passages.push(passage.clone());
            self.passages.len() - 1
        })
    }

    /// nDCG@10 of each query. One passage is relevant, so the ideal is 1.
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
        let value = |(query, &owner): (&Vec<f32>, &usize)| {
            let own = dot(query, &passages[owner]);
            // A passage that is as near comes before it.
            let is_before = |(at, other): &(usize, &Vec<f32>)| *at != owner && dot(query, other) >= own;
            let before = passages.iter().enumerate().filter(is_before).count();
            match before < DEPTH {
                true => 1.0 / ((before + 2) as f64).log2(),
                false => 0.0,
            }
        };
        Ok(queries.iter().zip(&self.owners).map(value).collect())
    }
}
