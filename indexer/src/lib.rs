//! The commands that build, inspect and search an index.
