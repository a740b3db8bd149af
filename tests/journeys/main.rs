//! What people do with the program, from the command line to its answer.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod adapting;
mod answering;
mod backups;
mod damage;
mod embedding;
mod fixture;
mod formats;
mod indexing;
mod packing;
mod searching;
mod swapping;
mod training;
