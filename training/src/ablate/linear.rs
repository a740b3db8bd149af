//! A linear classifier: multinomial logistic regression with a squared penalty, fitted to its one optimum.
//!
//! The loss is convex and has no setting that must be tuned on each set but the penalty: accelerated gradient descent
//! (Nesterov 1983) with the step that the largest eigenvalue allows. Features are scaled to mean 0 and deviation 1.

/// The penalty on weights, as in `loss + PENALTY / 2 × |weights|²` over the mean loss of a row.
const PENALTY: f64 = 1e-2;
const ITERATIONS: usize = 300;

/// A fitted classifier.
pub(super) struct Classifier {
    /// (classes, features + 1): the last is the bias.
    weights: Vec<Vec<f64>>,
    scaling: Scaling,
}

/// Mean and deviation of each feature in training.
struct Scaling {
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Classifier {
    /// Fits rows of features of one length, one or more, with a class below `classes` each.
    pub(super) fn fit(features: &[Vec<f32>], labels: &[usize], classes: usize) -> Self {
        let scaling = Scaling::of(features);
        let rows: Vec<Vec<f64>> = features.iter().map(|row| scaling.row(row)).collect();
        let width = rows[0].len();
        // The Hessian of a row is at most half of x xᵀ (Böhning 1992).
        let step = 1.0 / (0.5 * largest_eigenvalue(&rows) + PENALTY);
        let mut weights = vec![vec![0.0; width]; classes];
        let mut ahead = weights.clone();
        for iteration in 0..ITERATIONS {
            let gradient = gradient(&rows, labels, &ahead);
            let momentum = iteration as f64 / (iteration as f64 + 3.0);
            for class in 0..classes {
                for at in 0..width {
                    let next = ahead[class][at] - step * gradient[class][at];
                    ahead[class][at] = next + momentum * (next - weights[class][at]);
                    weights[class][at] = next;
                }
            }
        }
        Self { weights, scaling }
    }

    /// The likeliest class of a row; of equal ones the first.
    pub(super) fn predict(&self, features: &[f32]) -> usize {
        let row = self.scaling.row(features);
        let scores: Vec<f64> = self.weights.iter().map(|weights| dot(weights, &row)).collect();
        let best = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
        (0..scores.len()).fold(0, best)
    }
}

impl Scaling {
    fn of(features: &[Vec<f32>]) -> Self {
        let count = features.len() as f64;
        let column = |at: usize| features.iter().map(move |row| f64::from(row[at]));
        let means: Vec<f64> = (0..features[0].len())
            .map(|at| column(at).sum::<f64>() / count)
            .collect();
        let deviation = |(at, mean): (usize, &f64)| {
            let variance = column(at).map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            variance.sqrt()
        };
        let deviations = means.iter().enumerate().map(deviation).collect();
        Self { means, deviations }
    }

    /// The row in scale, with a 1 at its end; a feature that never changes is 0.
    fn row(&self, row: &[f32]) -> Vec<f64> {
        let scaled = row.iter().zip(self.means.iter().zip(&self.deviations));
        let scaled = scaled.map(|(&value, (mean, deviation))| match *deviation > 1e-12 {
            true => (f64::from(value) - mean) / deviation,
            false => 0.0,
        });
        scaled.chain([1.0]).collect()
    }
}

/// The gradient of the mean loss with its penalty; the bias has none.
fn gradient(rows: &[Vec<f64>], labels: &[usize], weights: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = rows[0].len();
    let mut sums = vec![vec![0.0; width]; weights.len()];
    for (row, &label) in rows.iter().zip(labels) {
        let scores: Vec<f64> = weights.iter().map(|weights| dot(weights, row)).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponents: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let total: f64 = exponents.iter().sum();
        for (class, (sum, exponent)) in sums.iter_mut().zip(exponents).enumerate() {
            let error = exponent / total - f64::from(u8::from(class == label));
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += error * value);
        }
    }
    for (sum, weights) in sums.iter_mut().zip(weights) {
        for (at, (sum, weight)) in sum.iter_mut().zip(weights).enumerate() {
            *sum = *sum / rows.len() as f64 + if at + 1 < width { PENALTY * weight } else { 0.0 };
        }
    }
    sums
}

/// Of the mean of `x xᵀ` over the rows, from above: power iteration comes from below, so a margin is added.
fn largest_eigenvalue(rows: &[Vec<f64>]) -> f64 {
    const ROUNDS: usize = 50;
    const MARGIN: f64 = 1.1;
    let mut vector = vec![1.0; rows[0].len()];
    let mut value = 0.0;
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; vector.len()];
        for row in rows {
            let along = dot(row, &vector) / rows.len() as f64;
            next.iter_mut()
                .zip(row)
                .for_each(|(next, value)| *next += along * value);
        }
        value = dot(&next, &next).sqrt();
        vector = next.into_iter().map(|entry| entry / value.max(1e-300)).collect();
    }
    MARGIN * value
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points around three corners, with one feature that says nothing and one that never changes.
    fn points() -> (Vec<Vec<f32>>, Vec<usize>) {
        let corners = [[0.0f32, 5.0], [5.0, 0.0], [-5.0, -5.0]];
        let point = |n: usize| {
            let shake = |k: usize| ((n * k) as f32 * 0.7).sin();
            let corner = corners[n % 3];
            vec![corner[0] + shake(3), corner[1] + shake(5), 100.0 * shake(7), 3.0]
        };
        ((0..90).map(point).collect(), (0..90).map(|n| n % 3).collect())
    }

    #[test]
    fn separates_what_is_apart() {
        let (features, labels) = points();
        let classifier = Classifier::fit(&features[..60], &labels[..60], 3);
        for (row, &label) in features[60..].iter().zip(&labels[60..]) {
            assert_eq!(classifier.predict(row), label);
        }
    }

    /// At the optimum of a convex loss the gradient is zero.
    #[test]
    fn ends_at_the_optimum() {
        let (features, mut labels) = points();
        for at in (0..90).step_by(7) {
            labels[at] = (labels[at] + 1) % 3;
        }
        let classifier = Classifier::fit(&features, &labels, 3);
        let rows: Vec<Vec<f64>> = features.iter().map(|row| classifier.scaling.row(row)).collect();
        let gradient = gradient(&rows, &labels, &classifier.weights);
        let size = gradient.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
        assert!(size < 1e-4, "{size}");
    }
}
