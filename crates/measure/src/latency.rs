//! Percentiles of durations, by the nearest-rank method.
//!
//! The p-th percentile is the smallest measured value such that at least p % of the values are not above it:
//! the value at rank `ceil(p / 100 * n)`. It is always a value that was measured; nothing is interpolated.

/// The percentiles that a report shows, in the unit of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Number of values.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Half of the values are not above this.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The largest value.
    pub max: f64,
}

/// Summarises durations in any order; `None` without values.
pub fn summarize(durations: &[f64]) -> Option<Latency> {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(Latency {
        count: sorted.len(),
        mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        p50: nearest_rank(&sorted, 50.0)?,
        p90: nearest_rank(&sorted, 90.0)?,
        p95: nearest_rank(&sorted, 95.0)?,
        p99: nearest_rank(&sorted, 99.0)?,
        max: nearest_rank(&sorted, 100.0)?,
    })
}

/// The `percent`-th percentile of values in ascending order; `None` without values, or when `percent` is not
/// above 0 and at most 100.
pub fn nearest_rank(ascending: &[f64], percent: f64) -> Option<f64> {
    if !(percent > 0.0 && percent <= 100.0) {
        return None;
    }
    // The small step back keeps 99.9 % of 1,000 at rank 999 although 99.9 has no exact binary form.
    let rank = (percent * ascending.len() as f64 / 100.0 - 1e-9).ceil().max(1.0) as usize;
    ascending.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn worked_by_hand() {
        let values = [15.0, 20.0, 35.0, 40.0, 50.0];
        let at = |percent| nearest_rank(&values, percent).unwrap();
        assert_eq!(
            [at(5.0), at(30.0), at(40.0), at(50.0), at(100.0)],
            [15.0, 20.0, 20.0, 35.0, 50.0]
        );
        let thousand: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(nearest_rank(&thousand, 99.9), Some(999.0));
        assert_eq!(nearest_rank(&values, 0.0), None);
        assert_eq!(nearest_rank(&[], 50.0), None);
        assert_eq!(summarize(&[]), None);
        assert_eq!(summarize(&[2.0, 1.0]).unwrap().p50, 1.0);
    }

    proptest! {
        /// The definition itself, by counting.
        #[test]
        fn is_the_smallest_value_with_enough_values_below(
            mut values in prop::collection::vec(0i32..50, 1..60), percent in 1u32..=100
        ) {
            values.sort_unstable();
            let floats: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            let enough = |value: i32| {
                values.iter().filter(|&&v| v <= value).count() * 100 >= percent as usize * values.len()
            };
            let expected = values.iter().copied().find(|&value| enough(value)).unwrap();
            prop_assert_eq!(nearest_rank(&floats, f64::from(percent)), Some(f64::from(expected)));
        }
    }
}
