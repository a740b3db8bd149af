//! How a program starts and ends: logs, colours, progress, threads, Ctrl-C, bad records, exit codes.

mod exit;
mod interrupt;
mod machine;
mod on_error;
mod output;
mod progress;

use std::num::NonZeroUsize;

pub use exit::Exit;
pub use interrupt::Interrupt;
pub use machine::{memory, processor};
pub use on_error::OnError;
pub use output::OutputArgs;
pub use progress::Progress;

/// Logs what the user should know of `what`, each note as a warning.
pub fn warn(what: &str, notes: &[String]) {
    for note in notes {
        tracing::warn!("{what}: {note}");
    }
}

/// How many threads to use when nobody says: as many as the machine runs at the same time.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
