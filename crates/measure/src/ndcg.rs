//! Normalised discounted cumulative gain.
//!
//! ```text
//! DCG@k = sum over ranks i = 1..k of gain(grade_i) / log2(i + 1)      nDCG@k = DCG@k / ideal DCG@k
//! ```
//!
//! Järvelin and Kekäläinen 2002, with the discount of Burges et al. 2005 that trec_eval uses. Two gains go by
//! the same name, so both are named here; on judgments of 0 and 1 they agree.

use crate::JudgedRanking;

/// How much a grade is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gain {
    /// The grade itself: trec_eval, BEIR, MTEB.
    Linear,
    /// 2^grade - 1: Burges et al. 2005, and most of the learning-to-rank literature.
    Exponential,
}

impl Gain {
    fn of(self, grade: u32) -> f64 {
        match self {
            Self::Linear => f64::from(grade),
            Self::Exponential => f64::from(grade).exp2() - 1.0,
        }
    }
}

/// nDCG over the first `k` ranks, or over all of them. The ideal ranking is cut at `k` too.
/// 0 for a query without relevant documents.
pub fn ndcg(ranking: &JudgedRanking, k: Option<usize>, gain: Gain) -> f64 {
    let k = k.unwrap_or(usize::MAX);
    let ideal = dcg(ranking.ideal(), k, gain);
    if ideal > 0.0 {
        dcg(ranking.grades(), k, gain) / ideal
    } else {
        0.0
    }
}

fn dcg(grades: &[u32], k: usize, gain: Gain) -> f64 {
    let discounted = |(position, &grade): (usize, &u32)| gain.of(grade) / (position as f64 + 2.0).log2();
    grades.iter().take(k).enumerate().map(discounted).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judgments;

    /// Grades 3, 0, 2 are shown, 1 is missed. Linear: (3 + 2/2) / (3 + 2/log2(3) + 1/2).
    #[test]
    fn worked_by_hand() {
        let judgments: Judgments = [("a", 3), ("b", -2), ("c", 2), ("d", 1)]
            .map(|(d, g)| (d.into(), g))
            .into();
        let ranking = JudgedRanking::new(&["a", "b", "c"], &judgments);
        let linear = 4.0 / (3.0 + 2.0 / 3f64.log2() + 0.5);
        let exponential = (7.0 + 1.5) / (7.0 + 3.0 / 3f64.log2() + 0.5);
        assert!((ndcg(&ranking, None, Gain::Linear) - linear).abs() < 1e-12);
        assert!((ndcg(&ranking, None, Gain::Exponential) - exponential).abs() < 1e-12);
        assert_eq!(ndcg(&ranking, Some(1), Gain::Linear), 1.0);
        assert_eq!(
            ndcg(&JudgedRanking::new(&["a"], &Judgments::new()), None, Gain::Linear),
            0.0
        );
    }
}
