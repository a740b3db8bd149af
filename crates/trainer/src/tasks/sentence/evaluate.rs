//! Scores on pairs and texts that are not trained on.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use candle_core::{D, Tensor};
use serde::Deserialize;
use text::Tokenizer;

use super::pairs::{self, Pairs};
use super::recipe::{Form, SentenceData};
use crate::error::{Error, Result};
use crate::texts;

/// Texts that are embedded together.
const BATCH: usize = 64;
/// Queries that are compared with all passages at once.
const BLOCK: usize = 1024;
/// Ranks that count.
const DEPTH: usize = 10;

/// What is scored; nothing when the recipe names nothing.
#[derive(Default)]
pub(super) struct HeldOut {
    pairs: Option<Pairs>,
    scored: Option<Scored>,
}

/// Pairs of texts, as token ids, with the similarity that people gave them.
pub(crate) struct Scored {
    pub(crate) left: Vec<Vec<u32>>,
    pub(crate) right: Vec<Vec<u32>>,
    pub(crate) gold: Vec<f64>,
}

/// A line of a scored file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ScoredPair {
    /// The one text.
    text1: String,
    /// The other.
    text2: String,
    /// How similar they are, greater is more.
    score: f64,
}

impl HeldOut {
    pub(super) fn open(data: &SentenceData, tokenizer: &Tokenizer) -> Result<Self> {
        let plain = SentenceData {
            form: Form::Pairs,
            ..data.clone()
        };
        let pairs = |path: &std::path::PathBuf| {
            let pairs = Pairs::collect(pairs::read(path)?, tokenizer, &plain)?;
            not_empty(path, "data.held_out", pairs.lines)?;
            Ok::<_, Error>(pairs)
        };
        let scored = |path: &std::path::PathBuf| Scored::open(path, tokenizer, data.positive_tokens);
        Ok(Self {
            pairs: data.held_out.as_ref().map(pairs).transpose()?,
            scored: data.scored.as_ref().map(scored).transpose()?,
        })
    }

    /// MRR@10 and recall@10 of each line's positive among all held-out positives, and Spearman's correlation of
    /// cosines with scores. `embed` gives the vectors of token ids, of unit length.
    pub(super) fn scores(
        &self,
        embed: &dyn Fn(&[Vec<u32>]) -> Result<Tensor>,
    ) -> Result<Vec<(&'static str, f64)>> {
        let mut scores = Vec::new();
        if let Some(pairs) = &self.pairs {
            let ranks = ranks(pairs, embed)?;
            let mean = |value: fn(usize) -> f64| {
                let within = ranks.iter().filter(|&&rank| rank <= DEPTH);
                within.map(|&rank| value(rank)).sum::<f64>() / ranks.len() as f64
            };
            scores.push(("mrr@10", mean(|rank| 1.0 / rank as f64)));
            scores.push(("recall@10", mean(|_| 1.0)));
        }
        if let Some(scored) = &self.scored {
            scores.push(("spearman", scored.correlation(embed)?));
        }
        Ok(scores)
    }
}

fn not_empty(path: &Path, field: &'static str, lines: usize) -> Result<()> {
    if lines > 0 {
        return Ok(());
    }
    Err(Error::Setting {
        field,
        value: format!("{}, which has no line", path.display()),
        accepted: "a file with at least one line".into(),
    })
}

/// The rank of each line's positive, from 1; a passage that is as similar comes before it, unless it answers the query
/// as well.
fn ranks(pairs: &Pairs, embed: &dyn Fn(&[Vec<u32>]) -> Result<Tensor>) -> Result<Vec<usize>> {
    let passages = pairs
        .groups
        .iter()
        .map(|group| &pairs.passages[group.positive as usize]);
    let passages = vectors(&passages.collect::<Vec<_>>(), embed)?.t()?.contiguous()?;
    // Of each query's text the columns that answer it, and of each line its query and column.
    let mut answers: HashMap<u32, HashSet<usize>> = HashMap::new();
    let mut lines = Vec::new();
    for (column, group) in pairs.groups.iter().enumerate() {
        for query in &group.queries {
            answers.entry(query.text).or_default().insert(column);
            lines.push((query, column));
        }
    }
    let mut ranks = Vec::with_capacity(lines.len());
    for lines in lines.chunks(BLOCK) {
        let queries: Vec<&Vec<u32>> = lines.iter().map(|(query, _)| &query.ids).collect();
        let similarities = vectors(&queries, embed)?.matmul(&passages)?.to_vec2::<f32>()?;
        for (row, (query, column)) in similarities.iter().zip(lines) {
            let is_before = |value: f32| value >= row[*column];
            let all = row.iter().filter(|&&value| is_before(value)).count();
            let of_answers = answers[&query.text]
                .iter()
                .filter(|&&answer| is_before(row[answer]));
            ranks.push(1 + all - of_answers.count());
        }
    }
    Ok(ranks)
}

/// The vectors of texts in their order; texts of like length are embedded together.
fn vectors(texts: &[&Vec<u32>], embed: &dyn Fn(&[Vec<u32>]) -> Result<Tensor>) -> Result<Tensor> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&at| texts[at].len());
    let mut parts = Vec::new();
    for batch in order.chunks(BATCH) {
        let rows: Vec<Vec<u32>> = batch.iter().map(|&at| texts[at].clone()).collect();
        parts.push(embed(&rows)?);
    }
    let mut places = vec![0u32; texts.len()];
    for (place, &at) in (0..).zip(&order) {
        places[at] = place;
    }
    let all = Tensor::cat(&parts, 0)?;
    Ok(all.index_select(&Tensor::new(places, all.device())?, 0)?)
}

impl Scored {
    /// Reads and tokenizes a scored file.
    ///
    /// # Errors
    /// When it cannot be read, a line is damaged, or there is none.
    pub(crate) fn open(path: &Path, tokenizer: &Tokenizer, tokens_max: usize) -> Result<Self> {
        let pairs = texts::records::<ScoredPair>(path)?.collect::<Result<Vec<_>>>()?;
        not_empty(path, "data.scored", pairs.len())?;
        let encode = |text: fn(&ScoredPair) -> &str| {
            let texts: Vec<&str> = pairs.iter().map(text).collect();
            let encoded = tokenizer.encode_batch(&texts, tokens_max)?;
            Ok::<_, Error>(encoded.into_iter().map(|encoding| encoding.ids).collect())
        };
        Ok(Self {
            left: encode(|pair| &pair.text1)?,
            right: encode(|pair| &pair.text2)?,
            gold: pairs.iter().map(|pair| pair.score).collect(),
        })
    }

    /// Spearman's correlation of the cosines of `embed`'s vectors with the scores.
    pub(crate) fn correlation(&self, embed: &dyn Fn(&[Vec<u32>]) -> Result<Tensor>) -> Result<f64> {
        let (left, right): (Vec<_>, Vec<_>) = (self.left.iter().collect(), self.right.iter().collect());
        let cosines = (vectors(&left, embed)? * vectors(&right, embed)?)?.sum(D::Minus1)?;
        let cosines: Vec<f64> = cosines.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
        let correlation =
            measure::correlation::spearman(&cosines, &self.gold).map_err(|e| Error::Mismatch {
                what: "cosines and scores".into(),
                expected: "as many of both".into(),
                found: e.to_string(),
            })?;
        // Constant scores have no correlation; then nothing was learned from them.
        Ok(correlation.unwrap_or(0.0))
    }
}
