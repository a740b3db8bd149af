//! RankNet and LambdaLoss: of two passages of a query the better one should score higher.
//!
//! Both optimize the log-probability `sigmoid(score(i) - score(j))` over all pairs of passages of a query with
//! `grade(i) > grade(j)`. RankNet (Burges et al. 2005) counts each pair alike. LambdaLoss (Wang et al. 2018,
//! section 4.1, the weights of LambdaRank, Burges 2010) counts a pair by how much nDCG@k changes when the two
//! change places in the present order: work goes where the top of the list is wrong. Needs: whole lists with
//! grades. Prefer LambdaLoss when grades have several levels and the top ranks matter.

use candle_core::Tensor;

use super::softplus;
use crate::error::Result;

/// RankNet: mean over the pairs of unequal grade: scores (queries, passages), grades as many rows. Zero when no
/// query has such a pair.
///
/// # Errors
/// When the tensor library refuses.
pub fn rank_net(scores: &Tensor, grades: &[Vec<f32>]) -> Result<Tensor> {
    weighted(scores, grades, |grades, _| pair_weights(grades, |_, _| 1.0))
}

/// LambdaLoss with the weights of nDCG over the first `k` ranks: scores (queries, passages), grades as many rows,
/// none below 0; gains are `2^grade - 1`. Zero when no query has passages of unequal grade.
///
/// # Errors
/// When the tensor library refuses.
pub fn lambda_loss(scores: &Tensor, grades: &[Vec<f32>], k: usize) -> Result<Tensor> {
    weighted(scores, grades, |grades, scores| ndcg_weights(grades, scores, k))
}

/// The mean, by weight, of `softplus(score(j) - score(i))` over pairs. The weights of a query are a function of its
/// grades and its present scores, and constants for the gradient.
fn weighted(
    scores: &Tensor,
    grades: &[Vec<f32>],
    weights: impl Fn(&[f32], &[f32]) -> Vec<f32>,
) -> Result<Tensor> {
    let (queries, passages) = scores.dims2()?;
    let present = scores.detach().to_vec2::<f32>()?;
    let weights: Vec<f32> = grades
        .iter()
        .zip(&present)
        .flat_map(|(grades, scores)| weights(grades, scores))
        .collect();
    let sum: f32 = weights.iter().sum();
    let weights = Tensor::from_vec(weights, (queries, passages, passages), scores.device())?;
    // Entry (i, j) is score(j) - score(i).
    let apart = scores.unsqueeze(1)?.broadcast_sub(&scores.unsqueeze(2)?)?;
    let total = (softplus(&apart)? * weights)?.sum_all()?;
    Ok((total * (1.0 / f64::from(sum.max(f32::MIN_POSITIVE))))?)
}

/// `weight(i, j)` where passage i has a higher grade than j, else 0; row by row.
fn pair_weights(grades: &[f32], weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let places = || 0..grades.len();
    let pairs = places().flat_map(|i| places().map(move |j| (i, j)));
    pairs
        .map(|(i, j)| if grades[i] > grades[j] { weight(i, j) } else { 0.0 })
        .collect()
}

/// What nDCG@k loses or gains when two passages change places.
fn ndcg_weights(grades: &[f32], scores: &[f32], k: usize) -> Vec<f32> {
    let gain = |at: usize| grades[at].exp2() - 1.0;
    let discount = |rank: usize| {
        if rank < k {
            1.0 / (rank as f32 + 2.0).log2()
        } else {
            0.0
        }
    };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut rank = vec![0; scores.len()];
    for (place, &at) in order.iter().enumerate() {
        rank[at] = place;
    }
    let mut gains: Vec<f32> = (0..grades.len()).map(gain).collect();
    gains.sort_by(|a, b| b.total_cmp(a));
    let ideal: f32 = gains
        .iter()
        .enumerate()
        .map(|(at, gain)| gain * discount(at))
        .sum();
    pair_weights(grades, |i, j| {
        ((gain(i) - gain(j)) * (discount(rank[i]) - discount(rank[j]))).abs() / ideal
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::{Device, Var};

    const SCORES: [[f32; 4]; 3] = [[0.5, -1.0, 2.0, 0.1], [0.3, 0.2, 0.1, 0.0], [1.0, 2.0, 3.0, 4.0]];

    fn grades() -> Vec<Vec<f32>> {
        vec![vec![2.0, 1.0, 0.0, 1.0], vec![0.0, 0.0, 1.0, 0.0], vec![1.0; 4]]
    }

    fn scores() -> Tensor {
        Tensor::new(&SCORES, &Device::Cpu).unwrap()
    }

    /// nDCG@k of grades in the order of the scores.
    fn ndcg(grades: &[f32], scores: &[f32], k: usize) -> f32 {
        let mut ranked: Vec<(f32, f32)> = scores.iter().copied().zip(grades.iter().copied()).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut ideal = grades.to_vec();
        ideal.sort_by(|a, b| b.total_cmp(a));
        let dcg = |grades: &mut dyn Iterator<Item = f32>| -> f32 {
            let gains = grades.take(k).enumerate();
            gains
                .map(|(at, grade)| (grade.exp2() - 1.0) / (at as f32 + 2.0).log2())
                .sum()
        };
        dcg(&mut ranked.iter().map(|pair| pair.1)) / dcg(&mut ideal.into_iter())
    }

    /// Sum and number of `weight * log(1 + exp(score(j) - score(i)))` over all pairs.
    fn oracle(weight: impl Fn(&[f32], &[f32], usize, usize) -> f32) -> f32 {
        let (mut sum, mut all) = (0.0, 0.0);
        for (scores, grades) in SCORES.iter().zip(grades()) {
            for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
                if grades[i] > grades[j] {
                    let weight = weight(&grades, scores, i, j);
                    sum += weight * (1.0 + (scores[j] - scores[i]).exp()).ln();
                    all += weight;
                }
            }
        }
        sum / all
    }

    #[test]
    fn agree_with_the_loops() {
        let loss = rank_net(&scores(), &grades())
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!((loss - oracle(|_, _, _, _| 1.0)).abs() < 1e-5, "{loss}");
        for k in [1, 2, 10] {
            let loss = lambda_loss(&scores(), &grades(), k)
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            let expected = oracle(|grades, scores, i, j| {
                let mut swapped = scores.to_vec();
                swapped.swap(i, j);
                (ndcg(grades, scores, k) - ndcg(grades, &swapped, k)).abs()
            });
            assert!((loss - expected).abs() < 1e-5, "{loss} {expected} at {k}");
        }
    }

    #[test]
    fn lists_without_a_better_passage_cost_nothing() {
        let scores = Var::from_tensor(&scores()).unwrap();
        let loss = lambda_loss(&scores, &vec![vec![1.0; 4]; 3], 10).unwrap();
        let gradient = loss.backward().unwrap().remove(&scores).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
        assert_eq!(
            gradient
                .abs()
                .unwrap()
                .sum_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap(),
            0.0
        );
    }
}
