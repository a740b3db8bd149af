//! How far a mean over queries would move with other queries of the same kind.
//!
//! The percentile bootstrap: Efron 1979; for retrieval, Sakai 2006. Queries are drawn with replacement as many
//! times as there are queries, the mean is taken, and the interval holds the middle part of those means.

use crate::{MeasureError, SplitMix64};

/// How to resample. The defaults: 95 % confidence, 2,000 resamples, seed 42.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// The share of resampled means inside the interval, above 0 and below 1.
    pub confidence: f64,
    /// Number of resamples, at least 1.
    pub resamples: u32,
    /// Where the random stream begins.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            resamples: 2_000,
            seed: 42,
        }
    }
}

impl Bootstrap {
    pub(crate) fn check(&self, values: usize) -> Result<(), MeasureError> {
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let accepted = "above 0 and below 1";
            return Err(MeasureError::Parameter {
                name: "confidence",
                value: self.confidence,
                accepted,
            });
        }
        if self.resamples == 0 {
            return Err(MeasureError::Parameter {
                name: "resamples",
                value: 0.0,
                accepted: "at least 1",
            });
        }
        if values == 0 {
            Err(MeasureError::Empty)
        } else {
            Ok(())
        }
    }
}

/// A mean with its confidence interval: `low <= high`; the mean lies between them but for freak samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The mean of the values as they are.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The mean of `values` (one per query) and its percentile bootstrap interval.
///
/// # Errors
/// [`MeasureError::Empty`] without values, [`MeasureError::Parameter`] for a setting out of range.
pub fn bootstrap_mean(values: &[f64], bootstrap: &Bootstrap) -> Result<Interval, MeasureError> {
    bootstrap.check(values.len())?;
    let count = values.len() as f64;
    let mut random = SplitMix64::new(bootstrap.seed);
    let mut means: Vec<f64> = (0..bootstrap.resamples)
        .map(|_| {
            (0..values.len())
                .map(|_| values[random.below(values.len())])
                .sum::<f64>()
                / count
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - bootstrap.confidence) / 2.0;
    // As many means lie below `low` as above `high`.
    let cut = ((tail * means.len() as f64) as usize).min((means.len() - 1) / 2);
    let mean = values.iter().sum::<f64>() / count;
    Ok(Interval {
        mean,
        low: means[cut],
        high: means[means.len() - 1 - cut],
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// For many values the interval is that of the normal distribution: mean ± 1.96 s / sqrt(n).
    #[test]
    fn agrees_with_the_normal_interval_on_many_values() {
        let mut random = SplitMix64::new(9);
        let values: Vec<f64> = (0..2_000).map(|_| random.below(1_000) as f64 / 1_000.0).collect();
        let interval = bootstrap_mean(&values, &Bootstrap::default()).unwrap();
        let variance = values.iter().map(|v| (v - interval.mean).powi(2)).sum::<f64>() / values.len() as f64;
        let half = 1.96 * (variance / values.len() as f64).sqrt();
        assert!(
            (interval.mean - half - interval.low).abs() < 0.1 * half,
            "{interval:?} against ± {half}"
        );
        assert!(
            (interval.mean + half - interval.high).abs() < 0.1 * half,
            "{interval:?} against ± {half}"
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_bad_settings_are_refused() {
        let values = [0.0, 1.0, 0.5, 0.25];
        let settings = Bootstrap {
            resamples: 100,
            ..Bootstrap::default()
        };
        assert_eq!(
            bootstrap_mean(&values, &settings),
            bootstrap_mean(&values, &settings)
        );
        assert_ne!(
            bootstrap_mean(&values, &settings).unwrap().low,
            bootstrap_mean(&values, &settings).unwrap().high
        );
        assert_eq!(bootstrap_mean(&[], &settings), Err(MeasureError::Empty));
        assert!(
            bootstrap_mean(
                &values,
                &Bootstrap {
                    confidence: 1.0,
                    ..settings
                }
            )
            .is_err()
        );
        assert!(
            bootstrap_mean(
                &values,
                &Bootstrap {
                    confidence: f64::NAN,
                    ..settings
                }
            )
            .is_err()
        );
        assert!(
            bootstrap_mean(
                &values,
                &Bootstrap {
                    resamples: 0,
                    ..settings
                }
            )
            .is_err()
        );
        let one = bootstrap_mean(
            &[0.3],
            &Bootstrap {
                resamples: 1,
                ..settings
            },
        )
        .unwrap();
        assert_eq!((one.low, one.high), (0.3, 0.3));
    }
}
