//! The gate every vector passes before it is stored or compared.

use crate::VectorError;

/// How far from 1 the Euclidean length of a vector may be.
pub const UNIT_LENGTH_TOLERANCE: f64 = 1e-3;

/// Accepts a vector of `dimension` finite values and unit length.
///
/// # Errors
/// [`VectorError::Dimension`], [`VectorError::NotFinite`], [`VectorError::ZeroLength`] or
/// [`VectorError::NotUnit`], looked for in this order.
pub fn validate(vector: &[f32], dimension: usize) -> Result<(), VectorError> {
    if vector.len() != dimension {
        return Err(VectorError::Dimension {
            expected: dimension,
            found: vector.len(),
        });
    }
    if let Some((position, &value)) = vector.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        return Err(VectorError::NotFinite { position, value });
    }
    if vector.iter().all(|&x| x == 0.0) {
        return Err(VectorError::ZeroLength);
    }
    // For lengths near 1 the sum in `f32` is good to about 1e-6; lengths where it overflows are refused as well.
    let length = f64::from(kernels::dot(vector, vector)).sqrt();
    if (length - 1.0).abs() > UNIT_LENGTH_TOLERANCE {
        return Err(VectorError::NotUnit {
            length,
            tolerance: UNIT_LENGTH_TOLERANCE,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_error() {
        assert!(validate(&[0.6, 0.8], 2).is_ok());
        assert!(validate(&[0.6, 0.8005], 2).is_ok());
        assert!(matches!(
            validate(&[1.0], 2),
            Err(VectorError::Dimension {
                expected: 2,
                found: 1
            })
        ));
        assert!(matches!(
            validate(&[1.0, f32::NAN], 2),
            Err(VectorError::NotFinite { position: 1, .. })
        ));
        assert!(matches!(
            validate(&[f32::INFINITY, 0.0], 2),
            Err(VectorError::NotFinite { position: 0, .. })
        ));
        assert!(matches!(validate(&[0.0, -0.0], 2), Err(VectorError::ZeroLength)));
        for wrong in [[0.6, 0.81], [0.6, 0.79], [1e-30, 0.0], [f32::MAX, f32::MAX]] {
            assert!(
                matches!(validate(&wrong, 2), Err(VectorError::NotUnit { .. })),
                "{wrong:?}"
            );
        }
    }
}
