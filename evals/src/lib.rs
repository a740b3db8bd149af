//! The commands that measure.
