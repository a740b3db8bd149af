//! What a program tells the shell.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As it should: 0.
    Success,
    /// It failed, or found what it was to look for: 1.
    Failure,
    /// It was called wrongly: 2, as the parser of the command line has it.
    Usage,
    /// Ctrl-C: 130, as shells have it (128 + SIGINT).
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Interrupted => 130,
        })
    }
}
