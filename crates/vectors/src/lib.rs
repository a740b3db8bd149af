//! Exact and approximate nearest neighbours among the vectors of one segment.
//!
//! Rows are numbered from 0 in the order in which [`VectorsWriter`] was given them. Vectors have unit length, so
//! the inner product is the cosine. Files are written once and never changed; each block of them is verified when it
//! is first used, so that opening takes no time whatever the size.
//!
//! [`Exact`] compares the query with every row in `f32`, with the same bits on every machine, and is the truth.
//! [`Walk`] follows the links of a [`Graph`] from row to row in 8 bits, then looks closer in 16 ([`Codes`]). A set of
//! fewer than some thousand rows needs no graph.

mod codes;
mod error;
mod exact;
mod graph;
mod map;
mod nearest;
mod rows;
mod sealed;
mod validate;

pub use codes::Codes;
pub use error::VectorError;
pub use exact::Exact;
pub use graph::{
    About, Builder, EF_CONSTRUCTION_MAX, EF_MAX, Effort, Graph, GraphSettings, M_MAX, M_MIN, Measured,
    THREADS_MAX, Walk,
};
pub use nearest::{Nearest, Neighbour};
pub use rows::{DIMENSION_MAX, Vectors, VectorsWriter};
pub use sealed::seal;
pub use validate::{UNIT_LENGTH_TOLERANCE, validate};
