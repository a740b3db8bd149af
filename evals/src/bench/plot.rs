//! Recall against speed as a picture.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;

/// Points of recall and queries per second, joined in their order, as SVG. Speed has a logarithmic axis.
pub(super) fn recall_curve(title: &str, points: &[(f64, f64)]) -> String {
    let least = points.iter().map(|&(recall, _)| recall).fold(0.99, f64::min);
    let from = (least * 20.0).floor() / 20.0;
    let decade = |round: fn(f64) -> f64, start: f64, pick: fn(f64, f64) -> f64| {
        round(
            points
                .iter()
                .map(|&(_, speed)| speed.max(1.0))
                .fold(start, pick)
                .log10(),
        )
    };
    let (low, high) = (
        decade(f64::floor, f64::MAX, f64::min),
        decade(f64::ceil, 1.0, f64::max),
    );
    let high = high.max(low + 1.0);
    let x = |recall: f64| MARGIN + (recall - from) / (1.0 - from) * (WIDTH - 2.0 * MARGIN);
    let y = |speed: f64| HEIGHT - MARGIN - (speed.log10() - low) / (high - low) * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{}\" y=\"28\" text-anchor=\"middle\" font-size=\"14\">{}</text>\n",
        WIDTH / 2.0,
        escape(title)
    );
    for step in 0..=5 {
        let recall = from + (1.0 - from) * f64::from(step) / 5.0;
        line(
            &mut svg,
            (x(recall), y(10_f64.powf(low))),
            (x(recall), y(10_f64.powf(high))),
        );
        text(
            &mut svg,
            x(recall),
            HEIGHT - MARGIN + 18.0,
            "middle",
            &format!("{recall:.3}"),
        );
    }
    for power in low as i32..=high as i32 {
        let speed = 10_f64.powi(power);
        line(&mut svg, (x(from), y(speed)), (x(1.0), y(speed)));
        text(&mut svg, MARGIN - 8.0, y(speed) + 4.0, "end", &format!("{speed}"));
    }
    text(&mut svg, WIDTH / 2.0, HEIGHT - 14.0, "middle", "recall@10");
    text(&mut svg, 8.0, MARGIN - 14.0, "start", "queries/s");
    let joined: Vec<String> = points
        .iter()
        .map(|&(recall, speed)| format!("{:.1},{:.1}", x(recall), y(speed.max(1.0))))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>",
        joined.join(" ")
    );
    for point in &joined {
        let (x, y) = point.split_once(',').unwrap_or_default();
        let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"#1f5fa8\"/>");
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, said: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(said)
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_inside() {
        for points in [
            vec![(0.9, 12_000.0), (0.99, 900.0), (1.0, 0.5)],
            vec![(1.0, 1.0)],
            vec![(0.0, 1e6)],
        ] {
            let svg = recall_curve("a < b & c", &points);
            assert!(svg.contains("a &lt; b &amp; c") && svg.ends_with("</svg>\n"));
            let circles: Vec<&str> = svg.lines().filter(|line| line.starts_with("<circle")).collect();
            assert_eq!(circles.len(), points.len());
            for circle in circles {
                let numbers: Vec<f64> = circle.split('"').filter_map(|part| part.parse().ok()).collect();
                assert!((MARGIN..=WIDTH - MARGIN).contains(&numbers[0]), "{circle}");
                assert!((MARGIN..=HEIGHT - MARGIN).contains(&numbers[1]), "{circle}");
            }
        }
    }
}
