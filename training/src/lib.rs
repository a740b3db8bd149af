//! The commands that train.
