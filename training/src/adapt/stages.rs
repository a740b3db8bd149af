//! The stages: filling in blanks, mining negatives, the old model's vectors, and fine-tuning.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use infer::ModelSettings;
use launch::Interrupt;
use trainer::{Ended, MlmRecipe, Recipe, SentenceRecipe, card, recipe};

use super::corpus::Split;
use super::model::Known;
use super::{AdaptArgs, Changes};
use crate::follow::{Sitting, complete};
use crate::mine::{By, MineArgs, mine};
use crate::model::open_embedder;
use crate::teach;

const MLM: &str = include_str!("../../recipes/adapt-mlm.toml");
const SENTENCE: &str = include_str!("../../recipes/adapt-sentence.toml");

/// What the stages leave in the folder of the work, and what they are of.
const ENCODER: &str = "mlm";
const MINED: &str = "mined.jsonl";
const MINING: &str = "mined.jsonl.mining";
const TAUGHT: &str = "taught";
const NEW: &str = "new";
const OF: &str = "of.json";

/// The files of the old model's vectors.
const VECTORS: [&str; 2] = ["queries.npy", "positives.npy"];

/// The cosine of a negative as a share of the positive's, at most. Documents of one's own are about few things, so that
/// what is nearly as near is often as good an answer.
const MARGIN: f32 = 0.7;

/// Positives of a batch, where the corpus has as many.
const POSITIVES: usize = 32;

/// What the stages begin with. Each goes on where it was interrupted.
pub(super) struct Stages<'a> {
    pub(super) args: &'a AdaptArgs,
    pub(super) changes: &'a Changes,
    pub(super) old: &'a Known,
    pub(super) split: &'a Split,
    pub(super) work: &'a Path,
    pub(super) show_progress: bool,
}

impl Stages<'_> {
    /// Runs all of them; the folder of the new model, none when interrupted. What another adaptation left in the
    /// folder of the work is removed first.
    ///
    /// # Errors
    /// Whatever goes wrong in a run; files that cannot be written.
    pub(super) fn all(&self, screen: &mut dyn Write) -> Result<Option<PathBuf>> {
        self.clear()?;
        let mut start = self.old.folder.clone();
        if self.args.mlm || self.old.has_mlm_head {
            start = match self.blanks(screen)? {
                Some(encoder) => encoder,
                None => return Ok(None),
            };
        }
        let recipe = self.fine_tuning(&start)?;
        let has_teacher = recipe.loss.teacher_rows > 0.0 || recipe.loss.teacher_vectors > 0.0;
        if recipe.data.negatives > 0 && !self.negatives(screen)? {
            return Ok(None);
        }
        if has_teacher && !self.vectors()? {
            return Ok(None);
        }
        let out = recipe.out.clone();
        Ok(self.run(recipe, screen)?.then_some(out))
    }

    fn clear(&self) -> Result<()> {
        let (old, split) = (self.old, self.split);
        let read = serde_json::json!([old.folder, split.texts, split.pairs_file, split.held_out_file]);
        let of = serde_json::json!({
            "options": self.args,
            "recipes": [MLM, SENTENCE],
            "files": card::inputs(&read.to_string())?,
        });
        let (of, path) = (of.to_string(), self.work.join(OF));
        if std::fs::read_to_string(&path).is_ok_and(|found| found == of) {
            return Ok(());
        }
        remove(&path, |path| std::fs::remove_file(path))?;
        remove(&self.work.join(MINED), |path| std::fs::remove_file(path))?;
        for folder in [ENCODER, MINING, TAUGHT, NEW] {
            remove(&self.work.join(folder), |path| std::fs::remove_dir_all(path))?;
        }
        std::fs::write(&path, of).with_context(|| path.display().to_string())
    }

    /// Goes on with masked language modelling; the encoder has the old projection.
    fn blanks(&self, screen: &mut dyn Write) -> Result<Option<PathBuf>> {
        let out = self.work.join(ENCODER);
        let mut all = common(&self.old.folder, &self.old.folder, &out);
        all.push(setting("data.texts", vec![text(&self.split.texts)]));
        all.extend_from_slice(&self.changes.mlm);
        if !self.run::<MlmRecipe>(recipe::parse(MLM, "adapt-mlm", &all)?, screen)? {
            return Ok(None);
        }
        self.old.copy_projection(&out)?;
        Ok(Some(out))
    }

    /// Finds negatives; whether that is done.
    fn negatives(&self, screen: &mut dyn Write) -> Result<bool> {
        let out = self.work.join(MINED);
        if out.exists() {
            return Ok(true);
        }
        let args = MineArgs {
            pairs: self.split.pairs_file.clone(),
            passages: Vec::new(),
            out,
            by: By::Hybrid,
            model: text(&self.old.folder),
            negatives: 4,
            depth: 60,
            skip: 0,
            margin: MARGIN,
        };
        let counts = mine(&args, self.show_progress, &Interrupt::on_ctrl_c())?;
        if counts.is_some() {
            writeln!(screen, "hard negatives found")?;
        }
        Ok(counts.is_some())
    }

    /// Computes the old model's vectors of the pairs; whether that is done.
    fn vectors(&self) -> Result<bool> {
        let out = self.work.join(TAUGHT);
        if VECTORS.iter().all(|name| out.join(name).exists()) {
            return Ok(true);
        }
        let settings = ModelSettings::new(launch::threads());
        let model = open_embedder(&text(&self.old.folder), &settings)?;
        let lines = teach::by_embedder(&model, &self.split.pairs_file, &out, self.show_progress)?;
        Ok(lines.is_some())
    }

    /// The recipe of the fine-tuning from an encoder.
    fn fine_tuning(&self, start: &Path) -> Result<SentenceRecipe> {
        let mut all = common(&self.old.folder, start, &self.work.join(NEW));
        let positives = self.split.pairs.positives.min(POSITIVES);
        all.push(setting("data.positives", positives));
        // Also what the new model reads of a text at most.
        all.push(setting("data.positive_tokens", self.old.tokens));
        if let Some(width) = self.old.dense {
            all.push(setting("dense", width));
        }
        let taught = VECTORS.map(|name| text(&self.work.join(TAUGHT).join(name)));
        let keys = ["data.query_vectors", "data.positive_vectors"];
        all.extend(keys.into_iter().zip(taught).map(|(key, path)| setting(key, path)));
        all.push(setting("data.pairs", text(&self.split.pairs_file)));
        all.extend_from_slice(&self.changes.sentence);
        let mut recipe: SentenceRecipe = recipe::parse(SENTENCE, "adapt-sentence", &all)?;
        if recipe.data.negatives > 0 {
            recipe.data.pairs = self.work.join(MINED);
        }
        Ok(recipe)
    }

    /// Runs a recipe to its end; whether it came there.
    fn run<R: Recipe>(&self, recipe: R, screen: &mut dyn Write) -> Result<bool> {
        let outcome = complete(recipe, Sitting::NEXT, self.show_progress, screen)?;
        Ok(outcome.ended != Ended::Interrupted)
    }
}

/// Removes what may be there.
fn remove(path: &Path, remove: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
    match remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

fn common(tokenizer: &Path, start: &Path, out: &Path) -> Vec<String> {
    vec![
        setting("tokenizer", text(tokenizer)),
        setting("start.model", text(start)),
        setting("out", text(out)),
    ]
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A change as `--set` has it. JSON's strings and lists of strings are TOML's.
fn setting(key: &str, value: impl Into<serde_json::Value>) -> String {
    format!("{key}={}", value.into())
}
