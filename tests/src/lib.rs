//! Journeys across the crates.
