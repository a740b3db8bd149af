//! The recipe of an ablation.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use trainer::MlmRecipe;

/// Variants of one pre-training run, all with the same budget of tokens and the same seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ablation {
    /// Folder that receives a folder for each variant, and in it one for each seed.
    pub(super) out: PathBuf,
    /// A recipe of `cloze train mlm`, of which every variant is a change.
    pub(super) base: PathBuf,
    /// Changes of it that are common to all variants: `a.b=value`.
    #[serde(default)]
    pub(super) set: Vec<String>,
    /// Seeds; each variant runs once with each.
    pub(super) seeds: Vec<u64>,
    /// The variants; the others are compared with the first.
    pub(super) variants: Vec<Variant>,
    /// What judges them.
    pub(super) probes: Vec<Probe>,
}

/// A change of the base recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Variant {
    /// Its name in the table and on disk.
    pub(super) name: String,
    /// Changes: `a.b=value`.
    #[serde(default)]
    pub(super) set: Vec<String>,
}

/// A labelled set: files with tabs between columns, whose first line names the columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    /// Its name in the table.
    pub(super) name: String,
    /// What the classifier learns from.
    pub(super) train: PathBuf,
    /// What it is scored on.
    pub(super) test: PathBuf,
    /// The column of the class.
    #[serde(default = "label")]
    pub(super) label: String,
    /// The column of the text, or the two columns of a pair.
    #[serde(default = "sentence")]
    pub(super) texts: Vec<String>,
    /// Rows of `train` that are taken, the first ones; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) train_rows: Option<usize>,
    /// Tokens of a text at most.
    #[serde(default = "tokens_max")]
    pub(super) tokens: usize,
}

fn label() -> String {
    "label".into()
}

fn sentence() -> Vec<String> {
    vec!["sentence".into()]
}

fn tokens_max() -> usize {
    128
}

impl Ablation {
    /// The recipe of each variant, checked against each other.
    pub(super) fn recipes(&self) -> Result<Vec<(&Variant, MlmRecipe)>> {
        self.check()?;
        let mut recipes: Vec<(&Variant, MlmRecipe)> = Vec::new();
        for variant in &self.variants {
            let changes = [self.set.as_slice(), &variant.set].concat();
            let recipe: MlmRecipe = trainer::recipe::read(&self.base, &changes)
                .with_context(|| format!("variant {}", variant.name))?;
            if recipe.schedule.minutes.is_some() {
                bail!(
                    "variant {} has schedule.minutes, accepted: steps alone, so that all see the same",
                    variant.name
                );
            }
            let budget = tokens(&recipe)?;
            if let Some((first, of_first)) = recipes.first() {
                let expected = tokens(of_first)?;
                if budget != expected {
                    bail!(
                        "variant {} sees {budget} tokens and {} sees {expected}, accepted: the same budget for all",
                        variant.name,
                        first.name
                    );
                }
            }
            recipes.push((variant, recipe));
        }
        Ok(recipes)
    }

    fn check(&self) -> Result<()> {
        if self.seeds.is_empty() || self.variants.is_empty() || self.probes.is_empty() {
            bail!("the recipe needs one or more seeds, variants and probes");
        }
        for (at, variant) in self.variants.iter().enumerate() {
            let name = &variant.name;
            let is_plain = |c: char| c.is_alphanumeric() || "-_ .".contains(c);
            if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
                bail!("variant {name:?} names a folder, accepted: letters, digits, spaces and -_.");
            }
            if self.variants[..at].iter().any(|other| other.name == *name) {
                bail!("two variants are named {name:?}");
            }
        }
        match self
            .probes
            .iter()
            .find(|probe| !(1..=2).contains(&probe.texts.len()))
        {
            None => Ok(()),
            Some(probe) => bail!(
                "probe {} has {} texts, accepted: 1 or 2",
                probe.name,
                probe.texts.len()
            ),
        }
    }

    /// The recipe of one run.
    pub(super) fn seeded(&self, variant: &Variant, recipe: &MlmRecipe, seed: u64) -> MlmRecipe {
        MlmRecipe {
            seed,
            out: self.out.join(&variant.name).join(format!("seed-{seed}")),
            ..recipe.clone()
        }
    }

    /// Everything that decides the result of a run.
    pub(super) fn key(&self, recipe: &MlmRecipe) -> Result<String> {
        Ok(serde_json::to_string(&(recipe, &self.probes))?)
    }
}

/// Tokens that a run looks at, as many as its sequences can hold.
pub(super) fn tokens(recipe: &MlmRecipe) -> Result<u64> {
    let batches = (recipe.schedule.steps * recipe.optimizer.accumulate) as f64;
    let phases = recipe.data.phases()?;
    let tokens = |share: f64, rows: usize| (batches * share).round() as u64 * rows as u64;
    Ok(phases
        .iter()
        .map(|phase| tokens(phase.share, phase.tokens * phase.batch))
        .sum())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    const BASE: &str = "seed = 1\ntokenizer = \"t\"\nout = \"o\"\n\
        model = { hidden = 8, layers = 1, heads = 2, intermediate = 16, positions = 32 }\n\
        data = { texts = [], tokens = 16, batch = 4 }\nschedule = { steps = 10 }\n";

    fn recipes(variants: &str) -> Result<Vec<u64>> {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.toml");
        std::fs::write(&base, BASE).unwrap();
        let text = format!(
            "out = \"o\"\nbase = {base:?}\nseeds = [1, 2]\n{variants}\n\
             [[probes]]\nname = \"p\"\ntrain = \"a\"\ntest = \"b\"\n"
        );
        let ablation: Ablation = trainer::recipe::parse(&text, "test", &[])?;
        let recipes = ablation.recipes()?;
        recipes.iter().map(|(_, recipe)| tokens(recipe)).collect()
    }

    #[test]
    fn variants_change_the_base_and_keep_its_budget() {
        let same = "[[variants]]\nname = \"a\"\n[[variants]]\nname = \"b\"\nset = [\"data.batch=2\", \"schedule.steps=20\"]";
        assert_eq!(recipes(same).unwrap(), [640, 640]);
        let message = |variants: &str| format!("{:#}", recipes(variants).unwrap_err());
        let more =
            message("[[variants]]\nname = \"a\"\n[[variants]]\nname = \"b\"\nset = [\"data.batch=5\"]");
        assert!(more.contains("b sees 800 tokens and a sees 640"), "{more}");
        let twice = message("[[variants]]\nname = \"a\"\n[[variants]]\nname = \"a\"");
        assert!(twice.contains("two variants"), "{twice}");
        let folder = message("[[variants]]\nname = \"../a\"");
        assert!(folder.contains("names a folder"), "{folder}");
        let unknown = message("[[variants]]\nname = \"a\"\nset = [\"data.bach=5\"]");
        assert!(
            unknown.contains("variant a") && unknown.contains("bach"),
            "{unknown}"
        );
        let timed = message("[[variants]]\nname = \"a\"\nset = [\"schedule.minutes=5.0\"]");
        assert!(timed.contains("schedule.minutes"), "{timed}");
    }
}
