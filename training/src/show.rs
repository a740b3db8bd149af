//! What a run says on the screen.

use std::io::Write;

use anyhow::Result;
use launch::Exit;
use trainer::{Ended, Evaluation, News, Outcome, Plan, Rehearsal, Report};

/// What was said last, so that scores stand beside how far the run is.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    progress: f64,
    scores: Option<String>,
}

impl Shown {
    /// The progress, and a line on where the run stands.
    pub(crate) fn line(&mut self, news: News<'_>) -> (f64, String) {
        match news {
            News::Steps(report) => {
                self.progress = report.progress;
                let scores = self.scores.as_ref().map(|scores| format!(" [{scores}]"));
                (report.progress, summary(report) + &scores.unwrap_or_default())
            }
            News::Scores(evaluation) => {
                self.scores = Some(scores(evaluation));
                (
                    self.progress,
                    format!("step {} {}", evaluation.step, scores(evaluation)),
                )
            }
        }
    }

    /// A line for whoever reads a file or a pipe.
    pub(crate) fn tell(&mut self, news: News<'_>, screen: &mut dyn Write) -> std::io::Result<()> {
        match news {
            News::Steps(report) => {
                let left = report.seconds * (1.0 - report.progress) / report.progress.max(1e-9) / 60.0;
                let percent = 100.0 * report.progress;
                writeln!(screen, "{percent:>5.1} % {}, {left:.0} min left", summary(report))
            }
            News::Scores(evaluation) => {
                writeln!(
                    screen,
                    "scores after step {}: {}",
                    evaluation.step,
                    scores(evaluation)
                )
            }
        }
    }
}

/// Where the run stands, without how far it is.
fn summary(report: &Report) -> String {
    let mut parts: Vec<String> = report
        .parts
        .iter()
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    parts.sort();
    let used = report
        .utilization
        .map(|share| format!(", {:.1} % of the peak", 100.0 * share));
    let waiting = (report.waiting >= 0.005).then(|| format!(", waiting {:.0} %", 100.0 * report.waiting));
    format!(
        "step {} {} lr {:.2e} norm {:.2} {:.0} tokens/s{}{}",
        report.step,
        parts.join(" "),
        report.learning_rate,
        report.gradient_norm,
        report.tokens_per_second,
        used.unwrap_or_default(),
        waiting.unwrap_or_default(),
    )
}

fn scores(evaluation: &Evaluation) -> String {
    let scores = evaluation.scores.iter();
    let scores: Vec<String> = scores.map(|(name, score)| format!("{name} {score:.4}")).collect();
    scores.join(" ")
}

/// Says how a run ended.
pub(crate) fn conclude(outcome: &Outcome, out: &str, screen: &mut dyn Write) -> Result<Exit> {
    let (steps, minutes) = (outcome.steps, outcome.seconds / 60.0);
    if outcome.ended == Ended::Interrupted {
        writeln!(
            screen,
            "interrupted after step {steps}; the same command with --resume goes on from there"
        )?;
        return Ok(Exit::Interrupted);
    }
    if let ([first, .., _], Some(saved)) = (&outcome.evaluations[..], outcome.saved_scores()) {
        writeln!(screen, "before: {}", scores(first))?;
        writeln!(screen, "after:  {}", scores(saved))?;
    }
    for units in outcome.units.iter().filter(|units| units.dead > 0) {
        let share = 100.0 * units.dead as f64 / units.all.max(1) as f64;
        writeln!(screen, "{share:.1} % of the units of {} are dead", units.variable)?;
    }
    let early = match outcome.ended {
        Ended::Early => ", ended early because the scores grew no more",
        _ => "",
    };
    let saved = match outcome.saved {
        saved if saved == steps => String::new(),
        saved => format!(", the best: of step {saved}"),
    };
    writeln!(
        screen,
        "{steps} steps in {minutes:.1} min{early}, model in {out}{saved}"
    )?;
    Ok(Exit::Success)
}

/// Says what a run would take.
pub(crate) fn foretell(rehearsal: &Rehearsal, plan: &Plan, screen: &mut dyn Write) -> Result<()> {
    let Rehearsal {
        trained,
        frozen,
        variables,
        tokens_per_step,
        ..
    } = *rehearsal;
    let frozen = match frozen {
        0 => String::new(),
        frozen => format!(", {frozen} frozen"),
    };
    writeln!(screen, "{trained} parameters{frozen} in {variables} variables")?;
    let steps = plan.schedule.steps;
    let tokens = steps * tokens_per_step;
    writeln!(
        screen,
        "{steps} steps of about {tokens_per_step} tokens: {tokens} tokens"
    )?;
    let activations = match rehearsal.activation_bytes {
        Some(bytes) => format!(
            "about {} for the activations of a batch (an estimate)",
            mib(bytes)
        ),
        None => "activations not known here".to_owned(),
    };
    writeln!(
        screen,
        "memory: {} weights, {} moments, {} gradients, {activations}",
        mib(rehearsal.weight_bytes),
        mib(rehearsal.moment_bytes),
        mib(rehearsal.gradient_bytes)
    )?;
    let minutes = steps as f64 * rehearsal.seconds_per_step / 60.0;
    let minutes = plan.schedule.minutes.map_or(minutes, |limit| limit.min(minutes));
    writeln!(screen, "about {minutes:.0} min")?;
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
