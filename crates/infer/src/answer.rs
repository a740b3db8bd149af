//! From the logits of an extractive reader to an answer (Devlin et al. 2018, sections 4.2 and 4.3).

use std::ops::Range;
use std::path::Path;

use encoder::ModelFiles;
use serde::{Deserialize, Serialize};

use crate::InferError;

/// How a reader's model was trained to be asked, kept in `reader.json` of its folder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReaderSettings {
    /// Tokens of a question with a window of the text, special tokens included.
    pub window_tokens: usize,
    /// Tokens of the text that a window shares with the one before it.
    pub overlap_tokens: usize,
    /// Longer questions are cut to this many tokens.
    pub question_tokens: usize,
    /// The longest answer, in tokens.
    pub answer_tokens: usize,
    /// A text answers a question when the margin of [`Reading`] is above this.
    pub threshold: f32,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        Self {
            window_tokens: 384,
            overlap_tokens: 128,
            question_tokens: 64,
            answer_tokens: 30,
            threshold: 0.0,
        }
    }
}

const FILE: &str = "reader.json";

impl ReaderSettings {
    /// Reads `reader.json` of a model; without it, the defaults for a model of so many positions.
    ///
    /// # Errors
    /// [`InferError::Open`] for a file that is damaged or has a setting out of range.
    pub fn open(files: &ModelFiles, positions: usize) -> Result<Self, InferError> {
        let refuse = |reason: String| InferError::Open {
            model: files.describe(),
            reason: format!("{FILE}: {reason}"),
        };
        let mut settings = Self::default();
        if files.has(FILE) {
            let bytes = files.read(FILE).map_err(|error| refuse(error.to_string()))?;
            settings = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        } else if positions < settings.window_tokens {
            settings.window_tokens = positions;
            settings.overlap_tokens = positions / 4;
            settings.question_tokens = positions / 4;
        }
        settings.check(positions).map_err(refuse)?;
        Ok(settings)
    }

    /// Checks the settings for a model of so many positions; the error is the reason.
    ///
    /// # Errors
    /// A setting out of its range: windows must have room for more of the text than they share.
    pub fn check(&self, positions: usize) -> Result<(), String> {
        if self.window_tokens > positions {
            return Err(format!(
                "window_tokens is {}; accepted: up to {positions}, the positions of the model",
                self.window_tokens
            ));
        }
        // Up to four special tokens.
        let room = self.window_tokens.saturating_sub(self.question_tokens + 4);
        if self.question_tokens == 0 || self.overlap_tokens >= room {
            return Err(format!(
                "question_tokens is {} and overlap_tokens is {}; accepted: a question of 1 or more, and an overlap \
                 below the {room} tokens that window_tokens {} leave",
                self.question_tokens, self.overlap_tokens, self.window_tokens
            ));
        }
        if self.answer_tokens == 0 || !self.threshold.is_finite() {
            return Err(format!(
                "answer_tokens is {} and threshold is {}; accepted: 1 or more, and any number",
                self.answer_tokens, self.threshold
            ));
        }
        Ok(())
    }

    /// Writes `reader.json` into a model folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, folder: &Path) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(folder.join(FILE), text + "\n")
    }
}

/// What a reader says of one window of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowLogits<'a> {
    /// The logits of the first token, beginning and end together: how sure it is that no answer is here.
    pub nothing: f32,
    /// Logits of beginning and of ending at each token of the text that is in the window.
    pub logits: Vec<[f32; 2]>,
    /// The bytes of the text that each of these tokens stands for.
    pub spans: &'a [(usize, usize)],
}

/// The best answer in a text, and how it compares with none.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its bytes in the text; empty when the text has no token.
    pub span: Range<usize>,
    /// Logits of its beginning and end together.
    pub score: f32,
    /// The same for "no answer": the least over the windows, because the answer need only be in one.
    pub nothing: f32,
}

impl Reading {
    /// How much surer the reader is of the answer than of there being none.
    pub fn margin(&self) -> f32 {
        self.score - self.nothing
    }

    /// The best of the windows of a text: the span of at most `answer_tokens` tokens with the highest sum of its
    /// two logits; of equal ones the first.
    pub fn of_windows(windows: &[WindowLogits<'_>], answer_tokens: usize) -> Self {
        let mut best = Self {
            span: 0..0,
            score: f32::NEG_INFINITY,
            nothing: f32::INFINITY,
        };
        for window in windows {
            best.nothing = best.nothing.min(window.nothing);
            for (begin, [first, _]) in window.logits.iter().enumerate() {
                let ends = window.logits.iter().enumerate().skip(begin).take(answer_tokens);
                for (end, [_, last]) in ends {
                    if first + last > best.score {
                        best.score = first + last;
                        best.span = window.spans[begin].0..window.spans[end].1;
                    }
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    const SPANS: [(usize, usize); 4] = [(0, 2), (3, 5), (6, 8), (9, 11)];

    fn window(nothing: f32, logits: [[f32; 2]; 4]) -> WindowLogits<'static> {
        WindowLogits {
            nothing,
            logits: logits.to_vec(),
            spans: &SPANS,
        }
    }

    #[test]
    fn the_best_span_is_short_forward_and_from_one_window() {
        // Beginning at 3 and ending at 0 would be best; from 0 to 3 is too long for two tokens.
        let one = window(1.0, [[5.0, 9.0], [4.0, 0.0], [0.0, 3.0], [9.0, 6.0]]);
        assert_eq!(Reading::of_windows(std::slice::from_ref(&one), 2).span, 9..11);
        let two = window(-2.0, [[8.0, 0.0], [0.0, 8.5], [0.0, 0.0], [0.0, 0.0]]);
        let best = Reading::of_windows(&[one, two], 2);
        assert_eq!((best.span.clone(), best.score, best.nothing), (0..5, 16.5, -2.0));
        assert_eq!(best.margin(), 18.5);
        let empty = WindowLogits {
            nothing: 0.5,
            logits: Vec::new(),
            spans: &[],
        };
        let none = Reading::of_windows(&[empty], 2);
        assert!(none.span.is_empty() && none.margin() == f32::NEG_INFINITY);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = ModelFiles::folder(folder.path()).unwrap();
        let small = ReaderSettings::open(&files, 64).unwrap();
        assert_eq!((small.window_tokens, small.overlap_tokens), (64, 16));
        let open = |text: &str| {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            ReaderSettings::open(&files, 512).map_err(|error| error.to_string())
        };
        assert_eq!(open("{}"), Ok(ReaderSettings::default()));
        for (text, part) in [
            (
                "{\"window_tokens\": 600}",
                "window_tokens is 600; accepted: up to 512",
            ),
            ("{\"overlap_tokens\": 316}", "overlap_tokens is 316; accepted"),
            ("{\"answer_tokens\": 0}", "answer_tokens is 0"),
            ("{\"windows\": 1}", "reader.json: unknown field `windows`"),
        ] {
            assert!(open(text).unwrap_err().contains(part), "{:?}", open(text));
        }
        let saved = ReaderSettings {
            threshold: 1.5,
            ..ReaderSettings::default()
        };
        saved.save(folder.path()).unwrap();
        assert_eq!(ReaderSettings::open(&files, 512).unwrap(), saved);
    }
}
