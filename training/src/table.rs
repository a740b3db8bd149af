//! `cloze train table`: the same recipes with several seeds, and what comes out beside published figures.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use launch::Exit;
use serde::{Deserialize, Serialize};
use trainer::recipe;
use trainer::{ClassifyRecipe, Ended, Outcome, Recipe, TagRecipe};

use crate::follow::{Sitting, complete};

const EXAMPLES: &str = "\
Examples:
  cloze train table training/recipes/table.toml
Each seed of each row is a run of its own. What is done stands in OUT/results.jsonl; the same command goes on from
there, and prints the table at the end.";

/// Options of `table`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TableArgs {
    /// The table, a TOML file; see training/recipes/table.toml.
    table: PathBuf,
}

/// What is run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Folder that receives the runs and their results.
    out: PathBuf,
    /// A run for each, in every row.
    seeds: Vec<u64>,
    /// Changes to the recipes of all rows, `a.b=value`.
    #[serde(default)]
    set: Vec<String>,
    #[serde(rename = "row")]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Also the name of the folder of its runs.
    name: String,
    task: Kind,
    recipe: PathBuf,
    /// Changes to the recipe, after those of all rows.
    #[serde(default)]
    set: Vec<String>,
    /// What others report.
    published: Option<Published>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Classify,
    Tag,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    score: f64,
    /// Which model and data, and who reports it.
    of: String,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Scored {
    row: String,
    seed: u64,
    /// Names the recipe with all changes.
    recipe: String,
    score: String,
    value: f64,
}

/// Runs `train table`.
pub(crate) fn table(args: &TableArgs, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    let table = read(&args.table)?;
    std::fs::create_dir_all(&table.out).with_context(|| table.out.display().to_string())?;
    let path = table.out.join("results.jsonl");
    let mut done = results(&path)?;
    for row in &table.rows {
        for &seed in &table.seeds {
            let run = RowRun::new(&table, row, seed);
            let recipe = run.named()?;
            if let Some(scored) = done.get(&(row.name.clone(), seed)) {
                ensure!(
                    scored.recipe == recipe,
                    "{} has a result of {} with seed {seed} by another recipe; choose another `out`",
                    path.display(),
                    row.name
                );
                continue;
            }
            writeln!(screen, "{}, seed {seed}", row.name)?;
            let outcome = run.complete(show_progress, screen)?;
            if outcome.ended == Ended::Interrupted {
                writeln!(screen, "interrupted; the same command goes on from there")?;
                return Ok(Exit::Interrupted);
            }
            let (score, value) = score_of(&outcome, &row.name)?;
            let scored = Scored {
                row: row.name.clone(),
                seed,
                recipe,
                score,
                value,
            };
            append(&path, &scored)?;
            done.insert((row.name.clone(), seed), scored);
        }
    }
    print(&table, &done, screen)?;
    Ok(Exit::Success)
}

fn read(path: &Path) -> Result<Table> {
    let table: Table = recipe::read(path, &[])?;
    ensure!(
        !table.seeds.is_empty() && !table.rows.is_empty(),
        "{}: a table has at least one seed and one row",
        path.display()
    );
    for (at, row) in table.rows.iter().enumerate() {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = row.name.chars().all(fits) && row.name.starts_with(|c: char| c.is_ascii_alphanumeric());
        ensure!(
            is_name,
            "{}: row {:?}; accepted: letters, digits, -, _ and .",
            path.display(),
            row.name
        );
        let again = table.rows[..at].iter().any(|other| other.name == row.name);
        ensure!(!again, "{}: two rows are called {:?}", path.display(), row.name);
    }
    Ok(table)
}

/// One row with one seed.
struct RowRun<'a> {
    row: &'a Row,
    /// Changes to its recipe.
    set: Vec<String>,
}

impl<'a> RowRun<'a> {
    fn new(table: &Table, row: &'a Row, seed: u64) -> Self {
        let out = table.out.join(&row.name).join(format!("seed-{seed}"));
        let own = [
            format!("seed={seed}"),
            format!("out={}", toml::Value::from(out.display().to_string())),
        ];
        let set = table.set.iter().chain(&row.set).cloned().chain(own).collect();
        Self { row, set }
    }

    /// What names the run.
    fn named(&self) -> Result<String> {
        match self.row.task {
            Kind::Classify => Ok(self.recipe::<ClassifyRecipe>()?.plan()?.recipe),
            Kind::Tag => Ok(self.recipe::<TagRecipe>()?.plan()?.recipe),
        }
    }

