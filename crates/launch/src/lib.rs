//! How a program starts: settings, logs, progress, exit codes.
