//! The commands that follow a recipe: it becomes a task, and the task a run.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use launch::Progress;
use trainer::{Plan, Recipe, Report, Run, Task, recipe};

use crate::commands::open_tokenizer;

/// Options of the commands that follow a recipe.
#[derive(Debug, Args)]
pub struct FromRecipe {
    /// The recipe, a TOML file; see training/recipes.
    recipe: PathBuf,
    /// Change a setting of the recipe: a.b=value.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Go on from the last checkpoint.
    #[arg(long)]
    resume: bool,
    /// Say what would be done, and stop.
    #[arg(long)]
    dry_run: bool,
}

/// Runs a command that follows a recipe.
pub(crate) fn follow<R: Recipe>(
    options: &FromRecipe,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<()> {
    let recipe: R = recipe::read(&options.recipe, &options.set)?;
    let plan = recipe.plan()?;
    let tokenizer = open_tokenizer(recipe.frame().tokenizer)?;
    let task = recipe.task(tokenizer)?;
    writeln!(screen, "{}", task.describe())?;
    train(&task, plan, options, show_progress, screen)
}

fn train<T: Task>(
    task: &T,
    plan: Plan,
    options: &FromRecipe,
    show_progress: bool,
    screen: &mut dyn Write,
) -> Result<()> {
    if options.dry_run {
        return dry_run(task, &plan, screen);
    }
    let start = Instant::now();
    let clock = move || start.elapsed();
    let (out, steps) = (plan.out.display().to_string(), plan.schedule.steps);
    let run = Run::new(task, plan, &clock, options.resume)?;
    writeln!(
        screen,
        "{} parameters, from step {}",
        run.parameters(),
        run.step()
    )?;
    let bar = match show_progress {
        true => Progress::new(Some(BAR_PARTS), "steps"),
        false => Progress::hidden(),
    };
    bar.begin_at(part(run.step() as f64 / steps.max(1) as f64));
    let mut broken = None;
    let outcome = run.finish(|report| match bar.is_hidden() {
        true if show_progress => broken = broken.take().or(tell(report, screen).err()),
        true => {}
        false => bar.tell(part(report.progress), summary(report)),
    });
    bar.finish();
    let outcome = outcome?;
    if let Some(error) = broken {
        return Err(error).context("writing the progress");
    }
    let minutes = outcome.seconds / 60.0;
    let steps = outcome.steps;
    writeln!(screen, "{steps} steps in {minutes:.1} min, model in {out}")?;
    Ok(())
}

/// The bar goes by the progress of the schedule, which steps and time decide together.
const BAR_PARTS: u64 = 10_000;

fn part(progress: f64) -> u64 {
    (progress * BAR_PARTS as f64) as u64
}

/// Where the run stands, without how far it is.
fn summary(report: &Report) -> String {
    let mut parts: Vec<String> = report
        .parts
        .iter()
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    parts.sort();
    format!(
        "step {} {} lr {:.2e} norm {:.2} {:.0} tokens/s",
        report.step,
        parts.join(" "),
        report.learning_rate,
        report.gradient_norm,
        report.tokens_per_second,
    )
}

/// A line for whoever reads a file or a pipe.
fn tell(report: &Report, screen: &mut dyn Write) -> std::io::Result<()> {
    let left = report.seconds * (1.0 - report.progress) / report.progress.max(1e-9) / 60.0;
    let percent = 100.0 * report.progress;
    writeln!(screen, "{percent:>5.1} % {}, {left:.0} min left", summary(report))
}

/// Says what a run would take, from the time of a few forward passes and the usual threefold of it for a step.
fn dry_run(task: &impl Task, plan: &Plan, screen: &mut dyn Write) -> Result<()> {
    const STEPS: u64 = 3;
    let variables = task.variables();
    let parameters: usize = variables.iter().map(|(_, var)| var.elem_count()).sum();
    let start = Instant::now();
    let mut tokens = 0;
    for step in 0..STEPS {
        tokens += task.loss(step)?.tokens;
    }
    let tokens = plan.optimizer.accumulate * tokens as u64 / STEPS;
    let steps = plan.schedule.steps;
    let batches = plan.optimizer.accumulate * steps;
    let full = Duration::from_secs_f64(3.0 * start.elapsed().as_secs_f64() / STEPS as f64 * batches as f64);
    let minutes = full.as_secs_f64() / 60.0;
    let minutes = plan.schedule.minutes.map_or(minutes, |limit| limit.min(minutes));
    writeln!(screen, "{parameters} parameters in {} variables", variables.len())?;
    writeln!(
        screen,
        "{steps} steps of about {tokens} tokens: {} tokens",
        steps * tokens
    )?;
    writeln!(screen, "about {minutes:.0} min")?;
    Ok(())
}
