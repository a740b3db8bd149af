//! Bad records.

/// What to do about a record that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OnError {
    /// Keep what was accepted before, and end.
    #[default]
    Stop,
    /// Count it, and go on without it.
    Skip,
}
