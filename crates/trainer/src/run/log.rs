//! The files that a run tells its story in: JSON lines, and events for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::events::Events;
use super::{Evaluation, Report};
use crate::error::{Result, io};

/// `log.jsonl` and the newest file of `tensorboard/`, open for more.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    events: Events,
}

impl Log {
    /// Goes on after `resumed`, or begins anew. What the log says of later steps was lost with them, and a line that
    /// was cut off is not one. `time` is that of now, in seconds since 1970.
    pub(super) fn open(out: &Path, resumed: Option<u64>, time: f64) -> Result<Self> {
        let path = out.join("log.jsonl");
        keep_until(&path, resumed)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self {
            file: file.map_err(io(&path))?,
            path,
            events: Events::create(&out.join("tensorboard"), resumed.map_or(0, |step| step + 1), time)?,
        })
    }

    /// Adds a report.
    pub(super) fn report(&mut self, report: &Report, time: f64) -> Result<()> {
        self.line(report)?;
        self.events.scalars(report.step, time, &report.scalars())
    }

    /// Adds an evaluation.
    pub(super) fn evaluation(&mut self, evaluation: &Evaluation, time: f64) -> Result<()> {
        let scores = evaluation.scores.iter();
        let scores: serde_json::Map<String, Value> = scores
            .map(|(name, score)| (name.clone(), (*score).into()))
            .collect();
        self.line(&serde_json::json!({"step": evaluation.step, "scores": scores}))?;
        let scalars = evaluation.scores.iter();
        let scalars: Vec<_> = scalars
            .map(|(name, score)| (format!("evaluation/{name}"), *score))
            .collect();
        self.events.scalars(evaluation.step, time, &scalars)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line).map_err(|e| io(&self.path)(e.into()))?;
        writeln!(self.file, "{line}").map_err(io(&self.path))
    }
}

/// The points of a log, by step: losses, and first scores with their name.
pub(super) type Curves = (Vec<(f64, f64)>, Vec<(String, f64, f64)>);

/// Reads a log back.
pub(super) fn curves(out: &Path) -> Result<Curves> {
    let path = out.join("log.jsonl");
    let text = std::fs::read_to_string(&path).map_err(io(&path))?;
    let (mut losses, mut scores) = (Vec::new(), Vec::new());
    for line in text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        let Some(step) = line["step"].as_f64() else {
            continue;
        };
        if let Some(loss) = line["loss"].as_f64() {
            losses.push((step, loss));
        }
        let first = line["scores"].as_object().and_then(|scores| scores.iter().next());
        if let Some((name, score)) = first.and_then(|(name, score)| Some((name, score.as_f64()?))) {
            scores.push((name.clone(), step, score));
        }
    }
    Ok((losses, scores))
}

/// Drops the lines of steps after `last`, or all lines.
fn keep_until(path: &Path, last: Option<u64>) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = std::fs::read(path).map_err(io(path))?;
    let text = String::from_utf8_lossy(&text);
    let step = |line: &str| serde_json::from_str::<Value>(line).ok()?["step"].as_u64();
    let stays = |line: &&str| step(line).is_some_and(|step| last.is_some_and(|last| step <= last));
    let kept: String = text
        .lines()
        .filter(stays)
        .map(|line| format!("{line}\n"))
        .collect();
    if kept == text {
        return Ok(());
    }
    let aside = path.with_extension("tmp");
    std::fs::write(&aside, kept).map_err(io(&aside))?;
    std::fs::rename(&aside, path).map_err(io(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    #[test]
    fn a_resumed_log_ends_where_the_checkpoint_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let lines = "{\"step\":5,\"loss\":1.5}\n{\"step\":10,\"loss\":1.0}\n{\"step\":15,\"lo";
        std::fs::write(&path, lines).unwrap();
        let mut log = Log::open(folder.path(), Some(10), 1.0).unwrap();
        let evaluation = Evaluation {
            step: 12,
            scores: vec![("mrr".into(), 0.25)],
        };
        log.evaluation(&evaluation, 2.0).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        let (losses, scores) = curves(folder.path()).unwrap();
        assert_eq!(losses, [(5.0, 1.5), (10.0, 1.0)]);
        assert_eq!(scores, [("mrr".to_owned(), 12.0, 0.25)]);
        Log::open(folder.path(), None, 3.0).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
}
