//! The card of a model: what it was trained on, how, where and to which scores, as the README of its folder.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::{Result, io};
use crate::run::{Ended, Outcome};

/// A file that a recipe names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Where it was.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// The files that a recipe names, by their settings' order: every string of it that is the path of a file, and of a
/// folder the files right in it. `recipe` is JSON.
///
/// # Errors
/// A file that cannot be read.
pub fn inputs(recipe: &str) -> Result<Vec<Input>> {
    let recipe: Value = serde_json::from_str(recipe).unwrap_or_default();
    let mut paths = Vec::new();
    files(&recipe, &mut paths)?;
    let mut known: Vec<Input> = Vec::new();
    for path in paths {
        if known.iter().all(|input| input.path != path) {
            known.push(digest(path)?);
        }
    }
    Ok(known)
}

fn files(value: &Value, found: &mut Vec<PathBuf>) -> Result<()> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| files(value, found)),
        Value::Object(values) => values.values().try_for_each(|value| files(value, found)),
        Value::String(text) => {
            let path = Path::new(text);
            if path.is_file() {
                found.push(path.to_owned());
            } else if !text.is_empty() && path.is_dir() {
                found.extend(files_in(path)?);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(io(folder))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(io(folder))?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

fn digest(path: PathBuf) -> Result<Input> {
    let mut file = File::open(&path).map_err(io(&path))?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let count = file.read(&mut buffer).map_err(io(&path))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        bytes += count as u64;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Input { path, bytes, sha256 })
}

/// Everything that the card says.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// What was trained on, in a line.
    pub task: &'a str,
    /// The recipe as TOML.
    pub recipe: &'a str,
    /// The files that it names.
    pub inputs: &'a [Input],
    /// What computed: the processor, and how many threads.
    pub hardware: &'a str,
    /// How the run ended.
    pub outcome: &'a Outcome,
}

impl Card<'_> {
    /// Writes `README.md` into the folder of the model.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("README.md");
        let name = folder
            .file_name()
            .map_or("model".into(), |name| name.to_string_lossy());
        std::fs::write(&path, self.markdown(&name)).map_err(io(&path))
    }

    fn markdown(&self, name: &str) -> String {
        let Outcome { steps, saved, .. } = *self.outcome;
        let end = match self.outcome.ended {
            Ended::Early => " (ended early: the scores grew no more)",
            Ended::Finished | Ended::Interrupted => "",
        };
        let best = if saved == steps {
            String::new()
        } else {
            format!(", the best is that of step {saved}")
        };
        let mut text = format!(
            "# {name}\n\nTrained by Cloze {} on {}.\n\n| | |\n|---|---|\n| trainable numbers | {} |\n\
             | steps | {steps}{end}{best} |\n| time | {:.1} min |\n| hardware | {} |\n",
            env!("CARGO_PKG_VERSION"),
            self.task,
            self.outcome.parameters,
            self.outcome.seconds / 60.0,
            self.hardware,
        );
        text += &self.scores();
        if let Some(verdict) = self.outcome.verdict() {
            let _ = writeln!(text, "\n{verdict}");
        }
        text += &self.units();
        text += "\n## Data\n\n| file | bytes | SHA-256 |\n|---|---|---|\n";
        for input in self.inputs {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                input.path.display(),
                input.bytes,
                input.sha256
            );
        }
        let _ = write!(text, "\n## Recipe\n\n```toml\n{}\n```\n", self.recipe.trim());
        text
    }

    /// Before the first step and of the model that was saved.
    fn scores(&self) -> String {
        let first = self.outcome.evaluations.first();
        let (Some(first), Some(saved)) = (first, self.outcome.saved_scores()) else {
            return String::new();
        };
        let mut text = format!(
            "\n## Scores on held-out data\n\n| | after step {} | after step {} |\n|---|---|---|\n",
            first.step, saved.step
        );
        for ((name, before), (_, after)) in first.scores.iter().zip(&saved.scores) {
            let _ = writeln!(text, "| {name} | {before:.4} | {after:.4} |");
        }
        text
    }

    fn units(&self) -> String {
        let (dead, all) = self
            .outcome
            .units
            .iter()
            .fold((0, 0), |(dead, all), units| (dead + units.dead, all + units.all));
        match dead {
            0 => String::new(),
            _ => format!("\n{dead} of {all} feed-forward units received no gradient at the end.\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use crate::run::{Evaluation, Units};

    #[test]
    fn inputs_are_the_files_that_a_recipe_names() {
        let folder = tempfile::tempdir().unwrap();
        let texts = folder.path().join("texts.txt");
        let tokenizer = folder.path().join("tokenizer");
        std::fs::create_dir(&tokenizer).unwrap();
        std::fs::write(&texts, "abc").unwrap();
        std::fs::write(tokenizer.join("vocab.txt"), "").unwrap();
        let recipe = serde_json::json!({
            "seed": 1, "tokenizer": tokenizer, "data": {"texts": [texts, "no such file", ""], "again": texts},
        });
        let found = inputs(&recipe.to_string()).unwrap();
        let paths: Vec<&Path> = found.iter().map(|input| input.path.as_path()).collect();
        assert_eq!(paths, [tokenizer.join("vocab.txt").as_path(), texts.as_path()]);
        assert_eq!(found[1].bytes, 3);
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found[1].sha256, expected);
    }

    #[test]
    fn the_card_tells_scores_data_and_recipe() {
        let scored = |step, score| Evaluation {
            step,
            scores: vec![("mrr".into(), score)],
        };
        let outcome = Outcome {
            ended: Ended::Early,
            parameters: 12,
            steps: 30,
            loss: 1.0,
            seconds: 90.0,
            evaluations: vec![scored(0, 0.1), scored(20, 0.5), scored(30, 0.4)],
            saved: 20,
            units: vec![Units {
                variable: "x".into(),
                dead: 1,
                all: 4,
            }],
            learned_nothing: Some(7.25),
        };
        let card = Card {
            task: "some pairs",
            recipe: "seed = 1\n",
            inputs: &[Input {
                path: "a.txt".into(),
                bytes: 7,
                sha256: "00ff".into(),
            }],
            hardware: "a processor, 2 threads",
            outcome: &outcome,
        };
        let text = card.markdown("small");
        for line in [
            "# small",
            "| trainable numbers | 12 |",
            "| steps | 30 (ended early: the scores grew no more), the best is that of step 20 |",
            "| time | 1.5 min |",
            "| mrr | 0.1000 | 0.5000 |",
            "It has learned nothing: a loss of 7.2500 is no better than guesses by the frequencies of the labels alone.",
            "1 of 4 feed-forward units received no gradient at the end.",
            "| a.txt | 7 | 00ff |",
            "seed = 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