    fn complete(&self, show_progress: bool, screen: &mut dyn Write) -> Result<Outcome> {
        match self.row.task {
            Kind::Classify => complete(
                self.recipe::<ClassifyRecipe>()?,
                Sitting::NEXT,
                show_progress,
                screen,
            ),
            Kind::Tag => complete(self.recipe::<TagRecipe>()?, Sitting::NEXT, show_progress, screen),
        }
    }

    fn recipe<R: Recipe>(&self) -> Result<R> {
        Ok(recipe::read(&self.row.recipe, &self.set)?)
    }
}

/// The deciding score of the model that was saved.
fn score_of(outcome: &Outcome, row: &str) -> Result<(String, f64)> {
    match outcome.saved_scores().and_then(|scored| scored.scores.first()) {
        Some((name, value)) if value.is_finite() => Ok((name.clone(), *value)),
        Some((name, value)) => bail!("{row}: {name} is {value}"),
        None => bail!("{row}: its recipe names no held-out data"),
    }
}

/// The results of earlier sittings, by row and seed.
fn results(path: &Path) -> Result<BTreeMap<(String, u64), Scored>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let lines = text.lines().enumerate();
    let scored = lines.map(|(at, line)| {
        let scored: Scored =
            serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1))?;
        Ok(((scored.row.clone(), scored.seed), scored))
    });
    scored.collect()
}

fn append(path: &Path, scored: &Scored) -> Result<()> {
    let write = || -> Result<()> {
        let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", serde_json::to_string(scored)?)?;
        Ok(file.sync_all()?)
    };
    write().with_context(|| path.display().to_string())
}

fn print(table: &Table, done: &BTreeMap<(String, u64), Scored>, screen: &mut dyn Write) -> Result<()> {
    writeln!(
        screen,
        "| set | score | seeds | mean | deviation | published | of |"
    )?;
    writeln!(screen, "|---|---|---|---|---|---|---|")?;
    for row in &table.rows {
        let scored = table
            .seeds
            .iter()
            .filter_map(|&seed| done.get(&(row.name.clone(), seed)));
        let scored: Vec<&Scored> = scored.collect();
        let values: Vec<f64> = scored.iter().map(|scored| scored.value).collect();
        let (mean, deviation) = mean_and_deviation(&values);
        let deviation = deviation.map_or("-".into(), |deviation| format!("{deviation:.4}"));
        let score = scored.first().map_or("-", |scored| &scored.score);
        let (theirs, of) = match &row.published {
            Some(Published { score, of }) => (format!("{score:.4}"), of.as_str()),
            None => ("-".into(), "-"),
        };
        let (name, count) = (&row.name, values.len());
        writeln!(
            screen,
            "| {name} | {score} | {count} | {mean:.4} | {deviation} | {theirs} | {of} |"
        )?;
    }
    Ok(())
}

/// The mean, and the standard deviation of the seeds as a sample; none of fewer than two.
fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    const TABLE: &str = "out = 'OUT'\nseeds = [1, 2]\n[[row]]\nname = 'a'\ntask = 'tag'\nrecipe = 'r.toml'\n";

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 3.0]);
        assert_eq!((mean, deviation), (2.0, Some(1.0)));
        assert_eq!(mean_and_deviation(&[0.5]), (0.5, None));
    }

    #[test]
    fn rows_that_cannot_be_told_apart_are_refused() {
        let again = TABLE.replace("out = 'OUT'\nseeds = [1, 2]\n", "");
        let (_folder, path) = written(&format!("{TABLE}{again}"));
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("two rows are called \"a\"")
        );
        let (_folder, path) = written(&TABLE.replace("'a'", "'../a'"));
        assert!(read(&path).unwrap_err().to_string().contains("accepted: letters"));
        let (_folder, path) = written(&TABLE.replace("[1, 2]", "[]"));
        assert!(read(&path).is_err());
    }

    #[test]
    fn results_are_found_again_and_stand_in_the_table() {
        let (folder, path) = written(TABLE);
        let results_path = folder.path().join("results.jsonl");
        for (seed, value) in [(1, 0.5), (2, 0.7)] {
            let scored = Scored {
                row: "a".into(),
                seed,
                recipe: "r".into(),
                score: "f1".into(),
                value,
            };
            append(&results_path, &scored).unwrap();
        }
        let mut screen = Vec::new();
        print(
            &read(&path).unwrap(),
            &results(&results_path).unwrap(),
            &mut screen,
        )
        .unwrap();
        let shown = String::from_utf8(screen).unwrap();
        assert!(
            shown.contains("| a | f1 | 2 | 0.6000 | 0.1414 | - | - |"),
            "{shown}"
        );
        std::fs::write(&results_path, "{}").unwrap();
        assert!(format!("{:#}", results(&results_path).unwrap_err()).contains("line 1"));
    }
}
