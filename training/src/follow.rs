//! The commands that follow a recipe: it becomes a task, and the task a run.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use clap::Args;
use launch::{Exit, Interrupt, Progress};
use trainer::card::{self, Card};
use trainer::{Ended, Outcome, Plan, Recipe, Rehearsal, Run, Task, recipe};

use crate::commands::open_tokenizer;
use crate::show::{Shown, conclude, foretell};

/// Options of the commands that follow a recipe.
#[derive(Debug, Args)]
pub struct FromRecipe {
    /// The recipe, a TOML file; see training/recipes.
    recipe: PathBuf,
    /// Change a setting of the recipe: a.b=value.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    sitting: Sitting,
    /// Say what would be done, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Train on so many GPUs, each with its share of the batches of a step (optimizer.accumulate).
    #[cfg(feature = "nccl")]
    #[arg(long, value_name = "N")]
    gpus: Option<std::num::NonZeroUsize>,
}

/// One sitting of a run, which may take several.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Sitting {
    /// Go on from the last checkpoint.
    #[arg(long)]
    resume: bool,
    /// The peak rate of the device in teraflops, to be told which share of it is used.
    #[arg(long, value_name = "TFLOPS", value_parser = positive)]
    peak_tflops: Option<f64>,
}

impl Sitting {
    /// A run that was cut off goes on; one that has no checkpoint begins.
    pub(crate) const NEXT: Self = Self {
        resume: true,
        peak_tflops: None,
    };
}

impl FromRecipe {
    /// The recipe with its changes.
    pub(crate) fn read<R: Recipe>(&self) -> Result<R> {
        Ok(recipe::read(&self.recipe, &self.set)?)
    }
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    let value = text
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| "expected a positive number".into())
}

/// Runs a command that follows a recipe.
pub(crate) fn follow<R: Recipe>(
    options: &FromRecipe,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<Exit> {
    let recipe = options.read::<R>()?;
    if options.dry_run {
        let plan = recipe.plan()?;
        let task = begin(recipe, screen)?;
        dry_run(&task, &plan, screen)?;
        return Ok(Exit::Success);
    }
    #[cfg(feature = "nccl")]
    if let (Some(gpus), None) = (options.gpus, crate::ranks::rank()) {
        return crate::ranks::run(gpus);
    }
    let folder = recipe.frame().out.display().to_string();
    let outcome = complete(recipe, options.sitting, show_progress, screen)?;
    conclude(&outcome, &folder, screen)
}

/// The task that follows the recipe.
fn begin<R: Recipe>(recipe: R, screen: &mut dyn Write) -> Result<R::Task> {
    let tokenizer = open_tokenizer(recipe.frame().tokenizer)?;
    let task = recipe.task(tokenizer)?;
    writeln!(screen, "{}", task.describe())?;
    Ok(task)
}

/// Runs a recipe to its end, or until somebody interrupts it; the model gets its card.
pub(crate) fn complete<R: Recipe>(
    recipe: R,
    sitting: Sitting,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<Outcome> {
    let written = toml::to_string_pretty(&recipe).context("writing the recipe")?;
    let plan = recipe.plan()?;
    if !sitting.resume {
        // Before the data are read, which can take minutes.
        plan.check_new()?;
    }
    let task = begin(recipe, screen)?;
    let folder = plan.out.clone();
    let hardware = hardware(&task);
    // Read now: they may have changed when the run is done.
    let inputs = card::inputs(&plan.recipe)?;
    let outcome = train(&task, plan, sitting, show_progress, screen)?;
    if outcome.ended != Ended::Interrupted && is_first() {
        let verdict = outcome.verdict().map(|verdict| {
            format!("{verdict} A lower learning rate, a longer warm-up or more steps can help.")
        });
        launch::warn(&folder.display().to_string(), verdict.as_slice());
        let card = Card {
            task: &task.describe(),
            recipe: &written,
            inputs: &inputs,
            hardware: &hardware,
            outcome: &outcome,
        };
        card.write(&folder)?;
    }
    Ok(outcome)
}

/// Whether this process writes the files of a run.
fn is_first() -> bool {
    #[cfg(feature = "nccl")]
    let rank = crate::ranks::rank();
    #[cfg(not(feature = "nccl"))]
    let rank = None;
    rank.is_none_or(|rank: usize| rank == 0)
}

/// What computes, in words.
fn hardware(task: &impl Task) -> String {
    let variables = task.variables();
    let gpu = variables
        .first()
        .and_then(|(_, var)| recipe::gpu_name(var.device()));
    let processor = format!("{}, {} threads", launch::processor(), launch::threads());
    match gpu {
        Some(gpu) => format!("{gpu}; {processor}"),
        None => processor,
    }
}

/// Runs to the end, and says how it ended.
fn train<T: Task>(
    task: &T,
    plan: Plan,
    sitting: Sitting,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<Outcome> {
    let start = Instant::now();
    let clock = move || start.elapsed();
    let interrupt = Interrupt::on_ctrl_c();
    let interrupted = || interrupt.is_raised();
    let (out, steps) = (plan.out.display().to_string(), plan.schedule.steps);
    let mut run = Run::new(task, plan, &clock, sitting.resume)?
        .began_at(since_1970())
        .interrupted_by(&interrupted);
    #[cfg(feature = "nccl")]
    let ranks = crate::ranks::join(task)?;
    #[cfg(feature = "nccl")]
    if let Some(ranks) = &ranks {
        run = run.among(ranks);
    }
    if let Some(peak) = sitting.peak_tflops {
        run = run.with_peak(1e12 * peak);
    }
    launch::warn(&out, run.notes());
    let step = run.step();
    writeln!(screen, "{} parameters, from step {step}", run.parameters())?;
    let bar = match show_progress {
        true => Progress::new(Some(BAR_PARTS), "steps"),
        false => Progress::hidden(),
    };
    bar.begin_at(part(step as f64 / steps.max(1) as f64));
    let mut shown = Shown::default();
    let mut broken = None;
    let outcome = run.finish(|news| match bar.is_hidden() {
        true if show_progress => broken = broken.take().or(shown.tell(news, screen).err()),
        true => {}
        false => {
            let (progress, line) = shown.line(news);
            bar.tell(part(progress), line);
        }
    });
    bar.finish();
    let outcome = outcome?;
    if let Some(error) = broken {
        return Err(error).context("writing the progress");
    }
    Ok(outcome)
}

/// The time of day, as far as the system knows it.
fn since_1970() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0.0, |since| since.as_secs_f64())
}

/// The bar goes by the progress of the schedule, which steps and time decide together.
const BAR_PARTS: u64 = 10_000;

fn part(progress: f64) -> u64 {
    (progress * BAR_PARTS as f64) as u64
}

fn dry_run(task: &impl Task, plan: &Plan, screen: &mut dyn Write) -> Result<()> {
    let start = Instant::now();
    let occupied = || launch::memory().map(|(resident, _)| resident);
    let rehearsal = Rehearsal::of(task, plan, &|| start.elapsed(), &occupied)?;
    foretell(&rehearsal, plan, screen)
}
