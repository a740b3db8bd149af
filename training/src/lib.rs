//! The commands that train: vocabularies, masked language models, sentence encoders, and what a teacher knows.

mod bench;
mod commands;
mod follow;
mod gather;
mod mine;

pub use commands::{TrainCommand, run};
