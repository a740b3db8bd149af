//! The table of an ablation: means over seeds, their deviation, intervals, and differences from the first variant.

use std::fmt::Write as _;

use anyhow::Result;
use measure::{Bootstrap, Interval, bootstrap_mean, compare_paired};
use serde::Serialize;

use super::results::RunResult;

/// All variants with what their probes say.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    variants: Vec<Row>,
}

/// One variant.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    seeds: usize,
    parameters: usize,
    /// Tokens of the budget of one run.
    tokens: u64,
    /// Mean minutes of a run.
    minutes: f64,
    /// Mean scores on held-out texts.
    held_out: Vec<(String, f64)>,
    probes: Vec<Cell>,
}

/// What one probe says of a variant. Accuracies are shares, 0 to 1.
#[derive(Debug, Serialize)]
struct Cell {
    probe: String,
    /// Mean accuracy over the seeds.
    mean: f64,
    /// Sample deviation over the seeds; none for one seed.
    deviation: Option<f64>,
    /// 95 % bootstrap interval of the mean over test rows, whose value is their mean over the seeds.
    interval: [f64; 2],
    /// Accuracy with each seed.
    seeds: Vec<f64>,
    /// Against the first variant; none for that itself.
    difference: Option<Difference>,
}

/// A variant less the first one, row by row of the test set.
#[derive(Debug, Serialize)]
struct Difference {
    mean: f64,
    interval: [f64; 2],
    /// Two-sided paired randomisation test.
    p_value: f64,
}

impl Table {
    /// Summarises the results of variants, each with one run a seed and the same probes.
    ///
    /// # Errors
    /// None for results of one recipe: probes of different lengths cannot be compared.
    pub(super) fn new(results: &[(&str, Vec<RunResult>)]) -> Result<Self> {
        let Some((_, first)) = results.first() else {
            return Ok(Self { variants: Vec::new() });
        };
        let row = |(at, (name, runs)): (usize, &(&str, Vec<RunResult>))| {
            let count = runs.len().max(1) as f64;
            let probes = 0..runs.first().map_or(0, |run| run.probes.len());
            let base = (at > 0).then_some(first.as_slice());
            Ok(Row {
                name: (*name).to_owned(),
                seeds: runs.len(),
                parameters: runs.first().map_or(0, |run| run.parameters),
                tokens: runs.first().map_or(0, |run| run.tokens),
                minutes: runs.iter().map(|run| run.seconds).sum::<f64>() / count / 60.0,
                held_out: held_out(runs),
                probes: probes
                    .map(|probe| cell(runs, base, probe))
                    .collect::<Result<_>>()?,
            })
        };
        let variants = results.iter().enumerate().map(row).collect::<Result<_>>()?;
        Ok(Self { variants })
    }

    /// The table for people, in percent.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::new();
        let Some(first) = self.variants.first() else {
            return out;
        };
        let probes: Vec<&str> = first.probes.iter().map(|cell| cell.probe.as_str()).collect();
        let _ = writeln!(
            out,
            "\n| variant | parameters | minutes | held out | {} |",
            probes.join(" | ")
        );
        let _ = writeln!(out, "|---|---|---|---|{}", "---|".repeat(probes.len()));
        for row in &self.variants {
            let held_out: Vec<String> = row
                .held_out
                .iter()
                .map(|(name, value)| format!("{name} {value:.3}"))
                .collect();
            let cells: Vec<String> = row.probes.iter().map(Cell::markdown).collect();
            let _ = writeln!(
                out,
                "| {} | {} | {:.1} | {} | {} |",
                row.name,
                row.parameters,
                row.minutes,
                held_out.join(", "),
                cells.join(" | ")
            );
        }
        let _ = writeln!(
            out,
            "\nAccuracy in percent of a linear classifier on the frozen encoder: mean over {} seeds ± their deviation \
             [95 % interval over test rows]; then the difference from {} with its interval and p. Each run saw {} \
             tokens. Scores on held-out texts compare variants of one objective only.",
            first.seeds, first.name, first.tokens
        );
        out
    }
}

