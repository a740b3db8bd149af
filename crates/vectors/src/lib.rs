//! Exact and approximate nearest neighbours among the vectors of one segment.
//!
//! Rows are numbered from 0 in the order in which [`VectorsWriter`] was given them. Vectors have unit length, so
//! the inner product is the cosine; scores are that inner product in `f32`, the same bits on every machine.
//!
//! [`Exact`] compares the query with every row and is the truth; [`Walk`] follows the links of a [`Graph`] and is
//! fast. A set of fewer than some thousand rows needs no graph ([`scan_is_cheaper`] gives the figure). Files are written once, never changed, and
//! verified in full when they are opened.

mod error;
mod exact;
mod graph;
mod map;
mod nearest;
mod rows;
mod sealed;
mod validate;

pub use error::VectorError;
pub use exact::Exact;
pub use graph::{
    About, EF_CONSTRUCTION_MAX, EF_MAX, Graph, GraphSettings, M_MAX, M_MIN, THREADS_MAX, Walk,
    scan_is_cheaper,
};
pub use nearest::{Nearest, Neighbour};
pub use rows::{DIMENSION_MAX, Vectors, VectorsWriter};
pub use validate::{UNIT_LENGTH_TOLERANCE, validate};
