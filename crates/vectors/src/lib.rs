//! Exact and approximate nearest neighbours among the vectors of one segment.
//!
//! Rows are numbered from 0 in the order in which [`VectorsWriter`] was given them. Vectors have unit length, so
//! the inner product is the cosine; scores are that inner product in `f32`, the same bits on every machine.
//!
//! [`Exact`] compares the query with every row and is the truth. Files are written once, never changed, and
//! verified in full when they are opened.

mod error;
mod exact;
mod map;
mod nearest;
mod rows;
mod sealed;
mod validate;

pub use error::VectorError;
pub use exact::Exact;
pub use nearest::{Nearest, Neighbour};
pub use rows::{DIMENSION_MAX, Vectors, VectorsWriter};
pub use validate::{UNIT_LENGTH_TOLERANCE, validate};
