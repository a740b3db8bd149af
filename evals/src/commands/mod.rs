//! `cloze eval ...`: the options of each command, and where they go.

mod answers;
mod collection_options;
mod precision;
mod retrieve;
mod runs;
mod squad;
mod squad_reader;
mod tune;
mod verify;

use std::io::Write;

use anyhow::Result;
use clap::Subcommand;
use launch::Exit;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// Search with every query of a test collection (BEIR layout) and report how well it went.
    Retrieve(retrieve::RetrieveOptions),
    /// Try ways to fuse the lists on judged queries, and say which is best and whether that is more than luck.
    Tune(tune::TuneOptions),
    /// Compare retrieval in f32 with arithmetic of fewer bits, and show where in the model it differs.
    Precision(precision::PrecisionOptions),
    /// Repeat a report; ends with code 1 and says what differs, if anything does.
    Verify(verify::VerifyOptions),
    /// Measure run files of any system against judgments.
    Runs(runs::RunsOptions),
    /// Measure predicted answers, or a reader's own, as SQuAD 1.1 or 2.0 does.
    Squad(squad::SquadOptions),
    /// Search all paragraphs of a SQuAD set with each of its questions, and measure the answers that come.
    Answers(answers::AnswersOptions),
}

/// Runs a command and tells on `screen` what came out; progress goes to standard error.
///
/// # Errors
/// Whatever went wrong, with the file or setting it is about. That a report could not be repeated is no error
/// but [`Exit::Failure`].
pub fn run(command: &EvalCommand, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    match command {
        EvalCommand::Retrieve(options) => retrieve::run(options, show_progress, screen),
        EvalCommand::Tune(options) => tune::run(options, show_progress, screen),
        EvalCommand::Precision(options) => precision::run(options, show_progress, screen),
        EvalCommand::Verify(options) => verify::run(options, show_progress, screen),
        EvalCommand::Runs(options) => runs::run(options, screen),
        EvalCommand::Squad(options) => squad::run(options, show_progress, screen),
        EvalCommand::Answers(options) => answers::run(options, show_progress, screen),
    }
}
