//! The commands that train: vocabularies, masked language models, sentence encoders, and what a teacher knows.

mod ablate;
mod adapt;
mod bench;
mod commands;
mod follow;
mod gather;
mod line;
mod mine;
mod model;
#[cfg(feature = "nccl")]
mod ranks;
mod score;
mod show;
mod store;
mod table;
mod teach;
mod work;

pub use commands::{TrainCommand, run};
