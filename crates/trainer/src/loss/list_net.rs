//! ListNet: the distribution of the best over a query's passages.
//!
//! Optimizes: the cross-entropy between the softmax of the grades and the softmax of the scores, the "top one"
//! probabilities (Cao et al. 2007, section 4.2). Needs: whole lists with grades or a teacher's scores. With one
//! relevant passage and a great scale it is the softmax cross-entropy of that passage.

use candle_core::{D, Tensor};

use super::log_softmax;
use crate::error::Result;

/// Mean over the queries: scores and grades, both (queries, passages); grades are multiplied by `scale` before
/// their softmax.
///
/// # Errors
/// When the tensor library refuses.
pub fn list_net(scores: &Tensor, grades: &Tensor, scale: f64) -> Result<Tensor> {
    let wanted = log_softmax(&(grades.detach() * scale)?)?.exp()?;
    let per_query = (wanted * log_softmax(scores)?)?.sum(D::Minus1)?;
    Ok(per_query.mean_all()?.neg()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_loops() {
        let (scores, grades) = (
            [[0.5f32, -1.0, 2.0], [0.0, 0.0, 3.0]],
            [[2f32, 0.0, 1.0], [1.0, 0.0, 0.0]],
        );
        let softmax = |row: &[f32], scale: f32| {
            let all: f32 = row.iter().map(|x| (x * scale).exp()).sum();
            row.iter().map(|x| (x * scale).exp() / all).collect::<Vec<_>>()
        };
        for scale in [1.0f32, 4.0] {
            let expected: f32 = scores
                .iter()
                .zip(&grades)
                .flat_map(|(s, g)| softmax(g, scale).into_iter().zip(softmax(s, 1.0)))
                .map(|(wanted, found)| -wanted * found.ln() / 2.0)
                .sum();
            let [s, g] = [scores, grades].map(|rows| Tensor::new(&rows, &Device::Cpu).unwrap());
            let loss = list_net(&s, &g, f64::from(scale))
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        }
    }
}
