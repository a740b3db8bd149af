//! The options of `cloze embed`, and how it runs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use corpus::TitleUse;
use data::{Documents, ReadSettings, VectorFormat, VectorSchema, VectorWriter};
use infer::{Embed, Embedder, Role};
use launch::{Exit, Interrupt, OnError, Progress};

use super::error::{OutputError, io_error};
use super::intake::Intake;
use super::join::join;
use super::parts::{Parts, parts_folder};
use super::report::Report;
use super::run::{Run, Target};
use super::state::{MadeBy, Tally};
use crate::Rejects;
use crate::failure::Cause;
use crate::model::{EngineArgs, open_embedder, remembered};
use crate::reading::{ReadingArgs, Titles};

const EXAMPLES: &str = "\
Examples:
  cloze embed texts.jsonl --output vectors.parquet
  cloze embed sentences.txt --output vectors.npy         a text a line; ids in vectors.npy.ids
  cloze embed dump.csv --id-field url --text-field abstract --output vectors.arrow --model models/e5
  cloze embed questions.jsonl --role query --output - | head -1
Each text has one vector of unit length, in the order of the input. Of a text that is longer than the model reads the \
end does not count, and the summary says how many those are.
A run that was interrupted goes on when it is repeated; what is finished lies in OUTPUT.parts until then.";

/// Turn texts into vectors.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct EmbedArgs {
    /// Files and folders to read; - is JSON Lines on standard input. Of plain text each line is a text.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// File to write; - is JSON Lines on standard output, from which a run cannot go on.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Format of the output: arrow, parquet, npy, jsonl. Default: by extension.
    #[arg(long, value_name = "FORMAT")]
    output_format: Option<VectorFormat>,
    /// Replace an output that is there.
    #[arg(long)]
    overwrite: bool,
    /// Begin anew instead of going on from an interrupted run.
    #[arg(long)]
    restart: bool,
    /// Model that makes the vectors: "bundled" or a folder.
    #[arg(long, value_name = "NAME|DIR", default_value = bundled::NAME)]
    model: String,
    #[command(flatten)]
    engine: EngineArgs,
    /// On which side of a search the texts stand; some models embed queries otherwise than passages.
    #[arg(long, value_enum, default_value_t)]
    role: RoleArg,
    /// What to do about a record that cannot be used, such as one without text.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_error: OnError,
    /// Write records that were skipped to this file, as JSON Lines with the reason.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Print a summary as JSON; on standard error when the vectors go to standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Whether titles are embedded before their texts.
    #[arg(long, value_enum, default_value = "join", help_heading = "Reading")]
    titles: Titles,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum RoleArg {
    #[default]
    Passage,
    Query,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Passage => Self::Passage,
            RoleArg::Query => Self::Query,
        }
    }
}

impl RoleArg {
    fn name(self) -> &'static str {
        match self {
            Self::Passage => "passage",
            Self::Query => "query",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When input, model or output cannot be opened, an interrupted run was another one, or a record is not accepted
/// and `--on-error` says stop. What was finished before is kept in the folder of parts.
pub fn embed(args: &EmbedArgs, show_progress: bool) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::on_ctrl_c();
    let started = Instant::now();
    let format = args.output_format()?;
    let documents = data::documents(&args.paths, &args.settings()?)?;
    let (files, files_skipped) = (documents.files_count(), documents.files_skipped());
    let embedder = open_embedder(&args.model, &args.engine.settings())?;
    let mut run = args.run(documents, &embedder, &interrupt, show_progress)?;
    let embedded = run.all();
    run.progress.finish();
    let (tally, kept) = (run.tally, run.vectors_kept);
    let ended = embedded.and_then(|()| Ok(args.end(run.target, format, &embedder, &interrupt)?));
    let (made, seconds) = (tally.vectors - kept, started.elapsed().as_secs_f64());
    let report = Report {
        tally,
        vectors_made: made,
        dimension: embedder.dimension(),
        tokens_max: embedder.tokens_max(),
        files,
        files_skipped,
        output: args.output.display().to_string(),
        format: format.name(),
        finished: matches!(ended, Ok(true)),
        interrupted: matches!(ended, Ok(false)),
        goes_on: !args.is_stream(),
        seconds,
        texts_per_second: made as f64 / seconds.max(1e-3),
        error: ended.as_ref().err().map(ToString::to_string),
    };
    report.print(args.is_stream(), args.json)?;
    match ended {
        Ok(true) => Ok(Exit::Success),
        Ok(false) => Ok(Exit::Interrupted),
        Err(cause) => Err(args.failed(cause)),
    }
}

impl EmbedArgs {
    fn is_stream(&self) -> bool {
        self.output == Path::new("-")
    }

