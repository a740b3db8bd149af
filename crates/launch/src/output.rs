//! How much a program says, and in which colours.

use std::io;

use clap::{ArgAction, Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Options that every command has.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Log more on standard error: -v what is done, -vv every step.
    #[arg(long, short, global = true, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
    /// Log errors only, and show no progress.
    #[arg(
        long,
        short,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Output"
    )]
    quiet: bool,
    /// When to use colours.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Color {
    /// On a terminal that has them, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Even when piped.
    Always,
    /// Never.
    Never,
}

impl OutputArgs {
    /// Starts logging on standard error and settles the colours. `RUST_LOG` refines what is logged.
    pub fn start(&self) {
        let choice = match self.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let colors = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "info",
            (false, _) => "debug",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        // Fails only when logging was started before; then that stays.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(colors)
            .try_init();
    }

    /// Whether progress may be shown.
    pub fn shows_progress(&self) -> bool {
        !self.quiet
    }
}
