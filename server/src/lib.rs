//! The HTTP API and its page.
//!
//! [`App`] holds what every route works with, [`router`] makes the service of it, and [`serve()`] answers on a
//! listener until it is told to stop. Every refusal is a [`problem::Problem`]; every bound is in [`Limits`].
//! Whatever blocks (models, index) runs on threads of its own behind bounded queues; this is the only crate
//! with async code.

mod app;
mod args;
mod body;
mod current;
mod gate;
mod limits;
mod merger;
mod metrics;
mod patient;
pub mod problem;
mod recall;
mod routes;
mod serve;
mod store;
mod writer;

pub use app::{App, NamedReader, NamedReranker, Parts};
pub use args::{ServeArgs, run};
pub use limits::Limits;
pub use routes::router;
pub use serve::{Stop, serve};
pub use store::Store;
