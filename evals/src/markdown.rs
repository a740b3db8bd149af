//! Figures and reports as Markdown, which is also what a terminal shows.

use std::fmt::Write;

use crate::figures::Figures;
use crate::report::{ModelPart, Report};

/// Means with intervals: one row for each named run, one column for each metric.
pub(crate) fn means(runs: &[(&str, &Figures)]) -> String {
    let mut text = heading("run", runs);
    for (name, figures) in runs {
        let cell = |f: &crate::figures::Figure| format!(" {:.4} ({:.4} to {:.4}) |", f.mean, f.low, f.high);
        line(&mut text, name, figures.figures.iter().map(cell));
    }
    text
}

/// Differences from the first run: one row for each other run.
pub(crate) fn differences(runs: &[(&str, &Figures)]) -> String {
    let Some(((first, _), others)) = runs.split_first().filter(|(_, others)| !others.is_empty()) else {
        return String::new();
    };
    let mut text = heading(&format!("against {first}"), runs);
    for (name, figures) in others {
        let cell = |d: &crate::figures::Difference| {
            format!(
                " {:+.4} ({:+.4} to {:+.4}), p {:.4}, +{} -{} |",
                d.mean, d.low, d.high, d.p_value, d.wins, d.losses
            )
        };
        line(&mut text, name, figures.against_first.iter().map(cell));
    }
    text
}

fn heading(corner: &str, runs: &[(&str, &Figures)]) -> String {
    let metrics = runs.first().map_or(&[][..], |(_, figures)| &figures.figures);
    let mut text = String::new();
    line(
        &mut text,
        corner,
        metrics.iter().map(|figure| format!(" {} |", figure.metric)),
    );
    text.push_str(&"|---".repeat(metrics.len() + 1));
    text.push_str("|\n");
    text
}

fn line(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    text.push_str(&format!("| {name} |"));
    text.extend(cells);
    text.push('\n');
}

/// The whole report.
pub(crate) fn report(report: &Report) -> String {
    let runs: Vec<(&str, &Figures)> = report
        .runs
        .iter()
        .map(|run| (run.mode.name(), &run.figures))
        .collect();
    let mut text = format!("# Retrieval on {}\n\n", report.data.name);
    text.push_str(&means(&runs));
    let percent = 100.0 * report.settings.bootstrap.confidence;
    let _ = writeln!(
        text,
        "\nMeans over {} judged queries (a query without an answer counts as 0), {percent} % bootstrap intervals.\n",
        report.data.queries
    );
    if runs.len() > 1 {
        text.push_str(&differences(&runs));
        text.push_str("\nPaired differences, two-sided randomisation test, queries won and lost.\n\n");
    }
    text.push_str(&times(report));
    text.push_str(&origin(report));
    text
}

fn times(report: &Report) -> String {
    let mut text = String::from(
        "| search, ms a query | p50 | p99 | threads | unanswered queries |\n|---|---|---|---|---|\n",
    );
    for run in &report.runs {
        let (time, unanswered) = (run.search_ms, run.figures.unanswered);
        let row = format!(
            "| {} | {:.2} | {:.2} | {} | {unanswered} |\n",
            run.mode.name(),
            time.p50,
            time.p99,
            time.threads
        );
        text.push_str(&row);
    }
    text
}

fn origin(report: &Report) -> String {
    let (data, settings) = (&report.data, &report.settings);
    let mut text = format!(
        "\n## Made from\n\n- {} documents in {} passages; {} documents without text left out; {} judgments (split {})\n",
        data.documents, data.passages, data.documents_without_text, data.judgments, settings.split
    );
    for (file, sha256) in &data.sha256 {
        let _ = writeln!(text, "- `{file}` {sha256}");
    }
    let model = |text: &mut String, role: &str, model: &ModelPart| {
        let _ = writeln!(text, "- {role} `{}` {}", model.name, model.fingerprint);
    };
    model(&mut text, "model", &report.model);
    if let Some(reranker) = &report.reranker {
        model(&mut text, "reranker", reranker);
    }
    for run in &report.runs {
        let _ = writeln!(text, "- `{}` {}", run.file, run.sha256);
    }
    let settings_text = serde_json::to_string(settings).unwrap_or_default();
    let _ = writeln!(
        text,
        "- settings {}\n\n```json\n{settings_text}\n```",
        report.settings_sha256
    );
    text
}
