//! `cloze train ablate`: the same pre-training in variants, and what each is worth to the tasks that come after it.
//!
//! The ablations of Devlin et al. 2018 (section 5, appendix C): directions of attention, next sentences, masking,
//! size. Losses of different objectives are on different scales, so a variant is judged by probes: its encoder is
//! frozen, and a linear classifier on its mean states learns a labelled set (Conneau and Kiela 2018, "SentEval"). A
//! fine-tuned classifier would not compare them either: it reads the first token, which sees nothing from the left.

mod linear;
mod probe;
mod recipe;
mod results;
mod table;

use std::io::{Write, sink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use encoder::{ModelFiles, SentenceEncoder};
use launch::Exit;
use trainer::recipe::{Compute, Precision};
use trainer::{Ended, MlmRecipe};

use crate::commands::open_tokenizer;
use crate::follow::{Sitting, complete};
use probe::Examples;
use recipe::{Ablation, Variant};
use results::RunResult;

const EXAMPLES: &str = "\
Examples:
  cloze train ablate training/recipes/ablation.toml --dry-run
  cloze train ablate training/recipes/ablation.toml
Runs that are finished are not run again, and one that was interrupted goes on from its last checkpoint.";

/// Options of `ablate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AblateArgs {
    /// The recipe, a TOML file; see training/recipes/ablation.toml.
    recipe: PathBuf,
    /// Change a setting of the recipe: a.b=value.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
    /// Say which runs there are and which of them are done, and stop.
    #[arg(long)]
    dry_run: bool,
}

/// Runs `train ablate`.
pub(crate) fn ablate(args: &AblateArgs, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let ablation: Ablation = trainer::recipe::read(&args.recipe, &args.set)?;
    let recipes = ablation.recipes()?;
    if args.dry_run {
        tell_runs(&ablation, &recipes, screen)?;
        return Ok(Exit::Success);
    }
    let probes = ablation.probes.iter().map(Examples::read);
    let probes = probes.collect::<Result<Vec<_>>>()?;
    let count = recipes.len() * ablation.seeds.len();
    let mut results = Vec::new();
    for (variant, recipe) in &recipes {
        let mut of_variant = Vec::new();
        for &seed in &ablation.seeds {
            let recipe = ablation.seeded(variant, recipe, seed);
            let number = results.len() * ablation.seeds.len() + of_variant.len() + 1;
            let name = format!("{number} of {count}: {} with seed {seed}", variant.name);
            // JSON stands alone.
            let told: &mut dyn Write = if args.json { &mut sink() } else { screen };
            match one(&ablation, recipe, &probes, &name, show_progress, told)? {
                Some(result) => of_variant.push(result),
                None => {
                    writeln!(
                        screen,
                        "interrupted in {name}; the same command goes on from there"
                    )?;
                    return Ok(Exit::Interrupted);
                }
            }
        }
        results.push((variant.name.as_str(), of_variant));
    }
    let table = table::Table::new(&results)?;
    match args.json {
        true => writeln!(screen, "{}", serde_json::to_string_pretty(&table)?)?,
        false => write!(screen, "{}", table.markdown())?,
    }
    Ok(Exit::Success)
}

/// The result of one run: the one on disk, or a new one; none when it was interrupted. A new one is told by `name`.
fn one(
    ablation: &Ablation,
    recipe: MlmRecipe,
    probes: &[Examples],
    name: &str,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<Option<RunResult>> {
    let folder = recipe.out.clone();
    let of = ablation.key(&recipe)?;
    if let Some(result) = RunResult::read(&folder, &of)? {
        return Ok(Some(result));
    }
    writeln!(screen, "{name}")?;
    // The probes compute where the run did, in 32 bits.
    let compute = Compute {
        precision: Precision::F32,
        ..recipe.compute
    };
    let pre_trained =
        pre_train(recipe, of, show_progress, screen).with_context(|| folder.display().to_string())?;
    let Some(mut result) = pre_trained else {
        return Ok(None);
    };
    let model = SentenceEncoder::open(&ModelFiles::folder(&folder)?, &compute.open()?)?;
    let tokenizer = open_tokenizer(&folder)?;
    for examples in probes {
        result.probes.push(examples.judge(&model, &tokenizer)?);
    }
    result.write(&folder)?;
    Ok(Some(result))
}

fn pre_train(
    recipe: MlmRecipe,
    of: String,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<Option<RunResult>> {
    let tokens = recipe::tokens(&recipe)?;
    let outcome = complete(recipe, Sitting::NEXT, show_progress, screen)?;
    match outcome.ended {
        Ended::Interrupted => return Ok(None),
        Ended::Early => bail!(
            "stopped at step {}; saving.patience spoils the common budget",
            outcome.steps
        ),
        Ended::Finished => {}
    }
    let held_out = outcome.saved_scores().map(|scored| scored.scores.clone());
    Ok(Some(RunResult {
        of,
        parameters: outcome.parameters,
        tokens,
        seconds: outcome.seconds,
        held_out: held_out.unwrap_or_default(),
        probes: Vec::new(),
    }))
}

/// The runs, and which of them are done.
fn tell_runs(ablation: &Ablation, recipes: &[(&Variant, MlmRecipe)], screen: &mut dyn Write) -> Result<()> {
    for (variant, recipe) in recipes {
        for &seed in &ablation.seeds {
            let recipe = ablation.seeded(variant, recipe, seed);
            let state = match RunResult::read(&recipe.out, &ablation.key(&recipe)?)? {
                Some(_) => "done",
                None if has_checkpoint(&recipe.out) => "begun",
                None => "to do",
            };
            let (steps, tokens) = (recipe.schedule.steps, recipe::tokens(&recipe)?);
            let name = &variant.name;
            writeln!(
                screen,
                "{name}, seed {seed}: {steps} steps, {tokens} tokens, {state}"
            )?;
        }
    }
    Ok(())
}

fn has_checkpoint(folder: &Path) -> bool {
    folder.join("checkpoints").is_dir()
}