impl Cell {
    fn markdown(&self) -> String {
        let [low, high] = self.interval.map(|end| 100.0 * end);
        let deviation = self.deviation.map_or("–".into(), |d| format!("{:.1}", 100.0 * d));
        let mut out = format!("{:.1} ± {deviation} [{low:.1}, {high:.1}]", 100.0 * self.mean);
        if let Some(difference) = &self.difference {
            let [low, high] = difference.interval.map(|end| 100.0 * end);
            let (mean, p) = (100.0 * difference.mean, difference.p_value);
            let _ = write!(out, "; {mean:+.1} [{low:+.1}, {high:+.1}] p {p:.3}");
        }
        out
    }
}

/// Means of the scores over the runs.
fn held_out(runs: &[RunResult]) -> Vec<(String, f64)> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let mean = |(at, (name, _)): (usize, &(String, f64))| {
        let values = runs.iter().filter_map(|run| run.held_out.get(at));
        (
            name.clone(),
            values.map(|(_, value)| value).sum::<f64>() / runs.len() as f64,
        )
    };
    first.held_out.iter().enumerate().map(mean).collect()
}

fn cell(runs: &[RunResult], base: Option<&[RunResult]>, probe: usize) -> Result<Cell> {
    let seeds: Vec<f64> = runs.iter().map(|run| run.probes[probe].accuracy()).collect();
    let mean = seeds.iter().sum::<f64>() / seeds.len() as f64;
    let squares: f64 = seeds.iter().map(|value| (value - mean).powi(2)).sum();
    let rows = rows(runs, probe);
    let bootstrap = Bootstrap::default();
    let difference = match base {
        Some(base) => {
            let compared = compare_paired(&self::rows(base, probe), &rows, &bootstrap)?;
            Some(Difference {
                mean: compared.difference.mean,
                interval: ends(compared.difference),
                p_value: compared.p_value,
            })
        }
        None => None,
    };
    Ok(Cell {
        probe: runs[0].probes[probe].name.clone(),
        mean,
        deviation: (seeds.len() > 1).then(|| (squares / (seeds.len() - 1) as f64).sqrt()),
        interval: ends(bootstrap_mean(&rows, &bootstrap)?),
        seeds,
        difference,
    })
}

/// For each test row the share of the seeds that got it right.
fn rows(runs: &[RunResult], probe: usize) -> Vec<f64> {
    let mut sums = vec![0.0; runs[0].probes[probe].right.len()];
    for run in runs {
        let values = run.probes[probe].values();
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sums.into_iter().map(|sum| sum / runs.len() as f64).collect()
}

fn ends(interval: Interval) -> [f64; 2] {
    [interval.low, interval.high]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::super::results::ProbeResult;
    use super::*;

    fn run(right: &str) -> RunResult {
        RunResult {
            of: String::new(),
            parameters: 10,
            tokens: 640,
            seconds: 60.0,
            held_out: vec![("masked_accuracy".into(), 0.5)],
            probes: vec![ProbeResult {
                name: "sst2".into(),
                right: right.into(),
            }],
        }
    }

    #[test]
    fn means_deviations_and_differences() {
        let results = [
            ("base", vec![run("1100"), run("1000")]),
            ("other", vec![run("1110"), run("1111")]),
        ];
        let table = Table::new(&results).unwrap();
        let cells: Vec<&Cell> = table.variants.iter().map(|row| &row.probes[0]).collect();
        assert_eq!((cells[0].mean, cells[1].mean), (0.375, 0.875));
        assert!((cells[0].deviation.unwrap() - 0.125 * 2f64.sqrt()).abs() < 1e-12);
        assert!(cells[0].difference.is_none());
        assert_eq!(cells[1].difference.as_ref().unwrap().mean, 0.5);
        assert!(cells[1].interval[0] <= 0.875 && cells[1].interval[1] >= 0.875);
        let markdown = table.markdown();
        assert!(
            markdown.contains("| base | 10 | 1.0 | masked_accuracy 0.500 | 37.5 ± 17.7 ["),
            "{markdown}"
        );
        assert!(markdown.contains("+50.0 ["), "{markdown}");
        let one = Table::new(&[("base", vec![run("10")])]).unwrap();
        assert!(one.variants[0].probes[0].deviation.is_none());
    }
}
