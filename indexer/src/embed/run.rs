//! From records to rows of vectors: round by round, until the input ends, a record ends the run, or somebody does.

use std::panic::resume_unwind;

use corpus::Document;
use data::{DataError, Located, Meter, VectorRows, VectorWriter};
use infer::{Embed, InferError, Role};
use launch::{Interrupt, Progress};

use super::error::OutputError;
use super::intake::{Intake, Mark, Step, Text};
use super::parts::Parts;
use super::state::{Part, Refused, Tally, hex};
use crate::failure::Cause;

/// A round of texts is embedded in one call; it is closed at this many texts or bytes. An interruption waits for
/// the end of one.
const ROUND_TEXTS: usize = 512;
const ROUND_BYTES: usize = 4 << 20;

/// Where rows go.
pub(super) enum Target {
    /// Into parts of a file, from which an interrupted run goes on.
    Parts(Box<Parts>),
    /// To whoever reads along.
    Stream(VectorWriter),
}

impl Target {
    fn add(
        &mut self,
        rows: VectorRows,
        refused: Vec<Refused>,
        end: (Tally, u128),
    ) -> Result<(), OutputError> {
        match self {
            Self::Parts(parts) => parts.add(rows, refused, end),
            Self::Stream(writer) => Ok(writer.write(&rows)?),
        }
    }

    fn save(&mut self) -> Result<(), OutputError> {
        match self {
            Self::Parts(parts) => parts.save(),
            Self::Stream(_) => Ok(()),
        }
    }

    fn finished(&self) -> &[Part] {
        match self {
            Self::Parts(parts) => parts.finished(),
            Self::Stream(_) => &[],
        }
    }
}

/// One run.
pub(super) struct Run<'a, I> {
    pub(super) intake: Intake<I>,
    pub(super) embed: &'a dyn Embed,
    pub(super) role: Role,
    pub(super) target: Target,
    pub(super) progress: Progress,
    pub(super) meter: Meter,
    pub(super) interrupt: Interrupt,
    /// Since the very beginning.
    pub(super) tally: Tally,
    /// Vectors that earlier runs made.
    pub(super) vectors_kept: u64,
    /// Texts that the model refused since the very beginning.
    pub(super) refused: u64,
}

/// Why no more texts are added to a round.
enum Ended {
    Full,
    Input,
    Interrupt,
    Failed(Cause),
}

