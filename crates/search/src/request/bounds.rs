//! Bounds of a request's fields.

use std::fmt;

use crate::{SearchError, SearchRequest};

/// The error of a field with this value.
pub(super) fn refuse<T>(
    field: &'static str,
    value: impl Into<String>,
    accepted: impl Into<String>,
) -> Result<T, SearchError> {
    Err(SearchError::Field {
        field,
        value: value.into(),
        accepted: accepted.into(),
    })
}

/// Checks that a value is neither below `least` nor above `most`.
pub(super) fn within<T>(field: &'static str, value: T, least: T, most: T) -> Result<(), SearchError>
where
    T: PartialOrd + fmt::Display,
{
    if least <= value && value <= most {
        return Ok(());
    }
    refuse(field, value.to_string(), format!("{least} to {most}"))
}

/// Checks the weight of a list.
pub(super) fn weight(field: &'static str, value: f32) -> Result<(), SearchError> {
    // Written so that a weight that is not a number is refused too.
    within(field, value, 0.0, SearchRequest::WEIGHT_MAX)
}