    fn output_format(&self) -> anyhow::Result<VectorFormat> {
        match (self.output_format, self.is_stream()) {
            (None | Some(VectorFormat::Jsonl), true) => Ok(VectorFormat::Jsonl),
            (Some(other), true) => anyhow::bail!(
                "--output-format is {} with --output -; accepted: jsonl, or a file as --output",
                other.name()
            ),
            (Some(format), false) => Ok(format),
            (None, false) => Ok(VectorFormat::of_path(&self.output)?),
        }
    }

    fn settings(&self) -> anyhow::Result<ReadSettings> {
        let mut settings = self.reading.settings()?;
        // Vectors carry no metadata, so that nothing in it is a reason to refuse a record.
        settings.mapping.metadata = Some(Vec::new());
        settings.text_lines = true;
        Ok(settings)
    }

    fn run<'a>(
        &self,
        documents: Documents,
        embedder: &'a Embedder,
        interrupt: &Interrupt,
        show_progress: bool,
    ) -> anyhow::Result<Run<'a, Documents>> {
        let target = self.target(embedder).map_err(Cause::from)?;
        let rejects = self.rejects.as_deref().map(Rejects::create).transpose()?;
        Ok(Run {
            progress: match show_progress && !self.is_stream() {
                true => Progress::new(documents.bytes_total(), "texts"),
                false => Progress::hidden(),
            },
            meter: documents.meter(),
            intake: Intake::new(documents, TitleUse::from(self.titles), self.on_error, rejects),
            embed: embedder,
            role: self.role.into(),
            target,
            interrupt: interrupt.clone(),
            tally: Tally::default(),
            vectors_kept: 0,
            refused: 0,
        })
    }

    fn target(&self, embedder: &Embedder) -> Result<Target, OutputError> {
        if self.is_stream() {
            let output = Box::new(std::io::stdout());
            let writer = VectorWriter::stream(Path::new("standard output"), output, embedder.dimension());
            return Ok(Target::Stream(writer));
        }
        self.check_place()?;
        let made_by = MadeBy {
            fingerprint: embedder.fingerprint().to_owned(),
            precision: embedder.precision().to_string(),
            role: self.role.name().to_owned(),
        };
        let parts = Parts::open(&self.output, made_by, embedder.dimension(), self.restart)?;
        Ok(Target::Parts(Box::new(parts)))
    }

    fn check_place(&self) -> Result<(), OutputError> {
        let output = &self.output;
        if output.is_dir() {
            return Err(io_error(output)(std::io::ErrorKind::IsADirectory.into()));
        }
        if output.exists() && !self.overwrite {
            return Err(OutputError::Exists(output.clone()));
        }
        let within = |input: &&PathBuf| {
            let (input, output) = (input.canonicalize(), std::path::absolute(output));
            let folder = output
                .ok()
                .and_then(|output| output.parent()?.canonicalize().ok());
            let place = folder
                .zip(self.output.file_name())
                .map(|(folder, name)| folder.join(name));
            input
                .ok()
                .zip(place)
                .is_some_and(|(input, place)| place.starts_with(input))
        };
        match self.paths.iter().find(within) {
            Some(input) => Err(OutputError::WithinInput {
                output: output.clone(),
                input: input.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Makes the output whole; false when that was interrupted.
    fn end(
        &self,
        target: Target,
        format: VectorFormat,
        embedder: &Embedder,
        interrupt: &Interrupt,
    ) -> Result<bool, OutputError> {
        if interrupt.is_raised() {
            return Ok(false);
        }
        let about = [
            ("cloze.model", remembered(&self.model)),
            ("cloze.fingerprint", embedder.fingerprint().to_owned()),
            ("cloze.precision", embedder.precision().to_string()),
            ("cloze.role", self.role.name().to_owned()),
            ("cloze.normalised", true.to_string()),
        ];
        let schema = VectorSchema {
            dimension: embedder.dimension(),
            about: about.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        };
        match target {
            Target::Parts(parts) => join(*parts, &self.output, format, &schema, interrupt),
            Target::Stream(writer) => {
                writer.finish()?;
                Ok(true)
            }
        }
    }

    fn failed(&self, cause: Cause) -> anyhow::Error {
        let may_go_on = match &cause {
            Cause::Output(error) => error.may_go_on(),
            cause => cause.is_of_one_record(),
        };
        let folder = parts_folder(&self.output);
        let error = anyhow::Error::new(cause);
        match may_go_on && !self.is_stream() && folder.exists() {
            true => error.context(format!(
                "embedding stopped; what was finished is kept in {}, and the same command goes on from there",
                folder.display()
            )),
            false => error,
        }
    }
}
