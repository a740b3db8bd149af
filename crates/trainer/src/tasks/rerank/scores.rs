//! How well the model orders held-out lists.

use candle_core::DType;
use encoder::Pass;
use measure::{Gain, JudgedRanking, Judgments, ndcg, reciprocal_rank};

use super::RerankTask;
use super::lists::List;
use crate::batches::{Rows, in_groups};
use crate::error::Result;

/// Ranks that count.
const RANKS: usize = 10;

impl RerankTask {
    /// nDCG and the reciprocal rank over the first ten, means over the held-out lists; nothing without such lists.
    pub(super) fn scores_of_held_out(&self) -> Result<Vec<(&'static str, f64)>> {
        let lists = &self.held_out.lists;
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let mut scores = self.logits()?.into_iter();
        let (mut gain, mut reciprocal) = (0.0, 0.0);
        for list in lists {
            let scores: Vec<f32> = scores.by_ref().take(list.passages.len()).collect();
            let ranking = ranked(list, &scores);
            gain += ndcg(&ranking, Some(RANKS), Gain::Linear);
            reciprocal += reciprocal_rank(&ranking, Some(RANKS));
        }
        let count = lists.len() as f64;
        Ok(vec![("ndcg@10", gain / count), ("mrr@10", reciprocal / count)])
    }

    /// The logits of all held-out pairs, list by list.
    fn logits(&self) -> Result<Vec<f32>> {
        let mut rows = Rows::default();
        for list in &self.held_out.lists {
            for &passage in &list.passages {
                self.push_pair(&self.held_out, list.query, passage, &mut rows)?;
            }
        }
        in_groups(&rows, |rows| {
            let batch = rows.batch(self.tokenizer.special().pad, self.device())?;
            let found = self.model.forward(&batch, &mut Pass::infer())?;
            Ok(found.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)
        })
    }
}

/// A list in the order of its scores. Equal scores keep the worst order, so that a model that knows nothing does
/// not look good.
fn ranked(list: &List, scores: &[f32]) -> JudgedRanking {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        let by_score = scores[b].total_cmp(&scores[a]);
        by_score.then(list.grades[a].total_cmp(&list.grades[b]))
    });
    let names: Vec<String> = list.passages.iter().map(u32::to_string).collect();
    let grades = names
        .iter()
        .cloned()
        .zip(list.grades.iter().map(|&grade| grade as i32));
    let ranking: Vec<&str> = order.iter().map(|&at| names[at].as_str()).collect();
    JudgedRanking::new(&ranking, &grades.collect::<Judgments>())
}
