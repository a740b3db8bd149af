//! Recall against speed as a picture.

use measure::plot::{Axis, Chart, Series};

/// Points of recall and queries per second, joined in their order, as SVG. Speed has a logarithmic axis.
pub(super) fn recall_curve(title: &str, points: &[(f64, f64)]) -> String {
    let least = points.iter().map(|&(recall, _)| recall).fold(0.99, f64::min);
    let from = (least * 20.0).floor() / 20.0;
    let chart = Chart {
        title,
        x: Axis::linear("recall@10", from, 1.0, 5),
        y: Axis::decades("queries/s", points.iter().map(|&(_, speed)| speed)),
        series: &[Series { points, marked: true }],
    };
    chart.svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_ends_at_one() {
        let svg = recall_curve("speed", &[(0.97, 12_000.0), (0.99, 900.0), (1.0, 10.5)]);
        assert!(svg.contains(">0.95<") && svg.contains(">1.00<"), "{svg}");
        assert!(svg.contains(">10<") && svg.contains(">100000<"), "{svg}");
    }
}
