//! Whether one run is better than another on the same queries.
//!
//! The two-sided paired randomisation test (Fisher 1935; for retrieval, Smucker, Allan and Carterette 2007):
//! if the runs were alike, the sign of each query's difference would be a coin toss. The p-value is the share
//! of tosses whose mean difference is at least as far from 0 as the one observed, the observed one counted in.

use crate::{Bootstrap, Interval, MeasureError, SplitMix64, bootstrap_mean};

/// Two sums that differ by less than this times their size are the same sum, added in another order.
const ROUNDING: f64 = 1e-12;

/// The outcome of a paired comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Mean of `other - base`, with its bootstrap interval.
    pub difference: Interval,
    /// Two-sided p-value of the randomisation test, in `(0, 1]`.
    pub p_value: f64,
    /// Queries on which `other` is higher.
    pub wins: usize,
    /// Queries on which `other` is lower.
    pub losses: usize,
}

/// Compares `other` with `base`: one value per query each, in the same order.
/// `bootstrap.resamples` is also the number of coin-toss rounds.
///
/// # Errors
/// [`MeasureError::Lengths`] when the lists differ in length, else as [`bootstrap_mean`].
pub fn compare_paired(
    base: &[f64],
    other: &[f64],
    bootstrap: &Bootstrap,
) -> Result<Comparison, MeasureError> {
    if base.len() != other.len() {
        return Err(MeasureError::Lengths {
            left: base.len(),
            right: other.len(),
        });
    }
    let differences: Vec<f64> = base.iter().zip(other).map(|(base, other)| other - base).collect();
    Ok(Comparison {
        difference: bootstrap_mean(&differences, bootstrap)?,
        p_value: randomisation_p_value(&differences, bootstrap),
        wins: differences.iter().filter(|&&difference| difference > 0.0).count(),
        losses: differences.iter().filter(|&&difference| difference < 0.0).count(),
    })
}

fn randomisation_p_value(differences: &[f64], bootstrap: &Bootstrap) -> f64 {
    // A difference of 0 is 0 with either sign: leaving it out changes nothing but the time.
    let moved: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|&difference| difference != 0.0)
        .collect();
    let observed = moved.iter().sum::<f64>().abs();
    let threshold = observed - ROUNDING * moved.iter().map(|difference| difference.abs()).sum::<f64>();
    let mut random = SplitMix64::new(bootstrap.seed);
    let as_far = (0..bootstrap.resamples)
        .filter(|_| tossed_sum(&moved, &mut random).abs() >= threshold)
        .count();
    (as_far + 1) as f64 / (f64::from(bootstrap.resamples) + 1.0)
}

/// The sum with a random sign on each value, 64 tosses per random number.
fn tossed_sum(values: &[f64], random: &mut SplitMix64) -> f64 {
    let mut sum = 0.0;
    for block in values.chunks(64) {
        let mut tosses = random.next_u64();
        for value in block {
            sum += if tosses & 1 == 0 { *value } else { -*value };
            tosses >>= 1;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// All 2^n signs, one by one.
    fn exact_p_value(differences: &[f64]) -> f64 {
        let observed = differences.iter().sum::<f64>().abs();
        let rounds = 1u32 << differences.len();
        let signed = |signs: u32| {
            let term = |(bit, d): (usize, &f64)| if signs >> bit & 1 == 0 { *d } else { -d };
            differences.iter().enumerate().map(term).sum::<f64>()
        };
        let as_far = (0..rounds)
            .filter(|&signs| signed(signs).abs() >= observed - 1e-9)
            .count();
        as_far as f64 / f64::from(rounds)
    }

    #[test]
    fn approaches_the_exact_test() {
        let settings = Bootstrap {
            resamples: 20_000,
            ..Bootstrap::default()
        };
        let base = [0.0; 10];
        for other in [
            [0.3, 0.1, -0.2, 0.4, 0.0, 0.25, 0.1, -0.05, 0.3, 0.15],
            [0.3, -0.1, -0.2, 0.4, 0.0, -0.25, 0.1, -0.05, -0.3, 0.15],
        ] {
            let comparison = compare_paired(&base, &other, &settings).unwrap();
            let exact = exact_p_value(&other);
            assert!(
                (comparison.p_value - exact).abs() < 0.01,
                "{} against {exact}",
                comparison.p_value
            );
        }
    }

    #[test]
    fn equal_runs_are_not_different() {
        let values = [0.5, 0.25, 1.0];
        let comparison = compare_paired(&values, &values, &Bootstrap::default()).unwrap();
        assert_eq!(
            (comparison.p_value, comparison.wins, comparison.losses),
            (1.0, 0, 0)
        );
        assert_eq!(
            compare_paired(&values, &values[1..], &Bootstrap::default()),
            Err(MeasureError::Lengths { left: 3, right: 2 })
        );
    }

    #[test]
    fn a_lead_on_every_query_is_significant_and_has_its_sign() {
        let base: Vec<f64> = (0..100).map(|query| f64::from(query) / 200.0).collect();
        let other: Vec<f64> = base.iter().map(|value| value + 0.1).collect();
        let settings = Bootstrap::default();
        let comparison = compare_paired(&base, &other, &settings).unwrap();
        assert_eq!((comparison.wins, comparison.losses), (100, 0));
        assert_eq!(comparison.p_value, 1.0 / 2_001.0);
        assert!(comparison.difference.low > 0.0);
        assert!(compare_paired(&other, &base, &settings).unwrap().difference.high < 0.0);
    }
}
