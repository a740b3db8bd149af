//! One segment: written once, then only read.

mod documents;
mod metadata;
mod reader;
mod records;
mod writer;

pub(crate) use documents::{Documents, Stored, TEXT_BYTES_MAX};
pub(crate) use reader::{Segment, check_sum};
pub(crate) use writer::SegmentWriter;
