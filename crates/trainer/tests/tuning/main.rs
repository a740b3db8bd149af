//! Fine-tuning tiny models on tiny sets: each task learns, resumes to the same numbers, and its folder opens again.

mod classify;
mod reader;
mod rerank;
mod tag;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::Var;
use encoder::ModelFiles;
use serde::de::DeserializeOwned;
use text::Tokenizer;
use trainer::recipe::{self, Recipe};
use trainer::{Run, Task};

type Checked = Result<(), Box<dyn Error>>;

const WORDS: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] . , ? who what where is the a red green blue good bad fine poor \
    cat dog bird fish tree ann bob carl in on rome paris likes sees ##s ##e";

const COMMON: &str = r#"
    seed = 3
    tokenizer = "tokenizer"
    out = "out"
    [model]
    hidden = 16
    layers = 2
    heads = 2
    intermediate = 32
    positions = 32
    dropout = 0.1
    [optimizer]
    learning_rate = 5e-3
    [saving]
    checkpoint_steps = 20
"#;

fn tokenizer() -> Result<Tokenizer, Box<dyn Error>> {
    let lines = WORDS.split_whitespace().collect::<Vec<_>>().join("\n");
    Ok(Tokenizer::from_files(|name| {
        (name == "vocab.txt").then_some(&lines)
    })?)
}

/// A recipe out of the common part and the task's own.
fn recipe<R: DeserializeOwned>(own: &str, folder: &Path) -> Result<R, trainer::Error> {
    let own = own.replace("FOLDER", &folder.display().to_string());
    recipe::parse(&format!("{COMMON}{own}"), "test", &[])
}

fn bits(task: &impl Task) -> Result<Vec<(String, Vec<u32>)>, candle_core::Error> {
    let of = |var: &Var| -> Result<Vec<u32>, candle_core::Error> {
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    let vars = task.variables();
    vars.iter()
        .map(|(name, var)| Ok((name.clone(), of(var)?)))
        .collect()
}

fn run(task: &impl Task, mut plan: trainer::Plan, out: PathBuf, resume: bool) -> Result<(), trainer::Error> {
    plan.out = out;
    Run::new(task, plan, &|| Duration::ZERO, resume)?
        .finish(|_| {})
        .map(|_| ())
}

/// Runs the recipe whole, then from a checkpoint, and returns the folder of the model with what
/// `evaluate` says before and after.
fn learns_and_resumes<R: Recipe>(recipe: R, folder: &Path) -> Result<(PathBuf, f64, f64), Box<dyn Error>> {
    let (plan, whole) = (recipe.plan()?, recipe.clone().task(tokenizer()?)?);
    let score =
        |task: &R::Task| -> Result<f64, Box<dyn Error>> { Ok(task.evaluate()?.first().ok_or("no score")?.1) };
    let before = score(&whole)?;
    let out = folder.join("whole");
    run(&whole, plan.clone(), out.clone(), false)?;
    let cut = folder.join("cut");
    std::fs::create_dir_all(cut.join("checkpoints"))?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out.join("checkpoints"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    // The run is cut after the last checkpoint but one.
    let step = names[0].split('.').next().unwrap_or_default().to_owned();
    assert!(!names[names.len() - 1].starts_with(&step), "{names:?}");
    for name in names.iter().filter(|name| name.starts_with(&step)) {
        let name = Path::new("checkpoints").join(name);
        std::fs::copy(out.join(&name), cut.join(&name))?;
    }
    let resumed = recipe.task(tokenizer()?)?;
    assert_ne!(bits(&resumed)?, bits(&whole)?);
    run(&resumed, plan, cut, true)?;
    assert_eq!(bits(&resumed)?, bits(&whole)?);
    Ok((out, before, score(&whole)?))
}

/// Message of the error that refuses a recipe.
fn refused<R: Recipe>(recipe: R) -> Result<String, Box<dyn Error>> {
    let refused = recipe.task(tokenizer()?).err();
    Ok(refused.map(|error| error.to_string()).unwrap_or_default())
}
