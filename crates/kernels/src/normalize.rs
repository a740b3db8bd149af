//! Scaling to unit length.

/// Divides a vector by its Euclidean length and returns that length.
///
/// The length is summed in `f64`, so neither large nor tiny values overflow or vanish on the way. `None`, and the
/// vector unchanged, when its length is zero or not finite.
///
/// ```
/// let mut vector = [3.0, 4.0];
/// assert_eq!(kernels::normalize(&mut vector), Some(5.0));
/// assert_eq!(vector, [0.6, 0.8]);
/// ```
pub fn normalize(vector: &mut [f32]) -> Option<f32> {
    let length = vector
        .iter()
        .map(|&x| f64::from(x) * f64::from(x))
        .sum::<f64>()
        .sqrt();
    if length == 0.0 || !length.is_finite() {
        return None;
    }
    for x in vector {
        *x = (f64::from(*x) / length) as f32;
    }
    Some(length as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_values_keep_their_direction() {
        for scale in [1e-44_f32, 1e-30, 1.0, 1e30, 1e38] {
            let mut vector = [scale, 0.0, scale];
            assert!(normalize(&mut vector).is_some());
            let half = 0.5_f32.sqrt();
            assert!(
                (vector[0] - half).abs() < 1e-6 && vector[1] == 0.0,
                "{scale}: {vector:?}"
            );
        }
    }

    #[test]
    fn vectors_without_a_direction_are_left_alone() {
        for bad in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            let mut vector = bad;
            assert_eq!(normalize(&mut vector), None);
            assert_eq!(vector.map(f32::to_bits), bad.map(f32::to_bits));
        }
        assert_eq!(normalize(&mut []), None);
    }
}
