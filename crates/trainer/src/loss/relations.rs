//! Relations: the tokens of a text should stand to each other as the teacher has them.
//!
//! Optimizes: the divergence of the student's from the teacher's `softmax(x xᵀ / √d)`, where x are the queries, keys or
//! values of the last layer, cut into relation heads (Wang et al. 2021, MiniLMv2, section 3.1). Needs: the same
//! tokenizer. Student and teacher may have any widths and numbers of attention heads, as long as the relation heads
//! divide both widths.

use candle_core::{D, Tensor};

use super::log_softmax;
use crate::error::Result;

/// Mean over all heads and tokens: student (texts, tokens, width) and teacher (texts, tokens, its width); mask
/// (texts, tokens) is 1 on tokens and 0 on padding.
///
/// # Errors
/// When the heads do not divide the widths.
pub fn relations(student: &Tensor, teacher: &Tensor, mask: &Tensor, heads: usize) -> Result<Tensor> {
    let (texts, tokens) = mask.dims2()?;
    let padding = ((mask - 1.0)? * 1e9)?.reshape((texts, 1, 1, tokens))?;
    let related = |x: &Tensor| -> Result<Tensor> {
        let width = x.dim(D::Minus1)? / heads;
        let x = x
            .reshape((texts, tokens, heads, width))?
            .transpose(1, 2)?
            .contiguous()?;
        let products = (x.matmul(&x.t()?.contiguous()?)? / (width as f64).sqrt())?;
        log_softmax(&products.broadcast_add(&padding)?)
    };
    let (student, teacher) = (related(student)?, related(&teacher.detach())?);
    // (texts, heads, tokens)
    let divergence = (teacher.exp()? * (teacher - student)?)?.sum(D::Minus1)?;
    let divergence = divergence.broadcast_mul(&mask.unsqueeze(1)?)?.sum_all()?;
    Ok((divergence / mask.sum_all()?)?.affine(1.0 / heads as f64, 0.0)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    fn values(texts: usize, tokens: usize, width: usize, factor: f64) -> Vec<Vec<Vec<f64>>> {
        let value = |at: usize| (at as f64 * factor).sin();
        let row = |from: usize| (0..width).map(|at| value(from * width + at)).collect();
        let text = |text: usize| (0..tokens).map(|token| row(text * tokens + token)).collect();
        (0..texts).map(text).collect()
    }

    fn tensor(values: &[Vec<Vec<f64>>]) -> Tensor {
        let shape = (values.len(), values[0].len(), values[0][0].len());
        let flat: Vec<f32> = values.iter().flatten().flatten().map(|&x| x as f32).collect();
        Tensor::from_vec(flat, shape, &Device::Cpu).unwrap()
    }

    /// Softmax of a token's products with the first `length` tokens, within one head.
    fn row(text: &[Vec<f64>], token: usize, head: std::ops::Range<usize>, length: usize) -> Vec<f64> {
        let root = (head.len() as f64).sqrt();
        let product = |other: &Vec<f64>| head.clone().map(|at| text[token][at] * other[at]).sum::<f64>();
        let products: Vec<f64> = text[..length]
            .iter()
            .map(|other| (product(other) / root).exp())
            .collect();
        let sum: f64 = products.iter().sum();
        products.iter().map(|x| x / sum).collect()
    }

    #[test]
    fn agrees_with_the_loops() {
        let (student, teacher) = (values(2, 3, 4, 1.7), values(2, 3, 8, 0.9));
        let lengths = [3, 2];
        let (mut sum, mut count) = (0.0, 0.0);
        for (text, length) in lengths.into_iter().enumerate() {
            for (head, token) in (0..2).flat_map(|head| (0..length).map(move |token| (head, token))) {
                let ours = row(&student[text], token, 2 * head..2 * head + 2, length);
                let theirs = row(&teacher[text], token, 4 * head..4 * head + 4, length);
                sum += ours
                    .iter()
                    .zip(&theirs)
                    .map(|(p, q)| q * (q / p).ln())
                    .sum::<f64>();
                count += 1.0;
            }
        }
        let mask = Tensor::new(&[[1f32, 1.0, 1.0], [1.0, 1.0, 0.0]], &Device::Cpu).unwrap();
        let loss = relations(&tensor(&student), &tensor(&teacher), &mask, 2).unwrap();
        let loss = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!(
            loss > 0.0 && (loss - sum / count).abs() < 1e-6,
            "{loss} {}",
            sum / count
        );
        let itself = relations(&tensor(&student), &tensor(&student), &mask, 2).unwrap();
        assert!(itself.to_scalar::<f32>().unwrap().abs() < 1e-6);
    }
}
