//! An extractive reader from a model folder: the words of a text that answer a question, or that none do.

use encoder::ModelFiles;
use text::PairFrame;

use crate::answer::{ReaderSettings, Reading, WindowLogits};
use crate::engine::Tokens;
use crate::open::tokenize;
use crate::{InferError, ModelSettings, Read, TokenModel};

/// A question answering model on the CPU, which reads texts of any length in windows.
pub struct Reader {
    model: TokenModel,
    frame: PairFrame,
    settings: ReaderSettings,
}

impl Reader {
    /// Opens a question answering folder; `reader.json` in it says how it is asked.
    ///
    /// # Errors
    /// [`InferError::Open`] names the model and what is wrong with which file; [`InferError::Setting`] a setting
    /// out of range.
    pub fn open(files: &ModelFiles, settings: &ModelSettings) -> Result<Self, InferError> {
        let model = TokenModel::reader(files, settings)?;
        Ok(Self {
            frame: model.tokenizer().pair_frame().map_err(tokenize)?,
            settings: ReaderSettings::open(files, model.tokens_max())?,
            model,
        })
    }

    /// How it is asked, and from which margin on a text answers.
    pub fn settings(&self) -> &ReaderSettings {
        &self.settings
    }

    /// What somebody who opened the model should know.
    pub fn notes(&self) -> &[String] {
        self.model.notes()
    }

    /// The best answer to each question in its text.
    ///
    /// # Errors
    /// When the tokenizer refuses a text, or the model gives a number that is not finite.
    pub fn read(&self, questions: &[(&str, &str)]) -> Result<Vec<Reading>, InferError> {
        let tokenizer = self.model.tokenizer();
        let (mut rows, mut parts, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (question, text) in questions {
            let mut asked = tokenizer.bare_ids(question).map_err(tokenize)?;
            asked.truncate(self.settings.question_tokens);
            let pieces = tokenizer.pieces(text).map_err(tokenize)?;
            let limit = self.settings.window_tokens;
            let windows =
                self.frame
                    .windows(asked.len(), pieces.ids.len(), limit, self.settings.overlap_tokens);
            let windows = windows.map_err(tokenize)?;
            for window in &windows {
                let pair = self.frame.join(&asked, &pieces.ids[window.clone()], limit);
                let pair = pair.map_err(tokenize)?;
                parts.push(pair.second);
                rows.push(Tokens {
                    ids: pair.ids,
                    types: pair.type_ids,
                });
            }
            texts.push((windows, pieces.spans));
        }
        let logits = self.model.run(&rows)?;
        let mut found = logits.into_iter().zip(parts);
        let read = texts.iter().map(|(windows, spans)| {
            let windows = windows.iter().zip(found.by_ref());
            let windows: Vec<WindowLogits<'_>> = windows
                .map(|(window, (logits, part))| WindowLogits {
                    nothing: logits[0][0] + logits[0][1],
                    logits: logits[part].iter().map(|both| [both[0], both[1]]).collect(),
                    spans: &spans[window.clone()],
                })
                .collect();
            Reading::of_windows(&windows, self.settings.answer_tokens)
        });
        Ok(read.collect())
    }
}

impl Read for Reader {
    fn read(&self, questions: &[(&str, &str)]) -> Result<Vec<Reading>, InferError> {
        Self::read(self, questions)
    }

    fn threshold(&self) -> f32 {
        self.settings.threshold
    }

    fn fingerprint(&self) -> &str {
        self.model.fingerprint()
    }
}
