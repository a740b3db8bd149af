//! The learning curve as a picture.

use std::path::Path;

use measure::plot::{Axis, Chart, Series};

use super::log;
use crate::error::{Result, io};

/// Draws `curve.svg` from the log: the loss; and beside it `scores.svg`, when
/// the model was scored more than once.
pub(super) fn draw(out: &Path) -> Result<()> {
    let (losses, scores) = log::curves(out)?;
    write(out, "curve.svg", "loss", &losses)?;
    let (Some((name, ..)), true) = (scores.first(), scores.len() > 1) else {
        return Ok(());
    };
    let points: Vec<_> = scores.iter().map(|&(_, step, score)| (step, score)).collect();
    write(out, "scores.svg", name, &points)
}

fn write(out: &Path, file: &str, name: &str, points: &[(f64, f64)]) -> Result<()> {
    let chart = Chart {
        title: &format!("{name} by step"),
        x: Axis::fitting("step", points.iter().map(|point| point.0)),
        y: Axis::fitting(name, points.iter().map(|point| point.1)),
        series: &[Series {
            points,
            marked: points.len() < 50,
        }],
    };
    let path = out.join(file);
    std::fs::write(&path, chart.svg()).map_err(io(&path))
}
