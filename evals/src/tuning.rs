//! Choosing one of several ways by their values on queries, and what that choice is worth on queries it did not see.
//!
//! The best of many looks better than it is: part of its lead is luck. So the choice is made again for each fold of the
//! queries from those of the other folds, and valued on the fold (Stone: Cross-Validatory Choice and Assessment of
//! Statistical Predictions, 1974).

use measure::SplitMix64;

/// Parts of the queries that are held out in turn.
pub(crate) const FOLDS: usize = 5;

/// What came of choosing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chosen {
    /// The way with the greatest mean over all queries; the first of equals.
    pub(crate) best: usize,
    /// For each query the value of the way that was chosen without it.
    pub(crate) held_out: Vec<f64>,
}

/// Chooses by `values`, which have a list for each way and in it a value for each query. The seed draws the folds.
pub(crate) fn choose(values: &[Vec<f64>], seed: u64) -> Option<Chosen> {
    let queries = values.first()?.len();
    let folds = folds(queries, seed);
    let held_out_by = |fold: usize| best(values, |query| folds[query] != fold);
    let chosen: Vec<usize> = (0..FOLDS).map(held_out_by).collect::<Option<_>>()?;
    Some(Chosen {
        best: best(values, |_| true)?,
        held_out: (0..queries)
            .map(|query| values[chosen[folds[query]]][query])
            .collect(),
    })
}

fn best(values: &[Vec<f64>], counts: impl Fn(usize) -> bool) -> Option<usize> {
    let sum = |values: &Vec<f64>| -> f64 {
        let counted = values.iter().enumerate().filter(|(query, _)| counts(*query));
        counted.map(|(_, value)| value).sum()
    };
    let sums: Vec<f64> = values.iter().map(sum).collect();
    // The last of equals would be the greatest to `max_by`.
    (0..sums.len()).rev().max_by(|&a, &b| sums[a].total_cmp(&sums[b]))
}

/// The fold of each query: all as large as can be, drawn at random.
fn folds(queries: usize, seed: u64) -> Vec<usize> {
    let mut folds: Vec<usize> = (0..queries).map(|query| query % FOLDS).collect();
    let mut random = SplitMix64::new(seed);
    for at in (1..queries).rev() {
        folds.swap(at, random.below(at + 1));
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_all_is_chosen_and_the_first_of_equals() {
        let values = [vec![0.5; 20], vec![0.75; 20], vec![0.75; 20]];
        let chosen = Chosen {
            best: 1,
            held_out: vec![0.75; 20],
        };
        assert_eq!(choose(&values, 1), Some(chosen));
        assert_eq!(choose(&[], 1), None);
    }

    #[test]
    fn luck_does_not_count_on_held_out_queries() {
        // Each way is right on one query alone; whichever is chosen without a query is wrong on it.
        let queries = 10;
        let values: Vec<Vec<f64>> = (0..queries)
            .map(|way| (0..queries).map(|query| f64::from(way == query)).collect())
            .collect();
        let held_out = choose(&values, 7).map(|chosen| chosen.held_out);
        assert_eq!(held_out, Some(vec![0.0; queries]));
    }

    #[test]
    fn folds_are_equally_large() {
        let folds = folds(23, 3);
        for fold in 0..FOLDS {
            let size = folds.iter().filter(|&&one| one == fold).count();
            assert!((4..=5).contains(&size), "{size}");
        }
    }
}
