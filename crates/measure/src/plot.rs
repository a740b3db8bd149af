//! Figures as pictures: lines over two axes, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;
const COLORS: [&str; 4] = ["#1f5fa8", "#b3501e", "#2f7d4f", "#7a4fa0"];

/// Lines over two axes.
#[derive(Debug, Clone, Copy)]
pub struct Chart<'a> {
    /// Stands above the picture.
    pub title: &'a str,
    /// From left to right.
    pub x: Axis<'a>,
    /// From bottom to top.
    pub y: Axis<'a>,
    /// The lines.
    pub series: &'a [Series<'a>],
}

/// Points that are joined in their order.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// x and y. What is no number has no place and is left out; what lies outside of an axis is drawn at its end.
    pub points: &'a [(f64, f64)],
    /// Whether each point gets a dot.
    pub marked: bool,
}

/// A range of values with ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis<'a> {
    name: &'a str,
    from: f64,
    to: f64,
    ticks: Ticks,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ticks {
    /// At every multiple of a step from the start.
    Every(f64),
    /// At every power of ten; the ends are exponents.
    Decades,
}

impl<'a> Axis<'a> {
    /// From `from` to `to` in `parts` equal parts.
    pub fn linear(name: &'a str, from: f64, to: f64, parts: u32) -> Self {
        let ticks = Ticks::Every((to - from) / f64::from(parts.max(1)));
        Self {
            name,
            from,
            to,
            ticks,
        }
    }

    /// Round numbers around all values.
    pub fn fitting(name: &'a str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values);
        let rough = (high - low).max(1e-9 * high.abs()).max(f64::MIN_POSITIVE) / 5.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0];
        let step = round
            .map(|factor| factor * decade)
            .into_iter()
            .find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let from = (low / step).floor() * step;
        let to = ((high / step).ceil() * step).max(from + step);
        Self {
            name,
            from,
            to,
            ticks: Ticks::Every(step),
        }
    }

    /// Whole powers of ten around all values, with equal room for each; values below 1 count as 1.
    pub fn decades(name: &'a str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values.map(|value| value.max(1.0).log10()));
        let from = low.floor();
        Self {
            name,
            from,
            to: high.ceil().max(from + 1.0),
            ticks: Ticks::Decades,
        }
    }

    /// Where a value lies, 0 at the start to 1 at the end.
    fn place(&self, value: f64) -> f64 {
        let value = match self.ticks {
            Ticks::Every(_) => value,
            Ticks::Decades => value.max(1.0).log10(),
        };
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// Value and label of each tick.
    fn ticks(&self) -> Vec<(f64, String)> {
        match self.ticks {
            Ticks::Decades => (self.from as i32..=self.to as i32)
                .map(|power| 10_f64.powi(power))
                .map(|value| (value, value.to_string()))
                .collect(),
            Ticks::Every(step) => {
                let count = ((self.to - self.from) / step).round() as u32;
                let digits = (-step.log10()).ceil().clamp(0.0, 9.0) as usize;
                // A step such as 0.25 needs a digit more.
                let digits = digits + usize::from((step * 10_f64.powi(digits as i32)).fract() > 1e-6);
                (0..=count)
                    .map(|tick| self.from + step * f64::from(tick))
                    .map(|value| (value, format!("{value:.digits$}")))
                    .collect()
            }
        }
    }
}

/// Least and greatest of the values that are numbers; 0 and 1 when there are none.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let found = values
        .filter(|value| value.is_finite())
        .fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
    found.unwrap_or((0.0, 1.0))
}

impl Chart<'_> {
    /// The picture.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{}\" y=\"28\" text-anchor=\"middle\" font-size=\"14\">{}</text>\n",
            WIDTH / 2.0,
            escape(self.title)
        );
        self.grid(&mut svg);
        for (series, color) in self.series.iter().zip(COLORS.iter().cycle()) {
            self.line(&mut svg, series, color);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String) {
        for (value, label) in self.x.ticks() {
            let x = across(self.x.place(value));
            line(svg, (x, upwards(0.0)), (x, upwards(1.0)));
            text(svg, x, HEIGHT - MARGIN + 18.0, "middle", &label);
        }
        for (value, label) in self.y.ticks() {
            let y = upwards(self.y.place(value));
            line(svg, (across(0.0), y), (across(1.0), y));
            text(svg, MARGIN - 8.0, y + 4.0, "end", &label);
        }
        text(svg, WIDTH / 2.0, HEIGHT - 14.0, "middle", self.x.name);
        text(svg, 8.0, MARGIN - 14.0, "start", self.y.name);
    }

    fn line(&self, svg: &mut String, series: &Series<'_>, color: &str) {
        let known = series.points.iter().filter(|(x, y)| !x.is_nan() && !y.is_nan());
        let places: Vec<(f64, f64)> = known
            .map(|&(x, y)| (across(self.x.place(x)), upwards(self.y.place(y))))
            .collect();
        let joined: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            joined.join(" ")
        );
        for (x, y) in places.iter().filter(|_| series.marked) {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
            );
        }
    }
}

fn across(place: f64) -> f64 {
    MARGIN + place * (WIDTH - 2.0 * MARGIN)
}

fn upwards(place: f64) -> f64 {
    HEIGHT - MARGIN - place * (HEIGHT - 2.0 * MARGIN)
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
            vec![(0.0, 1e6), (3.0, 1e-9)],
            vec![(5.0, 5.0), (5.0, 5.0)],
            vec![],
        ] {
            let (x, y) = (
                points.iter().map(|point| point.0),
                points.iter().map(|point| point.1),
            );
            for scale in [Axis::fitting, Axis::decades] {
                let chart = Chart {
                    title: "a < b & c",
                    x: Axis::fitting("x", x.clone()),
                    y: scale("y", y.clone()),
                    series: &[Series {
                        points: &points,
                        marked: true,
                    }],
                };
                let svg = chart.svg();
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

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        let axis = Axis::fitting("loss", [1.37, 4.9, 3.0].into_iter());
        assert_eq!((axis.from, axis.to), (1.0, 5.0));
        let labels: Vec<String> = axis.ticks().into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["1", "2", "3", "4", "5"]);
        let labels: Vec<String> = Axis::linear("recall", 0.75, 1.0, 5)
            .ticks()
            .into_iter()
            .map(|tick| tick.1)
            .collect();
        assert_eq!(labels, ["0.75", "0.80", "0.85", "0.90", "0.95", "1.00"]);
        assert_eq!(
            Axis::decades("speed", [12_000.0, 0.5].into_iter()).ticks().len(),
            6
        );
    }
}