impl<I: Iterator<Item = Result<Located<Document>, DataError>>> Run<'_, I> {
    /// Embeds everything that earlier runs did not; whether it was all is told by the interrupt.
    pub(super) fn all(&mut self) -> Result<(), Cause> {
        self.replay()?;
        let room = room(self.embed)?;
        let ended = self.rounds(room);
        match &ended {
            // When the output fails, what waits cannot be saved either.
            Err(Cause::Output(_)) => {}
            _ => self.target.save()?,
        }
        ended
    }

    fn rounds(&mut self, room: usize) -> Result<(), Cause> {
        loop {
            let (texts, ended) = self.gather();
            if let Ended::Interrupt = ended {
                return Ok(());
            }
            self.embed_round(&texts, room)?;
            match ended {
                Ended::Full => {}
                Ended::Failed(cause) => return Err(cause),
                Ended::Input | Ended::Interrupt => return Ok(()),
            }
        }
    }

    /// Reads what the finished parts were made of, and checks that it is the same.
    fn replay(&mut self) -> Result<(), Cause> {
        let parts = self.target.finished().to_vec();
        for part in &parts {
            if self.interrupt.is_raised() {
                return Ok(());
            }
            let before = self.intake.mark();
            while self.intake.records() < part.tally.records_read {
                match self.intake.step()? {
                    Step::Text(text) => self.refuse_again(part, &text)?,
                    Step::Rejected => {}
                    Step::End => return Err(self.changed(before, part)),
                }
            }
            if hex(self.intake.mark().digest) != part.input {
                return Err(self.changed(before, part));
            }
            self.tally = part.tally;
            self.vectors_kept = part.tally.vectors;
        }
        self.progress.begin_at(self.meter.bytes());
        Ok(())
    }

    fn changed(&self, before: Mark, part: &Part) -> Cause {
        let folder = match &self.target {
            Target::Parts(parts) => parts.folder().to_owned(),
            Target::Stream(_) => Default::default(),
        };
        Cause::Output(OutputError::Changed {
            folder,
            first: before.records + 1,
            last: part.tally.records_read,
        })
    }

    /// Writes a text down again that an earlier run found to be refused.
    fn refuse_again(&mut self, part: &Part, text: &Text) -> Result<(), Cause> {
        match part.refused.iter().find(|refused| refused.record == text.record) {
            Some(refused) => self.refuse(text, refused.reason.clone()),
            None => Ok(()),
        }
    }

    fn refuse(&mut self, text: &Text, reason: String) -> Result<(), Cause> {
        let place = text.document.place.clone();
        self.refused += 1;
        self.intake
            .reject(Cause::Refused { place, reason }, Some(&text.document.value))
    }

    fn gather(&mut self) -> (Vec<Text>, Ended) {
        let (mut texts, mut bytes) = (Vec::new(), 0);
        loop {
            if self.interrupt.is_raised() {
                return (texts, Ended::Interrupt);
            }
            match self.intake.step() {
                Ok(Step::Text(text)) => {
                    bytes += text.embedded.len();
                    texts.push(text);
                }
                Ok(Step::Rejected) => {}
                Ok(Step::End) => return (texts, Ended::Input),
                Err(cause) => return (texts, Ended::Failed(cause)),
            }
            if texts.len() >= ROUND_TEXTS || bytes >= ROUND_BYTES {
                return (texts, Ended::Full);
            }
        }
    }

    fn embed_round(&mut self, texts: &[Text], room: usize) -> Result<(), Cause> {
        let (rows, refused) = self.rows(texts, room)?;
        let mark = self.intake.mark();
        if mark.records == self.tally.records_read {
            return Ok(());
        }
        self.tally.records_read = mark.records;
        self.tally.records_skipped = mark.rejected + self.refused;
        self.tally.vectors += rows.len() as u64;
        self.target.add(rows, refused, (self.tally, mark.digest))?;
        self.show_progress();
        Ok(())
    }

    fn rows(&mut self, texts: &[Text], room: usize) -> Result<(VectorRows, Vec<Refused>), Cause> {
        // Counting takes one thread a twentieth of the time of the model; beside the model it costs next to none.
        let (vectors, counts) = std::thread::scope(|scope| {
            let embed = self.embed;
            let counting = scope.spawn(|| {
                texts
                    .iter()
                    .map(|text| embed.count_tokens(&text.embedded))
                    .collect()
            });
            let vectors = self.vectors(texts);
            let counts: Vec<Result<usize, InferError>> =
                counting.join().unwrap_or_else(|panic| resume_unwind(panic));
            (vectors, counts)
        });
        let (mut rows, mut refused) = (VectorRows::default(), Vec::new());
        for ((text, vector), tokens) in texts.iter().zip(vectors?).zip(counts) {
            match vector {
                Ok(vector) => {
                    rows.push(text.document.value.id.as_str(), &vector);
                    let lost = tokens.map_err(model_failed)?.saturating_sub(room);
                    self.tally.texts_cut += u64::from(lost > 0);
                    self.tally.tokens_cut += lost as u64;
                }
                Err(reason) => {
                    self.refuse(text, reason.clone())?;
                    let record = text.record;
                    refused.push(Refused { record, reason });
                }
            }
        }
        Ok((rows, refused))
    }

    /// The vector of each text, or why the model refuses that text.
    fn vectors(&self, texts: &[Text]) -> Result<Vec<Result<Vec<f32>, String>>, Cause> {
        let all: Vec<&str> = texts.iter().map(|text| text.embedded.as_str()).collect();
        match self.embed.embed(&all, self.role) {
            Ok(vectors) => Ok(vectors.into_iter().map(Ok).collect()),
            Err(error) if !is_of_one_text(&error) => Err(model_failed(error)),
            // One of them is to blame; alone each one says so for itself.
            Err(_) => all.iter().map(|text| self.vector(text)).collect(),
        }
    }

    fn vector(&self, text: &str) -> Result<Result<Vec<f32>, String>, Cause> {
        match self.embed.embed(&[text], self.role) {
            Ok(vectors) => Ok(vectors.into_iter().next().ok_or_else(|| "no vector".to_owned())),
            Err(error) if is_of_one_text(&error) => Ok(Err(error.to_string())),
            Err(error) => Err(model_failed(error)),
        }
    }

    fn show_progress(&self) {
        let made = self.tally.vectors - self.vectors_kept;
        self.progress.set(self.meter.bytes(), made);
    }
}

fn is_of_one_text(error: &InferError) -> bool {
    matches!(error, InferError::Tokenize { .. } | InferError::NotFinite { .. })
}

fn model_failed(error: InferError) -> Cause {
    Cause::Model(error.into())
}

/// Tokens of a text that count, special ones left out: those are as many as leave no room for text.
fn room(embed: &dyn Embed) -> Result<usize, Cause> {
    let fits = |tokens: &usize| embed.chunk("a", *tokens, 0).is_ok();
    let most = embed.tokens_max();
    match (1..=most).find(fits) {
        Some(least) => Ok(most + 1 - least),
        None => embed.chunk("a", most, 0).map(|_| 0).map_err(model_failed),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
