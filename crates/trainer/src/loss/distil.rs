//! Distillation: the student's vectors should be, or behave as, the teacher's.
//!
//! [`cosine`] optimizes the position itself: one minus the cosine of the student's and the teacher's vector of
//! the same text (a regression of unit vectors; Reimers and Gurevych 2020, section 2). Needs: the teacher's
//! vectors, of the same length as the student's. [`rows`] optimizes behaviour only: the distribution of a
//! query over the passages of the batch (relational distillation; Hinton et al. 2015 for the softened
//! targets). Prefer the first when the teacher's space is wanted, add the second for the ranking.

use candle_core::{D, Tensor};

use super::log_softmax;
use crate::error::Result;

/// Mean of `1 - cosine`: both (rows, dimension), of unit length.
///
/// # Errors
/// When the tensor library refuses.
pub fn cosine(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let cosines = (student * teacher)?.sum(D::Minus1)?;
    Ok((1.0 - cosines.mean_all()?)?)
}

/// Kullback-Leibler divergence from the teacher's to the student's softmax over each row: similarities
/// (queries, passages), multiplied by `scale` before the softmax.
///
/// # Errors
/// When the tensor library refuses.
pub fn rows(student: &Tensor, teacher: &Tensor, scale: f64) -> Result<Tensor> {
    let student = log_softmax(&(student * scale)?)?;
    let teacher = log_softmax(&(teacher.detach() * scale)?)?;
    let divergence = (teacher.exp()? * (teacher - student)?)?.sum(D::Minus1)?;
    Ok(divergence.mean_all()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn is_zero_for_the_teacher_itself() {
        let x = Tensor::new(&[[0.6f32, 0.8], [1.0, 0.0]], &Device::Cpu).unwrap();
        assert!(cosine(&x, &x).unwrap().to_scalar::<f32>().unwrap().abs() < 1e-6);
        assert!(rows(&x, &x, 20.0).unwrap().to_scalar::<f32>().unwrap().abs() < 1e-6);
    }

    #[test]
    fn agrees_with_the_sums_worked_out() {
        let student = Tensor::new(&[[1.0f32, 0.0]], &Device::Cpu).unwrap();
        let teacher = Tensor::new(&[[0.6f32, 0.8]], &Device::Cpu).unwrap();
        let apart = cosine(&student, &teacher).unwrap().to_scalar::<f32>().unwrap();
        assert!((apart - 0.4).abs() < 1e-6);
        // Teacher softmax (1/4, 3/4), student (1/2, 1/2).
        let teacher = Tensor::new(&[[0f32, 3f32.ln()]], &Device::Cpu).unwrap();
        let student = Tensor::new(&[[0.2f32, 0.2]], &Device::Cpu).unwrap();
        let found = rows(&student, &teacher, 1.0).unwrap().to_scalar::<f32>().unwrap();
        let expected = 0.25 * (0.5f32).ln() + 0.75 * (1.5f32).ln();
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}
