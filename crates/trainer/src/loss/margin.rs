//! MarginMSE: the student should see the same distance between two passages as its teacher.
//!
//! Optimizes: the squared difference of the margins `score(positive) - score(negative)` of student and teacher
//! (Hofstätter et al. 2020, section 3.1). Needs: a teacher's scores, on any scale that the student's scores may
//! take too. The student need not take over how high the teacher scores, only how far apart.

use candle_core::Tensor;

use crate::error::Result;

/// Mean over all negatives: scores of student and teacher, both (queries, passages), of which the first column is
/// the positive and the others are negatives.
///
/// # Errors
/// When the tensor library refuses.
pub fn margin_mse(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let margins = |scores: &Tensor| -> Result<Tensor> {
        let negatives = scores.narrow(1, 1, scores.dim(1)? - 1)?;
        Ok(scores.narrow(1, 0, 1)?.broadcast_sub(&negatives)?)
    };
    Ok((margins(student)? - margins(&teacher.detach())?)?
        .sqr()?
        .mean_all()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_sum_worked_out() {
        let student = Tensor::new(&[[2f32, 1.0, 0.0], [1.0, 1.0, -1.0]], &Device::Cpu).unwrap();
        let teacher = Tensor::new(&[[7f32, 5.0, 5.0], [3.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let loss = margin_mse(&student, &teacher)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        // Margins 1, 2, 0, 2 against 2, 2, 3, 2.
        assert!((loss - 10.0 / 4.0).abs() < 1e-6, "{loss}");
        let shifted = margin_mse(&(teacher.clone() - 4.0).unwrap(), &teacher).unwrap();
        assert!(shifted.to_scalar::<f32>().unwrap().abs() < 1e-6);
    }
}
