//! What `cloze embed` says at its end.

use std::io::Write;

use serde::Serialize;

use super::state::Tally;

/// What a run did, and what there is now.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// By this run.
    pub(super) vectors_made: u64,
    pub(super) dimension: usize,
    pub(super) tokens_max: usize,
    pub(super) files: usize,
    pub(super) files_skipped: usize,
    pub(super) output: String,
    pub(super) format: &'static str,
    pub(super) finished: bool,
    pub(super) interrupted: bool,
    #[serde(skip)]
    pub(super) goes_on: bool,
    pub(super) seconds: f64,
    pub(super) texts_per_second: f64,
    pub(super) error: Option<String>,
}

impl Report {
    /// On standard error when the vectors take standard output.
    pub(super) fn print(&self, is_stream: bool, json: bool) -> anyhow::Result<()> {
        match is_stream {
            true => self.write(&mut anstream::stderr().lock(), json),
            false => self.write(&mut anstream::stdout().lock(), json),
        }
    }

    fn write(&self, out: &mut dyn Write, json: bool) -> anyhow::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            return Ok(writeln!(out)?);
        }
        Ok(self.say(out)?)
    }

    fn say(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Tally {
            vectors,
            records_skipped: skipped,
            texts_cut: cut,
            tokens_cut,
            ..
        } = self.tally;
        let (dimension, made) = (self.dimension, self.vectors_made);
        writeln!(
            out,
            "{vectors} texts embedded in {dimension} dimensions, {skipped} skipped"
        )?;
        if cut > 0 {
            let most = self.tokens_max;
            writeln!(
                out,
                "{cut} texts cut at the {most} tokens that the model reads; {tokens_cut} tokens lost"
            )?;
        }
        let kept = match vectors - made {
            0 => String::new(),
            kept => format!(", {kept} kept from before"),
        };
        let (seconds, rate) = (self.seconds, self.texts_per_second);
        writeln!(out, "{made} in {seconds:.1} s, {rate:.0}/s{kept}")?;
        if self.files_skipped > 0 {
            writeln!(out, "{} files of unknown formats passed over", self.files_skipped)?;
        }
        match (self.finished, self.interrupted) {
            (true, _) => writeln!(out, "{}: {vectors} vectors, {}", self.output, self.format),
            (_, true) if self.goes_on => writeln!(out, "interrupted; the same command goes on from here"),
            (_, true) => writeln!(out, "interrupted"),
            _ => Ok(()),
        }
    }
}
