//! First token vectors out of a teacher: distillation before the first step.
//!
//! Each entry of the student's vocabulary is read by the teacher as a text of its own; the vectors' principal
//! components are the student's token embeddings, and the way back is its projection (as static embeddings are
//! made out of sentence encoders in Tulkens and van Dongen 2024, "Model2Vec"). A fresh transformer whose layers
//! add little then starts near the mean of its words' vectors instead of at random.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use encoder::{Batch, Pass, SentenceEncoder};
use text::Tokenizer;

use crate::error::{Error, Result};

/// Standard deviation of the token embeddings that are made: well above that of fresh position embeddings, so
/// that the words are what the first layer sees.
const EMBEDDING_STD: f64 = 0.1;

/// Writes the file that `initial_weights` of a sentence recipe takes: token embeddings of `width` for the
/// student's vocabulary, and the projection from there to the teacher's dimension.
///
/// # Errors
/// When `width` is above the teacher's dimension, a model refuses, or the file cannot be written.
pub fn from_teacher(
    teacher: &SentenceEncoder,
    teacher_tokenizer: &Tokenizer,
    student: &Tokenizer,
    width: usize,
    out: &Path,
) -> Result<()> {
    if width == 0 || width > teacher.dimension() {
        return Err(Error::Setting {
            field: "width",
            value: width.to_string(),
            accepted: format!("1 to {}, the teacher's dimension", teacher.dimension()),
        });
    }
    let vectors = vocabulary_vectors(teacher, teacher_tokenizer, student)?;
    let mean = vectors.mean_keepdim(0)?;
    let centred = vectors.broadcast_sub(&mean)?;
    let covariance = centred
        .t()?
        .matmul(&centred)?
        .to_dtype(DType::F64)?
        .to_vec2::<f64>()?;
    let components = principal(covariance, width);
    let components = Tensor::from_vec(components, (width, teacher.dimension()), &Device::Cpu)?;
    let embeddings = centred.matmul(&components.t()?)?;
    let spread = embeddings.sqr()?.mean_all()?.sqrt()?.to_scalar::<f32>()?;
    // After the embeddings' layer norm every value is of size one instead of `spread`.
    let projection = (components.t()? * f64::from(spread))?.contiguous()?;
    let tensors = HashMap::from([
        (
            "embeddings.word_embeddings.weight",
            (embeddings * (EMBEDDING_STD / f64::from(spread)))?,
        ),
        ("2_Dense.linear.weight", projection),
        ("2_Dense.linear.bias", mean.flatten_all()?),
    ]);
    Ok(candle_core::safetensors::save(&tensors, out)?)
}

/// The teacher's vector of each entry's spelling, without the mark of a word's continuation.
fn vocabulary_vectors(teacher: &SentenceEncoder, reader: &Tokenizer, student: &Tokenizer) -> Result<Tensor> {
    const BATCH: usize = 256;
    let spellings: Vec<String> = (0..student.vocabulary_size() as u32)
        .map(|id| student.token(id).unwrap_or_default())
        .map(|token| token.strip_prefix("##").map(str::to_owned).unwrap_or(token))
        .collect();
    let mut parts = Vec::new();
    for part in spellings.chunks(BATCH) {
        let texts: Vec<&str> = part.iter().map(String::as_str).collect();
        let rows: Vec<Vec<u32>> = reader
            .encode_batch(&texts, teacher.max_seq_length())?
            .into_iter()
            .map(|encoding| encoding.ids)
            .collect();
        let batch = Batch::new(&rows, None, reader.special().pad, &Device::Cpu)?;
        parts.push(teacher.forward(&batch, &mut Pass::infer())?);
    }
    let vectors = Tensor::cat(&parts, 0)?;
    // Vectors of the same length, also from a teacher that does not normalise.
    let lengths = (vectors.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
    Ok(vectors.broadcast_div(&lengths)?)
}

/// The `count` eigenvectors of a symmetric matrix with the largest eigenvalues, one after the other, by cyclic
/// Jacobi rotations (Golub and Van Loan, "Matrix Computations", section 8.5).
fn principal(mut a: Vec<Vec<f64>>, count: usize) -> Vec<f32> {
    const SWEEPS_MAX: usize = 30;
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|row| (0..n).map(|column| f64::from(u8::from(row == column))).collect())
        .collect();
    let size: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..SWEEPS_MAX {
        let off: f64 = (0..n)
            .flat_map(|p| (0..p).map(move |q| (p, q)))
            .map(|(p, q)| a[p][q] * a[p][q])
            .sum();
        if off <= 1e-18 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&x, &y| a[y][y].total_cmp(&a[x][x]));
    order[..count]
        .iter()
        .flat_map(|&at| vectors[at].iter().map(|&x| x as f32))
        .collect()
}

/// One rotation that makes `a[p][q]` zero; the rows of `vectors` turn with it.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for row in a.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    turn_rows(a, p, q, c, s);
    turn_rows(vectors, p, q, c, s);
}

fn turn_rows(rows: &mut [Vec<f64>], p: usize, q: usize, c: f64, s: f64) {
    let (before, after) = rows.split_at_mut(q);
    for (x, y) in before[p].iter_mut().zip(&mut after[0]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_principal_direction() {
        // Eigenvalues 3, 2 and 1; the first two vectors are (1, 1, 0) / sqrt 2 and (0, 0, 1).
        let matrix = vec![vec![2.0, 1.0, 0.0], vec![1.0, 2.0, 0.0], vec![0.0, 0.0, 2.0]];
        let found = principal(matrix, 2);
        let half = 0.5f32.sqrt();
        assert!(
            (found[0].abs() - half).abs() < 1e-6 && (found[0] - found[1]).abs() < 1e-6,
            "{found:?}"
        );
        assert!(found[2].abs() < 1e-6, "{found:?}");
        assert!((found[5].abs() - 1.0).abs() < 1e-6, "{found:?}");
    }
}
